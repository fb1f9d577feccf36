//! The mall of source document 004: what is generated of it, and what it answers.

use std::process::Command;

use tests_mesh::Model;
use tests_mesh::demo::{binary, eventually};
use tests_seeds::path;

/// The version that answered.
fn version(mall: &Model, headers: &str) -> String {
    let reply = mall.ask(&format!("GET /orders HTTP/1.1{headers}"), "");
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.header("x-version").unwrap_or_default().to_owned()
}

/// What `weft model generate` writes of the mall.
fn generated(args: &[&str]) -> String {
    let mall = path("004/mall.yaml");
    let out = Command::new(binary("weft")).args(["model", "generate"]).arg(mall).args(args).output();
    let out = out.expect("weft model generate");
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout).expect("YAML")
}

#[test]
fn an_order_asks_for_stock_and_is_delivered_and_a_canary_gets_its_share() {
    let mall = Model::start(&path("004/mall.yaml"));

    let placed = mall
        .ask("POST /orders HTTP/1.1\r\ncontent-type: application/json", r#"{"productId": "7", "qty": 2}"#);
    assert_eq!(placed.status, 201, "{placed:?}");
    assert!(placed.body.contains("GET http://product:8080/inventories/7"), "{placed:?}");
    assert!(placed.body.contains(r#""stock": 100"#), "{placed:?}");
    eventually("a delivery of the order", || {
        let deliveries = mall.ask("GET /deliveries HTTP/1.1", "");
        deliveries.body.contains(r#""orderId": 1"#).then_some(())
    });
    let page = mall.ask("GET / HTTP/1.1", "");
    assert!(page.body.contains(r#"<a href="/orders">"#), "{page:?}");
    assert!((0..30).all(|_| version(&mall, "") == "v1"), "no canary is tried so far");

    let all = generated(&[]);
    let of_order = |document: &&str| document.contains("kind: VirtualService\nmetadata:\n  name: order\n");
    let order = all.split("---\n").find(of_order).expect("the VirtualService of order");
    let shared = order.replacen("weight: 100", "weight: 80", 1).replacen("weight: 0", "weight: 20", 1);
    mall.give("apply", &shared);
    let stable = (0..500).filter(|_| version(&mall, "") == "v1").count();
    // Four of five, within five sigmas.
    assert!((355..=445).contains(&stable), "{stable} of 500");

    let testers = "  http:\n  - name: testers\n    match: [{headers: {end-user: {exact: jason}}}]\n    \
                   route: [{destination: {host: order, subset: canary}}]\n";
    mall.give("apply", &shared.replacen("  http:\n", testers, 1));
    assert!((0..50).all(|_| version(&mall, "\r\nend-user: jason") == "v2"));
}

#[test]
fn what_the_drawing_tool_writes_is_listed_and_leads_to_the_root_of_a_service() {
    let mall = Model::start(&path("004/mall.yaml"));
    mall.done(&[
        "delete",
        "vs",
        "stmall-paths",
        "order",
        "order-mesh",
        "delivery",
        "delivery-mesh",
        "product",
        "product-mesh",
    ]);
    mall.done(&["delete", "dr", "order", "delivery", "product"]);

    mall.give("apply", &generated(&["--compat", "msaez"]));

    let services = mall.done(&["get", "VirtualService"]);
    for name in ["vsvc-order", "vsvc-delivery", "vsvc-product"] {
        let line =
            services.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{services}"));
        assert!(line.contains("stmall") && line.contains('*'), "{line}");
    }
    let rules = mall.done(&["get", "DestinationRule"]);
    assert!(
        rules.lines().any(|line| line.starts_with("destrule-order") && line.contains("order")),
        "{rules}"
    );
    let root = mall.ask("GET /orders HTTP/1.1", "");
    assert_eq!((root.status, root.header("content-type")), (200, Some("application/hal+json")), "{root:?}");
    assert_eq!(root.header("server"), Some("istio-envoy"), "{root:?}");
    for link in [r#""orders""#, r#"/orders{?page,size,sort}"#, r#""templated": true"#, r#""profile""#] {
        assert!(root.body.contains(link), "{root:?}");
    }
    // The path is lost and nothing below it is taken, as the tool's own objects have it.
    assert_eq!(mall.ask("GET /orders/1 HTTP/1.1", "").status, 404);
}
