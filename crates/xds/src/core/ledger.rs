//! What a proxy asked for and was told of one type.
//!
//! Most proxies ask for the same and are told the same, so a ledger is shared: it never changes, and what follows
//! from it is remembered with it. A stream that goes where another went before costs a look at what differs; one
//! that comes to the same end by another way finds it in the [`Library`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use base::Digest;

#[cfg(test)]
mod tests;

/// How many ways out of one ledger are remembered: streams that move together take the same.
const MAX_STEPS: usize = 8;

/// The library is swept when it has grown this much beyond what was in use at the last sweep.
const SWEEP: usize = 64;

/// The names that a stream has asked for and the versions it was told; clones, and the ledgers of streams that
/// were told the same, are one.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Page>);

#[derive(Debug, Default)]
struct Page {
    /// Ordered by name.
    lines: Box<[Line]>,
    /// Where streams went from here.
    steps: Mutex<Vec<Step>>,
}

/// One name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) name: Arc<str>,
    /// Whether the name was asked for, and not only everything.
    pub(crate) is_asked: bool,
    pub(crate) told: Told,
}

/// What was last told under a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing yet.
    #[default]
    Nothing,
    /// That there is nothing.
    Absence,
    /// A resource, of the version with this digest.
    Version(u64),
}

impl Told {
    /// A version as ledgers know it.
    pub(crate) fn version(text: &str) -> Told {
        // The low half of a digest is one.
        Told::Version(Digest::of(text.as_bytes()).0 as u64)
    }

    /// Whether the proxy has a resource.
    pub(crate) fn is_present(self) -> bool {
        matches!(self, Told::Version(_))
    }
}

/// What a name is to stand for from now on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) name: Name<'a>,
    pub(crate) is_asked: bool,
    pub(crate) told: Told,
}

/// A name, on its own or as others hold it too.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name<'a> {
    Own(&'a str),
    Shared(&'a Arc<str>),
}

impl Name<'_> {
    fn text(&self) -> &str {
        match self {
            Name::Own(name) => name,
            Name::Shared(name) => name,
        }
    }
}

impl Entry<'_> {
    /// Whether nothing is left to be written of the name.
    fn is_blank(&self) -> bool {
        !self.is_asked && self.told == Told::Nothing
    }

    fn is(&self, line: &Line) -> bool {
        let is_named = match self.name {
            Name::Shared(name) => Arc::ptr_eq(name, &line.name) || *name == line.name,
            Name::Own(name) => *name == *line.name,
        };
        self.is_asked == line.is_asked && self.told == line.told && is_named
    }

    fn line(&self, before: Option<&Line>) -> Line {
        let name = match (self.name, before) {
            (Name::Shared(name), _) => name.clone(),
            (Name::Own(_), Some(before)) => before.name.clone(),
            (Name::Own(name), None) => name.into(),
        };
        Line { name, is_asked: self.is_asked, told: self.told }
    }
}

/// One way out of a ledger: what was written, and the ledger it led to as long as anybody has that.
#[derive(Debug)]
struct Step {
    written: Box<[Line]>,
    to: Weak<Page>,
}

impl Step {
    fn is_of(&self, entries: &[Entry<'_>]) -> bool {
        self.written.len() == entries.len() && entries.iter().zip(&self.written).all(|(e, line)| e.is(line))
    }
}

impl Ledger {
    /// The names asked for one by one, in their order.
    pub fn asked(&self) -> impl Iterator<Item = &Arc<str>> {
        self.lines().iter().filter(|line| line.is_asked).map(|line| &line.name)
    }

    /// Every name something is written of, in their order.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.0.lines
    }

    /// What is written of a name.
    pub(crate) fn line(&self, name: &str) -> Option<&Line> {
        let lines = self.lines();
        lines.get(lines.binary_search_by(|line| (*line.name).cmp(name)).ok()?)
    }

    /// Whether a name was asked for.
    pub(crate) fn has_asked(&self, name: &str) -> bool {
        self.line(name).is_some_and(|line| line.is_asked)
    }

    /// What was last told under a name.
    pub(crate) fn told(&self, name: &str) -> Told {
        self.line(name).map_or(Told::Nothing, |line| line.told)
    }

