//! When to look: not while somebody is in the middle of writing a file, and never much later than that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A file that is written in place counts as finished when it is closed, or this long after its last write.
const UNTOUCHED: Duration = Duration::from_millis(50);
/// However long a file goes on being written, it is read this long after it began.
const PATIENCE: Duration = Duration::from_secs(1);
/// Beyond so many files being written at once they are no longer told apart.
const MOST_WRITERS: usize = 1024;

/// What an event says about one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch<'a> {
    /// It is being written and may be half there.
    Writing(&'a Path),
    /// It was closed after writing.
    Closed(&'a Path),
    /// It appeared, went, or was renamed: whole, one way or the other.
    Whole,
}

/// Gathers touches and says when the directory is worth reading.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    since: Option<Instant>,
    writing: BTreeMap<PathBuf, Instant>,
    crowded: Option<Instant>,
}

impl Pace {
    pub(crate) fn touch(&mut self, touch: Touch<'_>, now: Instant) {
        self.since.get_or_insert(now);
        match touch {
            Touch::Writing(path) if self.writing.contains_key(path) || self.writing.len() < MOST_WRITERS => {
                self.writing.insert(path.to_owned(), now);
            }
            Touch::Writing(_) => self.crowded = Some(now),
            Touch::Closed(path) => {
                self.writing.remove(path);
            }
            Touch::Whole => {}
        }
    }

    /// When to look; `None` while nothing was touched.
    pub(crate) fn due(&self) -> Option<Instant> {
        let since = self.since?;
        let last = self.writing.values().copied().chain(self.crowded).max();
        Some(last.map_or(since, |last| (last + UNTOUCHED).min(since + PATIENCE)))
    }

    /// Forgets what was touched: the directory is about to be read.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn a_rename_is_read_at_once() {
        let start = Instant::now();
        let mut pace = Pace::default();

        pace.touch(Touch::Whole, start);

        assert_eq!(pace.due(), Some(start));
    }

    #[test]
    fn a_file_written_in_place_is_read_when_it_is_closed() {
        let start = Instant::now();
        let mut pace = Pace::default();

        pace.touch(Touch::Writing(Path::new("a.yaml")), start);
        pace.touch(Touch::Writing(Path::new("a.yaml")), after(start, 30));
        let before = pace.due();
        pace.touch(Touch::Closed(Path::new("a.yaml")), after(start, 31));

        assert_eq!(before, Some(after(start, 80)));
        assert_eq!(pace.due(), Some(start));
    }

    #[test]
    fn an_endless_writer_is_not_waited_for_endlessly() {
        let start = Instant::now();
        let mut pace = Pace::default();

        for step in 0..500 {
            pace.touch(Touch::Writing(Path::new("a.yaml")), after(start, step * 10));
        }

        assert_eq!(pace.due(), Some(start + PATIENCE));
    }

    #[test]
    fn a_crowd_of_writers_takes_bounded_memory() {
        let start = Instant::now();
        let mut pace = Pace::default();

        for n in 0..5000 {
            pace.touch(Touch::Writing(Path::new(&format!("{n}.yaml"))), start);
        }

        assert_eq!(pace.writing.len(), MOST_WRITERS);
        assert_eq!(pace.due(), Some(start + UNTOUCHED));
    }
}
