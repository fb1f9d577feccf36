//! The routing documents and commands of the sources, run as a user would run them.

mod routing {
    mod model;
    mod outside;
}

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use testkit::Dns;
use tests_mesh::demo::{eventually, told};
use tests_mesh::{Authority, Cast, Curl, Up};
use tests_seeds::{cast, document, path, site};

fn file(name: &str) -> String {
    path(name).display().to_string()
}

#[test]
fn a_path_of_one_host_is_led_through_the_default_gateway() {
    let mesh = site(cast(), ("default", "sample-service", "v1"), &["/sample"]).start();

    mesh.done(&["create", "-f", &file("001/gateway/gateway.yaml")]);
    assert_eq!(mesh.ask(8080, "test.wilump.dev", "/sample").status, 404, "a Gateway alone leads nowhere");
    mesh.done(&["create", "-f", &file("001/virtual-service/sample-virtual-service.yaml")]);

    let reply = mesh.ask(8080, "test.wilump.dev", "/sample");
    assert_eq!((reply.status, reply.body.as_str()), (200, "sample-service v1"));
    assert_eq!(mesh.ask(8080, "test.wilump.dev", "/other").status, 404);
    assert_eq!(mesh.ask(8080, "other.dev", "/sample").status, 404);
}

#[test]
fn a_gateway_ends_https_and_leads_a_host_to_two_services() {
    let mesh = cast().start();
    let authority = Authority::new("the test's");
    let (certificate, key) = (mesh.path("tls.crt"), mesh.path("tls.key"));
    authority.sign("bookinfo.com", &certificate, &key);
    let roots = authority.write(&mesh.path("ca.crt"));
    let folder = mesh.path("").display().to_string();
    let ask = |host: &str, path: &str| {
        Curl::new(&format!("https://{host}{path}")).at(host, 443, mesh.gateway(8443)).trusts(&roots).send()
    };

    mesh.give("apply", &document("002/gateway/gateway.yaml").replace("/tmp/", &folder));
    assert_eq!(ask("bookinfo.com", "/reviews").status, 404, "nothing is bound to the Gateway");
    mesh.done(&["apply", "-f", &file("002/bound/virtual-service.yaml")]);

    assert!(ask("bookinfo.com", "/reviews").body.starts_with("reviews v"));
    assert_eq!(ask("bookinfo.com", "/ratings").body, "ratings v1");
    assert_eq!(ask("bookinfo.com", "/details").status, 404);
    assert_ne!(ask("other.com", "/ratings").exit, 0, "no certificate is shown for another host");
    // Bound to a Gateway, the routes are not for the mesh.
    assert_ne!(mesh.call("client", "http://bookinfo.com/ratings", &[]).body, "ratings v1");
}

#[test]
fn a_host_no_service_stands_behind_is_routed_inside_the_mesh() {
    let mesh = cast().start();

    mesh.done(&["apply", "-f", &file("002/unbound/virtual-service.yaml")]);

    assert!(mesh.call("client", "http://bookinfo.com/reviews/7", &[]).body.starts_with("reviews v"));
    assert_eq!(mesh.call("client", "http://bookinfo.com/ratings", &[]).body, "ratings v1");
    assert_eq!(mesh.call("client", "http://bookinfo.com/details", &[]).status, 404);
}

#[test]
fn a_cookie_chooses_the_version_and_subsets_have_balancers_of_their_own() {
    let mesh = cast().start();

    mesh.done(&[
        "apply",
        "-f",
        &file("002/destination-rule/destination-rule.yaml"),
        "-f",
        &file("002/cookie/virtual-service.yaml"),
    ]);

    let ask =
        |cookie: &str| mesh.call("client", "http://reviews/reviews", &[&format!("cookie: {cookie}")]).body;
    assert_eq!(ask("a=b; user=jason"), "reviews v1", "the expression wants no space before the name");
    assert_eq!(ask("a=b;user=jason;c=d"), "reviews v2");
    assert_eq!(ask("user=jason"), "reviews v2");
    assert_eq!(ask("user=mary"), "reviews v1");
    let admin = format!("http://{}:15000/config_dump", mesh.address("client", 1));
    let dump = Curl::new(&admin).send().body;
    let policy = |subset: &str| {
        let name = format!("\"outbound|80|{subset}|reviews.default.svc.cluster.local\"");
        let at = dump.find(&format!("\"name\": {name}")).unwrap_or_else(|| panic!("no cluster {name}"));
        let rest = &dump[at..];
        let end = rest[1..].find("\"@type\": \"type.googleapis.com/envoy.config.cluster.v3.Cluster\"");
        rest[..end.unwrap_or(rest.len())].contains("\"lb_policy\": \"RANDOM\"")
    };
    assert!(policy("v1") && !policy("v2"), "v2 takes turns, the others are drawn");
}

