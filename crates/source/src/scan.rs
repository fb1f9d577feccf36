//! One look at the directory: which files are there, and the bytes of those that changed.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::files::{Content, Seen};

#[cfg(test)]
mod tests;

/// The most bytes a file may have; a larger one is reported and not read.
pub const MAX_FILE_BYTES: u64 = 8 << 20;
/// How deep directories may be nested.
const MAX_DEPTH: usize = 32;
/// A file touched so shortly before a look may be touched again without its stamp showing it.
const STAMP_GRAIN: Duration = Duration::from_millis(100);

/// What tells a directory or file from another that later takes its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// What changes when a file's content does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    identity: Identity,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            identity: Identity::of(metadata),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether an equal stamp at a later look proves equal content.
    fn is_settled(&self, now: SystemTime) -> bool {
        let (Ok(secs), Ok(nanos)) = (u64::try_from(self.changed.0), u32::try_from(self.changed.1)) else {
            return false;
        };
        let changed = UNIX_EPOCH + Duration::new(secs, nanos);
        now.duration_since(changed).is_ok_and(|age| age > STAMP_GRAIN)
    }
}

/// What a look found.
#[derive(Default)]
pub(crate) struct Look {
    pub(crate) seen: Seen,
    /// Every directory that was read, to be watched.
    pub(crate) directories: BTreeMap<PathBuf, Identity>,
    /// Whether the root itself could be read.
    pub(crate) has_root: bool,
}

/// Looks at a root and at further directories, remembering what it has read.
pub(crate) struct Scanner {
    root: PathBuf,
    extra: Vec<PathBuf>,
    known: HashMap<PathBuf, Stamp>,
}

impl Scanner {
    pub(crate) fn new(root: PathBuf, extra: Vec<PathBuf>) -> Self {
        Self { root, extra, known: HashMap::new() }
    }

    /// Looks once. `now` is the wall clock, by which file stamps are judged.
    pub(crate) fn look(&mut self, now: SystemTime) -> Look {
        let mut walk = Walk {
            now,
            known: &self.known,
            settled: HashMap::new(),
            look: Look::default(),
            above: Vec::new(),
        };
        walk.look.has_root = walk.directory(&self.root).is_ok();
        for extra in &self.extra {
            // What is wrong with it is noted by the walk.
            let _ = walk.directory(extra);
        }
        let Walk { settled, look, .. } = walk;
        self.known = settled;
        look
    }
}

struct Walk<'a> {
    now: SystemTime,
    known: &'a HashMap<PathBuf, Stamp>,
    settled: HashMap<PathBuf, Stamp>,
    look: Look,
    above: Vec<Identity>,
}

impl Walk<'_> {
    /// Reads a directory that somebody named and notes what is wrong with it. A further directory may not have
    /// been made yet; that it is missing says something only where the root is missing too, and then nothing
    /// below it may be taken for deleted.
    fn directory(&mut self, path: &Path) -> io::Result<()> {
        match self.read_directory(path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.look.has_root => Err(error),
            Err(error) => {
                self.look.seen.closed.insert(name(path), describe(&error));
                Err(error)
            }
        }
    }

    fn read_directory(&mut self, path: &Path) -> io::Result<()> {
        let identity = Identity::of(&fs::metadata(path)?);
        if self.above.contains(&identity) {
            // A link to a directory above it: everything below is read already.
            return Ok(());
        }
        if self.above.len() >= MAX_DEPTH {
            return Err(io::Error::other(format!("directories are nested deeper than {MAX_DEPTH}")));
        }
        let entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
        self.look.directories.insert(path.to_owned(), identity);
        self.above.push(identity);
        for entry in entries {
            if !is_hidden(&entry.path()) {
                self.entry(&entry.path());
            }
        }
        self.above.pop();
        Ok(())
    }

    fn entry(&mut self, path: &Path) {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            // Gone since the directory was read, unless it is a link to nowhere.
            Err(error) if fs::symlink_metadata(path).is_ok() && is_document(path) => {
                self.note(path, Content::Unreadable(describe(&error)));
                return;
            }
            Err(_) => return,
        };
        if metadata.is_dir() {
            if let Err(error) = self.read_directory(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                self.look.seen.closed.insert(name(path), describe(&error));
            }
        } else if metadata.is_file() && is_document(path) {
            self.file(path, &metadata);
        } else if is_document(path) {
            self.note(path, Content::Unreadable("it is not a regular file".into()));
        }
    }

    fn file(&mut self, path: &Path, metadata: &Metadata) {
        let stamp = Stamp::of(metadata);
        if self.known.get(path) == Some(&stamp) {
            self.settled.insert(path.to_owned(), stamp);
            self.note(path, Content::Same);
            return;
        }
        let content = match read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => Content::Unreadable(describe(&error)),
        };
        if matches!(content, Content::Bytes(_)) && stamp.is_settled(self.now) {
            self.settled.insert(path.to_owned(), stamp);
        }
        self.note(path, content);
    }

    fn note(&mut self, path: &Path, content: Content) {
        self.look.seen.files.insert(name(path), content);
    }
}

/// The name a path is reported under.
pub(crate) fn name(path: &Path) -> Arc<str> {
    path.to_string_lossy().into()
}

/// Whether a name begins with a dot; such files and directories are not ours to read.
pub(crate) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Whether a file's name says that it holds objects.
fn is_document(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}

fn read(path: &Path) -> io::Result<Content> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > MAX_FILE_BYTES {
        return Ok(Content::TooLarge(size));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    // The file may be growing while it is read.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Ok(if length > MAX_FILE_BYTES { Content::TooLarge(length) } else { Content::Bytes(bytes) })
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it is not there".into(),
        io::ErrorKind::PermissionDenied => "it may not be read (permission denied)".into(),
        _ => error.to_string(),
    }
}
