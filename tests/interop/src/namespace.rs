//! A network of a test's own: the test runs once more, alone, in a fresh network namespace.
#![allow(clippy::print_stderr, reason = "a skipped test must be seen to be skipped")]

use std::env;
use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use testkit::Process;

use crate::PATIENCE;

/// Names the test that runs in its namespace.
const INSIDE: &str = "WEFT_TEST_NAMESPACE";

/// Runs the body in a namespace in which it may do anything to the network; `test` is the caller's own name.
///
/// Every process the body leaves behind ends with it. Without a right to namespaces a test says so and passes.
///
/// # Panics
/// Where the test within does, and under `CI=true` without namespaces.
pub fn within(test: &str, body: impl FnOnce()) {
    if env::var_os(INSIDE).is_some_and(|name| name == test) {
        ip(["link set lo up".to_owned()]);
        return body();
    }
    if !is_possible() {
        assert!(
            env::var_os("CI").is_none_or(|ci| ci != "true"),
            "no network namespaces: ./setup test says what is needed"
        );
        eprintln!("SKIPPED: {test}: needs unshare, ip and the right to a network namespace");
        return;
    }
    let binary = env::current_exe().expect("the test's own path");
    let mut command = unshare();
    command.arg(binary).args([test, "--exact", "--nocapture"]).env(INSIDE, test);
    let mut process = Process::start(test, &mut command).expect("the test once more");
    let status = process.wait(4 * PATIENCE);
    let log = process.log();
    assert!(status.success(), "in its namespace:\n{log}");
    assert!(log.contains("1 passed"), "{test} is not the name of a test:\n{log}");
}

/// Gives the machine addresses, as the workloads of a recording had them.
pub fn add_addresses<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) {
    ip(addresses.into_iter().map(|address| format!("addr add {address} dev lo")));
}

/// Runs commands of `ip`.
///
/// # Panics
/// When one of them does not work.
pub fn ip(commands: impl IntoIterator<Item = String>) {
    let commands: Vec<String> = commands.into_iter().collect();
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("ip, which ./setup test installs");
    let mut input = child.stdin.take().expect("invariant: its input is piped");
    writeln!(input, "{}", commands.join("\n")).expect("ip to read its commands");
    drop(input);
    let status = child.wait().expect("ip to end");
    assert!(status.success(), "ip: {status}: {commands:?}");
}

/// Redirects to a port of the machine what leaves a program of it for a destination that a rule of iptables tells.
///
/// # Panics
/// When iptables does not take the rule.
pub fn redirect(rule: &[&str], port: u16) {
    let status = Command::new("iptables")
        .args(["-t", "nat", "-A", "OUTPUT", "-p", "tcp"])
        .args(rule)
        .args(["-j", "REDIRECT", "--to-ports", &port.to_string()])
        .status()
        .expect("iptables, which ./setup test installs");
    assert!(status.success(), "iptables: {status}: {rule:?}");
}

/// Root in the namespace whoever one is outside; what is left of a killed test goes with its process namespace.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--"]);
    command
}

fn is_possible() -> bool {
    let works = |command: &mut Command| {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    works(unshare().args(["ip", "link", "set", "lo", "up"]))
}
