#![allow(clippy::unwrap_used)]

use base::Severity::{Error, Warning};
use proptest::prelude::*;

use super::*;
use crate::virtual_service::{GatewayRef, HttpAction, StringMatch, ValueMatch};
use crate::{Kind, ResourceSet};

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: one}\nspec: {ports: [{port: 80}]}\n";

fn virtual_service(http: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: r}}\nspec:\n  hosts: [r]\n  http:\n  - {}\n",
        http.trim_end().replace('\n', "\n    ")
    )
}

fn rule(spec: &str) -> String {
    let spec = spec.trim_end().replace('\n', "\n  ");
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: r}}\nspec:\n  host: r\n  {spec}\n"
    )
}

/// Severity, code, line, column and path of everything found.
fn findings(text: &str) -> Vec<(base::Severity, String, u32, u32, String)> {
    let issues = parse("f.yaml", text.as_bytes()).issues;
    issues.into_iter().map(|i| (i.severity, i.code, i.place.line, i.place.column, i.path)).collect()
}

fn finding(
    severity: base::Severity,
    code: &str,
    line: u32,
    column: u32,
    path: &str,
) -> (base::Severity, String, u32, u32, String) {
    (severity, code.into(), line, column, path.into())
}

fn one(text: &str) -> Resource {
    let mut parsed = parse("f.yaml", text.as_bytes());
    assert_eq!(parsed.issues, [], "{text}");
    assert_eq!(parsed.resources.len(), 1);
    parsed.resources.remove(0)
}

fn names(parsed: &Parsed) -> Vec<String> {
    parsed.resources.iter().map(|resource| resource.meta().name.to_string()).collect()
}

#[test]
fn an_unknown_field_is_named_with_its_place_and_the_nearest_known_one() {
    let text = virtual_service("route:\n- destinaton: {host: a}\n  destination: {host: a}");

    let issues = parse("f.yaml", text.as_bytes()).issues;

    assert_eq!(
        issues[0].to_string(),
        "f.yaml:8:7: error[unknown-field] VirtualService/default/r spec.http[0].route[0].destinaton: there is no \
         field `destinaton` here; did you mean `destination`?"
    );
}

#[test]
fn a_field_without_effect_is_warned_of_and_a_dangerous_one_refused() {
    let tuned = rule("trafficPolicy:\n  outlierDetection: {consecutiveErrors: 1}");
    let path = "spec.trafficPolicy.outlierDetection.consecutiveErrors";
    assert_eq!(findings(&tuned), [finding(Warning, "unsupported-field", 7, 24, path)]);
    assert_eq!(parse("f", tuned.as_bytes()).resources.len(), 1);

    let tls = rule("trafficPolicy:\n  tls: {mode: ISTIO_MUTUAL}");
    assert_eq!(findings(&tls), [finding(Error, "refused-field", 7, 11, "spec.trafficPolicy.tls.mode")]);
    assert_eq!(parse("f", tls.as_bytes()).refused, [Key::new(Kind::DestinationRule, "default", "r")]);
}

#[test]
fn values_that_change_nothing_are_taken_silently() {
    let text = rule(
        "trafficPolicy:\n  tls: {mode: DISABLE}\n  connectionPool: {tcp: {connectTimeout: 1s}}\n  outlierDetection: \nexportTo: ['*']\nworkloadSelector: null",
    );

    let Resource::DestinationRule(rule) = one(&text) else { panic!("a DestinationRule") };

    let pool = rule.traffic_policy.connection_pool.as_ref().unwrap();
    assert_eq!(pool.tcp.connect_timeout, Some(std::time::Duration::from_secs(1)));
}

#[test]
fn a_duplicate_key_names_both_places() {
    let text = format!("{SERVICE}---\n{}", SERVICE.replace("kind: Service", "kind: Service\nkind: Service"));

    let parsed = parse("f.yaml", text.as_bytes());

    assert_eq!(parsed.issues.len(), 1);
    let issue = parsed.issues[0].to_string();
    assert!(issue.starts_with("f.yaml:8:1: error[duplicate-key] Service/default/one"), "{issue}");
    assert!(issue.contains("at line 7 column 1 and here"), "{issue}");
    assert_eq!(names(&parsed), ["one"]);
}

