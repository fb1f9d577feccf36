#![allow(clippy::unwrap_used)]

use super::*;

const SHOP: &str = r#"
apiVersion: weft/v1alpha1
kind: Mesh
metadata:
  name: shop
spec:
  directory: config
  dns: ["127.0.0.1:5353"]
  gateways:
  - name: istio-ingressgateway
    labels: {istio: ingressgateway}
  workloads:
  - name: orders
    labels: {app: orders, version: v1}
    command: [./bin/orders, --verbose]
    env: {STOCK_URL: "http://stock:8080"}
    ports: [8080, {port: 9090, listens: 41234}]
    replicas: 2
    readiness:
      httpGet: {path: /health, port: 8080}
      periodSeconds: 2
      failureThreshold: 1
    restart: OnFailure
  - name: legacy
    command: [python3, -m, http.server]
    proxy: none
"#;

fn parse(text: &str) -> Result<MeshFile, Vec<Issue>> {
    MeshFile::parse(Path::new("/srv/shop/mesh.yaml"), text)
}

#[test]
fn a_file_says_who_runs_where_and_how() {
    let mesh = parse(SHOP).unwrap();

    let names: Vec<&str> = mesh.workloads.iter().map(|w| w.name.as_str()).collect();
    assert_eq!(names, ["istio-ingressgateway", "orders", "orders-2", "legacy"]);
    assert_eq!((mesh.name.as_str(), mesh.dir.as_path()), ("shop", Path::new("/srv/shop/config")));
    let orders = &mesh.workloads[2];
    assert_eq!((orders.owner(), orders.listens_on(9090), orders.listens_on(8080)), ("orders", 41234, 8080));
    assert_eq!(orders.readiness(), Readiness::Http(8080, "/health".into()));
    let kubernetes = Pace::default();
    assert_eq!(orders.pace, Pace { period: Duration::from_secs(2), failures: 1, ..kubernetes });
    assert_eq!(orders.restart, Restart::OnFailure);
    let Role::Sidecar(program) = &orders.role else { panic!("{orders:?}") };
    assert_eq!(program.command, Path::new("/srv/shop/./bin/orders"));
    assert_eq!(program.dir.as_deref(), Some(Path::new("/srv/shop/")));
    assert_eq!(orders.dns, ["127.0.0.1:5353".parse().unwrap()]);
    let legacy = &mesh.workloads[3];
    assert_eq!((legacy.sidecar, legacy.readiness()), (Sidecar::None, Readiness::Started));
    let Role::Sidecar(program) = &legacy.role else { panic!("{legacy:?}") };
    assert_eq!(program.command, Path::new("python3"));
}

#[test]
fn replicas_are_pods_of_their_own() {
    let mesh = parse(SHOP).unwrap();

    let pods: BTreeSet<&str> = mesh.workloads.iter().map(|w| w.pod.as_str()).collect();

    assert_eq!(pods.len(), 4);
    assert!(mesh.workloads[2].pod.starts_with("orders-") && !mesh.workloads[2].pod.starts_with("orders-2-"));
}

#[test]
fn what_is_not_understood_is_told_with_its_line() {
    let issues = parse(&SHOP.replace("    restart: OnFailure", "    restrat: OnFailure")).unwrap_err();

    assert_eq!(issues.len(), 1);
    assert_eq!(issues[0].place.line, 23);
    assert!(issues[0].message.contains("restrat"), "{}", issues[0]);
}

#[test]
fn everything_wrong_is_told_at_once() {
    let text = SHOP
        .replace("name: orders", "name: Orders")
        .replace("replicas: 2", "replicas: 0")
        .replace("periodSeconds: 2", "periodSeconds: 0")
        .replace("name: legacy", "name: istio-ingressgateway")
        .replace("weft/v1alpha1", "weft/v2");

    let paths: Vec<String> = parse(&text).unwrap_err().into_iter().map(|issue| issue.path).collect();

    let entry = |field: &str| format!("spec.workloads[0].{field}");
    let period = entry("readiness.periodSeconds");
    assert_eq!(paths, ["kind", &entry("name"), &entry("replicas"), &period, "spec"]);
}

#[test]
fn a_file_with_nothing_to_run_is_refused() {
    assert!(parse("apiVersion: weft/v1alpha1\nkind: Mesh\nmetadata: {name: x}\nspec: {}\n").is_err());
    assert!(parse("").is_err());
    assert!(parse("- 1\n- [").is_err());
}
