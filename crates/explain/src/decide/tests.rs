use api::ResourceSet;
use mesh::{Proxy, Settings, Snapshot};
use serde_json::json;

use super::*;
use crate::compile;

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
    let text = format!(
        "{SERVICE}apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: reviews}}\n\
         spec: {{hosts: [reviews], http: {http}}}\n"
    );
    let parsed = api::parse("test.yaml", text.as_bytes());
    assert_eq!(parsed.issues, []);
    let set: ResourceSet = parsed.resources.into_iter().collect();
    let id = "sidecar~10.0.0.7~client.default~default.svc.cluster.local";
    let proxy = Proxy::new(id, &json!({"NAMESPACE": "default"}), &[]).expect("a node");
    let compiled = compile(&Snapshot::next(None, &set, &Settings::default()), &proxy);
    assert!(compiled.rejects.is_empty(), "{:?}", compiled.rejects);
    compiled.plan
}

fn call(headers: &[(&str, &str)]) -> Call {
    let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Call { headers, ..Call::http(9080, "reviews:9080") }
}

fn share(subset: &str, percent: f64) -> Share {
    Share { cluster: format!("outbound|9080|{subset}|reviews.default.svc.cluster.local"), percent }
}

#[test]
fn the_first_route_whose_condition_holds_decides_and_is_named() {
    let plan = plan(
        "[{match: [{headers: {end-user: {exact: jason}}}], route: [{destination: {host: reviews, subset: v2}}]}, \
         {route: [{destination: {host: reviews, subset: v1}}]}]",
    );

    let jason = decide(&plan, &call(&[("end-user", "jason")]));
    let other = decide(&plan, &call(&[("end-user", "jasonx")]));

    assert_eq!(jason.clusters, [share("v2", 100.0)]);
    assert_eq!(
        jason.origin.map(|o| o.to_string()),
        Some("VirtualService/default/reviews http[0].match[0]".into())
    );
    assert_eq!(other.clusters, [share("v1", 100.0)]);
    assert_eq!(other.origin.map(|o| o.to_string()), Some("VirtualService/default/reviews http[1]".into()));
    assert_eq!(other.virtual_host.as_deref(), Some("reviews.default.svc.cluster.local:9080"));
}

#[test]
fn weights_are_told_as_parts_of_a_hundred() {
    let plan = plan(
        "[{route: [{destination: {host: reviews, subset: v1}, weight: 1}, \
         {destination: {host: reviews, subset: v2}, weight: 3}]}]",
    );

    assert_eq!(decide(&plan, &call(&[])).clusters, [share("v1", 25.0), share("v2", 75.0)]);
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

    assert_eq!(decision.clusters, [Share { cluster: "PassthroughCluster".into(), percent: 100.0 }]);
}

#[test]
fn a_request_no_route_takes_is_answered_with_404() {
    let plan = plan("[{match: [{uri: {prefix: /api}}], route: [{destination: {host: reviews}}]}]");

    let decision = decide(&plan, &call(&[]));

    assert_eq!((decision.failure, decision.reply), (Some(Failure::NoRoute), Some(404)));
    assert_eq!(decision.clusters, []);
}
