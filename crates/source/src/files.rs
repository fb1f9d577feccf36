//! What is in force, given what the files hold: the state machine behind the directory, without a file or a clock.
//!
//! Three rules keep traffic steady while people edit. An object whose document is refused, or whose file cannot
//! be read or told apart any more, stays as it last was. An object that stands in two files is taken from the
//! file that had it first. And what vanishes is gone only if it is still gone a moment later, because editors
//! and version control delete a file before they write it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{Key, Resource};
use base::{Digest, Issue, Place, Severity};

use crate::Change;

#[cfg(test)]
mod tests;

/// What one look at the directory saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Every file that is there, by the name it is reported under.
    pub files: BTreeMap<Arc<str>, Content>,
    /// Directories that could not be read, with the reason; what is known of the files below them stands.
    pub closed: BTreeMap<Arc<str>, String>,
    /// Files written by our own hand: what vanished from them is meant to be gone.
    pub ours: BTreeSet<Arc<str>>,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What it held at the last look.
    Same,
    /// More bytes than a file may have.
    TooLarge(u64),
    /// Nothing that could be read, and why.
    Unreadable(String),
}

/// Every file known, and the objects in force.
pub struct Files {
    grace: Duration,
    files: BTreeMap<Arc<str>, File>,
    closed: BTreeMap<Arc<str>, String>,
    in_force: BTreeMap<Key, Held>,
    issues: Vec<Issue>,
}

#[derive(Default)]
struct File {
    digest: Option<Digest>,
    objects: BTreeMap<Key, Object>,
    refused: BTreeSet<Key>,
    issues: Vec<Issue>,
    gone_since: Option<Instant>,
}

struct Object {
    resource: Resource,
    /// Whether the file says so now, and not only at the last time it could be understood.
    is_current: bool,
    gone_since: Option<Instant>,
}

struct Held {
    file: Arc<str>,
    resource: Resource,
}

impl Files {
    /// Nothing in force; what vanishes is gone after `grace`.
    pub fn new(grace: Duration) -> Self {
        Self {
            grace,
            files: BTreeMap::new(),
            closed: BTreeMap::new(),
            in_force: BTreeMap::new(),
            issues: Vec::new(),
        }
    }

    /// Takes in one look at the directory; `None` where it changed nothing.
    pub fn observe(&mut self, seen: Seen, now: Instant) -> Option<Change> {
        let Seen { files, closed, ours } = seen;
        let patience = |path: &Arc<str>| if ours.contains(path) { Duration::ZERO } else { self.grace };
        let mut is_touched = self.closed != closed;
        for (path, file) in &mut self.files {
            if is_below_any(path, &closed) {
                file.stay();
            } else if !files.contains_key(path) {
                is_touched |= file.vanish(now, patience(path));
            }
        }
        for (path, content) in files {
            let file = self.files.entry(path.clone()).or_default();
            file.gone_since = None;
            is_touched |= file.take(&path, content, now);
            is_touched |= file.expire(now, patience(&path));
        }
        if !is_touched {
            return None;
        }
        self.files.retain(|_, file| !file.is_gone());
        self.closed = closed;
        self.settle()
    }

    /// When to look again although nothing is heard, because something vanished and its grace runs out.
    pub fn deadline(&self) -> Option<Instant> {
        let gone = self.files.values().flat_map(|file| {
            let objects = file.objects.values().filter_map(|object| object.gone_since);
            objects.chain(file.gone_since)
        });
        gone.min().map(|since| since + self.grace)
    }

    /// The files an object stands in, be it good or refused there; the one it is taken from comes first.
    pub fn holders<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = &'a Arc<str>> {
        let taken = self.in_force.get(key).map(|held| &held.file);
        let holding = self
            .files
            .iter()
            .filter(|(_, file)| file.objects.contains_key(key) || file.refused.contains(key));
        taken.into_iter().chain(holding.map(|(path, _)| path).filter(move |path| Some(*path) != taken))
    }

    /// An object in force, as long as its file still says so.
    pub fn current(&self, key: &Key) -> Option<&Resource> {
        let file = self.files.get(&self.in_force.get(key)?.file)?;
        file.objects.get(key).filter(|object| object.is_current).map(|object| &object.resource)
    }

    /// Elects the objects in force and tells what that changes.
    fn settle(&mut self) -> Option<Change> {
        let (elected, rivals) = self.elect();
        let mut change = Change::default();
        for (key, held) in &elected {
            if self.in_force.get(key).is_none_or(|before| !is_same(&before.resource, &held.resource)) {
                change.upserts.push(held.resource.clone());
            }
        }
        change.deletes = self.in_force.keys().filter(|key| !elected.contains_key(*key)).cloned().collect();
        change.issues = self.standing(rivals);
        let is_news =
            !change.upserts.is_empty() || !change.deletes.is_empty() || change.issues != self.issues;
        self.in_force = elected;
        self.issues.clone_from(&change.issues);
        is_news.then_some(change)
    }

    /// For each object the file it is taken from, and an issue for each file that holds it in vain.
    fn elect(&self) -> (BTreeMap<Key, Held>, Vec<Issue>) {
        let mut elected: BTreeMap<Key, Held> = BTreeMap::new();
        for (path, file) in &self.files {
            for (key, object) in &file.objects {
                let incumbent = self.in_force.get(key).is_some_and(|held| held.file == *path);
                if incumbent || !elected.contains_key(key) {
                    elected
                        .insert(key.clone(), Held { file: path.clone(), resource: object.resource.clone() });
                }
            }
        }
        let mut rivals = Vec::new();
        for (path, file) in &self.files {
            for (key, object) in &file.objects {
                let winner = elected.get(key).filter(|held| held.file != *path);
                rivals.extend(winner.map(|held| duplicate(key, &object.resource, &held.file)));
            }
        }
        (elected, rivals)
    }

    /// Every issue there is, in path order, those of directories first.
    fn standing(&self, rivals: Vec<Issue>) -> Vec<Issue> {
        let closed = self.closed.iter().map(|(path, why)| {
            whole(path, "unreadable-directory", format!("{why}; what was last read from it stays in force"))
        });
        let mut rest: Vec<Issue> =
            self.files.values().flat_map(|file| file.issues.iter().cloned()).chain(rivals).collect();
        rest.sort_by(|a, b| a.place.cmp(&b.place));
        closed.chain(rest).collect()
    }
}

