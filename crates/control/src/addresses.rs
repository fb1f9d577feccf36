//! The addresses local services have been given, kept over restarts so that no client's address changes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base::Host;

/// A file that holds the slot of every service.
pub(crate) struct Ledger {
    path: PathBuf,
    kept: BTreeMap<Host, u8>,
}

impl Ledger {
    /// Reads the file; one that is missing or cannot be understood is empty.
    pub(crate) fn open(path: PathBuf) -> Self {
        let kept = match fs::read(&path).map(|bytes| read(&bytes)) {
            Ok(Ok(kept)) => kept,
            Ok(Err(error)) => {
                tracing::warn!(path = %path.display(), %error, "addresses given before cannot be read and are given anew");
                BTreeMap::new()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "reading addresses given before");
                BTreeMap::new()
            }
        };
        Self { path, kept }
    }

    pub(crate) fn addresses(&self) -> &BTreeMap<Host, u8> {
        &self.kept
    }

    /// Writes the addresses where they have changed. What cannot be written is written at the next change.
    pub(crate) async fn keep(&mut self, addresses: BTreeMap<Host, u8>) {
        if addresses == self.kept {
            return;
        }
        let (path, text) = (self.path.clone(), render(&addresses));
        match tokio::task::spawn_blocking(move || write(&path, &text)).await {
            Ok(Ok(())) => self.kept = addresses,
            Ok(Err(error)) => {
                tracing::warn!(path = %self.path.display(), %error, "writing the addresses of services");
            }
            Err(error) => tracing::error!(%error, "writing the addresses of services"),
        }
    }
}

fn read(bytes: &[u8]) -> Result<BTreeMap<Host, u8>, serde_json::Error> {
    let plain: BTreeMap<String, u8> = serde_json::from_slice(bytes)?;
    Ok(plain.into_iter().map(|(host, slot)| (Host::new(&host), slot)).collect())
}

fn render(addresses: &BTreeMap<Host, u8>) -> String {
    let plain: BTreeMap<&str, u8> = addresses.iter().map(|(host, slot)| (host.as_str(), *slot)).collect();
    let text = serde_json::to_string_pretty(&plain);
    text.expect("invariant: a map of text to numbers is JSON")
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("json.tmp");
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn addresses_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("addresses.json");
        let given: BTreeMap<Host, u8> =
            [(Host::new("a.default.svc.cluster.local"), 1), (Host::new("b"), 2)].into();

        Ledger::open(path.clone()).keep(given.clone()).await;

        assert_eq!(Ledger::open(path).addresses(), &given);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("addresses.json");
        for bad in ["", "[1]", "{\"a\": 300}", "\u{0}"] {
            fs::write(&path, bad).unwrap();

            assert!(Ledger::open(path.clone()).addresses().is_empty(), "{bad:?}");
        }
    }
}