#[test]
fn a_broken_document_hides_no_other_and_is_told_by_name() {
    let bad = "apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec:\n\tports: []\n";
    let text = format!("{SERVICE}---\n{bad}---\n{}", SERVICE.replace("one", "two"));

    let parsed = parse("f.yaml", text.as_bytes());

    assert_eq!(names(&parsed), ["one", "two"]);
    assert_eq!(parsed.refused, [Key::new(Kind::Service, "default", "bad")]);
    assert_eq!((parsed.issues[0].code.as_str(), parsed.issues[0].place.line), ("bad-yaml", 10));
    assert!(parsed.issues[0].message.contains("tab"), "{}", parsed.issues[0]);
}

#[test]
fn separators_inside_block_scalars_are_text() {
    let text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: one\n  annotations:\n    a: |\n      x\n      ---\n      y\nspec: {ports: [{port: 80}]}\n--- # next\n";

    let resource = one(text);

    assert_eq!(resource.meta().annotations["a"], "x\n---\ny\n");
}

#[test]
fn lists_and_json_are_read_like_documents() {
    let list = format!("kind: List\napiVersion: v1\nitems:\n- {}", SERVICE.replace('\n', "\n  "));
    assert_eq!(names(&parse("f", list.as_bytes())), ["one"]);
    let json = one(SERVICE).to_json();
    let with_tabs = serde_json::to_string_pretty(&json).unwrap().replace("  ", "\t");
    for text in [json.to_string(), with_tabs] {
        assert_eq!(one(&text).digest(), one(SERVICE).digest(), "{text}");
    }
    let typed =
        serde_json::json!({"kind": "ServiceList", "apiVersion": "v1", "items": [json], "metadata": {}});
    assert_eq!(names(&parse("f", typed.to_string().as_bytes())), ["one"]);
    let empty = "apiVersion: v1\nkind: List\nitems: []\n";
    assert_eq!(parse("f", empty.as_bytes()).issues, []);
}

#[test]
fn the_digest_is_of_the_meaning() {
    let plain = one(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g, labels: {a: b}}\nspec:\n  selector: {x: z}\n  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]\n",
    );
    let same = one(
        "# moved\n---\nkind: Gateway\napiVersion: networking.istio.io/v1beta1\nmetadata:\n  labels: {\"a\": 'b'}\n  name: g\n  namespace: default\n  resourceVersion: \"7\"\n  managedFields: [{}]\nspec:\n  servers:\n  - hosts: [\"*\"]\n    bind: null\n    port: {number: 80, name: http, protocol: HTTP}\n  selector: {x: z}\nstatus: {any: thing}\n",
    );
    let other = one(&plain.text().replace("number: 80", "number: 81"));

    assert_eq!(plain.digest(), same.digest());
    assert_ne!(plain.digest(), other.digest());
}

#[test]
fn places_of_paths_follow_what_is_written() {
    let text =
        virtual_service("match:\n- headers:\n    end.user: {exact: j}\nroute:\n- destination: {host: a}");
    let resource = one(&format!("{SERVICE}---\n{text}").replace(SERVICE, "# nothing\n"));

    let at = |path: &str| {
        let place = resource.place(path);
        (place.line, place.column)
    };

    assert_eq!(at(""), (3, 1));
    assert_eq!(at("hosts[0]"), (7, 11));
    assert_eq!(at("http[0]"), (9, 5));
    assert_eq!(at("http[0].match[0].headers[end.user]"), (11, 9));
    assert_eq!(at("http[0].route[0].destination.host"), (13, 21));
    assert_eq!(at("http[0].timeout.x"), (9, 5));
}

#[test]
fn what_a_user_wrote_is_kept_as_text() {
    let text = format!("---\n# about one\n{SERVICE}# after\n---\n{}...\n", SERVICE.replace("one", "two"));

    let parsed = parse("f", text.as_bytes());

    assert_eq!(parsed.resources[0].text(), format!("# about one\n{SERVICE}# after\n"));
    assert_eq!(parsed.resources[1].text(), SERVICE.replace("one", "two"));
}