impl File {
    /// Takes in what the file holds; says whether that is anything new.
    fn take(&mut self, path: &Arc<str>, content: Content, now: Instant) -> bool {
        match content {
            Content::Same => return false,
            Content::Bytes(bytes) => {
                let digest = Digest::of(&bytes);
                if self.digest == Some(digest) {
                    return false;
                }
                self.digest = Some(digest);
                self.parse(path, &bytes, now);
            }
            Content::TooLarge(size) => {
                let most = crate::MAX_FILE_BYTES >> 20;
                let note = self.standing_note();
                let message =
                    format!("the file has {size} bytes; at most {most} MiB are read, so split it. {note}");
                self.distrust(path, "file-too-large", message);
            }
            Content::Unreadable(why) => {
                let message = format!("{why}. {}", self.standing_note());
                self.distrust(path, "unreadable-file", message);
            }
        }
        true
    }

    /// The file says nothing that could be believed: its objects stay as they were.
    fn distrust(&mut self, path: &Arc<str>, code: &str, message: String) {
        self.digest = None;
        self.issues = vec![whole(path, code, message)];
        for object in self.objects.values_mut() {
            object.is_current = false;
        }
        self.stay();
    }

    /// Nothing of it is on its way out.
    fn stay(&mut self) {
        self.gone_since = None;
        for object in self.objects.values_mut() {
            object.gone_since = None;
        }
    }

    fn standing_note(&self) -> &'static str {
        if self.objects.is_empty() {
            "Nothing of it is in force"
        } else {
            "What was last read from it stays in force"
        }
    }

    fn parse(&mut self, path: &Arc<str>, bytes: &[u8], now: Instant) {
        let parsed = api::parse(path, bytes);
        // A document whose identity could not be told may be any of the objects that are missing now.
        let is_whole =
            !parsed.issues.iter().any(|issue| issue.severity == Severity::Error && issue.object.is_empty());
        self.issues = parsed.issues;
        self.refused = parsed.refused.into_iter().collect();
        let mut found: BTreeSet<Key> = BTreeSet::new();
        for resource in parsed.resources {
            let key = resource.key();
            if !found.insert(key.clone()) {
                self.issues.push(duplicate(&key, &resource, path));
                continue;
            }
            match self.objects.get_mut(&key) {
                Some(known) => {
                    known.gone_since = None;
                    if !is_same(&known.resource, &resource) {
                        known.resource = resource;
                    }
                }
                None => {
                    self.objects.insert(key, Object { resource, is_current: true, gone_since: None });
                }
            }
        }
        for (key, object) in &mut self.objects {
            object.is_current = found.contains(key);
            if object.is_current || self.refused.contains(key) || !is_whole {
                object.gone_since = None;
            } else {
                object.gone_since.get_or_insert(now);
            }
        }
    }

    /// The file is not there; says whether that takes anything out of force.
    fn vanish(&mut self, now: Instant, patience: Duration) -> bool {
        let since = *self.gone_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= patience {
            self.objects.clear();
        }
        self.is_gone()
    }

    /// Lets go of what has been gone for long enough; says whether there was such a thing.
    fn expire(&mut self, now: Instant, patience: Duration) -> bool {
        let before = self.objects.len();
        self.objects.retain(|_, object| {
            object.gone_since.is_none_or(|since| now.saturating_duration_since(since) < patience)
        });
        self.objects.len() < before
    }

    /// Whether the file is not there and nothing depends on it any more.
    fn is_gone(&self) -> bool {
        self.gone_since.is_some() && self.objects.is_empty()
    }
}

/// Whether two versions of an object are the same to the last byte and in the same place.
fn is_same(a: &Resource, b: &Resource) -> bool {
    a.digest() == b.digest() && a.place("") == b.place("") && a.text() == b.text()
}

fn is_below_any(path: &str, directories: &BTreeMap<Arc<str>, String>) -> bool {
    directories.keys().any(|directory| {
        path.strip_prefix(&**directory)
            .is_some_and(|rest| rest.starts_with('/') || directory.ends_with('/') || directory.is_empty())
    })
}

fn whole(path: &Arc<str>, code: &str, message: String) -> Issue {
    Issue {
        severity: Severity::Error,
        code: code.into(),
        place: Place { file: path.clone(), line: 0, column: 0 },
        object: String::new(),
        path: String::new(),
        message,
    }
}

fn duplicate(key: &Key, loser: &Resource, winner: &str) -> Issue {
    let place = loser.place("");
    let message = if *place.file == *winner {
        "the object stands twice in this file; the first stays in force, so remove one of them".into()
    } else {
        format!("the object also stands in {winner}, which stays in force; remove one of them")
    };
    Issue {
        severity: Severity::Error,
        code: "duplicate-object".into(),
        place,
        object: key.to_string(),
        path: String::new(),
        message,
    }
}
