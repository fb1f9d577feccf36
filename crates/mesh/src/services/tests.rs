#![allow(clippy::unwrap_used)]

use super::*;
use crate::service::Resolution;

fn gathered(text: &str) -> (Services, Vec<Issue>) {
    let parsed = api::parse("services.yaml", text.as_bytes());
    assert!(parsed.refused.is_empty(), "{:#?}", parsed.issues);
    let mut issues = Vec::new();
    let set = parsed.resources.into_iter().collect();
    (gather(&set, &Settings::default(), &mut issues), issues)
}

fn service<'a>(services: &'a Services, host: &str) -> &'a Service {
    services.by_host.get(&Host::new(host)).unwrap()
}

const WEB: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  selector: {app: web}
  ports:
    - {name: http, port: 80, targetPort: 8080}
    - {name: http-admin, port: 81, targetPort: admin}
---
";

/// The beginning of an EndpointSlice of that Service.
const SLICE: &str = "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, namespace: demo, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports:
  - {name: http, port: 8088}
endpoints:
";

#[test]
fn workloads_are_selected_by_labels_and_may_name_their_own_ports() {
    let (services, _) = gathered(&format!(
        "{WEB}
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: one, namespace: demo}}
spec: {{address: 10.0.0.1, labels: {{app: web, version: v2}}, ports: {{admin: 9001}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: two, namespace: demo}}
spec: {{address: 10.0.0.2, labels: {{app: web}}, ports: {{http: 9080}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: elsewhere, namespace: other}}
spec: {{address: 10.0.0.3, labels: {{app: web}}}}
"
    ));

    let web = service(&services, "web.demo.svc.cluster.local");

    let ports: Vec<_> = web.instances.iter().map(|i| (i.address.as_str(), &i.ports)).collect();
    assert_eq!(
        ports,
        [
            ("10.0.0.1", &BTreeMap::from([(80, 8080), (81, 9001)])),
            ("10.0.0.2", &BTreeMap::from([(80, 9080), (81, 81)])),
        ]
    );
    assert_eq!(web.instances[0].workload, "one;demo;web;v2;Kubernetes");
}

#[test]
fn endpoint_slices_bring_ready_addresses_and_ports_by_name() {
    let (services, _) = gathered(&format!(
        "{WEB}{SLICE}  - addresses: [10.0.0.1]
    conditions: {{ready: true}}
    targetRef: {{kind: Pod, namespace: demo, name: web-1}}
  - addresses: [10.0.0.2]
    conditions: {{ready: false}}
"
    ));

    let web = service(&services, "web.demo.svc.cluster.local");

    assert_eq!(web.instances.len(), 1);
    assert_eq!(web.instances[0].ports, BTreeMap::from([(80, 8088)]));
    assert_eq!(web.instances[0].workload, "web-1;demo;web;latest;Kubernetes");
}

#[test]
fn a_service_comes_before_an_entry_for_its_host() {
    let (services, issues) = gathered(&format!(
        "{WEB}
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: mine, namespace: demo}}
spec:
  hosts: [web.demo.svc.cluster.local]
  resolution: DNS
  ports: [{{number: 443, name: tls, protocol: TLS}}]
"
    ));

    assert_eq!(service(&services, "web.demo.svc.cluster.local").ports.len(), 2);
    assert_eq!(issues.len(), 1);
    assert_eq!((issues[0].code.as_str(), issues[0].place.line), ("duplicate-host", 16));
}

#[test]
fn an_external_name_is_an_alias_of_a_service_and_a_dns_name_elsewhere() {
    let external = |name: &str, target: &str| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: demo}}\n\
             spec: {{type: ExternalName, externalName: {target}, ports: [{{port: 80, name: http}}]}}\n"
        )
    };
    let text = [
        WEB.trim_end_matches("---\n").to_owned(),
        external("alias", "web.demo.svc.cluster.local"),
        external("outside", "example.com"),
    ];
    let (services, _) = gathered(&text.concat());

    let alias = Host::new("alias.demo.svc.cluster.local");
    assert_eq!(services.behind(&alias), &Host::new("web.demo.svc.cluster.local"));
    assert_eq!(service(&services, "web.demo.svc.cluster.local").aliases, [alias]);
    let outside = service(&services, "outside.demo.svc.cluster.local");
    assert_eq!(outside.resolution, Resolution::Dns);
    assert_eq!(outside.instances[0].address, "example.com");
}