#[test]
fn yaml_and_json_of_an_object_read_back_as_the_same() {
    let text = virtual_service(
        "name: \"yes\"\nmatch: [{headers: {\"a: b\": {exact: '8080'}, x: {}}, uri: {regex: \"\\\\d+ #\\t\\u00e9\"}}]\nroute: [{destination: {host: a}, headers: {request: {set: {w: '', z: \"- a\"}}}}]",
    );
    let text = text.replace("\"a: b\"", "a-b");
    let resource = one(&text);

    assert_eq!(one(&resource.to_yaml()).digest(), resource.digest());
    assert_eq!(one(&resource.to_json().to_string()).digest(), resource.digest());
    assert_eq!(resource.to_json()["metadata"]["namespace"], "default");
}

#[test]
fn other_kinds_are_skipped_by_name() {
    let text = "apiVersion: apps/v1\nkind: Deployment\n---\napiVersion: example.com/v1\nkind: Thing\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n---\napiVersion: networking.istio.io/v1\nkind: EnvoyFilter\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n";

    let parsed = parse("f", text.as_bytes());

    let codes: Vec<_> = parsed.issues.iter().map(|issue| (issue.severity, issue.code.as_str())).collect();
    assert_eq!(
        codes,
        [
            (Warning, "skipped-kind"),
            (Warning, "unknown-kind"),
            (Error, "refused-kind"),
            (Warning, "unknown-kind"),
            (Warning, "unknown-kind")
        ]
    );
    assert!(parsed.issues[2].message.contains("AuthorizationPolicy"));
}

#[test]
fn a_misspelt_kind_or_version_is_an_error() {
    for (from, to, code) in [
        ("kind: DestinationRule", "kind: Destinationrule", "unknown-kind"),
        ("io/v1\n", "io/v1alpha1\n", "unknown-version"),
        ("kind: DestinationRule", "Kind: DestinationRule", "missing-field"),
    ] {
        let text = rule("subsets: []").replace(from, to);

        assert_eq!(parse("f", text.as_bytes()).issues[0].code, code, "{text}");
    }
}

#[test]
fn yaml_1_1_booleans_and_numbers_are_not_text() {
    let text = SERVICE.replace("{name: one}", "{name: one, labels: {a: yes, b: 1.0, c: \"no\", d: 1.2.3}}");

    assert_eq!(
        findings(&text),
        [
            finding(Error, "wrong-type", 3, 35, "metadata.labels.a"),
            finding(Error, "wrong-type", 3, 43, "metadata.labels.b"),
        ]
    );
    assert_eq!(findings(&SERVICE.replace("80", "'80'"))[0].1, "wrong-type");
    assert_eq!(findings(&SERVICE.replace("80", "0x50")), []);
}

#[test]
fn the_same_object_twice_in_one_file_is_an_error_and_the_first_counts() {
    let text = format!("{SERVICE}---\n{}", SERVICE.replace("80", "81"));

    let parsed = parse("f", text.as_bytes());

    assert_eq!(parsed.issues[0].code, "duplicate-object");
    assert_eq!(names(&parsed), ["one"]);
    assert_eq!(parsed.refused, []);
}

#[test]
fn hostile_files_are_refused_by_name_and_place() {
    let large = vec![b'#'; MAX_BYTES + 1];
    let deep = "[".repeat(100_000);
    let deep_block: String = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let alias = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    let long_text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(1000));
    for (bytes, code, line) in [
        (large.as_slice(), "too-large", 0),
        (deep.as_bytes(), "bad-yaml", 1),
        (deep_block.as_bytes(), "too-deep", 101),
        (bomb.as_bytes(), "too-large", 7),
        (long_text.as_bytes(), "too-large", 2),
        (b"a: b\nc: \xff\xfe\n", "not-utf8", 2),
        (b"a: b\nc: \0d\n", "control-character", 2),
        (b"a: *b\n", "bad-yaml", 1),
        (b"a: &a [*a]\n", "bad-alias", 1),
        (b"a: !include x\n", "bad-tag", 1),
        (b"? [a]\n: b\n", "bad-key", 1),
        (b"just text\n", "wrong-type", 1),
        (b"- a\n", "wrong-type", 1),
    ] {
        let parsed = parse("f", bytes);

        let found = parsed.issues.first().map(|issue| (issue.code.as_str(), issue.place.line));
        assert_eq!(found, Some((code, line)), "{:?}", parsed.issues);
    }
}

