#![allow(clippy::unwrap_used)]

use api::{ResourceSet, parse};

use super::*;

fn set(text: &str) -> ResourceSet {
    let parsed = parse("delegate.yaml", text.as_bytes());
    assert!(parsed.refused.is_empty(), "{:#?}", parsed.issues);
    parsed.resources.into_iter().collect()
}

fn object(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

/// The routes of the VirtualService `root`.
fn resolved(text: &str) -> Vec<Arc<Source>> {
    let set = set(text);
    let delegates = Delegates::new(set.virtual_services(), &[]);
    let root = set.virtual_services().find(|config| &*config.meta().name == "root").unwrap();
    delegates.resolve(root)
}

const ROOT: &str = "{hosts: [a.com], http: [{name: r, match: [{name: p, uri: {prefix: /p}, headers: {h: {exact: x}}}], \
                    timeout: 3s, headers: {request: {set: {k: v}}}, delegate: {name: d, namespace: other}}]}";

#[test]
fn a_delegates_route_is_narrowed_and_completed_by_the_one_that_delegates() {
    let text = object("root", "default", ROOT)
        + &object(
            "d",
            "other",
            "{http: [{name: i, match: [{name: q, uri: {prefix: /p/q}}], route: [{destination: {host: b}}]}]}",
        );

    let routes = resolved(&text);

    let [source] = routes.as_slice() else { panic!("{routes:#?}") };
    let route = &source.route;
    assert_eq!(route.name, "r-i");
    assert_eq!(route.timeout, Some(std::time::Duration::from_secs(3)));
    assert_eq!(route.headers.request.set.get("k").unwrap(), "v");
    let condition = &route.matches[0];
    assert_eq!(condition.name, "p-q");
    assert_eq!(condition.uri, Some(StringMatch::Prefix("/p/q".into())));
    assert!(condition.headers.contains_key("h"));
    assert_eq!(source.origin.to_string(), "VirtualService/other/d http[0]");
    assert_eq!(source.conditions[0].to_string(), "VirtualService/other/d http[0].match[0]");
    assert_eq!(source.root.to_string(), "VirtualService/default/root");
}

#[test]
fn a_delegates_route_outside_of_what_is_delegated_is_left_out() {
    let text = object("root", "default", ROOT)
        + &object(
            "d",
            "other",
            "{http: [{match: [{uri: {prefix: /elsewhere}}], route: [{destination: {host: b}}]}, \
             {match: [{headers: {h: {exact: z}}}], route: [{destination: {host: b}}]}, \
             {route: [{destination: {host: c}}]}]}",
        );

    let routes = resolved(&text);

    let [source] = routes.as_slice() else { panic!("{routes:#?}") };
    assert_eq!(source.origin.path, "http[2]");
    assert_eq!(source.conditions[0].to_string(), "VirtualService/default/root http[0].match[0]");
}

#[test]
fn a_delegate_that_is_hidden_or_missing_routes_nothing() {
    let hidden = object("d", "other", "{exportTo: [\".\"], http: [{route: [{destination: {host: b}}]}]}");

    assert!(resolved(&(object("root", "default", ROOT) + &hidden)).is_empty());
    assert!(resolved(&object("root", "default", ROOT)).is_empty());
}
