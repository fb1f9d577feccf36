//! The kernel's notifications, one watch per directory that is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::inbox::Inbox;
use crate::pace::Touch;
use crate::scan::{Identity, is_hidden};

/// The directories being watched. Without the kernel's help it watches nothing, and looking now and then remains.
pub(super) struct Watches {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, Identity>,
}

impl Watches {
    /// Watches nothing yet; what happens to `roots` themselves counts whatever their names are.
    pub(super) fn new(inbox: Arc<Inbox>, roots: Vec<PathBuf>) -> Self {
        let heard = move |event: notify::Result<Event>| hear(&inbox, &roots, event);
        let watcher = notify::recommended_watcher(heard)
            .inspect_err(
                |error| tracing::warn!(%error, "directories cannot be watched; they are read now and then"),
            )
            .ok();
        Self { watcher, watched: BTreeMap::new() }
    }

    /// Watches exactly these directories; says whether one of them was not watched before.
    pub(super) fn follow(&mut self, directories: BTreeMap<PathBuf, Identity>) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        // A directory that took another's name needs a watch of its own.
        let stale = self.watched.extract_if(.., |path, identity| directories.get(path) != Some(&*identity));
        for (path, _) in stale {
            // The kernel ends the watch of a deleted directory by itself.
            let _ = watcher.unwatch(&path);
        }
        let mut is_wider = false;
        for (path, identity) in directories {
            if self.watched.contains_key(&path) {
                continue;
            }
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path, identity);
                    is_wider = true;
                }
                Err(error) => {
                    tracing::debug!(%error, directory = %path.display(), "a directory cannot be watched");
                }
            }
        }
        is_wider
    }
}

fn hear(inbox: &Inbox, roots: &[PathBuf], event: notify::Result<Event>) {
    let event = match event {
        Ok(event) => event,
        Err(error) => {
            tracing::debug!(%error, "watching directories");
            inbox.look_again();
            return;
        }
    };
    if event.need_rescan() {
        inbox.look_again();
        return;
    }
    for path in event.paths.iter().filter(|path| roots.contains(path) || is_ours(path)) {
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => inbox.touch(Touch::Closed(path)),
            // Reading a directory is heard as well, our own reading first of all.
            EventKind::Access(_) => {}
            // A new file is written next, and closed after that.
            EventKind::Create(CreateKind::File) | EventKind::Modify(ModifyKind::Data(_)) => {
                inbox.touch(Touch::Writing(path));
            }
            _ => inbox.touch(Touch::Whole),
        }
    }
}

/// Hidden files are not read, save the link by which a mounted ConfigMap changes all of its files at once.
fn is_ours(path: &Path) -> bool {
    !is_hidden(path) || path.file_name().is_some_and(|name| name == "..data")
}