#[test]
fn the_old_rules_become_the_new_document() {
    let mesh = cast().start();

    mesh.give("apply", &tests_mesh::up::output(&["convert", &file("002/legacy/reviews.yaml")]));

    let ask =
        |cookie: &str| mesh.call("client", "http://reviews/reviews", &[&format!("cookie: {cookie}")]).body;
    assert_eq!((ask("user=jason").as_str(), ask("user=mary").as_str()), ("reviews v2", "reviews v1"));
}

/// A mesh that lets nobody out, and an outside host that is found by DNS alone.
fn closed(outside: Cast) -> (Up, Dns) {
    let names = BTreeMap::from([("foo.com".to_owned(), vec![Ipv4Addr::new(127, 0, 0, 1)])]);
    let dns = Dns::start(names).expect("a name server");
    let settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  \
                    mesh: |\n    outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n";
    (outside.object("istio.yaml", settings).dns(dns.address()).start(), dns)
}

#[test]
fn an_outside_host_is_admitted_by_a_service_entry() {
    let (mesh, _dns) = closed(cast());
    assert_eq!(mesh.call("client", "http://foo.com/", &[]).status, 502, "nobody goes out unless it is said");

    mesh.done(&["create", "-f", &file("002/service-entry/service-entry.yaml")]);

    // Whatever stands at foo.com, or nothing: the request goes there.
    let admitted = mesh.call("client", "http://foo.com/", &[]).status;
    assert_ne!(admitted, 502);
    eventually("the request in the log", || {
        mesh.access_log("client").contains("outbound|80||foo.com").then_some(())
    });
}

#[test]
fn a_field_v1alpha3_never_had_is_refused_with_its_line() {
    let mesh = cast().start();

    let out = mesh.weft(&["apply", "-f", &file("002/mutual/destination-rule.yaml")]);

    assert!(!out.status.success());
    let said = told(&out);
    assert!(said.contains("destination-rule.yaml:6:3") && said.contains("spec.name"), "{said}");
    assert!(said.contains("host"), "{said}");
    assert!(!mesh.done(&["get", "dr"]).contains("foo-ext"));
}

#[test]
fn rules_are_created_once_replaced_and_deleted() {
    let mesh = cast().start();
    mesh.done(&["apply", "-f", &file("002/destination-rule/destination-rule.yaml")]);
    let (first, second) = (
        mesh.path("my-second-rule-for-destination-abc.yaml"),
        mesh.path("my-updated-rules-for-destination-abc.yaml"),
    );
    let cookie = document("002/cookie/virtual-service.yaml");
    std::fs::write(&first, &cookie).expect("a file");
    std::fs::write(&second, cookie.replace("subset: v1", "subset: v3")).expect("a file");
    let (first, second) = (first.display().to_string(), second.display().to_string());
    // The commands as they stand in the text, with our program's name.
    let words = |name: &str, file: &str| -> Vec<String> {
        let text = document(name);
        text.split_whitespace()
            .skip(1)
            .map(|w| if w.ends_with(".yaml") { file.to_owned() } else { w.to_owned() })
            .collect()
    };
    let run = |words: &[String]| mesh.weft(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let ask = || mesh.call("client", "http://reviews/reviews", &[]).body;

    let (create, replace) =
        (words("002/commands/create.txt", &first), words("002/commands/replace.txt", &second));
    let early = run(&replace);
    assert!(!early.status.success() && told(&early).contains("not found"), "{}", told(&early));
    assert!(run(&create).status.success());
    assert_eq!(ask(), "reviews v1");
    let again = run(&create);
    assert!(!again.status.success() && told(&again).contains("already exists"), "{}", told(&again));
    assert!(run(&replace).status.success());
    assert_eq!(ask(), "reviews v3");
    mesh.done(&["delete", "virtualservice", "reviews"]);
    assert!(ask().starts_with("reviews v"));
}

#[test]
fn one_rule_holds_for_every_service_of_a_namespace() {
    let cast = site(cast(), ("foo", "alpha", "v1"), &["/new"]);
    let mesh = site(cast, ("foo", "beta", "v1"), &["/new"]).start();

    mesh.give(
        "apply",
        "apiVersion: networking.istio.io/v1alpha3\nkind: VirtualService\nmetadata: {name: all-of-foo}\nspec:\n  \
         hosts: [\"*.foo.svc.cluster.local\"]\n  http:\n  - match: [{uri: {prefix: /old}}]\n    \
         redirect: {uri: /new}\n",
    );

    for name in ["alpha", "beta"] {
        let reply = mesh.call("client", &format!("http://{name}.foo.svc.cluster.local/old"), &[]);
        assert_eq!((reply.status, reply.header("location").map(|l| l.ends_with("/new"))), (301, Some(true)));
    }
    assert_eq!(mesh.call("client", "http://ratings/ratings", &[]).body, "ratings v1");
}
