//! A process that dies with its test, and what it wrote.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::wait_until;

/// A child process; dropping it kills it, by its own id.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts a process without standard input; both its outputs are kept, line by line.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(name: &str, command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let lines = Arc::default();
        if let Some(output) = child.stdout.take() {
            collect(output, Arc::clone(&lines));
        }
        if let Some(output) = child.stderr.take() {
            collect(output, Arc::clone(&lines));
        }
        Ok(Self { name: name.to_owned(), child, lines })
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All it has written so far.
    pub fn log(&self) -> String {
        lock(&self.lines).join("\n")
    }

    /// Waits for a line that contains a text, and returns the line.
    ///
    /// # Panics
    /// When the deadline passes, with all the process has written.
    pub fn wait_for_line(&self, text: &str, within: Duration) -> String {
        wait_until(&format!("{} to write {text:?}", self.name), within, || {
            let found = lock(&self.lines).iter().find(|line| line.contains(text)).cloned();
            found.ok_or_else(|| format!("it wrote\n{}", self.log()))
        })
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When the deadline passes, with all the process has written.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let lines = Arc::clone(&self.lines);
        let child = &mut self.child;
        wait_until(&format!("{} to end", self.name), within, || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(format!("it wrote\n{}", lock(&lines).join("\n"))),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Kills it, now.
    pub fn kill(&mut self) {
        // Both fail only where the process has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Keeps lines until the output ends, which the process's own end sees to.
fn collect(output: impl Read + Send + 'static, lines: Arc<Mutex<Vec<String>>>) {
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            lock(&lines).push(String::from_utf8_lossy(&line).into_owned());
        }
    });
}

/// Locks what no panic can leave half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_writes_is_kept() -> io::Result<()> {
        let mut shell = Process::start("shell", Command::new("sh").args(["-c", "echo one; echo two >&2"]))?;

        assert_eq!(shell.wait_for_line("one", Duration::from_secs(30)), "one");
        assert_eq!(shell.wait_for_line("two", Duration::from_secs(30)), "two");
        assert!(shell.wait(Duration::from_secs(30)).success());
        Ok(())
    }

    #[test]
    fn a_dropped_process_is_gone() -> io::Result<()> {
        let shell = Process::start("shell", Command::new("sh").args(["-c", "echo ready; exec sleep 600"]))?;
        shell.wait_for_line("ready", Duration::from_secs(30));
        let folder = format!("/proc/{}", shell.id());

        drop(shell);

        assert!(!std::path::Path::new(&folder).exists());
        Ok(())
    }
}
