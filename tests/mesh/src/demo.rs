//! `weft demo`, started and spoken to as a user would.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use testkit::Process;

use crate::{Reply, request};

/// How long anything here may take before the test fails; never an expectation of speed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running demo mesh; stopped as Ctrl-C stops it when dropped.
pub struct Demo {
    child: Running,
    keep: tempfile::TempDir,
    gateway: SocketAddr,
}

impl Demo {
    /// Starts the demo with a stock Envoy in place of each sidecar named, and waits until it says it is ready.
    pub fn start(envoys: &[&str]) -> Self {
        let keep = tempfile::tempdir().expect("a temporary directory");
        let port = testkit::free_port().expect("a free port");
        let mut command = Command::new(binary("weft"));
        command.arg("demo").arg("--port").arg(port.to_string()).arg("--keep").arg(keep.path());
        for envoy in envoys {
            command.arg("--envoy").arg(envoy);
        }
        if let Some(envoy) = testkit::envoy() {
            command.env("WEFT_ENVOY", envoy);
        }
        let (child, _) = Running::start(&mut command, &format!("http://127.0.0.1:{port}/productpage"));
        Self { child, keep, gateway: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) }
    }

    /// The gateway's address.
    pub fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// The mesh's directory.
    pub fn dir(&self) -> &Path {
        self.keep.path()
    }

    /// Waits until its user can read a line that contains `wanted`.
    pub fn wait_to_say(&self, wanted: &str) {
        self.child.wait_for_line(wanted);
    }

    /// The product page as an anonymous reader sees it.
    pub fn page(&self) -> Reply {
        request(self.gateway, "GET /productpage HTTP/1.1", "").unwrap_or_else(|e| panic!("productpage: {e}"))
    }

    /// The product page as `user` sees it, logged in through the page's own form.
    pub fn page_of(&self, user: &str) -> Reply {
        let cookie = self.login(user);
        request(self.gateway, &format!("GET /productpage HTTP/1.1\r\ncookie: {cookie}"), "")
            .unwrap_or_else(|e| panic!("productpage: {e}"))
    }

    /// Logs in; the session cookie.
    pub fn login(&self, user: &str) -> String {
        let head = "POST /login HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded";
        let reply = request(self.gateway, head, &format!("username={user}&passwd="))
            .unwrap_or_else(|e| panic!("login: {e}"));
        let cookie = reply.header("set-cookie").unwrap_or_else(|| panic!("login of {user}: {reply:?}"));
        cookie.split(';').next().unwrap_or_default().to_owned()
    }

    /// Runs `weft` on this mesh and returns what came of it.
    pub fn weft(&self, args: &[&str]) -> Output {
        weft(self.dir(), &[], args)
    }

    /// Runs `weft VERB -f` on one of Bookinfo's networking files; it must succeed.
    pub fn networking(&self, verb: &str, name: &str) {
        let file = testkit::workspace_root().join("samples/bookinfo/networking").join(format!("{name}.yaml"));
        let out = self.weft(&[verb, "-f", &file.display().to_string()]);
        assert!(out.status.success(), "weft {verb} {name}: {}", told(&out));
    }

    /// The directory in which the workload of that name prefix keeps its logs.
    pub fn workload(&self, prefix: &str) -> PathBuf {
        std::fs::read_dir(self.dir().join(".weft"))
            .expect("the mesh's own directory")
            .filter_map(Result::ok)
            .find(|entry| entry.file_name().to_string_lossy().starts_with(prefix) && entry.path().is_dir())
            .unwrap_or_else(|| panic!("no workload {prefix}"))
            .path()
    }

    /// The id of the process whose command line contains all of `words`.
    pub fn process(&self, words: &[&str]) -> rustix::process::Pid {
        self.child.child(words)
    }
}

/// A `weft` that runs a mesh; stopped as Ctrl-C stops it when dropped.
pub(crate) struct Running(Process);

impl Running {
    /// Starts it and waits for a line of its output that contains `wanted`, which is returned too.
    ///
    /// # Panics
    /// When it cannot be started, or never writes such a line.
    pub(crate) fn start(command: &mut Command, wanted: &str) -> (Self, String) {
        let started = Process::start("weft", command);
        // From here on a mesh that never becomes ready is stopped too.
        let running = Self(started.unwrap_or_else(|e| panic!("{command:?}: {e}")));
        let line = running.wait_for_line(wanted);
        (running, line)
    }

    /// Waits until it has written a line that contains `wanted`, and returns the line.
    ///
    /// # Panics
    /// When it never does.
    pub(crate) fn wait_for_line(&self, wanted: &str) -> String {
        self.0.wait_for_line(wanted, PATIENCE)
    }

    /// The id of the child of the process whose command line contains all of `words`.
    pub(crate) fn child(&self, words: &[&str]) -> rustix::process::Pid {
        std::fs::read_dir("/proc")
            .expect("/proc")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
            .filter(|pid| parent(*pid) == Some(self.0.id()))
            .find(|pid| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                words.iter().all(|word| line.contains(word))
            })
            .and_then(|pid| rustix::process::Pid::from_raw(pid.try_into().ok()?))
            .unwrap_or_else(|| panic!("no child process with {words:?}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
            // Fails only where the mesh has ended already, which the wait below shows.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
        self.0.wait(PATIENCE);
    }
}

/// Runs `weft` on the mesh of a directory, with these variables.
pub(crate) fn weft(dir: &Path, env: &[(&str, &str)], args: &[&str]) -> Output {
    Command::new(binary("weft"))
        .args(args)
        .arg("--mesh")
        .arg(dir)
        .env("NO_COLOR", "1")
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("weft {args:?}: {e}"))
}

/// What a command printed, for a failing test's message.
pub fn told(out: &Output) -> String {
    format!(
        "{}\n{}{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

/// Waits until `condition` gives a value; fails the test with `what` after a long while.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    testkit::wait_until(what, PATIENCE, || condition().ok_or_else(String::new))
}

/// A binary of this workspace, built beside the program that asks.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("one's own path");
    let folder = own.parent().expect("invariant: an executable lies in a folder");
    // Tests lie one folder below the binaries.
    let profile = folder.parent().filter(|_| folder.ends_with("deps")).unwrap_or(folder);
    let path = profile.join(name);
    assert!(path.exists(), "{} is missing: build the workspace first", path.display());
    path
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}
