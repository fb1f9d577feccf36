//! What a mesh's ProxyConfigs say of the proxies it starts.

use api::{Resource, Valid};

use crate::layout::Layout;
use crate::objects;
use crate::workload::Workload;

/// The namespace whose ProxyConfigs hold for every other.
const ROOT: &str = "istio-system";

/// The worker threads of a workload's proxy, where a ProxyConfig of the mesh's directory says so: one that selects the
/// workload, else its namespace's, else the mesh's; None is one per core.
pub(crate) fn concurrency(workload: &Workload, layout: &Layout) -> Option<usize> {
    let written = objects::declared(layout);
    let configs = written.iter().filter_map(|resource| match resource {
        Resource::ProxyConfig(config) => Some(config),
        _ => None,
    });
    let threads = configs.filter_map(|config| Some((nearness(config, workload)?, config.concurrency?)));
    // The first of equals decides, as the older does where ages are known.
    let all: Vec<(u8, u32)> = threads.collect();
    let (_, threads) = all.into_iter().rev().max_by_key(|(nearness, _)| *nearness)?;
    usize::try_from(threads).ok().filter(|threads| *threads > 0)
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
    use base::Labels;

    use super::*;

    #[test]
    fn the_nearest_proxy_config_says_how_many_threads_serve() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        let config = |name: &str, namespace: &str, spec: &str| {
            let text = format!(
                "apiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\n\
                 metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
            );
            std::fs::write(dir.path().join(format!("{name}.yaml")), text).expect("a file");
        };
        let workload = Workload {
            namespace: "shop".into(),
            labels: Labels::from([("app", "orders")]),
            ..Workload::default()
        };
        let threads = || concurrency(&workload, &layout);

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
}
