use api::ResourceSet;
use mesh::{Proxy, Settings, Snapshot};
use serde_json::json;

use std::time::Duration;

use super::*;
use crate::{Changes, Copied, Retries, Tls, compile};

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec:
  selector: {app: reviews}
  ports: [{name: http, port: 9080}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
";

/// The plan of a captured sidecar in `default` for these routes of `reviews`, as the list under `http`.
fn plan(http: &str) -> std::sync::Arc<Plan> {
    plan_in(&Settings::default(), http)
}

fn plan_in(settings: &Settings, http: &str) -> std::sync::Arc<Plan> {
    let text = format!(
        "{SERVICE}apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: reviews}}\n\
         spec: {{hosts: [reviews], http: {http}}}\n"
    );
    let parsed = api::parse("test.yaml", text.as_bytes());
    assert_eq!(parsed.issues, []);
    let set: ResourceSet = parsed.resources.into_iter().collect();
    let id = "sidecar~10.0.0.7~client.default~default.svc.cluster.local";
    let proxy = Proxy::new(id, &json!({"NAMESPACE": "default"}), &[]).expect("a node");
    let compiled = compile(&Snapshot::next(None, &set, settings), &proxy);
    assert!(compiled.rejects.is_empty(), "{:?}", compiled.rejects);
    compiled.plan
}

fn call(headers: &[(&str, &str)]) -> Call {
    let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Call { headers, ..Call::http(9080, "reviews:9080") }
}

fn cluster(subset: &str) -> String {
    format!("outbound|9080|{subset}|reviews.default.svc.cluster.local")
}

/// Cluster and percentage of each share.
fn shares(decision: &Decision) -> Vec<(String, f64)> {
    decision.clusters.iter().map(|share| (share.cluster.clone(), share.percent)).collect()
}

#[test]
fn the_first_route_whose_condition_holds_decides_and_is_named() {
    let plan = plan(
        "[{match: [{headers: {end-user: {exact: jason}}}], route: [{destination: {host: reviews, subset: v2}}]}, \
         {route: [{destination: {host: reviews, subset: v1}}]}]",
    );

    let jason = decide(&plan, &call(&[("end-user", "jason")]));
    let other = decide(&plan, &call(&[("end-user", "jasonx")]));

    assert_eq!(shares(&jason), [(cluster("v2"), 100.0)]);
    assert_eq!(
        jason.origin.map(|o| o.to_string()),
        Some("VirtualService/default/reviews http[0].match[0]".into())
    );
    assert_eq!(shares(&other), [(cluster("v1"), 100.0)]);
    assert_eq!(other.origin.map(|o| o.to_string()), Some("VirtualService/default/reviews http[1]".into()));
    assert_eq!(other.virtual_host.as_deref(), Some("reviews.default.svc.cluster.local:9080"));
}

#[test]
fn weights_are_told_as_parts_of_a_hundred() {
    let plan = plan(
        "[{route: [{destination: {host: reviews, subset: v1}, weight: 1}, \
         {destination: {host: reviews, subset: v2}, weight: 3}]}]",
    );

    assert_eq!(shares(&decide(&plan, &call(&[]))), [(cluster("v1"), 25.0), (cluster("v2"), 75.0)]);
}

#[test]
fn a_fault_is_told_by_its_delay_its_status_and_its_share() {
    let plan = plan(
        "[{fault: {delay: {fixedDelay: 7s, percentage: {value: 100}}, \
         abort: {httpStatus: 555, percentage: {value: 100}}}, route: [{destination: {host: reviews}}]}]",
    );

    let decision = decide(&plan, &call(&[]));

    assert_eq!(decision.delay, Duration::from_secs(7));
    assert_eq!(decision.reply, Some(555));
    assert!((decision.fault_percent - 100.0).abs() < f64::EPSILON);
}

#[test]
fn bytes_that_are_no_http_go_where_they_were_going() {
    let decision = decide(&plan("[{route: [{destination: {host: reviews}}]}]"), &call(&[]).raw());

    assert_eq!(shares(&decision), [("PassthroughCluster".to_owned(), 100.0)]);
    let [share] = &*decision.clusters else { panic!("{decision:?}") };
    assert_eq!(share.destination, Some(([0, 0, 0, 0], 9080).into()));
    assert_eq!((decision.tls, &share.authority), (Tls::None, &None));
}

#[test]
fn a_request_no_route_takes_is_answered_with_404() {
    let plan = plan("[{match: [{uri: {prefix: /api}}], route: [{destination: {host: reviews}}]}]");

    let decision = decide(&plan, &call(&[]));

    assert_eq!((decision.failure, decision.reply), (Some(Failure::NoRoute), Some(404)));
    assert_eq!(decision.clusters, []);
}

#[test]
fn what_the_destination_sees_is_told_for_each_share() {
    let plan = plan(
        "[{match: [{uri: {prefix: /old/}}], rewrite: {uri: /new/, authority: other.example}, \
         headers: {request: {set: {x-a: one}, remove: [x-b]}}, route: [\
         {destination: {host: reviews, subset: v1}, weight: 50, headers: {response: {add: {x-c: two}}}}, \
         {destination: {host: reviews, subset: v9}, weight: 50}]}]",
    );

    let decision = decide(&plan, &Call { path: "/old/1?q=2".into(), ..call(&[("x-b", "gone")]) });

    let [first, second] = &*decision.clusters else { panic!("{decision:?}") };
    assert_eq!(first.path.as_deref(), Some("/new/1?q=2"));
    assert_eq!(first.authority.as_deref(), Some("other.example"));
    let changed = |set: &[(&str, &str)], removed: &[&str]| Changes {
        set: set.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        removed: removed.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(first.request_headers, changed(&[("x-a", "one")], &["x-b"]));
    assert_eq!(first.response_headers, changed(&[("x-c", "two")], &[]));
    assert_eq!(second.response_headers, Changes::default());
    assert_eq!((first.is_missing, second.is_missing), (false, true));
}

#[test]
fn a_redirect_names_its_location() {
    let plan = plan("[{redirect: {uri: /there, authority: other.example, redirectCode: 308}}]");

    let decision = decide(&plan, &call(&[]));

    assert_eq!(
        (decision.reply, decision.location.as_deref()),
        (Some(308), Some("http://other.example/there"))
    );
    assert_eq!(decision.clusters, []);
}

#[test]
fn time_limits_retries_and_mirrors_are_told() {
    let plan = plan(
        "[{timeout: 3s, retries: {attempts: 2, perTryTimeout: 1s, retryOn: '5xx,reset,503'}, \
         mirror: {host: reviews, subset: v2}, mirrorPercentage: {value: 12.5}, \
         route: [{destination: {host: reviews, subset: v1}}]}]",
    );

    let decision = decide(&plan, &call(&[]));

    assert_eq!(decision.timeout, Some(Duration::from_secs(3)));
    assert_eq!(decision.mirrors, [Copied { cluster: cluster("v2"), percent: 12.5 }]);
    let Some(Retries { attempts, on, statuses, per_try_timeout, .. }) = decision.retries else { panic!() };
    assert_eq!((attempts, per_try_timeout), (2, Some(Duration::from_secs(1))));
    assert_eq!(on, ["5xx", "reset", "retriable-status-codes"]);
    assert_eq!(statuses, [503]);
}

#[test]
fn limits_of_clients_connections_hold_for_every_route() {
    let limits = b"defaultConfig: {connectionSettings: {httpMaxStreamDuration: 5s, \
        httpHeadersWithUnderscoresAction: HEADERS_WITH_UNDERSCORES_REJECT_REQUEST}}";
    let (config, issues) = api::MeshConfig::parse("mesh.yaml", limits);
    assert_eq!(issues, []);
    let settings = Settings::new(&config.expect("settings"));
    let plan = plan_in(&settings, "[{timeout: 9s, route: [{destination: {host: reviews}}]}]");

    let (decision, refused) = (decide(&plan, &call(&[])), decide(&plan, &call(&[("x_user", "me")])));

    assert_eq!((decision.timeout, decision.reply), (Some(Duration::from_secs(5)), None));
    assert_eq!((refused.reply, refused.clusters), (Some(400), Vec::new()));
}

#[test]
fn a_preflight_is_answered_and_goes_nowhere() {
    let plan = plan(
        "[{corsPolicy: {allowOrigins: [{exact: 'http://a.example'}], allowMethods: [GET]}, \
         route: [{destination: {host: reviews}}]}]",
    );
    let headers = [("origin", "http://a.example"), ("access-control-request-method", "GET")];

    let decision = decide(&plan, &Call { method: "OPTIONS".into(), ..call(&headers) });

    assert_eq!((decision.reply, &*decision.clusters), (Some(200), &[][..]));
    let origin = ("access-control-allow-origin".to_owned(), "http://a.example".to_owned());
    assert!(decision.reply_headers.contains(&origin), "{:?}", decision.reply_headers);
    assert!(decision.fault_percent.abs() < f64::EPSILON);
}

const DOWNSTREAM_TLS: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const TCP_PROXY: &str = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
const TLS_INSPECTOR: &str =
    "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";

/// A chain for server names that ends TLS with a secret, or passes it through, and forwards bytes.
fn tcp_chain(name: &str, secret: Option<&str>, requires_client: bool) -> serde_json::Value {
    let weighted = json!({"clusters": [{"name": "a", "weight": 1}, {"name": "b", "weight": 3}]});
    let proxy = json!({"@type": TCP_PROXY, "stat_prefix": "tcp", "weighted_clusters": weighted});
    let mut chain = json!({
        "name": name,
        "filter_chain_match": {"server_names": [format!("{name}.example")], "transport_protocol": "tls"},
        "filters": [{"name": "tcp", "typed_config": proxy}],
    });
    if let Some(secret) = secret {
        let config = json!([{"name": secret, "sds_config": {"ads": {}}}]);
        let roots = json!({"name": "ROOTCA", "sds_config": {"ads": {}}});
        chain["transport_socket"] = json!({"name": "tls", "typed_config": {
            "@type": DOWNSTREAM_TLS,
            "common_tls_context": {
                "tls_certificate_sds_secret_configs": config,
                "validation_context_sds_secret_config": roots,
            },
            "require_client_certificate": requires_client,
        }});
    }
    chain
}

/// The plan of one listener on port 443 with these chains, and what was refused of it.
fn listening(chains: &[serde_json::Value]) -> (std::sync::Arc<Plan>, Vec<plan::Reject>) {
    let listener = json!({
        "@type": plan::LISTENER,
        "name": "0.0.0.0_443",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": 443}},
        "listener_filters": [{"name": "tls", "typed_config": {"@type": TLS_INSPECTOR}}],
        "filter_chains": chains,
    });
    let mut store = plan::Store::new(filters::registry());
    let any = proto::json::from_json(&listener).expect("a listener");
    let rejects = store.update(plan::LISTENER, &[("0.0.0.0_443".to_owned(), any)], &[]);
    (store.plan(), rejects)
}

fn secured(security: Security, name: &str) -> Call {
    Call { security, sni: Some(format!("{name}.example")), ..Call::http(443, "").raw() }
}

#[test]
fn tls_is_ended_passed_through_or_refused_as_the_chain_of_its_name_says() {
    let chains = [
        tcp_chain("ends", Some("kubernetes://cert"), false),
        tcp_chain("asks", Some("default"), true),
        tcp_chain("passes", None, false),
    ];
    let (plan, refused) = listening(&chains);
    assert_eq!(refused, []);

    for (security, name, expected) in [
        (Security::Tls, "ends", Ok(Tls::Terminated)),
        (Security::Mutual, "ends", Err(Failure::Mtls)),
        (Security::Mutual, "asks", Ok(Tls::Mutual)),
        (Security::Tls, "asks", Err(Failure::Mtls)),
        (Security::Tls, "passes", Ok(Tls::PassedThrough)),
        (Security::Mutual, "passes", Ok(Tls::PassedThrough)),
        (Security::Tls, "other", Err(Failure::NoFilterChain)),
        (Security::Plaintext, "ends", Err(Failure::NoFilterChain)),
    ] {
        let decision = decide(&plan, &secured(security, name));

        assert_eq!(decision.failure.map_or(Ok(decision.tls), Err), expected, "{security:?} {name}");
    }
}

#[test]
fn bytes_are_shared_by_weight_and_missing_clusters_are_named() {
    let (plan, _) = listening(&[tcp_chain("ends", Some("kubernetes://cert"), false)]);

    let decision = decide(&plan, &secured(Security::Tls, "ends"));

    assert_eq!(shares(&decision), [("a".to_owned(), 25.0), ("b".to_owned(), 75.0)]);
    assert!(decision.clusters.iter().all(|share| share.is_missing));
}

#[test]
fn chains_that_match_alike_are_why_nothing_listens() {
    let (plan, refused) = listening(&[tcp_chain("same", None, false), tcp_chain("same", None, false)]);

    let decision = decide(&plan, &secured(Security::Tls, "same"));

    assert_eq!((refused.len(), decision.failure), (1, Some(Failure::MultipleFilterChains)));
}
