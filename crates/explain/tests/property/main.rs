//! Whatever is valid can be translated, twice to the same bytes, everything that is named is there, and a proxy takes
//! all of it.

#![allow(clippy::unwrap_used)]

mod objects;

use std::collections::BTreeSet;

use api::sidecar::OutboundMode;
use mesh::{Discovery, Proxy, RouteSource, Settings, Share, Snapshot, Terminal, View};
use proptest::prelude::*;
use serde_json::json;
use translate::Output;

use objects::{NAMESPACES, one, resources};

fn proxy() -> impl Strategy<Value = Proxy> {
    let kind = one(&["sidecar", "router"]);
    let mode = one(&["NONE", "REDIRECT", "TPROXY"]);
    (kind, mode, any::<bool>(), any::<bool>(), one(&NAMESPACES)).prop_map(
        |(kind, mode, local, unprivileged, namespace)| {
            let ip = if local { "127.77.4.1" } else { "10.0.0.9" };
            let id = format!("{kind}~{ip}~p.{namespace}~{namespace}.svc.cluster.local");
            let mut metadata = json!({
                "INTERCEPTION_MODE": mode, "LABELS": {"app": "web"},
                "UNPRIVILEGED_POD": unprivileged.to_string(), "HTTP_PROXY_PORT": "15007",
            });
            if local {
                metadata["WEFT_LOCAL"] = json!({"mesh": 77, "workload": 4});
            }
            Proxy::new(&id, &metadata, &[]).unwrap()
        },
    )
}

fn everything(view: &View) -> Vec<Output> {
    let mut all = translate::clusters(&view.clusters);
    all.extend(translate::listeners(&view.listeners));
    all.extend(view.routes().map(|route| translate::route(route)));
    all.extend(view.endpoint_names().map(|name| translate::endpoints(&view.endpoints(name).unwrap())));
    all
}

fn is_whole(view: &View) -> Result<(), String> {
    for listener in &view.listeners.listeners {
        for chain in listener.chains.iter().chain(&listener.default_chain) {
            match &chain.terminal {
                Terminal::Http(http) => {
                    if let RouteSource::Dynamic(name) = &http.routes
                        && view.route(name).is_none()
                    {
                        return Err(format!("{} asks for routes {name}", listener.name));
                    }
                }
                // A VirtualService may lead to a host that nobody has.
                Terminal::Tcp(_) if chain.origin.as_ref().is_some_and(|o| o.kind == "VirtualService") => {}
                Terminal::Tcp(tcp) => {
                    for Share { cluster, .. } in &tcp.shares {
                        if !view.clusters.clusters.iter().any(|known| known.name == *cluster) {
                            return Err(format!("{} leads to {cluster}", listener.name));
                        }
                    }
                }
            }
        }
        if listener.chains.is_empty() {
            return Err(format!("{} has no chain", listener.name));
        }
    }
    let addresses = view.listeners.listeners.iter().flat_map(|l| {
        let more = l.additional.iter().map(|address| base::Address::Ip(*address));
        more.chain([l.address.clone()])
    });
    let mut bound = BTreeSet::new();
    if let Some(twice) = addresses.into_iter().find(|address| !bound.insert(address.clone())) {
        return Err(format!("{twice} is listened on twice"));
    }
    for route in view.routes() {
        let mut domains = BTreeSet::new();
        let all = route.virtual_hosts.iter().flat_map(|host| &host.domains);
        if let Some(twice) = all.into_iter().find(|domain| !domains.insert(*domain)) {
            return Err(format!("{}: {twice} occurs twice", route.name));
        }
    }
    for cluster in view.clusters.clusters.iter().filter(|cluster| cluster.discovery == Discovery::Eds) {
        if view.endpoints(&cluster.name).is_none() {
            return Err(format!("{} has no endpoints to give", cluster.name));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_valid_translates_whole_and_to_the_same_bytes(
        resources in resources(), proxy in proxy(), outbound in one(&[OutboundMode::AllowAny, OutboundMode::RegistryOnly]),
    ) {
        let text = json!({"apiVersion": "v1", "kind": "List", "items": resources}).to_string();
        let set = api::parse("any.json", text.as_bytes()).resources.into_iter().collect();
        let settings = Settings { outbound, ..Settings::default() };
        let snapshot = Snapshot::next(None, &set, &settings);

        let first = mesh::view(&snapshot, &proxy);
        let second = mesh::view(&Snapshot::next(Some(&snapshot), &set, &settings), &proxy);

        prop_assert_eq!(is_whole(&first), Ok(()));
        prop_assert_eq!(explain::compile(&snapshot, &proxy).rejects, []);
        prop_assert_eq!(everything(&first), everything(&second));
    }
}
