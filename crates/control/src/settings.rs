//! The mesh's settings: from a file of their own, else from the ConfigMap `istio` of the directory, else Istio's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::config_map::ConfigMap;
use api::{MeshConfig, ResourceSet, Valid};
use base::{Issue, Severity};
use tokio::sync::watch;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The ConfigMap that counts, and the namespace in which it comes first.
const NAME: &str = "istio";
const NAMESPACE: &str = "istio-system";

/// Where requests are logged unless somebody says otherwise.
const ACCESS_LOG: &str = "/dev/stdout";

/// Where settings come from.
pub(crate) struct Source {
    file: Option<PathBuf>,
    /// The file of the authorities that every program of this machine trusts, where it is not the usual one.
    system_roots: Option<PathBuf>,
    reading: watch::Sender<Reading>,
}

/// What the file said last.
#[derive(Clone, Default)]
pub(crate) struct Reading {
    /// The last settings that were good.
    config: Option<Arc<MeshConfig>>,
    issues: Vec<Issue>,
    stamp: Option<Stamp>,
}

/// What changes with a file: when it was written and how long it is.
type Stamp = (SystemTime, u64);

impl Source {
    /// Settings from a file, where one is named; it is read at once.
    ///
    /// # Errors
    /// The file cannot be read. What is wrong in it is an issue.
    pub(crate) fn open(file: Option<PathBuf>) -> io::Result<Self> {
        let reading = match &file {
            Some(path) => Reading::default().next(path, stamp(path)?, &std::fs::read(path)?),
            None => Reading::default(),
        };
        Ok(Self { file, system_roots: None, reading: watch::Sender::new(reading) })
    }

    /// The same where this machine keeps the authorities it trusts elsewhere.
    pub(crate) fn with_system_roots(self, file: Option<PathBuf>) -> Self {
        Self { system_roots: file, ..self }
    }

    /// What holds for the mesh under these settings.
    pub(crate) fn settings(&self, config: &MeshConfig) -> mesh::Settings {
        let mut settings = mesh::Settings::new(config);
        // Whoever wants none says so with an empty name.
        settings.manner.log.file.get_or_insert_with(|| ACCESS_LOG.to_owned());
        if let Some(file) = &self.system_roots {
            settings.system_roots = file.display().to_string();
        }
        settings
    }

    /// The settings that hold with these objects in force.
    pub(crate) fn config(&self, set: &ResourceSet) -> Arc<MeshConfig> {
        if self.file.is_some() {
            return self.reading.borrow().config.clone().unwrap_or_default();
        }
        let map = chosen(set).and_then(|map| map.mesh.clone());
        Arc::new(map.unwrap_or_default())
    }

    /// What is wrong with the file, and which ConfigMaps have no effect.
    pub(crate) fn issues(&self, set: &ResourceSet) -> Vec<Issue> {
        let mut issues = self.reading.borrow().issues.clone();
        let chosen = chosen(set).filter(|_| self.file.is_none()).map(|map| map.key());
        let idle = set.config_maps().filter(|map| map.mesh.is_some() && Some(map.key()) != chosen);
        issues.extend(idle.map(|map| self.idle(map)));
        issues
    }

    fn idle(&self, map: &Valid<ConfigMap>) -> Issue {
        let message = match &self.file {
            Some(file) => format!("the mesh's settings come from {}; these have no effect", file.display()),
            None => format!(
                "the mesh has one ConfigMap `{NAME}`, that of {NAMESPACE} first; this one has no effect"
            ),
        };
        Issue {
            severity: Severity::Warning,
            code: "idle-settings".into(),
            place: map.place("data.mesh"),
            object: map.key().to_string(),
            path: "data.mesh".into(),
            message,
        }
    }

    /// Tells when the file says something else.
    pub(crate) fn changes(&self) -> watch::Receiver<Reading> {
        self.reading.subscribe()
    }

    /// Looks at the file again and again, for ever.
    pub(crate) async fn follow(&self) {
        let Some(path) = &self.file else { return std::future::pending().await };
        loop {
            tokio::time::sleep(LOOK).await;
            let path = path.clone();
            let before = self.reading.borrow().clone();
            // A file that is being replaced is gone for a moment; what it said last holds.
            let read = tokio::task::spawn_blocking(move || before.again(&path)).await;
            if let Ok(Some(next)) = read {
                self.reading.send_replace(next);
            }
        }
    }
}

impl Reading {
    /// What the file says now; `None` where it has not changed or cannot be read.
    fn again(self, path: &Path) -> Option<Self> {
        let stamp = stamp(path).ok()?;
        if self.stamp == Some(stamp) {
            return None;
        }
        let bytes = std::fs::read(path).ok()?;
        Some(self.next(path, stamp, &bytes))
    }

    fn next(self, path: &Path, stamp: Stamp, bytes: &[u8]) -> Self {
        let (config, issues) = MeshConfig::parse(&path.display().to_string(), bytes);
        Self { config: config.map(Arc::new).or(self.config), issues, stamp: Some(stamp) }
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.modified()?, metadata.len()))
}

/// The ConfigMap that counts: in the root namespace, else in the first that has one.
fn chosen(set: &ResourceSet) -> Option<&Arc<Valid<ConfigMap>>> {
    let named = || set.config_maps().filter(|map| &*map.meta().name == NAME && map.mesh.is_some());
    named().find(|map| &*map.meta().namespace == NAMESPACE).or_else(|| named().next())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn map(namespace: &str, port: u16) -> String {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: {namespace}}}\ndata:\n  mesh: |\n    proxyHttpPort: {port}\n"
        )
    }

    fn set(text: &str) -> ResourceSet {
        let parsed = api::parse("maps.yaml", text.as_bytes());
        assert_eq!(parsed.issues, []);
        parsed.resources.into_iter().collect()
    }

    #[test]
    fn without_a_word_istios_defaults_hold() {
        let source = Source::open(None).unwrap();

        assert_eq!(*source.config(&ResourceSet::default()), MeshConfig::default());
    }

    #[test]
    fn the_root_namespaces_config_map_comes_first_and_others_are_told_to_be_idle() {
        let (source, alone) = (Source::open(None).unwrap(), set(&map("a", 1)));
        let both = set(&format!("{}---\n{}", map("a", 1), map(NAMESPACE, 2)));

        assert_eq!(source.config(&alone).proxy_http_port, Some(1));
        assert_eq!(source.issues(&alone), []);
        assert_eq!(source.config(&both).proxy_http_port, Some(2));
        assert_eq!(source.issues(&both)[0].object, "ConfigMap/a/istio");
    }

    #[test]
    fn a_file_comes_before_every_config_map_and_keeps_its_last_good_word() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh.yaml");
        std::fs::write(&path, "proxyHttpPort: 3\n").unwrap();
        let (source, maps) = (Source::open(Some(path.clone())).unwrap(), set(&map(NAMESPACE, 2)));
        assert_eq!(source.config(&maps).proxy_http_port, Some(3));

        std::fs::write(&path, "proxyHttpPort: [nonsense, indeed]\n").unwrap();
        let next = source.reading.borrow().clone().again(&path).unwrap();
        source.reading.send_replace(next);

        assert_eq!(source.config(&maps).proxy_http_port, Some(3));
        assert!(source.issues(&maps).iter().any(|issue| issue.severity == Severity::Error));
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error() {
        assert!(Source::open(Some("/nowhere/mesh.yaml".into())).is_err());
    }
}
