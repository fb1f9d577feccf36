//! Every page against what a real istiod answered: the same keys, the same types.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a skipped test must be seen to be skipped")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::tests::scene::{self, Mood, Scene, virtual_service};

/// What a recorded value may be, of all values seen in its place.
#[derive(Debug, Default)]
struct Shape {
    /// The JSON types seen, null left out.
    types: Vec<&'static str>,
    /// Of an object its fields; of a map, under the one key `*`, its values.
    fields: BTreeMap<String, Shape>,
    items: Option<Box<Shape>>,
}

/// Objects whose keys are names users chose, by the key they stand under.
const MAPS: [&str; 15] = [
    "Addresses",
    "ExportTo",
    "LABELS",
    "LabelSelectors",
    "Labels",
    "ServiceAccounts",
    "Shards",
    "annotations",
    "hosts",
    "labels",
    "metadata of a node",
    "proxies",
    "resources",
    "spec",
    "watches",
];

impl Shape {
    fn of(key: &str, value: &Value) -> Shape {
        let mut shape = Shape::default();
        shape.see(key, value);
        shape
    }

    fn see(&mut self, key: &str, value: &Value) {
        let ty = type_of(value);
        if ty != "null" && !self.types.contains(&ty) {
            self.types.push(ty);
        }
        match value {
            Value::Array(items) => {
                let shape = self.items.get_or_insert_default();
                items.iter().for_each(|item| shape.see("", item));
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let place = if MAPS.contains(&key) { "*" } else { name.as_str() };
                    self.fields.entry(place.to_owned()).or_default().see(place, field);
                }
            }
            _ => {}
        }
    }

    /// Notes every place where a value of ours is not what theirs are.
    fn compare(&self, path: &str, key: &str, ours: &Value, faults: &mut Vec<String>) {
        let ty = type_of(ours);
        // Go writes absent maps and lists as null; where only null was seen, nothing is known.
        if ty == "null" || self.types.is_empty() {
            return;
        }
        if !self.types.contains(&ty) {
            faults.push(format!("{path} is a {ty}, istiod's a {:?}", self.types));
        }
        match ours {
            Value::Array(items) => {
                for item in items {
                    if let Some(shape) = &self.items {
                        shape.compare(&format!("{path}[]"), "", item, faults);
                    }
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let place = if MAPS.contains(&key) { "*" } else { name.as_str() };
                    match self.fields.get(place) {
                        Some(shape) => shape.compare(&format!("{path}.{place}"), place, field, faults),
                        None if key == "spec" || path.contains(".spec") => {}
                        None => faults.push(format!("{path}.{name} is no key of istiod's")),
                    }
                }
            }
            _ => {}
        }
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "list",
        Value::Bool(_) => "boolean",
        Value::Null => "null",
        Value::Number(_) => "number",
        Value::Object(_) => "object",
        Value::String(_) => "text",
    }
}

fn recordings() -> Option<PathBuf> {
    Some(testkit::suites()?.join("istiod/debug"))
}

