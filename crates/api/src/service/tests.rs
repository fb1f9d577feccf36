#![allow(clippy::unwrap_used)]

use base::Severity;

use crate::{Resource, parse};

fn service(export: &str) -> String {
    let annotation = format!("networking.istio.io/exportTo: {export:?}");
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: x, namespace: a, annotations: {{{annotation}}}}}\nspec: {{ports: [{{port: 80, name: mysql-x}}]}}\n"
    )
}

#[test]
fn an_annotation_says_who_sees_a_service() {
    let parsed = parse("f", service("., ns").as_bytes());
    let [Resource::Service(read)] = &parsed.resources[..] else { panic!("one Service") };

    let export = read.export_to.clone().unwrap();

    assert_eq!(["a", "ns", "z"].map(|namespace| export.includes(namespace)), [true, true, false]);
    assert!(parse("f", service("N_").as_bytes()).resources.is_empty());
}

#[test]
fn a_protocol_without_a_look_inside_is_warned_of() {
    let issues = parse("f", service("*").as_bytes()).issues;

    assert_eq!((issues[0].severity, issues[0].path.as_str()), (Severity::Warning, "spec.ports[0]"));
    assert!(issues[0].message.contains("TCP"));
}
