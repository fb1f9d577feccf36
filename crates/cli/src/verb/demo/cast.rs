//! Who plays in the demo: the ingress gateway and Bookinfo's six workloads.

use std::collections::BTreeMap;
use std::path::Path;

use base::Labels;
use local::{Layout, Program, Role, Workload};

use crate::verb::ingress;

/// The port of every service.
const PORT: u16 = 9080;

/// One of Bookinfo's workloads.
struct Part {
    service: &'static str,
    version: &'static str,
    /// The variables that make it that version.
    env: &'static [(&'static str, &'static str)],
}

const fn part(
    service: &'static str,
    version: &'static str,
    env: &'static [(&'static str, &'static str)],
) -> Part {
    Part { service, version, env }
}

/// Bookinfo's workloads.
const BOOKINFO: [Part; 6] = [
    part("productpage", "v1", &[]),
    part("details", "v1", &[]),
    part("reviews", "v1", &[("ENABLE_RATINGS", "false")]),
    part("reviews", "v2", &[("ENABLE_RATINGS", "true"), ("STAR_COLOR", "black")]),
    part("reviews", "v3", &[("ENABLE_RATINGS", "true"), ("STAR_COLOR", "red")]),
    part("ratings", "v1", &[]),
];

/// All workloads; pods are named alike in every run of one directory.
pub(super) fn workloads(bookinfo: &Path, layout: &Layout) -> Vec<Workload> {
    let seed = layout.dir().display().to_string();
    let services = BOOKINFO.iter().map(|&Part { service, version, env }| {
        let name = format!("{service}-{version}");
        let mut variables: BTreeMap<String, String> =
            env.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        variables.insert("SERVICE_VERSION".to_owned(), version.to_owned());
        Workload {
            pod: Workload::pod_name(&name, &seed),
            name,
            namespace: "default".to_owned(),
            labels: Labels::from([("app", service), ("version", version)]),
            service_account: format!("bookinfo-{service}"),
            ports: vec![PORT],
            role: Role::Sidecar(Program {
                command: bookinfo.to_owned(),
                args: vec![service.to_owned()],
                env: variables,
                dir: None,
            }),
            concurrency: Some(1),
            ..Workload::default()
        }
    });
    std::iter::once(ingress::workload(&seed)).chain(services).collect()
}
