#![allow(clippy::unwrap_used)]

use api::{ResourceSet, parse};
use serde_json::json;

use crate::{Proxy, Route, Settings, Snapshot, Tcp, View, view};

const ENTRIES: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api}
spec:
  hosts: [api.com]
  resolution: DNS
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 443, name: https, protocol: HTTPS}
  - {number: 5432, name: tcp, protocol: TCP}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wiki}
spec:
  hosts: ['*.wiki.org']
  resolution: NONE
  ports: [{number: 443, name: tls, protocol: TLS}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: proxy}
spec:
  hosts: [proxy.com]
  addresses: [192.0.2.7]
  resolution: NONE
  ports: [{number: 3128, name: tcp, protocol: TCP}]
";

const RULES: &str = "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api}
spec:
  hosts: ['*.com']
  tls:
  - match: [{port: 443, sniHosts: [api.com], destinationSubnets: [10.0.0.0/8]}]
    route: [{destination: {host: near.com}}]
  - match: [{port: 443, sniHosts: ['*.com']}]
    route: [{destination: {host: any.com}}]
  - match: [{port: 443, sniHosts: [api.com]}]
    route: [{destination: {host: proxy.com, port: {number: 3128}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: wiki}
spec:
  hosts: ['*.wiki.org']
  tls:
  - match: [{port: 443, sniHosts: [de.wiki.org]}]
    route: [{destination: {host: proxy.com, port: {number: 3128}}}]
";

fn seen(text: &str, settings: &Settings) -> View {
    let parsed = parse("entries.yaml", text.as_bytes());
    assert!(parsed.refused.is_empty(), "{:#?}", parsed.issues);
    let set: ResourceSet = parsed.resources.into_iter().collect();
    let metadata = json!({
        "INTERCEPTION_MODE": "NONE",
        "HTTP_PROXY_PORT": "15007",
        "WEFT_LOCAL": { "mesh": 77, "workload": 4 },
    });
    let id = "sidecar~127.77.4.1~client.default~default.svc.cluster.local";
    view(&Snapshot::next(None, &set, settings), &Proxy::new(id, &metadata, &[]).unwrap())
}

/// Where a tunnel to a host and port leads: a cluster, `refused`, or nothing at all.
fn leads(view: &View, to: &str) -> Option<String> {
    let table = view.route("http_proxy")?;
    let has = |domain: &str| {
        let host = table.virtual_hosts.iter().find(|host| host.domains.iter().any(|d| d == domain))?;
        host.routes.iter().find_map(|route| match route {
            Route::Connect { tcp: Some(Tcp { shares, .. }), .. } => Some(shares.first()?.cluster.clone()),
            Route::Connect { tcp: None, .. } => Some("refused".to_owned()),
            _ => None,
        })
    };
    has(to).or_else(|| has("*"))
}

#[test]
fn a_tunnel_goes_where_a_connection_would() {
    let view = seen(ENTRIES, &Settings::default());
    let leads = |to: &str| leads(&view, to).unwrap();

    assert_eq!(leads("api.com:443"), "outbound|443||api.com");
    assert_eq!(leads("api.com:5432"), "outbound|5432||api.com");
    assert_eq!(leads("*.wiki.org:443"), "outbound|443||*.wiki.org");
    assert_eq!(leads("api.com:80"), "PassthroughCluster", "requests are routed one by one, not in a tunnel");
    assert_eq!(leads("nowhere.com:443"), "PassthroughCluster");
    assert_eq!(leads("127.77.4.3:15007"), "refused", "it would come back for ever");
}

#[test]
fn a_virtual_service_leads_tunnels_by_their_host() {
    let view = seen(&format!("{ENTRIES}{RULES}"), &Settings::default());
    let leads = |to: &str| leads(&view, to).unwrap();

    assert_eq!(leads("api.com:443"), "outbound|3128||proxy.com", "the most exact name, and no network");
    assert_eq!(leads("de.wiki.org:443"), "outbound|3128||proxy.com");
    assert_eq!(leads("*.wiki.org:443"), "PassthroughCluster", "as a connection that no match takes");
}

#[test]
fn nobody_tunnels_out_of_a_mesh_that_lets_nobody_out() {
    let closed = Settings { outbound: api::sidecar::OutboundMode::RegistryOnly, ..Settings::default() };
    let view = seen(ENTRIES, &closed);

    assert_eq!(leads(&view, "nowhere.com:443").as_deref(), Some("refused"));
    assert_eq!(leads(&view, "api.com:80").as_deref(), Some("refused"));
    assert_eq!(leads(&view, "api.com:443").as_deref(), Some("outbound|443||api.com"));
}

#[test]
fn a_host_without_an_original_destination_is_found_by_address_or_name() {
    use crate::Discovery;

    let view = seen(ENTRIES, &Settings::default());
    let discovery = |name: &str| {
        let cluster = view.clusters.clusters.iter().find(|cluster| cluster.name == name).unwrap();
        cluster.discovery.clone()
    };

    let Discovery::Static(groups) = discovery("outbound|3128||proxy.com") else { panic!("no addresses") };
    let endpoint = &groups[0].endpoints[0];
    assert_eq!((endpoint.address.as_str(), endpoint.port), ("192.0.2.7", 3128));
    assert!(matches!(discovery("outbound|443||*.wiki.org"), Discovery::DynamicForward(_)));
}
