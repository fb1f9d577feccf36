//! The key pairs of a task, made anew for every run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tests_mesh::Authority;

use super::script::{KeyPair, Step, Task};

/// Every key pair of a task as PEM files, `ID.crt` and `ID.key`.
pub(super) struct Keys {
    folder: tempfile::TempDir,
}

impl Keys {
    /// Makes all of them: programs need theirs before the step that mentions them.
    pub(super) fn of(task: &Task) -> Self {
        let keys = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let pairs = task.steps.iter().filter_map(|step| match step {
            Step::Secret(secret) => Some(&secret.keypairs),
            _ => None,
        });
        let mut authorities = BTreeMap::new();
        for pair in pairs.flatten() {
            keys.make(pair, &mut authorities);
        }
        keys
    }

    fn make(&self, pair: &KeyPair, authorities: &mut BTreeMap<String, Authority>) {
        let (certificate, key) = (self.certificate(&pair.id), self.key(&pair.id));
        if let Some(parent) = certificate.parent() {
            std::fs::create_dir_all(parent).expect("a folder for keys");
        }
        let common = pair.subject.split('/').find_map(|part| part.strip_prefix("CN=")).unwrap_or(&pair.id);
        match pair.issuer.as_ref().and_then(|issuer| authorities.get(issuer)) {
            None => {
                let authority = Authority::new(common);
                authority.write(&certificate);
                authorities.insert(pair.id.clone(), authority);
            }
            Some(issuer) => {
                // A client that looks at names ignores the subject: the name goes where it is looked for.
                let mut names: Vec<&str> = pair.sans.iter().map(String::as_str).collect();
                if names.is_empty() {
                    names.push(common);
                }
                issuer.sign_for(common, &names, &certificate, &key);
            }
        }
    }

    /// The file of a certificate.
    pub(super) fn certificate(&self, id: &str) -> PathBuf {
        self.folder.path().join(format!("{id}.crt"))
    }

    /// The file of a key.
    pub(super) fn key(&self, id: &str) -> PathBuf {
        self.folder.path().join(format!("{id}.key"))
    }

    /// The file of hosts that are not in the system's.
    pub(super) fn hosts(&self) -> PathBuf {
        self.folder.path().join("hosts")
    }

    /// The folder of a secret's entries, for those who read them as files.
    pub(super) fn secret(&self, name: &str) -> PathBuf {
        self.folder.path().join("secrets").join(name)
    }

    /// What stands in `ID.crt` or `ID.key`.
    pub(super) fn text(&self, file: &str) -> Result<String, String> {
        std::fs::read_to_string(self.folder.path().join(file)).map_err(|e| format!("{file}: {e}"))
    }

    /// The folder of all.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}
