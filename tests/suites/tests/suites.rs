//! Peers' suites must not get worse: what fails is listed, and the list may only shrink.

use std::path::Path;
use std::process::{Command, Stdio};

fn check(name: &str) {
    let Some(dir) = testkit::suites() else { return };
    let cases = suites::run(&dir, name).unwrap_or_else(|e| panic!("{name}: {e:#}"));
    assert!(!cases.is_empty(), "{name} has no case");

    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("known-failures/{name}.txt"));
    if let Err(wrong) = suites::known::compare(&cases, &list) {
        panic!("{name}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn simulation_does_not_get_worse() {
    check("simulation");
}

#[test]
fn istiod_does_not_get_worse() {
    check("istiod");
}

#[test]
fn tasks_do_not_get_worse() {
    if suites::tasks::may_listen_low() {
        return check("tasks");
    }
    // As root of a network of its own the test may listen wherever the outside world does.
    let own = std::env::current_exe().expect("the test's own path");
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--", "sh", "-c"])
        .args(["ip link set lo up && exec \"$@\"", "sh"])
        .arg(own)
        .args(["tasks_do_not_get_worse", "--exact", "--nocapture"])
        .stdin(Stdio::null())
        .status()
        .expect("unshare, which ./setup test installs");
    assert!(status.success(), "as root of a network of its own: {status}");
}
