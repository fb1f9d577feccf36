//! Access-log lines on their way to a file: gathered per worker, written by a thread of its own.

use std::cell::{Cell, RefCell};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::Notify;

/// A worker's lines leave together once they are this many bytes.
const BATCH: usize = 64 * 1024;
/// Lines wait at most this long.
const DELAY: Duration = Duration::from_millis(100);
/// Batches a slow disk may owe before lines are dropped.
const OWED: usize = 64;

/// The thread that writes the access log.
#[derive(Debug)]
pub(crate) struct Scribe {
    sender: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Scribe {
    /// Opens the log, standard output where there is no path, and starts writing.
    pub(crate) fn start(path: Option<&Path>) -> io::Result<Self> {
        let out: Box<dyn Write + Send> = match path {
            Some(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
            None => Box::new(io::stdout()),
        };
        let (sender, batches) = sync_channel(OWED);
        let thread = thread::Builder::new().name("access-log".into()).spawn(move || write(out, &batches))?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    /// A place for one worker's lines.
    pub(crate) fn lines(&self) -> Lines {
        Lines {
            buffer: RefCell::default(),
            sender: self.sender.clone(),
            waiting: Notify::new(),
            dropped: Cell::new(0),
        }
    }
}

impl Scribe {
    /// Waits until everything is written; call it when every worker has let go of its lines.
    pub(crate) fn close(mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the access log ended badly");
        }
    }
}

fn write(mut out: Box<dyn Write + Send>, batches: &Receiver<Vec<u8>>) {
    let mut failing = false;
    for batch in batches {
        let result = out.write_all(&batch).and_then(|()| out.flush());
        match result {
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "cannot write the access log");
            }
            Err(_) => {}
            Ok(()) => failing = false,
        }
    }
}

/// One worker's lines.
#[derive(Debug)]
pub(crate) struct Lines {
    buffer: RefCell<Vec<u8>>,
    sender: Option<SyncSender<Vec<u8>>>,
    waiting: Notify,
    dropped: Cell<u64>,
}

impl Lines {
    /// Adds what `line` writes.
    pub(crate) fn add(&self, line: impl FnOnce(&mut Vec<u8>)) {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.is_empty() {
            self.waiting.notify_one();
        }
        line(&mut buffer);
        if buffer.len() >= BATCH {
            self.send(std::mem::replace(&mut *buffer, Vec::with_capacity(BATCH + BATCH / 8)));
        }
    }

    /// Hands on what has been gathered.
    pub(crate) fn flush(&self) {
        let batch = self.buffer.take();
        if !batch.is_empty() {
            self.send(batch);
        }
    }

    fn send(&self, batch: Vec<u8>) {
        let Some(sender) = &self.sender else { return };
        if let Err(TrySendError::Full(batch)) = sender.try_send(batch) {
            // Waiting for a disk would stop traffic.
            let lines = batch.iter().filter(|b| **b == b'\n').count() as u64;
            if self.dropped.replace(self.dropped.get() + lines) == 0 {
                tracing::warn!(lines, "the access log cannot keep up: lines are dropped");
            }
        }
    }

    /// Hands lines on soon after they were added, for ever.
    pub(crate) async fn keep_flushing(&self) {
        loop {
            self.waiting.notified().await;
            tokio::time::sleep(DELAY).await;
            self.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lines_of_all_workers_are_in_the_file_when_the_scribe_has_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let scribe = Scribe::start(Some(&path)).unwrap();
        let (one, two) = (scribe.lines(), scribe.lines());

        one.add(|out| out.extend_from_slice(b"one\n"));
        two.add(|out| out.extend_from_slice(b"two\n"));
        one.flush();
        two.flush();
        drop((one, two));
        scribe.close();

        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
    }
}