#[test]
fn text_that_is_not_utf8_spoils_its_own_document_only() {
    let bytes =
        [SERVICE.as_bytes(), b"---\na: \xff\n---\n", SERVICE.replace("one", "two").as_bytes()].concat();

    let parsed = parse("f", &bytes);

    assert_eq!(names(&parsed), ["one", "two"]);
    assert_eq!((parsed.issues[0].place.line, parsed.issues[0].place.column), (6, 4));
}

#[test]
fn findings_beyond_measure_are_counted() {
    let unknown: String = (0..2000).map(|i| format!("field{i}: 1\n")).collect();

    let issues = parse("f", format!("{SERVICE}{unknown}").as_bytes()).issues;

    assert_eq!(issues.len(), 1001);
    assert!(issues[1000].message.starts_with("1000 more"));
}

#[test]
fn anchors_and_merges_are_resolved() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: one}\nspec:\n  ports:\n  - &p {name: a, port: 80, protocol: TCP}\n  - {<<: *p, name: b, port: 81}\n";

    let Resource::Service(service) = one(text) else { panic!("a Service") };

    assert_eq!(service.ports[1].name, "b");
    assert_eq!(service.ports[1].number, 81);
}

#[test]
fn a_virtual_service_is_read_whole() {
    let text = virtual_service(
        "name: main\nmatch:\n- uri: {prefix: /a}\n  headers: {end-user: {exact: jason}, x: {}, z: {regex: '*'}}\n  gateways: [mesh, other/gw]\n  sourceLabels: {app: p}\n  port: 80\nrewrite: {uri: /b}\ntimeout: 0s\nretries: {attempts: 2, perTryTimeout: 250ms, retryOn: '5xx,503'}\nfault: {delay: {fixedDelay: 7s, percentage: {value: 12.5}}, abort: {httpStatus: 500, percentage: {value: 100}}}\nroute:\n- destination: {host: a, subset: v1, port: {number: 9080}}\n  weight: 1\n- destination: {host: b}\n  weight: 3",
    );

    let Resource::VirtualService(service) = one(&text) else { panic!("a VirtualService") };

    assert_eq!(service.gateways, [GatewayRef::Mesh]);
    let route = &service.http[0];
    let condition = &route.matches[0];
    assert_eq!(condition.uri, Some(StringMatch::Prefix("/a".into())));
    assert_eq!(condition.headers["x"], ValueMatch::Present);
    assert_eq!(condition.headers["z"], ValueMatch::Present);
    assert_eq!(condition.headers["end-user"], ValueMatch::Value(StringMatch::Exact("jason".into())));
    assert_eq!(condition.gateways[1], GatewayRef::Named { namespace: "other".into(), name: "gw".into() });
    assert_eq!(route.timeout, Some(std::time::Duration::ZERO));
    assert_eq!(route.fault.delay.as_ref().unwrap().percentage, 12.5);
    let HttpAction::Forward(destinations) = &route.action else { panic!("forwards") };
    assert_eq!(destinations.iter().map(|d| d.weight).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(destinations[0].destination.port, Some(9080));
}

#[test]
fn regular_expressions_are_bounded() {
    let regex = |text: &str| {
        virtual_service(&format!(
            "match: [{{uri: {{regex: '{text}'}}}}]\nroute: [{{destination: {{host: a}}}}]"
        ))
    };

    for bad in ["(", "a{1000}{1000}{1000}", "(?=look)", r"(a)\1"] {
        assert_eq!(findings(&regex(bad))[0].1, "wrong-value", "{bad}");
    }
    assert_eq!(findings(&regex("/a/.*")), []);
}

#[test]
fn a_set_is_ordered_and_a_clone_keeps_what_it_had() {
    let mut set: ResourceSet = ["b", "a"].iter().map(|name| one(&SERVICE.replace("one", name))).collect();
    let before = set.clone();
    let key = Key::new(Kind::Service, "default", "a");

    assert!(set.remove(&key).is_some());
    assert!(set.remove(&key).is_none());

    assert_eq!(before.services().map(|s| s.meta().name.to_string()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((set.len(), before.len()), (1, 2));
    assert!(before.get(&key).is_some() && set.get(&key).is_none());
    assert_eq!(set.iter().count(), 1);
}

/// An object of every kind that is not garbled elsewhere.
const POLICIES: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec:
  host: a
  trafficPolicy:
    loadBalancer: {consistentHash: {httpCookie: {name: u, ttl: 0s}, maglev: {tableSize: 65537}}, warmup: {duration: 1s, aggression: 1.5}}
    connectionPool: {tcp: {maxConnections: 1, connectTimeout: 1s}, http: {http2KeepAlive: {interval: 1s, timeout: 1s}}}
    outlierDetection: {consecutive5xxErrors: 1, outlierDetectionHttpErrorCodes: [503]}
    portLevelSettings: [{port: {number: 80}, tls: {mode: MUTUAL, credentialName: c}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: a}
spec: {servers: [{port: {number: 443, name: a, protocol: HTTPS}, hosts: [./a.b], tls: {mode: SIMPLE, credentialName: c, cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256]}}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: a}
spec: {egress: [{hosts: ['~x/*', ./a.b]}], ingress: [{port: {number: 1, name: a, protocol: TCP}, defaultEndpoint: '[::1]:1'}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [a.b], tls: [{match: [{sniHosts: [a.b], destinationSubnets: [10.0.0.0/8]}], route: [{destination: {host: a}}]}], http: [{delegate: {name: a}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: a}
data: {tls.key: LS0t, ca.crt: '='}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio}
data: {mesh: 'connectTimeout: 1s'}
";

proptest! {
    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        parse("f", &bytes);
    }

    #[test]
    fn yaml_like_text_never_panics(text in "(---|\\.\\.\\.|<<: |kind: |[-:{}\\[\\]#&*!|>'\"%@?,a-c0-9~ \n\r\t]|é){0,120}") {
        parse("f", text.as_bytes());
    }

    #[test]
    fn truncated_and_garbled_policies_never_panic(cut in 0usize..1900, at in 0usize..1900, byte in any::<u8>()) {
        let mut bytes = POLICIES.as_bytes().to_vec();
        bytes.truncate(bytes.len().saturating_sub(cut % bytes.len()));
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte;
        }
        for issue in parse("f", &bytes).issues {
            prop_assert!(!issue.message.is_empty());
        }
        crate::MeshConfig::parse("f", &bytes);
    }

    #[test]
    fn truncated_and_garbled_objects_never_panic(cut in 0usize..1500, at in 0usize..1500, byte in any::<u8>()) {
        let text = virtual_service("match:\n- {uri: {regex: 'a.*'}, headers: {a: {exact: b}}}\nroute:\n- {destination: {host: a, port: {number: 80}}, weight: 100}\nretries: {attempts: 3, retryOn: 5xx}\nfault: {delay: {fixedDelay: 7s}}\ncorsPolicy: {allowOrigins: [{exact: a}], maxAge: 1s}");
        let text = format!("{SERVICE}---\n{}---\n{text}", rule("trafficPolicy: {loadBalancer: {simple: RANDOM}}\nsubsets: [{name: v1, labels: {a: b}}]"));
        let mut bytes = text.into_bytes();
        bytes.truncate(bytes.len().saturating_sub(cut % bytes.len()));
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte;
        }
        let parsed = parse("f", &bytes);
        for issue in &parsed.issues {
            prop_assert!(!issue.message.is_empty());
        }
        for resource in &parsed.resources {
            let again = parse("f", resource.to_yaml().as_bytes());
            prop_assert_eq!(again.resources.first().map(Resource::digest), Some(resource.digest()), "{}", resource.to_yaml());
        }
    }
}

#[test]
fn the_file_that_weft_up_runs_is_no_object_and_no_mistake() {
    let parsed =
        parse("mesh.yaml", b"apiVersion: weft/v1alpha1\nkind: Mesh\nmetadata: {name: shop}\nspec: {}\n");

    assert!(parsed.resources.is_empty());
    assert_eq!(parsed.issues, []);
}
