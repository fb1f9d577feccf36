//! What a mesh's objects say of how the proxies it starts are run.

use std::collections::BTreeMap;
use std::time::Duration;

use api::mesh_config::ProxySettings;
use api::{Resource, Valid};
use base::Bootstrap;

use crate::layout::Layout;
use crate::objects;
use crate::workload::Workload;

/// The namespace whose ProxyConfigs hold for every other.
const ROOT: &str = "istio-system";

/// How a variable begins that the control plane is told of.
const META: &str = "ISTIO_META_";

/// How one workload's proxy is run: as the mesh's `defaultConfig` says, and the ProxyConfigs of its directory, of which
/// one that selects the workload comes before its namespace's, and that before the mesh's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The worker threads; None is one per core.
    pub(crate) threads: Option<usize>,
    /// Environment variables.
    pub(crate) variables: BTreeMap<String, String>,
    /// How long an Envoy winds up connections of a listener that is gone.
    pub(crate) listener_drain: Duration,
    /// How long a weft-proxy lets connections finish when it ends.
    pub(crate) drain: Duration,
}

/// How a workload's proxy is run.
pub(crate) fn run(workload: &Workload, layout: &Layout) -> Run {
    let written = objects::declared(layout);
    let mesh = written.iter().find_map(|resource| match resource {
        Resource::ConfigMap(map) if &*map.meta().namespace == ROOT && &*map.meta().name == "istio" => {
            map.mesh.as_ref()
        }
        _ => None,
    });
    let usual = mesh.map_or_else(ProxySettings::default, |mesh| mesh.default_config.clone());
    let mut run = Run {
        threads: usual.concurrency.and_then(count),
        variables: usual.proxy_metadata,
        listener_drain: usual.drain_duration,
        drain: usual.termination_drain_duration,
    };
    let configs = written.iter().filter_map(|resource| match resource {
        Resource::ProxyConfig(config) => Some((nearness(config, workload)?, config)),
        _ => None,
    });
    let mut configs: Vec<_> = configs.collect();
    // The first of equals decides, as the older does where ages are known; so it comes last.
    configs.reverse();
    configs.sort_by_key(|(nearness, _)| *nearness);
    for (_, config) in configs {
        if let Some(threads) = config.concurrency {
            run.threads = count(threads);
        }
        run.variables.extend(config.environment_variables.clone());
    }
    run
}

fn count(threads: u32) -> Option<usize> {
    usize::try_from(threads).ok().filter(|threads| *threads > 0)
}

impl Run {
    /// Makes what it says part of a bootstrap; what stands there already comes first.
    pub(crate) fn tell(&self, bootstrap: &mut Bootstrap) {
        bootstrap.concurrency = bootstrap.concurrency.or(self.threads);
        let told = self.variables.iter().filter_map(|(name, value)| Some((name.strip_prefix(META)?, value)));
        for (name, value) in told {
            bootstrap.metadata.entry(name.to_owned()).or_insert_with(|| value.clone().into());
        }
    }
}

/// How near a ProxyConfig is to a workload; None where it is not about it.
fn nearness(config: &Valid<api::proxy_config::ProxyConfig>, workload: &Workload) -> Option<u8> {
    let namespace = &*config.meta().namespace;
    match &config.selector {
        Some(labels) => (namespace == workload.namespace && labels.selects(&workload.labels)).then_some(3),
        None if namespace == workload.namespace => Some(2),
        None => (namespace == ROOT).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

    use base::Labels;

    use super::*;

    const LOOPBACK: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

    fn written(dir: &tempfile::TempDir, name: &str, namespace: &str, spec: &str) {
        let text = format!(
            "apiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\n\
             metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
        );
        std::fs::write(dir.path().join(format!("{name}.yaml")), text).expect("a file");
    }

    fn orders() -> Workload {
        Workload {
            namespace: "shop".into(),
            labels: Labels::from([("app", "orders")]),
            ..Workload::default()
        }
    }

    #[test]
    fn the_nearest_proxy_config_says_how_many_threads_serve() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        let config = |name: &str, namespace: &str, spec: &str| written(&dir, name, namespace, spec);
        let threads = || run(&orders(), &layout).threads;

        assert_eq!(threads(), None);
        config("mesh", "istio-system", "{concurrency: 4}");
        assert_eq!(threads(), Some(4));
        config("all", "shop", "{concurrency: 3}");
        config("else", "other", "{concurrency: 9}");
        assert_eq!(threads(), Some(3));
        config("orders", "shop", "{selector: {matchLabels: {app: orders}}, concurrency: 2}");
        assert_eq!(threads(), Some(2));
        config("orders", "shop", "{selector: {matchLabels: {app: orders}}, concurrency: 0}");
        assert_eq!(threads(), None, "one per core");
    }

    #[test]
    fn variables_of_near_and_far_come_together_and_some_are_told_the_control_plane() {
        let dir = tempfile::tempdir().expect("a directory");
        written(&dir, "mesh", "istio-system", "{environmentVariables: {A: far, B: far}}");
        written(&dir, "all", "shop", "{environmentVariables: {A: near, ISTIO_META_IDLE_TIMEOUT: 5s}}");
        let mut bootstrap = Bootstrap {
            id: String::new(),
            cluster: String::new(),
            metadata: [("NAMESPACE".to_owned(), "shop".into())].into(),
            discovery: LOOPBACK.into(),
            admin: LOOPBACK,
            readiness: LOOPBACK,
            metrics: LOOPBACK,
            access_log: None,
            concurrency: None,
            dns: Vec::new(),
        };

        let run = run(&orders(), &Layout::new(dir.path()));
        run.tell(&mut bootstrap);

        let variables = [("A", "near"), ("B", "far"), ("ISTIO_META_IDLE_TIMEOUT", "5s")];
        assert_eq!(run.variables, variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(bootstrap.metadata.get("IDLE_TIMEOUT"), Some(&"5s".into()));
        assert_eq!(bootstrap.metadata.len(), 2);
    }

    #[test]
    fn what_the_mesh_says_of_every_proxy_is_the_default() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        let usual = run(&orders(), &layout);
        assert_eq!((usual.listener_drain, usual.drain), (Duration::from_secs(45), Duration::from_secs(5)));
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |-\n    \
                    defaultConfig: {concurrency: 2, proxyMetadata: {A: all}, drainDuration: 9s, \
                    terminationDrainDuration: 7s}\n";
        std::fs::write(dir.path().join("istio.yaml"), text).expect("a file");
        written(&dir, "all", "shop", "{concurrency: 3}");

        let run = run(&orders(), &layout);

        assert_eq!((run.threads, run.variables.get("A").map(String::as_str)), (Some(3), Some("all")));
        assert_eq!((run.listener_drain, run.drain), (Duration::from_secs(9), Duration::from_secs(7)));
    }
}
