//! The directory itself: a thread that watches, reads and writes it.
//!
//! The kernel's notifications say when to look, never what changed: every look compares the whole directory with
//! what is known, so that a missed notification costs time and nothing else. A look that nothing asked for
//! follows every [`Options::rescan`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use crate::change::Outbox;
use crate::files::Files;
use crate::scan::{Look, Scanner};
use crate::store::{Edit, Store, StoreError, Verb, Written};
use crate::{Change, Changes};
use inbox::{Inbox, Job, Order};
use watches::Watches;

mod inbox;
#[cfg(test)]
mod tests;
mod watches;

/// While the root is missing, how often it is looked for.
const MISSING: Duration = Duration::from_millis(200);

/// Which directory, and how patiently it is read.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory users write to.
    pub root: PathBuf,
    /// Further directories, written by machines; they may lie below the root with a name that begins with a dot,
    /// and may appear later.
    pub extra: Vec<PathBuf>,
    /// How often to look although nothing was heard.
    pub rescan: Duration,
    /// How long something must be gone before it counts as deleted.
    pub grace: Duration,
}

impl Options {
    /// A directory and the usual patience.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            extra: Vec::new(),
            rescan: Duration::from_secs(5),
            grace: Duration::from_millis(100),
        }
    }

    /// With one more directory, written by a machine.
    pub fn and(mut self, extra: impl Into<PathBuf>) -> Self {
        self.extra.push(extra.into());
        self
    }
}

/// What became of a request to write.
#[derive(Debug)]
pub struct Receipt {
    /// Per edit, in order, what was done.
    pub written: Vec<Result<Written, StoreError>>,
    /// The [`Change::sequence`] by which everything written is told; it may have been received already.
    pub sequence: u64,
}

/// A watched directory. Dropping it ends the watch and the stream of changes.
pub struct Directory {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

impl Directory {
    /// Reads the directory and watches it from then on. The first change tells what it holds, and always comes.
    ///
    /// # Errors
    /// No thread could be had. A directory that cannot be read is an issue, not an error.
    pub fn open(options: Options) -> io::Result<(Directory, Changes)> {
        let inbox = Arc::new(Inbox::default());
        let (outbox, changes) = Outbox::pair();
        let keeper = Keeper::new(options, inbox.clone(), outbox);
        let thread = thread::Builder::new().name("source".into()).spawn(move || keeper.run())?;
        Ok((Directory { inbox, thread: Some(thread) }, changes))
    }

    /// Writes objects to their files and takes objects out of theirs; the changes this makes are told at once.
    pub async fn write(&self, edits: Vec<Edit>) -> Receipt {
        let count = edits.len();
        let (order, receipt) = Order::new(edits);
        self.inbox.order(order);
        receipt.await.unwrap_or_else(|_| Receipt {
            written: (0..count).map(|_| Err(StoreError::Closed)).collect(),
            sequence: 0,
        })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.inbox.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that watches the directory panicked");
        }
    }
}

/// The thread's own state.
struct Keeper {
    options: Options,
    inbox: Arc<Inbox>,
    outbox: Arc<Outbox>,
    scanner: Scanner,
    files: Files,
    watches: Watches,
    store: Store,
    sequence: u64,
    has_root: bool,
}

impl Keeper {
    fn new(options: Options, inbox: Arc<Inbox>, outbox: Arc<Outbox>) -> Self {
        let roots = options.extra.iter().chain([&options.root]).cloned().collect();
        Self {
            scanner: Scanner::new(options.root.clone(), options.extra.clone()),
            files: Files::new(options.grace),
            watches: Watches::new(inbox.clone(), roots),
            store: Store::new(options.root.clone()),
            sequence: 0,
            has_root: false,
            options,
            inbox,
            outbox,
        }
    }

    fn run(mut self) {
        let first = self.look(&[]).unwrap_or_default();
        self.tell(first);
        loop {
            match self.inbox.wait(self.deadline()) {
                Job::Look => {
                    if let Some(change) = self.look(&[]) {
                        self.tell(change);
                    }
                }
                Job::Write(order) => self.write(order),
                Job::Stop => break,
            }
        }
    }

    /// When to look although nothing is heard.
    fn deadline(&self) -> Instant {
        let patience = if self.has_root { self.options.rescan } else { self.options.rescan.min(MISSING) };
        let idle = Instant::now() + patience;
        self.files.deadline().map_or(idle, |deadline| deadline.min(idle))
    }

    fn look(&mut self, ours: &[Arc<str>]) -> Option<Change> {
        let Look { mut seen, directories, has_root } = self.scanner.look(SystemTime::now());
        seen.ours = ours.iter().cloned().collect();
        if self.watches.follow(directories) {
            // What happened in a directory before it was watched was not heard.
            self.inbox.look_again();
        }
        if has_root != self.has_root && self.sequence > 0 {
            tracing::info!(directory = %self.options.root.display(), present = has_root, "the directory came or went");
        }
        self.has_root = has_root;
        self.files.observe(seen, Instant::now())
    }

    fn tell(&mut self, mut change: Change) {
        self.sequence += 1;
        change.sequence = self.sequence;
        self.outbox.put(change);
    }

    fn write(&mut self, order: Order) {
        // What others wrote since the last look decides where an object stands.
        let before = self.look(&[]);
        if let Some(change) = before {
            self.tell(change);
        }
        let mut ours = Vec::new();
        let mut written = Vec::new();
        for edit in &order.edits {
            written.push(self.edit(edit, &mut ours));
        }
        if let Some(change) = self.look(&ours) {
            self.tell(change);
        }
        order.reply(Receipt { written, sequence: self.sequence });
    }

    fn edit(&self, edit: &Edit, ours: &mut Vec<Arc<str>>) -> Result<Written, StoreError> {
        let mut note = |written: Written| {
            ours.push(crate::scan::name(&written.path));
            written
        };
        match edit {
            Edit::Create(resource) | Edit::Put(resource) | Edit::Replace(resource) => {
                let key = resource.key();
                let holder = self.files.holders(&key).next().map(|path| Path::new(&**path));
                match (edit, holder) {
                    (Edit::Create(_), Some(_)) => return Err(StoreError::Exists(key.to_string())),
                    (Edit::Replace(_), None) => return Err(StoreError::Absent(key.to_string())),
                    _ => {}
                }
                match (holder, self.files.current(&key)) {
                    (Some(path), Some(current)) if edit.is_done_by(current) => {
                        Ok(note(Written { verb: Verb::Unchanged, path: path.to_owned() }))
                    }
                    _ => self.store.put(resource, holder, matches!(edit, Edit::Replace(_))).map(note),
                }
            }
            Edit::Remove(key) => {
                // From every file that holds it, or the next one would put it in force again.
                let mut removed = Err(StoreError::Absent(key.to_string()));
                for path in self.files.holders(key) {
                    removed = Ok(note(self.store.remove(key, Path::new(&**path))?));
                }
                removed
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // However the thread ends, nobody shall wait for it.
        self.outbox.close();
    }
}