/// A mesh with a service, routes and one proxy that has everything.
async fn pages(names: &[&str]) -> BTreeMap<String, Value> {
    let scene =
        Scene::start(&[("all.yaml", &scene::mesh()), ("vs.yaml", &virtual_service("reviews", "v1"))]).await;
    let _proxy = scene.connect(Mood::Content).await;
    let mut pages = BTreeMap::new();
    for name in names {
        let answer = scene.fetch(&format!("/debug/{name}")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{name}: {answer}");
        let name = name.split('?').next().unwrap();
        pages.insert(name.to_owned(), serde_json::from_str(body).unwrap());
    }
    scene.stop().await;
    pages
}

/// The keys istiod has and we have not, where there is nothing to say: a directory keeps no book of versions.
const LEFT_OUT: [&str; 3] = ["generation", "uid", "creationTimestamp"];

#[tokio::test]
async fn every_page_has_istiods_keys_and_types() {
    let Some(recordings) = recordings() else { return };
    let names = ["adsz", "configz", "connections", "endpointz", "instancesz", "registryz", "syncz"];
    for (name, ours) in pages(&names).await {
        let file = recordings.join(format!("{name}.json"));
        let theirs: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        // Of these two the top level is a map, of hosts and namespaces or of proxies.
        let top = match name.as_str() {
            "endpointz" => "hosts",
            "instancesz" => "proxies",
            _ => "",
        };
        let (ours, theirs) = (flat(&name, ours), flat(&name, theirs));
        let mut faults = Vec::new();
        Shape::of(top, &theirs).compare(&name, top, &ours, &mut faults);
        // None of the recorded objects happens to have labels.
        faults.retain(|fault| !fault.starts_with("configz[].metadata.labels "));
        assert_eq!(faults, Vec::<String>::new());
        let missing = missing(&first(&theirs), &first(&ours));
        assert_eq!(missing, Vec::<String>::new(), "{name}");
    }
}

/// What is a map below the top is brought to the top; node metadata is whatever a node says.
fn flat(name: &str, mut page: Value) -> Value {
    match name {
        "endpointz" => {
            let hosts = page.as_object().unwrap().iter();
            hosts
                .map(|(host, namespaces)| (host.clone(), first(namespaces)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        "adsz" => {
            for client in page["clients"].as_array_mut().unwrap() {
                client["metadata"] = Value::Object(Default::default());
            }
            page
        }
        _ => page,
    }
}

/// The first of a list or a map, however deep.
fn first(page: &Value) -> Value {
    match page {
        Value::Array(items) => items.first().cloned().unwrap_or_default(),
        Value::Object(fields) if fields.contains_key("clients") => first(&fields["clients"]),
        Value::Object(fields) if fields.values().all(|field| field.is_object() || field.is_array()) => fields
            .values()
            .next()
            .map(|value| if value.is_array() { first(value) } else { value.clone() })
            .unwrap_or_default(),
        _ => page.clone(),
    }
}

/// The keys of one object, and of the objects in it, that another lacks.
fn missing(theirs: &Value, ours: &Value) -> Vec<String> {
    let (Value::Object(theirs), Value::Object(ours)) = (theirs, ours) else { return Vec::new() };
    let absent = theirs.keys().filter(|key| !ours.contains_key(*key) && !LEFT_OUT.contains(&key.as_str()));
    let mut missing: Vec<String> = absent.cloned().collect();
    for key in ["Attributes", "Service", "Port", "metadata"] {
        if let (Some(theirs), Some(ours)) = (theirs.get(key), ours.get(key))
            && key != "metadata"
        {
            missing.extend(self::missing(theirs, ours));
        }
    }
    missing
}

#[tokio::test]
async fn the_dump_of_a_proxy_has_istiods_parts_in_their_order() {
    let Some(recordings) = recordings() else { return };
    let theirs = std::fs::read_to_string(recordings.join("config_dump.json")).unwrap();
    let theirs: Value = serde_json::from_str(&theirs).unwrap();

    let ours = pages(&["config_dump?proxyID=reviews-v1.default"]).await.remove("config_dump").unwrap();

    let types = |dump: &Value| -> Vec<String> {
        dump["configs"].as_array().unwrap().iter().map(|part| part["@type"].to_string()).collect()
    };
    assert_eq!(types(&ours), types(&theirs));
    for (part, list) in [(1, "dynamicActiveClusters"), (2, "dynamicListeners"), (4, "dynamicRouteConfigs")] {
        let keys = |dump: &Value| -> Vec<String> {
            dump["configs"][part][list][0].as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(keys(&ours), keys(&theirs), "{list}");
    }
    let listener = &ours["configs"][2]["dynamicListeners"][0]["activeState"]["listener"];
    assert!(listener["filterChains"].is_array(), "{listener}");
}

#[tokio::test]
async fn the_settings_in_force_are_shown_under_meshconfigs_names() {
    let Some(recordings) = recordings() else { return };
    let theirs: Value =
        serde_json::from_str(&std::fs::read_to_string(recordings.join("mesh.json")).unwrap()).unwrap();

    let ours = pages(&["mesh"]).await.remove("mesh").unwrap();

    let unwritten = [
        "proxyHttpPort",
        "ingressSelector",
        "accessLogFormat",
        "accessLogEncoding",
        "pathNormalization",
        "mode",
    ];
    let mut faults = Vec::new();
    Shape::of("", &theirs).compare("mesh", "", &ours, &mut faults);
    faults.retain(|fault| !unwritten.iter().any(|key| fault.contains(&format!(".{key} is no key"))));
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(ours["outboundTrafficPolicy"]["mode"], "ALLOW_ANY");
}

#[tokio::test]
async fn pages_that_do_not_exist_and_proxies_nobody_knows_are_told() {
    let scene = Scene::start(&[]).await;

    let index = scene.fetch("/debug").await;
    let none = scene.fetch("/debug/none").await;
    let unnamed = scene.fetch("/debug/config_dump").await;
    let unknown = scene.fetch("/debug/config_dump?proxyID=x.y").await;

    assert!(index.contains("/debug/syncz") && index.contains("/debug/config_dump"), "{index}");
    assert!(none.starts_with("HTTP/1.1 404 ") && none.contains("/debug/syncz"), "{none}");
    assert!(unnamed.starts_with("HTTP/1.1 400 ") && unnamed.contains("proxyID"), "{unnamed}");
    assert!(unknown.starts_with("HTTP/1.1 404 ") && unknown.contains("not connected"), "{unknown}");
    scene.stop().await;
}

#[tokio::test]
async fn no_secret_is_on_any_page() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: web, namespace: istio-system}\ntype: kubernetes.io/tls\nstringData: {tls.key: UNSPEAKABLE, tls.crt: UNSPEAKABLE}\n";
    let scene = Scene::start(&[("all.yaml", &scene::mesh()), ("secret.yaml", secret)]).await;
    let _proxy = scene.connect(Mood::Content).await;

    for (name, _) in super::PAGES {
        let answer = scene.fetch(&format!("/debug/{name}?proxyID=reviews-v1.default")).await;

        assert!(!answer.contains("UNSPEAKABLE") && !answer.contains("VU5TUEVBS0FCTEU"), "{name}: {answer}");
    }
    scene.stop().await;
}
