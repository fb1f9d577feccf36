//! Writing objects into files: the document that says it is replaced where it stands, every other byte stays.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use api::{Key, Resource};
use tempfile::NamedTempFile;

use crate::scan::MAX_FILE_BYTES;

#[cfg(test)]
mod tests;

/// One thing to write.
#[derive(Clone, Debug)]
pub enum Edit {
    /// The object as it shall be, which must not exist.
    Create(Resource),
    /// The object as it shall be.
    Put(Resource),
    /// The object that shall be gone.
    Remove(Key),
    /// The object as it shall be, which must exist.
    Replace(Resource),
}

impl Edit {
    /// Whether an object is as it shall be: what replaces it brings comments of its own, what is put leaves those that
    /// there are.
    pub fn is_done_by(&self, current: &Resource) -> bool {
        match self {
            Edit::Create(_) | Edit::Remove(_) => false,
            Edit::Put(resource) => resource.digest() == current.digest(),
            Edit::Replace(resource) => resource.text() == current.text(),
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// The object is new.
    Created,
    /// The object was replaced.
    Configured,
    /// There was nothing to change: the object said the same before, or stood there to the letter where it was to be
    /// replaced. No file was touched.
    Unchanged,
    /// The object was taken out.
    Deleted,
}

/// What was done and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What was done.
    pub verb: Verb,
    /// The file.
    pub path: PathBuf,
}

/// Why an object could not be written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("{0} is not in the directory")]
    Absent(String),
    /// The directory is not being watched any more.
    #[error("the directory is closed")]
    Closed,
    /// There is such an object already.
    #[error("{0} is in the directory")]
    Exists(String),
    /// The object's file cannot be edited; a person has to mend it first.
    #[error("{} cannot be edited: {why}", path.display())]
    Uneditable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The object's name or namespace cannot name a file.
    #[error("{0} cannot name a file")]
    Unnameable(String),
    /// The file system refused.
    #[error("writing {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Writes below one root.
pub(crate) struct Store {
    root: PathBuf,
}

impl Store {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Writes an object: where it stands now, its own comments in the place of those there if it supplants them, else
    /// into a file of its own.
    pub(crate) fn put(
        &self,
        resource: &Resource,
        holder: Option<&Path>,
        supplants: bool,
    ) -> Result<Written, StoreError> {
        let path = match holder {
            Some(path) => path.to_owned(),
            None => self.home(&resource.key())?,
        };
        let before = read(&path)?;
        let place: Place = if supplants { api::edit::supplant } else { api::edit::replace };
        let held = holder.map(|_| place);
        let after = with(before.as_deref().unwrap_or_default(), resource, held)
            .map_err(|why| uneditable(&path, why))?;
        replace_file(&path, before.as_deref(), &after)?;
        let verb = if holder.is_some() { Verb::Configured } else { Verb::Created };
        Ok(Written { verb, path })
    }

    /// Takes an object out of its file, and the file away once nothing is left in it.
    pub(crate) fn remove(&self, key: &Key, path: &Path) -> Result<Written, StoreError> {
        let absent = || StoreError::Absent(key.to_string());
        let before = read(path)?.ok_or_else(absent)?;
        let after = api::edit::remove(&before, key).map_err(|error| uneditable(path, error.to_string()))?;
        if is_blank(&after) {
            let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            fs::remove_file(path)
                .and_then(|()| sync_parent(&target))
                .map_err(|source| io_error(path, source))?;
        } else {
            replace_file(path, Some(&before), &after)?;
        }
        Ok(Written { verb: Verb::Deleted, path: path.to_owned() })
    }

    /// The file a new object gets: `KIND-NAME.yaml`, in a directory of its namespace unless that is `default`.
    fn home(&self, key: &Key) -> Result<PathBuf, StoreError> {
        if !is_plain(&key.name) || !is_plain(&key.namespace) {
            return Err(StoreError::Unnameable(key.to_string()));
        }
        let directory =
            if &*key.namespace == "default" { self.root.clone() } else { self.root.join(&*key.namespace) };
        Ok(directory.join(format!("{}-{}.yaml", key.kind.name().to_ascii_lowercase(), key.name)))
    }
}

/// Whether a name is safe as a part of a path and will not be taken for a hidden file.
fn is_plain(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    !name.is_empty() && name.len() <= 200 && !name.starts_with('.') && name.bytes().all(allowed)
}

/// Puts a document where an object stands in a text.
type Place = fn(&str, &Key, &str) -> Result<String, api::edit::EditError>;

/// The text with the object in it: in its place where it has one, else behind the last document.
fn with(before: &str, resource: &Resource, held: Option<Place>) -> Result<String, String> {
    let key = resource.key();
    let is_there = || api::edit::keys(before).contains(&key);
    let after = match held.or_else(|| is_there().then_some(api::edit::replace as Place)) {
        Some(place) => place(before, &key, resource.text()).map_err(|error| error.to_string())?,
        None => api::edit::append(before, resource.text()),
    };
    // What is written must be what is read back, whatever else the file holds.
    let reads_back = api::parse("", after.as_bytes())
        .resources
        .iter()
        .any(|read| read.key() == key && read.digest() == resource.digest());
    if reads_back { Ok(after) } else { Err("another document in it is broken".into()) }
}

/// Whether nothing is left but empty lines and the marks between documents.
fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| matches!(line, "" | "---" | "..."))
}

/// A file's text; `None` where there is no file.
fn read(path: &Path) -> Result<Option<String>, StoreError> {
    match fs::read(path) {
        Ok(bytes) if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE_BYTES) => {
            Err(uneditable(path, "it is too large".into()))
        }
        Ok(bytes) => {
            String::from_utf8(bytes).map(Some).map_err(|_| uneditable(path, "it is not UTF-8 text".into()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_error(path, source)),
    }
}

/// Puts a whole new file in the place of the old one, so that no reader ever meets half of it.
fn replace_file(path: &Path, before: Option<&str>, after: &str) -> Result<(), StoreError> {
    if u64::try_from(after.len()).map_or(true, |length| length > MAX_FILE_BYTES) {
        return Err(uneditable(path, "it would become too large".into()));
    }
    // A link stays a link: the file it leads to is replaced.
    let target = match before {
        Some(_) => fs::canonicalize(path).map_err(|source| io_error(path, source))?,
        None => path.to_owned(),
    };
    if before != read(&target)?.as_deref() {
        return Err(uneditable(path, "somebody else is writing it at this moment".into()));
    }
    write_atomically(&target, after).map_err(|source| io_error(path, source))
}

fn write_atomically(target: &Path, text: &str) -> io::Result<()> {
    let parent = parent(target);
    fs::create_dir_all(parent)?;
    let mut file: NamedTempFile = tempfile::Builder::new()
        .prefix(".weft-")
        .suffix(".tmp")
        .make_in(parent, |path| OpenOptions::new().write(true).create_new(true).open(path))?;
    file.write_all(text.as_bytes())?;
    if let Ok(metadata) = fs::metadata(target) {
        file.as_file().set_permissions(metadata.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(target)?;
    sync_parent(target)
}

/// Makes a renamed or removed name durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn uneditable(path: &Path, why: String) -> StoreError {
    StoreError::Uneditable { path: path.to_owned(), why }
}

fn io_error(path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), source }
}
