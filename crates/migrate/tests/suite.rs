//! The official converter's own cases, Bookinfo's documents of both ages, and documents to accept or refuse.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

use std::fs;
use std::path::PathBuf;

use base::Severity;
use migrate::{Converted, Mode, convert};
use serde_json::{Map, Value, json};

fn suite() -> Option<PathBuf> {
    Some(testkit::suites()?.join("legacy"))
}

fn cases(name: &str) -> Option<Vec<Value>> {
    let text = fs::read_to_string(suite()?.join(name)).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty());
    Some(cases)
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

fn convert_files(files: &[&str], mode: Mode) -> Converted {
    let folder = suite().unwrap();
    let contents: Vec<_> = files.iter().map(|file| (*file, fs::read(folder.join(file)).unwrap())).collect();
    convert(&contents, mode)
}

fn documents(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(suite().unwrap().join(file)).unwrap();
    serde_saphyr::from_multiple::<Value>(&text)
        .unwrap()
        .into_iter()
        .filter(|value| !value.is_null())
        .collect()
}

fn errors(converted: &Converted) -> Vec<String> {
    let errors = converted.issues.iter().filter(|issue| issue.severity == Severity::Error);
    errors.map(ToString::to_string).collect()
}

#[test]
fn compatible_output_is_the_official_converters() {
    let Some(cases) = cases("convert.json") else { return };
    for case in cases {
        let converted = convert_files(&texts(&case["inputs"]), Mode::Compat);

        let written: Vec<Value> = serde_saphyr::from_multiple(&converted.to_yaml()).unwrap();
        assert_eq!(written, documents(case["golden"].as_str().unwrap()), "{}", case["id"]);
        assert_eq!(errors(&converted), Vec::<String>::new(), "{}", case["id"]);
    }
}

#[test]
fn bookinfo_means_what_its_hand_written_twins_mean() {
    let Some(cases) = cases("bookinfo.json") else { return };
    for case in cases {
        let converted = convert_files(&texts(&case["inputs"]), Mode::Modern);
        let ours: Vec<Value> = converted.documents.iter().map(migrate::Document::to_json).collect();
        let twins: Vec<Value> = texts(&case["twins"]).into_iter().flat_map(documents).collect();

        for host in texts(&case["compareHosts"]) {
            assert_eq!(meaning(&ours, host), meaning(&twins, host), "{} {host}", case["id"]);
            assert_ne!(meaning(&ours, host), json!({}), "{} {host}", case["id"]);
        }
        assert_eq!(errors(&converted), Vec::<String>::new(), "{}", case["id"]);
    }
}

#[test]
fn documents_are_accepted_or_refused() {
    let Some(cases) = cases("documents.json") else { return };
    for case in cases {
        let (id, file) = (&case["id"], case["file"].as_str().unwrap());
        let converted = convert_files(&[file], Mode::Modern);

        if case["expect"] == "error" {
            assert!(!errors(&converted).is_empty() && converted.documents.is_empty(), "{id}");
            continue;
        }
        assert_eq!(errors(&converted), Vec::<String>::new(), "{id}");
        assert!(!converted.documents.is_empty(), "{id}");
        if let Some(same) = case["sameAs"].as_str() {
            let other = convert_files(&[&format!("bookinfo/legacy/{same}.yaml")], Mode::Modern);
            assert_eq!(without_domains(&converted), without_domains(&other), "{id}");
        }
    }
}

#[test]
fn every_document_is_one_that_is_accepted_today() {
    let Some(folder) = suite() else { return };
    let mut files = Vec::new();
    for name in ["convert.json", "bookinfo.json", "documents.json"] {
        for case in cases(name).unwrap() {
            files.push(case.get("inputs").cloned().unwrap_or_else(|| json!([case["file"]])));
        }
    }
    for inputs in files {
        let converted = convert_files(&texts(&inputs), Mode::Modern);

        let refused =
            |issue: &base::Issue| issue.severity == Severity::Error && issue.code != "refused-field";
        let parsed = api::parse("out", converted.to_yaml().as_bytes());
        let wrong: Vec<_> = parsed.issues.iter().filter(|issue| refused(issue)).collect();
        assert_eq!(wrong, Vec::<&base::Issue>::new(), "{}: {inputs}", folder.display());
    }
}

/// What documents say about a host: its ordered routes, its policy, and how it may be called outside the mesh.
fn meaning(documents: &[Value], host: &str) -> Value {
    let mut meaning = Map::new();
    for document in documents {
        let spec = &document["spec"];
        match document["kind"].as_str().unwrap() {
            "VirtualService" if texts(&spec["hosts"]).contains(&host) => {
                let routes = spec["http"].as_array().unwrap().iter().map(|route| {
                    let targets = route["route"].as_array().unwrap();
                    let shares: Vec<Value> =
                        targets.iter().map(|target| share(documents, target, targets.len())).collect();
                    json!({"match": route["match"], "fault": route["fault"], "shares": shares})
                });
                meaning.insert("routes".into(), routes.collect());
            }
            "DestinationRule" if spec["host"] == host && !spec["trafficPolicy"].is_null() => {
                meaning.insert("policy".into(), spec["trafficPolicy"].clone());
            }
            "ServiceEntry" if texts(&spec["hosts"]).contains(&host) => {
                let port = |port: &Value| {
                    json!([port["number"], port["protocol"].as_str().unwrap().to_ascii_lowercase()])
                };
                meaning.insert("ports".into(), spec["ports"].as_array().unwrap().iter().map(port).collect());
            }
            _ => {}
        }
    }
    meaning.into()
}

fn share(documents: &[Value], target: &Value, targets: usize) -> Value {
    let destination = &target["destination"];
    let of_host = documents.iter().find(|document| {
        document["kind"] == "DestinationRule" && document["spec"]["host"] == destination["host"]
    });
    let subsets = of_host.map(|document| document["spec"]["subsets"].clone()).unwrap_or_default();
    let subset =
        subsets.as_array().into_iter().flatten().find(|subset| subset["name"] == destination["subset"]);
    let weight = if targets == 1 { json!(100) } else { target["weight"].clone() };
    json!({"host": destination["host"], "labels": subset.map(|subset| &subset["labels"]), "weight": weight})
}

/// The routes with hosts cut down to their first label.
fn without_domains(converted: &Converted) -> Vec<Value> {
    let cut = |host: &Value| json!(host.as_str().unwrap().split('.').next());
    let routes = converted.documents.iter().map(migrate::Document::to_json);
    let routes = routes.filter(|document| document["kind"] == "VirtualService");
    routes
        .map(|document| {
            let mut spec = document["spec"].clone();
            for host in spec["hosts"].as_array_mut().unwrap() {
                *host = cut(host);
            }
            for route in spec["http"].as_array_mut().unwrap() {
                for target in route["route"].as_array_mut().unwrap() {
                    target["destination"]["host"] = cut(&target["destination"]["host"]);
                }
            }
            spec
        })
        .collect()
}
