//! The log all services share: lines of JSON, only ever added to. What a service keeps is what the log says.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    /// A policy has done what an event asks of it.
    Done {
        /// The policy.
        policy: String,
        /// The event's id.
        event: String,
    },
    /// Something happened.
    Event {
        /// Unlike any other's.
        id: String,
        /// Where.
        context: String,
        /// What.
        name: String,
        /// With what.
        fields: Map<String, Value>,
    },
    /// Something is kept, or no longer.
    State {
        /// Where.
        context: String,
        /// The aggregate.
        aggregate: String,
        /// Which of them.
        id: String,
        /// Its fields; null where it is gone.
        fields: Option<Map<String, Value>>,
    },
}

/// The log as one process reads and writes it.
pub struct Journal {
    file: File,
    read: u64,
}

impl Journal {
    /// Opens a log, which is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        Ok(Self { file, read: 0 })
    }

    /// Keeps others from writing until [`Journal::release`].
    ///
    /// # Errors
    /// When the log cannot be locked.
    pub fn hold(&self) -> io::Result<()> {
        self.file.lock()
    }

    /// Lets others write again.
    ///
    /// # Errors
    /// When the log cannot be unlocked.
    pub fn release(&self) -> io::Result<()> {
        self.file.unlock()
    }

    /// What was added since the last time, by anyone.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn news(&mut self) -> io::Result<Vec<Entry>> {
        self.file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes)?;
        // A line without its end is still being written.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.read = self.read.saturating_add(u64::try_from(whole).unwrap_or_default());
        let lines = bytes.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
        let entry = |line: &[u8]| match serde_json::from_slice(line) {
            Ok(entry) => Some(entry),
            Err(error) => {
                tracing::warn!(%error, "a line of the log is skipped");
                None
            }
        };
        Ok(lines.filter(|line| !line.is_empty()).filter_map(entry).collect())
    }

    /// Adds lines, all or none of which others see.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn add(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut text = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut text, entry)?;
            text.push(b'\n');
        }
        self.file.write_all(&text)
    }
}
