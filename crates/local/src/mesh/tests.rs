#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;
use crate::workload::{Program, Restart, Role, Sidecar};

/// Scripts stand in for the executables: what is tested is who is started, told and ended when.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stage = Self { dir };
        // Does what the verb does as far as a script can: becomes the program it is given.
        stage.script("weft", "if [ \"$1\" = tether ]; then shift 3; exec \"$@\"; fi\nexec sleep 1000");
        stage.script("weft-proxy", "echo cannot listen >&2; exit 7");
        stage
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;

        let path = self.dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn options(&self, workloads: Vec<Workload>) -> Options {
        let mesh = self.dir.path().join("mesh");
        std::fs::create_dir_all(&mesh).unwrap();
        Options {
            layout: Layout::new(mesh),
            mesh: None,
            tools: Tools {
                weft: self.dir.path().join("weft"),
                proxy: Some(self.dir.path().join("weft-proxy")),
                envoy: None,
            },
            workloads,
            patience: Duration::from_secs(20),
        }
    }
}

fn workload(name: &str) -> Workload {
    Workload {
        name: name.into(),
        pod: format!("{name}-abc"),
        namespace: "default".into(),
        ports: vec![9080],
        ..Workload::default()
    }
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[tokio::test]
async fn a_sidecar_that_dies_is_named_with_its_last_words() {
    let stage = Stage::new();
    let options = stage.options(vec![workload("reviews-v1")]);
    let entries = options.layout.entries();
    let mut mesh = Mesh::start(options).unwrap();

    let event = mesh.next().await.unwrap();

    let Event::Died(death) = event else { panic!("{event:?}") };
    assert_eq!(death.name, "the sidecar of reviews-v1");
    assert_eq!(death.status, "exit status: 7");
    assert_eq!(death.last, ["cannot listen"]);
    assert!(is_empty(&entries));
    mesh.stop().await;
    assert_eq!(mesh.next().await, None);
}

#[tokio::test]
async fn a_workload_without_its_envoy_fails_and_the_others_go_on() {
    let stage = Stage::new();
    stage.script("weft-proxy", "exec sleep 1000");
    let envoy = Workload { sidecar: Sidecar::Envoy, ..workload("reviews-v2") };
    let mut mesh = Mesh::start(stage.options(vec![envoy, workload("reviews-v1")])).unwrap();

    let event = mesh.next().await.unwrap();

    assert_eq!(event, Event::Failed { workload: "reviews-v2".into(), why: "no Envoy was found".into() });
    mesh.kill().await;
    assert_eq!(mesh.next().await, None);
}

#[tokio::test]
async fn the_network_is_the_control_planes_and_free_once_that_ends() {
    let stage = Stage::new();
    let mut mesh = Mesh::start(stage.options(Vec::new())).unwrap();
    let number = mesh.number();

    let taken = claim(Some(number));

    assert!(matches!(taken, Err(ClaimError::Held(_))), "{taken:?}");
    mesh.kill().await;
    assert!(matches!(claim(Some(number)), Ok(_) | Err(ClaimError::Held(_))));
}

#[tokio::test]
async fn names_are_unique_and_addresses_limited() {
    let stage = Stage::new();

    let twice = Mesh::start(stage.options(vec![workload("a"), workload("a")]));
    let many = Mesh::start(stage.options((0..251).map(|n| workload(&n.to_string())).collect()));

    assert!(matches!(twice, Err(StartError::Workloads(_))));
    assert!(matches!(many, Err(StartError::Workloads(_))));
}

#[tokio::test]
async fn a_program_that_ends_is_started_again_and_announced_again() {
    let stage = Stage::new();
    let program = stage.script("program", "echo started >>\"$0.log\"; exec sleep 0.01");
    let outside = Workload {
        ports: Vec::new(),
        restart: Restart::Always,
        role: Role::Sidecar(Program { command: program.clone(), ..Program::default() }),
        sidecar: Sidecar::None,
        ..workload("batch")
    };
    let mut mesh = Mesh::start(stage.options(vec![outside])).unwrap();

    let mut story = Vec::new();
    while story.len() < 5 {
        story.push(match mesh.next().await.unwrap() {
            Event::Ready { .. } => "ready",
            Event::Restarting(death, _) if death.is_success => "restarting",
            other => panic!("{other:?}"),
        });
    }

    assert_eq!(story, ["ready", "restarting", "ready", "restarting", "ready"]);
    assert!(std::fs::read_to_string(format!("{}.log", program.display())).unwrap().lines().count() >= 2);
    mesh.stop().await;
}
