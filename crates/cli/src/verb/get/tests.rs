#![allow(clippy::unwrap_used)]

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    get: Get,
}

fn get(line: &str) -> Get {
    Line::try_parse_from(std::iter::once("get").chain(line.split(' '))).ok().unwrap().get
}

fn reviews() -> Object {
    Object {
        kind: "VirtualService".into(),
        namespace: "default".into(),
        name: "reviews".into(),
        file: "reviews.yaml".into(),
        line: 3,
        created: None,
        written: None,
        text: "kind: VirtualService # ours\n\n".into(),
        yaml: "kind: VirtualService\n".into(),
        json: json!({ "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "spec": { "hosts": ["reviews", "r"], "gateways": ["mesh"] } }),
    }
}

fn rule() -> Object {
    Object {
        kind: "DestinationRule".into(),
        json: json!({ "kind": "DestinationRule", "spec": { "host": "reviews", "subsets": [{ "name": "v1" }] } }),
        text: "kind: DestinationRule".into(),
        ..reviews()
    }
}

#[test]
fn kinds_have_the_short_names_of_kubectl() {
    let wanted = get("vs,dr,svc").wanted().unwrap();

    let kinds: Vec<Kind> = wanted.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::VirtualService, Kind::DestinationRule, Kind::Service]);
    assert_eq!(get("all").wanted().unwrap().len(), KINDS.len());
    assert!(get("deployments").wanted().is_err());
}

#[test]
fn objects_are_named_one_by_one_or_in_pairs() {
    let pairs = get("vs/reviews dr/ratings").wanted().unwrap();
    let names = get("vs reviews ratings").wanted().unwrap();

    assert_eq!(pairs[1], (Kind::DestinationRule, Some("ratings".into())));
    assert_eq!(names[1], (Kind::VirtualService, Some("ratings".into())));
    assert!(get("vs/reviews ratings").wanted().is_err());
}

#[test]
fn columns_are_those_of_the_kind() {
    let one = get("vs").render(&[reviews()]).unwrap();
    let wide = get("vs -A -o wide").render(&[reviews()]).unwrap();

    assert_eq!(one, "NAME      GATEWAYS   HOSTS       AGE\nreviews   mesh       reviews,r   <unknown>\n");
    assert_eq!(
        wide,
        "NAMESPACE   NAME      GATEWAYS   HOSTS       AGE         FILE\n\
         default     reviews   mesh       reviews,r   <unknown>   reviews.yaml:3\n"
    );
}

#[test]
fn istios_kinds_have_the_columns_of_istio() {
    let headings = |kind: Kind| {
        let shown = columns::of(kind).iter().filter(|column| !column.is_wide);
        shown.map(|column| column.heading).collect::<Vec<_>>().join(" ")
    };

    assert_eq!(headings(Kind::DestinationRule), "HOST AGE");
    assert_eq!(headings(Kind::ServiceEntry), "HOSTS LOCATION RESOLUTION AGE");
    assert_eq!(headings(Kind::VirtualService), "GATEWAYS HOSTS AGE");
    assert_eq!(headings(Kind::WorkloadEntry), "AGE ADDRESS");
    for kind in [Kind::Gateway, Kind::ProxyConfig, Kind::Sidecar, Kind::WorkloadGroup] {
        assert_eq!(headings(kind), "AGE", "{kind:?}");
    }
    assert_eq!(
        get("vs -o name").render(&[reviews()]).unwrap(),
        "virtualservice.networking.istio.io/reviews\n"
    );
}

#[test]
fn several_kinds_are_told_apart() {
    let text = get("vs,dr").render(&[rule(), reviews()]).unwrap();

    assert!(text.starts_with("NAME  "), "{text}");
    assert!(
        text.contains("virtualservice.networking.istio.io/reviews")
            && text.contains("destinationrule/reviews"),
        "{text}"
    );
}

#[test]
fn yaml_is_what_the_author_wrote() {
    let json = Object { text: "{\"kind\": \"VirtualService\"}".into(), ..reviews() };

    let text = get("vs,dr -o yaml").render(&[reviews(), rule(), json]).unwrap();

    assert_eq!(text, "kind: VirtualService # ours\n---\nkind: DestinationRule\n---\nkind: VirtualService\n");
}

#[test]
fn json_is_the_object_or_a_list_of_them() {
    let one: Value = serde_json::from_str(&get("vs reviews -o json").render(&[reviews()]).unwrap()).unwrap();
    let pair: Value = serde_json::from_str(&get("vs/reviews -o json").render(&[reviews()]).unwrap()).unwrap();
    let list: Value = serde_json::from_str(&get("vs -o json").render(&[reviews()]).unwrap()).unwrap();

    assert_eq!((&one["kind"], &pair["kind"]), (&json!("VirtualService"), &json!("VirtualService")));
    assert_eq!((&list["kind"], &list["items"][0]["kind"]), (&json!("List"), &json!("VirtualService")));
}
