//! What is tethered does not outlive the process that started it, however that ends.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const WEFT: &str = env!("CARGO_BIN_EXE_weft");

#[test]
fn a_tethered_process_ends_with_its_parent() {
    let script = "\"$0\" tether $$ -- sh -c 'echo $$; exec sleep 1000' & wait";
    let mut parent = Command::new("sh").args(["-c", script, WEFT]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let child = Path::new("/proc").join(line.trim());
    assert!(child.is_dir(), "{line:?}");

    parent.kill().unwrap();
    parent.wait().unwrap();

    // The kernel sends the signal as the parent ends; the child is gone, or on its way.
    while is_running(&child) {
        std::thread::yield_now();
    }
}

#[test]
fn a_process_whose_parent_is_gone_is_not_started() {
    let output = Command::new(WEFT).args(["tether", "1", "--", "echo", "started"]).output().unwrap();

    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
}

#[test]
fn what_cannot_be_executed_is_named() {
    let parent = std::process::id().to_string();

    let output = Command::new(WEFT).args(["tether", &parent, "--", "/nowhere/program"]).output().unwrap();

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("/nowhere/program"), "{said}");
}

/// Whether a process is there and not merely waiting to be reaped by whoever has adopted it.
fn is_running(process: &Path) -> bool {
    std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| {
        let state = stat.rsplit(')').next().unwrap_or_default();
        !state.trim_start().starts_with('Z')
    })
}