    /// The ledger with these entries in the place of what it says of their names; of two entries for one name
    /// the later counts.
    pub(crate) fn write(&self, mut entries: Vec<Entry<'_>>, library: &Library) -> Ledger {
        if !entries.is_sorted_by(|a, b| a.name.text() < b.name.text()) {
            entries.reverse();
            entries.sort_by(|a, b| a.name.text().cmp(b.name.text()));
            entries.dedup_by(|a, b| a.name.text() == b.name.text());
        }
        if entries.is_empty() {
            return self.clone();
        }
        let known =
            lock(&self.0.steps).iter().find_map(|step| step.to.upgrade().filter(|_| step.is_of(&entries)));
        if let Some(known) = known {
            return Ledger(known);
        }
        // Written outside the lock: of two that race the later finds what the earlier put in the library.
        let (lines, written) = merge(self.lines(), &entries);
        let next = library.shared(lines);
        let mut steps = lock(&self.0.steps);
        steps.retain(|step| step.to.strong_count() > 0);
        if steps.len() < MAX_STEPS {
            steps.push(Step { written, to: Arc::downgrade(&next) });
        }
        Ledger(next)
    }
}

impl PartialEq for Ledger {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.lines() == other.lines()
    }
}

impl Eq for Ledger {}

/// Lines with entries written over them, and the entries as lines.
fn merge(before: &[Line], entries: &[Entry<'_>]) -> (Box<[Line]>, Box<[Line]>) {
    let mut lines = Vec::with_capacity(before.len() + entries.len());
    let mut written = Vec::with_capacity(entries.len());
    let mut rest = before.iter().peekable();
    for entry in entries {
        let name = entry.name.text();
        while let Some(line) = rest.next_if(|line| *line.name < *name) {
            lines.push(line.clone());
        }
        let line = entry.line(rest.next_if(|line| *line.name == *name));
        if !entry.is_blank() {
            lines.push(line.clone());
        }
        written.push(line);
    }
    lines.extend(rest.cloned());
    (lines.into(), written.into())
}

/// Every ledger of a server that some stream is at; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Library {
    blank: Ledger,
    shelves: Arc<Mutex<Shelves>>,
}

#[derive(Debug, Default)]
struct Shelves {
    pages: HashMap<Digest, Weak<Page>>,
    in_use: usize,
}

impl Library {
    /// The ledger every stream begins with.
    pub(crate) fn blank(&self) -> Ledger {
        self.blank.clone()
    }

    /// The page with these lines, whichever way it was come to.
    fn shared(&self, lines: Box<[Line]>) -> Arc<Page> {
        let digest = digest(&lines);
        let mut shelves = lock(&self.shelves);
        // Names come from the network and somebody may have made two digests equal.
        let known = shelves.pages.get(&digest).and_then(Weak::upgrade).filter(|page| page.lines == lines);
        if let Some(known) = known {
            return known;
        }
        let page = Arc::new(Page { lines, steps: Mutex::default() });
        shelves.pages.insert(digest, Arc::downgrade(&page));
        if shelves.pages.len() > shelves.in_use * 2 + SWEEP {
            shelves.pages.retain(|_, page| page.strong_count() > 0);
            shelves.in_use = shelves.pages.len();
        }
        page
    }

    /// How many ledgers some stream is at.
    #[cfg(test)]
    pub(crate) fn in_use(&self) -> usize {
        lock(&self.shelves).pages.values().filter(|page| page.strong_count() > 0).count()
    }
}

fn digest(lines: &[Line]) -> Digest {
    let mut bytes = Vec::with_capacity(lines.len() * 64);
    for line in lines {
        bytes.extend_from_slice(line.name.as_bytes());
        // No name has a zero in it that is not followed by something else than one of these.
        bytes.extend_from_slice(&[0, u8::from(line.is_asked)]);
        match line.told {
            Told::Nothing => bytes.push(0),
            Told::Absence => bytes.push(1),
            Told::Version(version) => {
                bytes.push(2);
                bytes.extend_from_slice(&version.to_le_bytes());
            }
        }
    }
    Digest::of(&bytes)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
