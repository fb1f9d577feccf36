#![allow(clippy::unwrap_used)]

use base::Labels;

use super::*;

const NET: LocalNet = LocalNet { mesh: 77, workload: 3 };

fn reviews() -> Workload {
    Workload {
        name: "reviews-v1".into(),
        pod: "reviews-v1-abc-xyz".into(),
        namespace: "default".into(),
        labels: Labels::from([("app", "reviews"), ("version", "v1")]),
        service_account: "bookinfo-reviews".into(),
        ports: vec![9080],
        concurrency: Some(1),
        ..Workload::default()
    }
}

fn socket() -> Discovery {
    discovery(&reviews(), NET, &Layout::new("/m"))
}

#[test]
fn a_sidecar_owns_its_loopback_network() {
    let bootstrap = bootstrap(&reviews(), NET, socket(), Some("/m/access.log".into()));

    assert_eq!(bootstrap.id, "sidecar~127.77.3.1~reviews-v1-abc-xyz.default~default.svc.cluster.local");
    assert_eq!(bootstrap.cluster, "reviews.default");
    assert_eq!(bootstrap.discovery.to_string(), "unix:/m/.weft/ads.sock");
    assert_eq!(bootstrap.admin.to_string(), "127.77.3.1:15000");
    assert_eq!(bootstrap.readiness.to_string(), "127.77.3.1:15021");
    assert_eq!(bootstrap.metrics.to_string(), "127.77.3.1:15090");
    assert_eq!(bootstrap.metadata["WEFT_LOCAL"], json!({ "mesh": 77, "workload": 3 }));
    assert_eq!(bootstrap.metadata["INTERCEPTION_MODE"], "NONE");
    assert_eq!(bootstrap.metadata["HTTP_PROXY_PORT"], "15007");
    assert_eq!(bootstrap.metadata["LABELS"], json!({ "app": "reviews", "version": "v1" }));
    assert!(!bootstrap.metadata.contains_key("GATEWAY_BIND"));
}

#[test]
fn a_gateway_is_a_router_that_is_told_where_to_listen() {
    let gateway = Workload { role: Role::Gateway([0, 0, 0, 0].into()), ..reviews() };

    let bootstrap = bootstrap(&gateway, NET, socket(), None);

    assert!(bootstrap.id.starts_with("router~127.77.3.1~"));
    assert_eq!(bootstrap.metadata["GATEWAY_BIND"], "0.0.0.0");
    assert!(!bootstrap.metadata.contains_key("HTTP_PROXY_PORT"));
}

#[test]
fn a_replica_says_whose_it_is_and_where_its_program_listens() {
    let replica = Workload {
        name: "reviews-v1-2".into(),
        owner: "reviews-v1".into(),
        listens: [(9080, 41234)].into(),
        ..reviews()
    };

    let bootstrap = bootstrap(&replica, NET, socket(), None);

    assert_eq!(bootstrap.metadata["WORKLOAD_NAME"], "reviews-v1");
    assert_eq!(bootstrap.metadata["PROGRAM_PORTS"], json!({ "9080": 41234 }));
}

#[test]
fn a_bootstrap_survives_its_json() {
    let written = bootstrap(&reviews(), NET, socket(), None);

    let read: Bootstrap = serde_json::from_value(serde_json::to_value(&written).unwrap()).unwrap();

    assert_eq!(read, written);
}

#[test]
fn an_envoy_asks_for_everything_by_delta_ads() {
    let envoy = envoy(&bootstrap(&reviews(), NET, socket(), None));

    assert_eq!(
        envoy["node"]["id"],
        "sidecar~127.77.3.1~reviews-v1-abc-xyz.default~default.svc.cluster.local"
    );
    assert_eq!(envoy["node"]["metadata"]["NAMESPACE"], "default");
    let ads = &envoy["dynamic_resources"]["ads_config"];
    assert_eq!(ads["api_type"], "DELTA_GRPC");
    assert_eq!(ads["set_node_on_first_message_only"], true);
    let cluster = ads["grpc_services"][0]["envoy_grpc"]["cluster_name"].as_str();
    assert_eq!(envoy["static_resources"]["clusters"][0]["name"].as_str(), cluster);
    for config in ["cds_config", "lds_config"] {
        assert_eq!(envoy["dynamic_resources"][config]["resource_api_version"], "V3");
    }
}

#[test]
fn an_envoy_reaches_the_control_plane_by_its_socket() {
    let envoy = envoy(&bootstrap(&reviews(), NET, socket(), None));

    let cluster = &envoy["static_resources"]["clusters"][0];
    let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    assert_eq!(cluster["type"], "STATIC");
    assert_eq!(endpoint["address"], json!({ "pipe": { "path": "/m/.weft/ads.sock" } }));
}

#[test]
fn only_an_envoy_in_too_deep_a_directory_goes_by_the_network() {
    let deep = Layout::new(format!("/{}", "d".repeat(120)));
    let envoy = Workload { sidecar: Sidecar::Envoy, ..reviews() };

    assert_eq!(discovery(&reviews(), NET, &deep), Discovery::Unix(deep.ads()));
    assert_eq!(discovery(&envoy, NET, &deep), Claim::discovery(77).into());
}

#[test]
fn an_envoys_own_ports_are_the_usual_ones() {
    let envoy = envoy(&bootstrap(&reviews(), NET, socket(), None));

    let port = |at: &Value| at["socket_address"]["port_value"].as_u64().unwrap();
    assert_eq!(port(&envoy["admin"]["address"]), 15000);
    let listeners = envoy["static_resources"]["listeners"].as_array().unwrap();
    assert_eq!(listeners.iter().map(|l| port(&l["address"])).collect::<Vec<_>>(), [15021, 15090]);
}

#[test]
fn a_real_envoy_accepts_its_bootstrap() {
    if testkit::skip_without_envoy() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("envoy.json");
    std::fs::write(&file, envoy(&bootstrap(&reviews(), NET, socket(), None)).to_string()).unwrap();

    let output = std::process::Command::new(testkit::envoy().unwrap())
        .args(["--mode", "validate", "--disable-hot-restart", "-l", "warning", "-c"])
        .arg(&file)
        .output()
        .unwrap();

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("deprecated"), "{said}");
}
