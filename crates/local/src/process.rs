//! One child process: started into a group of its own, watched, and ended by its own number only.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::environment::UNWANTED;
use crate::tether;

/// How much of a log's end is looked at for its last lines.
const TAIL_BYTES: u64 = 8 * 1024;

/// How many last lines a death is reported with.
const TAIL_LINES: usize = 8;

/// How a process is started.
#[derive(Debug, Default)]
pub struct Start {
    /// What it is called in reports.
    pub name: String,
    /// The executable.
    pub command: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where it is started; where the supervisor was, unless given.
    pub dir: Option<PathBuf>,
    /// Variables added to the supervisor's own.
    pub env: BTreeMap<String, String>,
    /// What it reads as standard input; nothing unless given.
    pub stdin: Option<OwnedFd>,
    /// Where standard output goes; to `log` unless given.
    pub stdout: Option<PathBuf>,
    /// Where standard error goes.
    pub log: PathBuf,
    /// The executable with the verb [`tether::VERB`], if the process shall not outlive the supervisor.
    pub tether: Option<PathBuf>,
}

/// A process that ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// What it is called.
    pub name: String,
    /// How it ended, `exit status: 1` or `signal: 9 (SIGKILL)`.
    pub status: String,
    /// Whether it ended as if all was done.
    pub is_success: bool,
    /// The last lines of its log.
    pub last: Vec<String>,
    /// The log.
    pub log: PathBuf,
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a process.
    ///
    /// # Errors
    /// When its log cannot be opened or it cannot be executed.
    pub fn start(start: Start) -> io::Result<Self> {
        let log = open(&start.log)?;
        let stdout = match &start.stdout {
            Some(path) => open(path)?,
            None => log.try_clone()?,
        };
        let mut command = match &start.tether {
            Some(weft) => {
                let mut command = Command::new(weft);
                command.arg(tether::VERB).arg(std::process::id().to_string()).arg("--").arg(&start.command);
                command
            }
            None => Command::new(&start.command),
        };
        for name in UNWANTED {
            command.env_remove(name);
        }
        if let Some(dir) = &start.dir {
            command.current_dir(dir);
        }
        command
            .args(&start.args)
            .envs(&start.env)
            .stdin(start.stdin.map_or_else(Stdio::null, Stdio::from))
            .stdout(stdout)
            .stderr(log)
            // Ctrl-C in a terminal goes to its foreground group; the order of ending is the supervisor's.
            .process_group(0)
            .kill_on_drop(true);
        Ok(Self { child: command.spawn()?, name: start.name, log: start.log })
    }

    /// The process's number, as long as it has not been seen to end.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for it to end by itself. Cancel-safe.
    pub async fn died(&mut self) -> Death {
        let status = self.child.wait().await;
        self.death(status)
    }

    /// Asks it to end, and kills it when it has not by the end of the grace.
    pub async fn stop(&mut self, grace: Duration) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(grace, self.child.wait()).await.is_err() {
            tracing::warn!(process = self.name, "killed: it did not end in time");
            self.kill().await;
        }
    }

    /// Ends it at once.
    pub async fn kill(&mut self) {
        // The only error is that it has already ended.
        let _ = self.child.kill().await;
    }

    fn signal(&self, signal: Signal) {
        // The number is the child's until it is waited for, so no other process can be meant.
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }

    fn death(&self, status: io::Result<ExitStatus>) -> Death {
        Death {
            name: self.name.clone(),
            is_success: status.as_ref().is_ok_and(ExitStatus::success),
            status: match status {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
            last: last_lines(&self.log),
            log: self.log.clone(),
        }
    }
}

/// Opened for appending: several processes may write one log, one after another.
fn open(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    File::options().create(true).append(true).open(path)
}

fn last_lines(log: &Path) -> Vec<String> {
    let tail = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&tail().unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)).map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, dir: &Path) -> Start {
        Start {
            name: "a program".into(),
            command: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            log: dir.join("deep/program.log"),
            ..Start::default()
        }
    }

    #[tokio::test]
    async fn a_death_is_told_with_its_last_words() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut process = Process::start(shell("seq 1 20; echo 'no such port' >&2; exit 3", dir.path()))
            .expect("a process");

        let death = process.died().await;

        assert_eq!((death.name.as_str(), death.status.as_str()), ("a program", "exit status: 3"));
        assert_eq!(death.last.len(), TAIL_LINES);
        assert_eq!(death.last.last().map(String::as_str), Some("no such port"));
    }

    #[tokio::test]
    async fn a_process_that_will_not_end_is_killed() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("deep/program.log");
        let mut process =
            Process::start(shell("trap '' TERM; echo ready; while :; do sleep 1; done", dir.path()))
                .expect("a process");
        while last_lines(&log).is_empty() {
            tokio::task::yield_now().await;
        }

        process.stop(Duration::from_millis(50)).await;

        assert_eq!(process.id(), None);
        assert!(process.died().await.status.contains("SIGKILL"));
    }

    #[tokio::test]
    async fn a_process_that_ends_when_asked_is_not_killed() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("deep/program.log");
        let mut process =
            Process::start(shell("trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done", dir.path()))
                .expect("a process");
        while last_lines(&log).is_empty() {
            tokio::task::yield_now().await;
        }

        process.stop(Duration::from_secs(20)).await;

        assert_eq!(process.died().await.status, "exit status: 0");
    }

    #[tokio::test]
    async fn what_cannot_be_executed_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let start = Start { command: "/nowhere/program".into(), ..shell("", dir.path()) };

        assert!(Process::start(start).is_err());
    }
}
