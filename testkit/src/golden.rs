//! Golden files: what a result must be, byte for byte; `UPDATE=1` writes them anew.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// How a result differs from its golden file.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// The file.
    pub file: PathBuf,
    /// The first line that differs, from 1.
    pub line: usize,
    /// That line of the file; none where the file has ended or does not exist.
    pub expected: Option<String>,
    /// That line of the result; none where the result has ended.
    pub actual: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line =
            |line: &Option<String>| line.as_ref().map_or("its end".to_owned(), |line| format!("{line:?}"));
        let (expected, actual) = (line(&self.expected), line(&self.actual));
        write!(f, "{}:{}: expected {expected}, got {actual}", self.file.display(), self.line)
    }
}

impl std::error::Error for Difference {}

/// Compares a result with its golden file, or writes the file when `UPDATE=1`.
///
/// # Errors
/// The first difference.
pub fn golden(file: impl AsRef<Path>, actual: &str) -> Result<(), Difference> {
    let file = file.as_ref();
    if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        }
        fs::write(file, actual).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
    compare(file, &fs::read_to_string(file).unwrap_or_default(), actual)
}

fn compare(file: &Path, expected: &str, actual: &str) -> Result<(), Difference> {
    if expected == actual {
        return Ok(());
    }
    // With line ends kept, so that a missing last one is a difference too.
    let mut expected = expected.split_inclusive('\n');
    let mut actual = actual.split_inclusive('\n');
    let mut line = 0;
    loop {
        line += 1;
        let (one, other) = (expected.next(), actual.next());
        if one != other || one.is_none() {
            let own = |text: Option<&str>| text.map(str::to_owned);
            return Err(Difference { file: file.into(), line, expected: own(one), actual: own(other) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(expected: &str, actual: &str) -> Option<usize> {
        compare(Path::new("x"), expected, actual).err().map(|difference| difference.line)
    }

    #[test]
    fn the_first_difference_is_told() {
        assert_eq!(lines("a\nb\n", "a\nb\n"), None);
        assert_eq!(lines("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(lines("a\n", "a\nb\n"), Some(2));
        assert_eq!(lines("a\nb\n", "a\nb"), Some(2));
        assert_eq!(lines("", "a"), Some(1));
    }
}
