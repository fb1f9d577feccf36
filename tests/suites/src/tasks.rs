//! Istio's own documentation, step by step: workloads that really run, objects applied, calls made, outcomes checked.

mod call;
mod keys;
mod script;
mod stage;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::{Case, json};

use script::{Step, Task};
use stage::Stage;

/// Words of `needs` and kinds that belong to what is not built: such a task is left out, not failed.
const LATER: [&str; 2] = ["kubernetes", "istio-mutual-gateway"];

/// How many tasks are played at a time: most of one is waiting.
const AT_ONCE: usize = 4;

/// Runs every task of the folder that needs nothing of [`LATER`]; a case is one check of one task, and what
/// Envoy's own words decide is set aside.
///
/// # Errors
/// A file cannot be read, or this user may not listen where the outside world does.
pub fn run(folder: &Path) -> anyhow::Result<Vec<Case>> {
    anyhow::ensure!(
        may_listen_low(),
        "the outside world of the tasks listens below 1024, which this user may not; run it as root of a namespace: \
         unshare --user --map-root-user --net sh -c 'ip link set lo up && …'"
    );
    let mut folders: Vec<_> =
        std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    let mut tasks = Vec::new();
    for folder in folders.into_iter().filter(|folder| folder.join("task.json").is_file()) {
        let task: Task = json(&folder.join("task.json"))?;
        if !task.needs.iter().any(|need| LATER.contains(&need.as_str())) {
            tasks.push((task, folder));
        }
    }
    Ok(side_by_side(&tasks))
}

/// Whether this user may listen below 1024; found out by doing it, at an address nobody else has.
pub fn may_listen_low() -> bool {
    let tried = TcpListener::bind((Ipv4Addr::new(127, 127, 127, 126), 443));
    !tried.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// Plays tasks, each on a mesh of its own, some at a time; the cases are in the tasks' order.
fn side_by_side(tasks: &[(Task, PathBuf)]) -> Vec<Case> {
    let next = AtomicUsize::new(0);
    let played: Mutex<BTreeMap<usize, Vec<Case>>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((index, (task, folder))) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    tasks.get(index).map(|task| (index, task))
                } {
                    let cases = catch_unwind(|| play(task, folder)).unwrap_or_else(|_| unplayed(task));
                    played.lock().unwrap_or_else(PoisonError::into_inner).insert(index, cases);
                }
            });
        }
    });
    played.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().flatten().collect()
}

/// The cases of a task whose mesh came to nothing; why was said where it did.
fn unplayed(task: &Task) -> Vec<Case> {
    let checks = (1..).zip(&task.steps).filter(|(_, step)| step.is_check());
    checks.map(|(number, _)| case(task, number, Err("the mesh broke down".to_owned()))).collect()
}

fn case(task: &Task, number: usize, outcome: Result<(), String>) -> Case {
    Case { kind: task.id.clone(), id: format!("{} step {number}", task.id), outcome }
}

/// Plays one task; a step that cannot be taken fails every check after it.
fn play(task: &Task, folder: &Path) -> Vec<Case> {
    let mut stage = Stage::start(task, folder);
    let mut broken: Option<String> = None;
    let mut cases = Vec::new();
    for (number, step) in (1..).zip(&task.steps) {
        let Step::Call { call, expect, envoy } = step else {
            if broken.is_none() {
                broken = stage.take(step).err().map(|why| format!("step {number}: {why}"));
            }
            continue;
        };
        if *envoy {
            continue;
        }
        let outcome = match &broken {
            Some(why) => Err(why.clone()),
            None => stage.check(call, expect),
        };
        if step.is_check() {
            cases.push(case(task, number, outcome));
        }
    }
    cases
}
