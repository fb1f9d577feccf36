//! The directory a gateway's mesh has: the one that was named, or one of links to everything that was.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::time::{MissedTickBehavior, interval};

/// How often what the links lead to is looked at.
const EVERY: Duration = Duration::from_millis(200);

/// Where the mesh's files are.
pub(super) enum Place {
    /// In a directory of links that goes with this value.
    Links(tempfile::TempDir, Vec<Link>),
    /// In the directory that was named.
    Named(PathBuf),
}

/// A link to a file or directory that was named.
#[derive(Clone, Debug)]
pub(super) struct Link {
    path: PathBuf,
    target: PathBuf,
}

/// What tells one content of a file from the next.
type Stamp = [i64; 4];

impl Place {
    /// Makes links, unless a single directory was named.
    pub(super) fn of(names: &[PathBuf]) -> anyhow::Result<Self> {
        let reading = |name: &Path| format!("reading {}", name.display());
        if let [only] = names
            && only.is_dir()
        {
            return Ok(Self::Named(only.canonicalize().with_context(|| reading(only))?));
        }
        let dir = tempfile::Builder::new().prefix("weft-gateway-").tempdir().context("making a directory")?;
        let mut links = Vec::new();
        for (number, name) in names.iter().enumerate() {
            anyhow::ensure!(
                name != Path::new("-"),
                "a gateway follows its files; standard input cannot be followed"
            );
            let target = std::path::absolute(name).with_context(|| reading(name))?;
            let file = target.file_name().with_context(|| format!("{} names no file", name.display()))?;
            // The number keeps two files of one name apart.
            let link = Link { path: dir.path().join(format!("{number:02}-{}", file.display())), target };
            symlink(&link.target, &link.path).with_context(|| format!("linking {}", name.display()))?;
            links.push(link);
        }
        Ok(Self::Links(dir, links))
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Links(dir, _) => dir.path(),
            Self::Named(dir) => dir,
        }
    }

    /// Makes a link anew whenever what it leads to changes. The control plane is told at once of what happens in
    /// the directory, but not of what happens behind a link.
    pub(super) fn follow(&self) -> impl Future<Output = ()> + Send + use<> {
        let links = match self {
            Self::Links(_, links) => links.clone(),
            Self::Named(_) => Vec::new(),
        };
        // Taken here, so that nothing that happens from now on is missed.
        let mut known: Vec<Option<Stamp>> = links.iter().map(Link::stamp).collect();
        async move {
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                for (link, known) in links.iter().zip(&mut known) {
                    let stamp = link.stamp();
                    if stamp != *known {
                        *known = stamp;
                        link.renew();
                    }
                }
            }
        }
    }
}

impl Link {
    fn stamp(&self) -> Option<Stamp> {
        let metadata = std::fs::metadata(&self.target).ok()?;
        let inode = i64::from_ne_bytes(metadata.ino().to_ne_bytes());
        Some([inode, metadata.size().cast_signed(), metadata.mtime(), metadata.mtime_nsec()])
    }

    /// Puts an equal link in its place, in one step.
    fn renew(&self) {
        let mut draft = self.path.clone().into_os_string();
        draft.push("~");
        if let Err(error) = symlink(&self.target, &draft).and_then(|()| std::fs::rename(&draft, &self.path)) {
            crate::terminal::say(&format!("following {}: {error}", self.target.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_files_of_one_name(dir: &Path) -> [PathBuf; 2] {
        ["x/a.yaml", "y/a.yaml"].map(|name| {
            let file = dir.join(name);
            std::fs::create_dir_all(file.parent().expect("it has one")).expect("a directory");
            std::fs::write(&file, "before").expect("a file");
            file
        })
    }

    fn identities(place: &Place) -> Vec<u64> {
        let links = crate::input::in_directory(place.path()).expect("the links are there");
        links.iter().map(|link| std::fs::symlink_metadata(link).expect("a link").ino()).collect()
    }

    #[test]
    fn what_is_named_is_linked_unless_it_is_one_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = two_files_of_one_name(dir.path());

        let place = Place::of(&files).expect("a directory of links");
        std::fs::write(&files[1], "after").expect("the file changes");

        let linked = crate::input::in_directory(place.path()).expect("the links are there");
        let texts: Vec<String> =
            linked.iter().map(|link| std::fs::read_to_string(link).expect("it leads somewhere")).collect();
        assert_eq!(texts, ["before", "after"]);
        assert!(matches!(Place::of(&[dir.path().to_owned()]), Ok(Place::Named(_))));
        assert!(Place::of(&["-".into()]).is_err());
    }

    #[tokio::test]
    async fn a_link_is_renewed_when_its_file_is_saved() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = two_files_of_one_name(dir.path());
        let place = Place::of(&files).expect("a directory of links");
        let before = identities(&place);
        let following = tokio::spawn(place.follow());

        std::fs::write(dir.path().join("draft"), "after").expect("an editor writes");
        std::fs::rename(dir.path().join("draft"), &files[1]).expect("an editor saves");

        while identities(&place)[1] == before[1] {
            tokio::task::yield_now().await;
        }
        assert_eq!(identities(&place)[0], before[0]);
        following.abort();
    }
}
