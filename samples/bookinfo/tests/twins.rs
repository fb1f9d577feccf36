//! The files under `networking` mean what Istio's own files of the same names mean.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Istio's files; where there are none, that is said.
fn official() -> Option<PathBuf> {
    testkit::suites().map(|suites| suites.join("samples/bookinfo"))
}

fn ours() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// What a file means: by object, its spec; and by object what is refused, with its reasons.
#[derive(Debug, Default, PartialEq)]
struct Meaning {
    specs: BTreeMap<String, Value>,
    refused: BTreeMap<String, Vec<String>>,
}

fn meaning(path: &Path) -> Meaning {
    let parsed = api::parse(&path.file_name().unwrap().display().to_string(), &std::fs::read(path).unwrap());
    let specs = parsed
        .resources
        .iter()
        .map(|resource| (resource.key().to_string(), resource.to_json()["spec"].clone()));
    let specs = specs.map(|(key, spec)| (key, plain(spec))).collect();
    let mut refused: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for issue in parsed.issues {
        refused.entry(issue.object).or_default().push(format!("{} {}", issue.code, issue.path));
    }
    refused.values_mut().for_each(|reasons| reasons.sort());
    Meaning { specs, refused }
}

/// 100 and 100.0 are one number.
fn plain(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, plain(value))).collect(),
        Value::Number(number) => number.as_f64().map_or(Value::Number(number), Value::from),
        other => other,
    }
}

fn names(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    names.sort();
    names
}

#[test]
fn every_file_means_what_its_official_twin_means() {
    let Some(official) = official() else { return };

    let twins = names(&official.join("networking"));

    assert_eq!(twins.len(), names(&ours().join("networking")).len());
    for twin in twins {
        let name = twin.file_name().unwrap();
        let ours = meaning(&ours().join("networking").join(name));
        assert_eq!(ours, meaning(&twin), "{}", name.display());
        assert!(!ours.specs.is_empty() || !ours.refused.is_empty(), "{}", name.display());
    }
}

#[test]
fn the_services_are_those_of_the_official_platform_file() {
    let Some(official) = official() else { return };
    let services = |path: PathBuf| -> BTreeMap<String, Value> {
        meaning(&path).specs.into_iter().filter(|(key, _)| key.starts_with("Service/")).collect()
    };

    let ours = services(ours().join("platform/bookinfo.yaml"));

    assert_eq!(ours, services(official.join("platform/kube/bookinfo.yaml")));
    assert_eq!(ours.len(), 4);
}

#[test]
fn what_the_demo_needs_is_accepted_without_a_complaint() {
    let files = [
        "networking/bookinfo-gateway.yaml",
        "networking/destination-rule-all.yaml",
        "networking/virtual-service-all-v1.yaml",
        "networking/virtual-service-ratings-test-abort.yaml",
        "networking/virtual-service-ratings-test-delay.yaml",
        "networking/virtual-service-reviews-50-v3.yaml",
        "networking/virtual-service-reviews-test-v2.yaml",
        "platform/bookinfo.yaml",
    ];

    for file in files {
        let found = meaning(&ours().join(file));

        assert_eq!(found.refused, BTreeMap::new(), "{file}");
        assert!(!found.specs.is_empty(), "{file}");
    }
}
