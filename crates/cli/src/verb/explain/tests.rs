#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use base::{Discovery, LocalNet, Origin};
use clap::Parser;
use local::{Program, Role, Workload};

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    explain: Explain,
}

fn explain(line: &str) -> Result<Explain, clap::Error> {
    Line::try_parse_from(std::iter::once("explain").chain(line.split('|'))).map(|line| line.explain)
}

/// A mesh's directory in which a sidecar and a gateway have been started.
fn mesh() -> (tempfile::TempDir, Layout) {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    for (slot, role) in [(1, Role::Gateway([127, 0, 0, 1].into())), (2, Role::Sidecar(Program::default()))] {
        let name = format!("w{slot}");
        let workload = Workload {
            pod: format!("{name}-abc"),
            name: name.clone(),
            namespace: "default".into(),
            role,
            ..Workload::default()
        };
        let net = LocalNet { mesh: 77, workload: slot };
        let discovery = Discovery::Unix(dir.path().join("ads.sock"));
        let bootstrap = local::bootstrap::bootstrap(&workload, net, discovery, None);
        let path = layout.workload(&name).bootstrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, serde_json::to_vec(&bootstrap).unwrap()).unwrap();
    }
    (dir, layout)
}

#[test]
fn whoever_asks_is_found_by_workload_pod_or_role() {
    let (_dir, layout) = mesh();

    assert_eq!(asking(&layout, "w2").unwrap().id.name, "w2-abc");
    assert_eq!(asking(&layout, "w2-abc").unwrap().id.name, "w2-abc");
    assert!(asking(&layout, "gateway").unwrap().is_gateway());
    let error = asking(&layout, "w3").unwrap_err().to_string();
    assert!(error.contains("w1, w2"), "{error}");
}

#[test]
fn a_call_is_made_where_the_client_would_make_it() {
    let (_dir, layout) = mesh();
    let asked = explain("http://reviews:9080/reviews/0?x=1|--from|w2|-H|End-User: jason|-X|POST").unwrap();

    let from_sidecar = asked.call(&asking(&layout, "w2").unwrap()).unwrap();
    let at_gateway = asked.call(&asking(&layout, "gateway").unwrap()).unwrap();

    assert_eq!(SocketAddr::new(from_sidecar.address, from_sidecar.port).to_string(), "127.77.2.3:9080");
    assert_eq!(SocketAddr::new(at_gateway.address, at_gateway.port).to_string(), "127.0.0.1:9080");
    assert_eq!((from_sidecar.host.as_str(), from_sidecar.path.as_str()), ("reviews:9080", "/reviews/0?x=1"));
    assert_eq!(from_sidecar.headers, [("end-user".to_owned(), "jason".to_owned())]);
    assert_eq!(from_sidecar.method, "POST");
    let secured = explain("https://shop.example/|--from|gateway").unwrap();
    let secured = secured.call(&asking(&layout, "gateway").unwrap()).unwrap();
    assert_eq!((secured.port, secured.sni.as_deref()), (443, Some("shop.example")));
}

#[test]
fn a_secret_that_is_not_shown_is_not_missing() {
    let held = [("istio-system".to_owned(), "shop-tls".to_owned())].into();

    for asked in
        ["kubernetes://shop-tls", "kubernetes://shop-tls-cacert", "kubernetes://istio-system/shop-tls"]
    {
        assert!(is_held(asked, "istio-system", &held), "{asked}");
    }
    for (asked, namespace) in [("kubernetes://shop-tls", "default"), ("kubernetes://other", "istio-system")] {
        assert!(!is_held(asked, namespace, &held), "{asked} in {namespace}");
    }
}

#[test]
fn what_is_no_url_or_header_is_a_usage_error() {
    let (_dir, layout) = mesh();
    let proxy = asking(&layout, "w2").unwrap();

    for url in ["/reviews", "ftp://reviews/", "reviews:9080"] {
        assert!(explain(&format!("{url}|--from|w2")).unwrap().call(&proxy).is_err(), "{url}");
    }
    assert!(explain("http://a/|--from|w2|-H|nonsense").is_err());
    assert!(explain("http://a/").is_err());
}

#[test]
fn what_decided_is_told_with_its_place() {
    let text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: reviews\nspec:\n  hosts:\n  - reviews\n  http:\n  - route:\n    - destination:\n        host: reviews\n";
    let mut set = ResourceSet::default();
    set.insert(api::parse("all.yaml", text.as_bytes()).resources.remove(0));
    let places = Places([("VirtualService/default/reviews".to_owned(), 20)].into());
    let decision = Decision {
        origin: Some(Origin::new("VirtualService", "default", "reviews").at("http[0].route[0]")),
        clusters: vec![Share {
            cluster: "outbound|9080||reviews".into(),
            percent: 100.0,
            ..Share::default()
        }],
        delay: Duration::from_secs(7),
        ..Decision::default()
    };

    let text = render(&decision, places.find(&set, &decision));

    assert!(text.contains("decided by     VirtualService/default/reviews http[0].route[0]\n"), "{text}");
    assert!(text.contains("written at     all.yaml:30:"), "{text}");
    assert!(text.contains("held for       7s\n"), "{text}");
    assert!(text.contains("goes to        outbound|9080||reviews (100 %)\n"), "{text}");
}
