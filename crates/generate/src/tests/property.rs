//! Files that are cut short, tampered with, or no model at all.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{Mode, Options, Read, Topping, generate, merge, mermaid, read};

/// A model with one of everything.
fn everything() -> Value {
    let sticker = |kind: &str, id: &str, name: &str, x: i64| {
        json!({
            "_type": format!("org.uengine.modeling.model.{kind}"), "id": id, "name": name, "displayName": "",
            "elementView": {"id": id, "x": x, "y": 100, "width": 100, "height": 100, "style": "{}"},
            "boundedContext": {"id": ""}, "aggregate": {"id": "aggregate"}, "isRestRepository": false,
            "controllerInfo": {"method": "PUT", "apiPath": "done"}, "restRepositoryInfo": {"method": "POST"},
            "dataProjection": "query-for-aggregate", "queryOption": {"apiPath": "x", "useDefaultUri": false},
            "fieldDescriptors": [{"name": "id", "className": "Long", "isKey": true}],
            "aggregateRoot": {"fieldDescriptors": [{"name": "id", "className": "Long", "isKey": true}]},
        })
    };
    let line =
        |from: &str, to: &str| json!({"from": from, "to": to, "circuitBreaker": true, "sourceElement": null});
    json!({
        "projectName": "Shop 1",
        "elements": {
            "one": sticker("BoundedContext", "one", "주문", 100), "two": sticker("BoundedContext", "two", "Two", 500),
            "aggregate": sticker("Aggregate", "aggregate", "Order", 100), "command": sticker("Command", "command", "Place", 110),
            "event": sticker("Event", "event", "Placed", 120), "policy": sticker("Policy", "policy", "React", 500),
            "view": sticker("View", "view", "Stock", 510), "external": sticker("External", "external", "Pay", 900),
            "pack": sticker("PBC", "pack", "Pack", 900), "actor": sticker("Actor", "actor", "user", 90),
        },
        "relations": {
            "1": line("event", "policy"), "2": line("command", "view"), "3": line("policy", "command"),
            "4": line("command", "external"), "5": line("gone", "pack"),
        },
        "k8sValue": {"elements": {"k": {"_type": "VirtualService", "name": "order", "object": {
            "apiVersion": "networking.istio.io/v1alpha3", "kind": "VirtualService", "metadata": {"name": "order"},
            "spec": {"hosts": ["*"], "gateways": ["gw"], "http": [{"route": [
                {"destination": {"host": "jumun", "subset": "v1"}, "weight": 70},
                {"destination": {"host": "other"}, "weight": 20}]}]},
        }}}, "relations": {}},
        "toppingPlatforms": ["istio", 7, null, "https://example.com/topping-x"],
        "scm": {"org": "o", "repo": "r", "tag": "v3"},
    })
}

/// Everything that can be done with a file.
fn use_up(bytes: &[u8]) -> Read {
    let read = read("model.json", bytes);
    if let Some(model) = &read.model {
        mermaid(model);
        let mut texts = Vec::new();
        for mode in [Mode::Clean, Mode::Msaez] {
            for topping in [Topping::ArgoRollouts, Topping::Ingress, Topping::Istio] {
                texts.push(generate(model, Options { mode, topping }).to_yaml());
            }
        }
        for pair in texts.windows(2) {
            let _ = merge(&pair[0], &pair[1], &texts[0]);
        }
        let again = crate::read("model.yaml", model.to_yaml().as_bytes());
        assert!(again.model.is_some() || !again.issues.is_empty());
    } else {
        assert!(!read.issues.is_empty(), "nothing is said of {:?}", String::from_utf8_lossy(bytes));
    }
    read
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~가-힣]{0,12}".prop_map(Value::from),
        Just(json!("gone")),
        Just(json!({"id": "two"})),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[a-z]{1,8}", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// The pointers of everything below a value.
fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    let entries: Vec<(String, &Value)> = match value {
        Value::Array(items) => {
            items.iter().enumerate().map(|(place, item)| (place.to_string(), item)).collect()
        }
        Value::Object(map) => map.iter().map(|(key, item)| (key.clone(), item)).collect(),
        _ => Vec::new(),
    };
    for (key, item) in entries {
        pointers(item, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), out);
    }
}

#[test]
fn the_model_of_these_tests_is_whole() {
    let read = use_up(everything().to_string().as_bytes());

    let model = read.model.unwrap();
    assert_eq!(model.contexts.len(), 2);
    assert_eq!((model.calls.len(), model.externals.len(), model.objects.len()), (3, 2, 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files_cut_short_are_refused_by_name(part in 0.0..1.0_f64) {
        let text = everything().to_string();
        let end = (text.len() as f64 * part) as usize;
        let read = use_up(&text.as_bytes()[..end]);

        prop_assert!(read.model.is_none());
    }

    #[test]
    fn fields_of_any_value_never_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any_json()), 1..6)) {
        let mut model = everything();
        for (place, value) in changes {
            let mut all = Vec::new();
            pointers(&model, "", &mut all);
            if let Some(field) = model.pointer_mut(place.get::<String>(&all).as_str()) {
                *field = value;
            }
        }
        use_up(model.to_string().as_bytes());
    }

    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        use_up(&bytes);
    }

    #[test]
    fn any_document_is_taken(text in "(apiVersion: weft/v1alpha1\nkind: DomainModel\n)?[ -~\n]{0,80}") {
        use_up(text.as_bytes());
    }

    #[test]
    fn merging_any_texts_never_panics(texts in proptest::array::uniform3("(kind: A\n|metadata: \\{name: a\\}\n|---\n|spec: [a-z{}\\[\\]:, ]{0,9}\n|# x\n|- 1\n){0,8}")) {
        let _ = merge(&texts[0], &texts[1], &texts[2]);
    }
}

#[test]
fn a_large_picture_costs_nothing() {
    let mut text = everything().to_string();
    let picture = "A".repeat(50 << 20);
    text.truncate(text.len() - 1);
    text.push_str(&format!(",\"img\":\"data:image/png;base64,{picture}\"}}"));

    assert_eq!(use_up(text.as_bytes()).model, read("model.json", everything().to_string().as_bytes()).model);
}

#[test]
fn bad_input_is_told_by_what_is_wrong_with_it() {
    let told =
        |bytes: &[u8]| read("x", bytes).issues.iter().map(|issue| issue.code.clone()).collect::<Vec<_>>();

    assert_eq!(told(b""), ["not-a-model"]);
    assert_eq!(told(b"{}"), ["not-a-model"]);
    assert_eq!(told(b"[1]"), ["not-a-model"]);
    assert_eq!(told(b"{\"elements\": {\"a\""), ["bad-json"]);
    assert_eq!(told(b"{\"elements\": {}}"), ["empty-model"]);
    assert_eq!(told(b"\xff\xfe"), ["not-utf8"]);
    assert_eq!(told(b"kind: DomainModel\nproject: x\n"), ["wrong-version"]);
    assert_eq!(
        told(b"apiVersion: weft/v1alpha1\nkind: DomainModel\nproject: x\ncontext: []\n"),
        ["bad-model"]
    );
    let document = "apiVersion: weft/v1alpha1\nkind: DomainModel\nproject: x\ncontexts: [{name: A}, {name: b}, {name: b}]\ncalls: [{from: b, to: c, kind: sync}]\n";
    assert_eq!(told(document.as_bytes()), ["name-not-dns1123", "name-duplicate", "unknown-context"]);
    let deep = format!("{}{}", "{\"elements\":".repeat(500), "}".repeat(500));
    assert_eq!(told(deep.as_bytes()), ["bad-json"]);
}