#[test]
fn a_pod_behind_an_endpoint_tells_its_labels_and_place() {
    let (services, _) = gathered(&format!(
        "{WEB}{SLICE}  - addresses: [10.0.0.1]
    conditions: {{ready: true}}
    nodeName: n1
    targetRef: {{kind: Pod, namespace: demo, name: web-v1-5f6-abcde}}
---
apiVersion: v1
kind: Pod
metadata:
  name: web-v1-5f6-abcde
  namespace: demo
  labels:
    {{app: web, version: v1, pod-template-hash: 5f6, topology.kubernetes.io/region: r1, topology.kubernetes.io/zone: z1}}
spec: {{nodeName: n1, containers: [{{name: web, image: web}}]}}
status: {{phase: Running, podIP: 10.0.0.1}}
"
    ));

    let instance = &service(&services, "web.demo.svc.cluster.local").instances[0];

    assert_eq!(instance.labels.value("version"), Some("v1"));
    assert_eq!((instance.locality.as_str(), instance.node.as_str()), ("r1/z1", "n1"));
    assert_eq!(instance.workload, "web-v1;demo;web;v1;Kubernetes");
}

#[test]
fn an_entry_selects_pods_and_workloads_outside_alike() {
    let (services, _) = gathered(
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: shop, namespace: demo}
spec:
  hosts: [shop.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  workloadSelector: {labels: {app: shop}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, namespace: demo}
spec: {address: 10.9.0.1, labels: {app: shop, version: v1}, ports: {http: 9080}, locality: r1/z2}
---
apiVersion: v1
kind: Pod
metadata: {name: shop-0, namespace: demo, labels: {app: shop, version: v1}}
spec: {}
status: {phase: Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: shop-1, namespace: demo, labels: {app: shop}}
spec: {}
status: {phase: Running, podIP: 10.0.0.2, conditions: [{type: Ready, status: 'False'}]}
",
    );

    let shop = service(&services, "shop.example.com");

    let found: Vec<_> = shop
        .instances
        .iter()
        .map(|i| (i.address.as_str(), i.ports.get(&80).copied(), &*i.locality))
        .collect();
    assert_eq!(found, [("10.9.0.1", Some(9080), "r1/z2"), ("10.0.0.1", Some(8080), "")]);
}

fn entry(name: &str, namespace: &str, more: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
         metadata: {{name: {name}, namespace: {namespace}}}\n\
         spec: {{hosts: [ext.example.com], resolution: DNS, {more}}}\n"
    )
}

#[test]
fn entries_of_one_host_that_say_alike_what_they_are_become_one_service() {
    let text = [
        entry("http", "demo", "ports: [{number: 80, name: http, protocol: HTTP}]"),
        entry("https", "demo", "ports: [{number: 443, name: https, protocol: HTTPS}]"),
    ];
    let (services, issues) = gathered(&text.concat());

    let ext = service(&services, "ext.example.com");

    assert_eq!(issues, []);
    assert_eq!(ext.ports.iter().map(|port| port.number).collect::<Vec<_>>(), [80, 443]);
    let ports: Vec<_> = ext.instances.iter().map(|instance| instance.ports.clone()).collect();
    assert_eq!(ports, [BTreeMap::from([(80, 80)]), BTreeMap::from([(443, 443)])]);
    assert!(ext.automatic.is_some_and(|ip| ip.v4.octets()[..2] == [240, 240]));
}

#[test]
fn entries_of_one_host_in_several_namespaces_are_told_apart_by_who_asks() {
    let port = "ports: [{number: 80, name: http, protocol: HTTP}]";
    let private = format!("exportTo: ['.'], {port}");
    let text = [entry("a", "one", port), entry("b", "two", &private), entry("c", "three", port)];
    let (services, issues) = gathered(&text.concat());
    let host = Host::new("ext.example.com");

    let seen = |from: &str| services.seen(&host, from).unwrap().name.namespace.clone();

    assert_eq!([seen("one"), seen("two"), seen("three"), seen("four")], ["one", "two", "three", "one"]);
    let objects: Vec<_> = issues.iter().map(|issue| issue.object.as_str()).collect();
    assert_eq!(objects, ["ServiceEntry/three/c"], "who sees both gets the older");
}
