//! The WorkloadEntry by which the control plane learns that a workload is there.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

use base::LocalNet;

use crate::layout::Layout;
use crate::workload::{Role, Sidecar, Workload};

/// A workload's entry; the file is there from [`Entry::write`] to [`Entry::remove`].
#[derive(Debug)]
pub struct Entry {
    path: PathBuf,
    text: String,
}

impl Entry {
    /// The entry of a workload: its sidecar's address, or its program's where it has none, or where a gateway
    /// listens; its labels and its account.
    pub fn of(workload: &Workload, net: LocalNet, layout: &Layout) -> Self {
        let address = match workload.role {
            _ if workload.sidecar == Sidecar::None => net.program().into(),
            Role::Gateway(bind) if !bind.is_unspecified() => bind,
            _ => IpAddr::from(net.sidecar()),
        };
        let mut object = json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "WorkloadEntry",
            "metadata": { "name": workload.name, "namespace": workload.namespace, "labels": workload.labels },
            "spec": {
                "address": address.to_string(),
                "labels": workload.labels,
                "serviceAccount": workload.service_account,
            },
        });
        if !workload.locality.is_empty() {
            object["spec"]["locality"] = json!(workload.locality);
        }
        // JSON is YAML; laid out, it is as easy to read.
        let text = format!("{object:#}\n");
        Self { path: layout.entries().join(format!("{}.{}.yaml", workload.pod, workload.namespace)), text }
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Announces the workload, in one step: no reader sees half a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self) -> io::Result<()> {
        let draft = self.path.with_extension("draft");
        std::fs::write(&draft, &self.text)?;
        std::fs::rename(&draft, &self.path)
    }

    /// Withdraws the workload; it may never have been announced.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use base::Labels;

    use super::*;

    #[test]
    fn an_entry_is_an_object_the_control_plane_reads() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let layout = Layout::new(dir.path());
        std::fs::create_dir_all(layout.entries()).expect("the directory of entries");
        let workload = Workload {
            name: "reviews-v1".into(),
            pod: "reviews-v1-abc".into(),
            namespace: "default".into(),
            labels: Labels::from([("app", "reviews")]),
            service_account: "bookinfo-reviews".into(),
            locality: "region1/zone2".into(),
            ..Workload::default()
        };

        let entry = Entry::of(&workload, LocalNet { mesh: 77, workload: 4 }, &layout);
        entry.write().expect("the entry is written");
        let parsed = api::parse("entry.yaml", &std::fs::read(entry.path()).expect("the entry is there"));

        assert_eq!(parsed.issues, []);
        let keys: Vec<String> = parsed.resources.iter().map(|r| r.key().to_string()).collect();
        assert_eq!(keys, ["WorkloadEntry/default/reviews-v1"]);
        entry.remove().expect("the entry is removed");
        entry.remove().expect("removing twice is no error");
        assert!(!entry.path().exists());
    }
}
