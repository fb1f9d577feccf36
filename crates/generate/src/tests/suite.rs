//! Four models of peers and what is to be made of them.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::{Context, DomainModel, Mode, Options, Read, generate, read};

fn folder() -> Option<PathBuf> {
    Some(testkit::suites()?.join("msa-ez"))
}

/// Every model with what is expected of it.
fn cases() -> Vec<(String, Read, Value)> {
    let Some(folder) = folder() else { return Vec::new() };
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder.join("models")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let expected = fs::read_to_string(folder.join(format!("expected/{name}.json"))).unwrap();
        let read = read(&name, &fs::read(&path).unwrap());
        cases.push((name, read, serde_json::from_str(&expected).unwrap()));
    }
    assert_eq!(cases.len(), 4);
    cases
}

/// Compares the fields that are asserted: neither missing nor null.
fn assert_says(found: &Value, expected: &Value, of: &str) {
    for (field, wanted) in expected.as_object().unwrap().iter().filter(|(_, wanted)| !wanted.is_null()) {
        assert_eq!(&found[field], wanted, "{of}: {field} of {found}");
    }
}

/// Compares lists item by item, in whatever order.
fn assert_lists(found: Vec<Value>, expected: &Value, of: &str) {
    let Some(expected) = expected.as_array() else { return };
    assert_eq!(found.len(), expected.len(), "{of}: {found:#?}");
    let says = |found: &Value, wanted: &Value| {
        wanted.as_object().unwrap().iter().all(|(field, wanted)| wanted.is_null() || found[field] == *wanted)
    };
    for wanted in expected {
        assert!(found.iter().any(|found| says(found, wanted)), "{of}: {wanted} is not among {found:#?}");
    }
}

/// The context a sticker was put into, by the ids of both.
fn membership(model: &DomainModel) -> BTreeSet<(String, String)> {
    let mut all = BTreeSet::new();
    for context in &model.contexts {
        let ids = context
            .aggregates
            .iter()
            .map(|a| &a.id)
            .chain(context.commands.iter().map(|c| &c.id))
            .chain(context.read_models.iter().map(|r| &r.id))
            .chain(context.events.iter().map(|e| &e.id))
            .chain(context.policies.iter().map(|p| &p.id));
        all.extend(ids.map(|id| (id.clone().unwrap(), context.id.clone().unwrap())));
    }
    all
}

fn service(context: &Context) -> Value {
    json!({
        "element": context.id, "name": context.title(), "slug": context.name, "servicePort": context.service_port,
        "containerPort": context.container_port, "localPort": context.local_port, "versions": context.versions,
        "replicas": context.replicas, "image": context.image,
    })
}

/// The aggregate called by a name that stands nowhere in its model cannot be found in it.
fn without_unknown_aggregates(expected: &Value, model: &DomainModel) -> Value {
    let mut expected = expected.clone();
    for api in expected.as_array_mut().into_iter().flatten() {
        let mut known = model.contexts.iter().flat_map(|context| &context.aggregates);
        if known.all(|aggregate| Some(aggregate.name.as_str()) != api["aggregate"].as_str()) {
            api.as_object_mut().unwrap().remove("aggregate");
        }
    }
    expected
}

#[test]
fn models_are_read_as_their_peers_read_them() {
    for (name, read, expected) in cases() {
        let model = read.model.unwrap();
        let (contexts, of) = (&model.contexts, |what: &str| format!("{name} {what}"));

        assert_says(
            &json!({"project": model.project, "gateway": model.gateway, "broker": model.broker}),
            &json!({"project": expected["project"], "gateway": expected["gateway"], "broker": expected["broker"]}),
            &name,
        );
        let services: Vec<Value> = contexts.iter().map(service).collect();
        assert_lists(services, &expected["services"], &of("services"));
        let members = membership(&model);
        for wanted in expected["membership"].as_array().into_iter().flatten() {
            let text = |field: &str| wanted[field].as_str().unwrap().to_owned();
            assert!(members.contains(&(text("element"), text("context"))), "{name}: {wanted}");
        }
        let apis = contexts.iter().flat_map(|context| {
            context.commands.iter().filter(|command| command.path.is_some()).map(|command| {
                json!({"context": context.name, "aggregate": command.aggregate, "command": command.name,
                       "method": command.method, "path": command.path})
            })
        });
        let wanted = without_unknown_aggregates(&expected["apis"], &model);
        assert_lists(apis.collect(), &wanted, &of("apis"));
        let views = contexts.iter().flat_map(|context| {
            context.read_models.iter().map(|view| {
                json!({"context": context.name, "name": view.name, "projection": view.projection, "path": view.path})
            })
        });
        assert_lists(views.collect(), &expected["readModels"], &of("readModels"));
        let prefixes =
            contexts.iter().map(|context| json!({"context": context.name, "prefixes": context.prefixes()}));
        assert_lists(prefixes.collect(), &expected["gatewayPrefixes"], &of("gatewayPrefixes"));
        let edges = model.calls.iter().map(|call| {
            json!({"from": call.from, "to": call.to, "kind": call.kind, "method": call.method, "via": call.via,
                   "circuitBreaker": call.circuit_breaker, "fallback": call.fallback})
        });
        assert_lists(edges.collect(), &expected["edges"], &of("edges"));
        assert_names(
            model.externals.iter().map(|e| e.name.as_str()),
            &expected["externals"],
            &of("externals"),
        );
        let facing =
            contexts.iter().filter(|context| context.user_facing).map(|context| context.name.as_str());
        assert_names(facing, &expected["userFacing"], &of("userFacing"));
    }
}

fn assert_names<'a>(found: impl Iterator<Item = &'a str>, expected: &Value, of: &str) {
    if !expected.is_null() {
        assert_eq!(json!(found.collect::<Vec<_>>()), *expected, "{of}");
    }
}

#[test]
fn what_is_amiss_is_told_with_its_element_and_nothing_else_is() {
    for (name, read, expected) in cases() {
        let mut left: Vec<String> = Vec::new();
        let mut issues = read.issues.clone();
        for wanted in expected["diagnostics"].as_array().unwrap() {
            let text = |field: &str| wanted[field].as_str().unwrap_or_default();
            let is_it = |issue: &base::Issue| {
                let about = format!("{} {} {}", issue.object, issue.path, issue.message);
                issue.code == text("kind") && about.contains(text("element")) && about.contains(text("field"))
            };
            match issues.iter().position(is_it) {
                Some(at) => drop(issues.remove(at)),
                None => left.push(wanted.to_string()),
            }
        }
        assert_eq!((left, issues), (Vec::new(), Vec::new()), "{name}");
    }
}

#[test]
fn what_was_drawn_of_kubernetes_is_kept() {
    for (name, read, expected) in cases() {
        let model = read.model.unwrap();
        let objects = model.objects.iter().map(|object| format!("{}/{}", object.kind(), object.name()));
        if !expected["objects"].is_null() {
            assert_eq!(json!(objects.collect::<Vec<_>>()), expected["objects"], "{name}");
        }
        let of = |kind: &str| -> Vec<Option<&str>> {
            let objects = model.objects.iter().filter(|object| object.kind() == kind);
            objects.map(|object| object.id.as_deref()).collect()
        };
        for (field, kind) in [
            ("gateway", "Gateway"),
            ("virtualService", "VirtualService"),
            ("destinationRule", "DestinationRule"),
            ("service", "Service"),
            ("deployments", "Deployment"),
        ] {
            match &expected["canvas"][field] {
                Value::Null => {}
                Value::Array(ids) => assert_eq!(json!(of(kind)), json!(ids), "{name} {kind}"),
                id => assert_eq!(json!(of(kind)), json!([id]), "{name} {kind}"),
            }
        }
        let services = model.objects.iter().filter(|object| object.kind() == "VirtualService");
        let rules = services
            .flat_map(|object| object.manifest["spec"]["http"].as_array().cloned().unwrap_or_default());
        if !expected["httpRules"].is_null() {
            assert_eq!(
                rules.map(|rule| rule["name"].clone()).collect::<Value>(),
                expected["httpRules"],
                "{name}"
            );
        }
    }
}

#[test]
fn compatible_objects_are_those_of_the_drawing_tool() {
    let Some(folder) = folder() else { return };
    for (name, read, _) in cases() {
        let generated = generate(&read.model.unwrap(), Options { mode: Mode::Msaez, ..Options::default() });
        let Ok(golden) = fs::read_to_string(folder.join(format!("expected/{name}.compat.yaml"))) else {
            continue;
        };

        let documents = |text: &str| serde_saphyr::from_multiple::<Value>(text).unwrap();
        assert_eq!(documents(&generated.to_yaml()), documents(&golden), "{name}");
    }
}

#[test]
fn the_document_of_a_model_reads_back_as_the_model() {
    for (name, read, _) in cases() {
        let model = read.model.unwrap();

        for text in [model.to_yaml(), model.to_json().to_string()] {
            let again = crate::read(&name, text.as_bytes());
            assert_eq!((again.issues, again.model.as_ref()), (Vec::new(), Some(&model)), "{name}\n{text}");
        }
    }
}

#[test]
fn clean_objects_are_accepted_without_a_finding() {
    for (name, read, _) in cases() {
        let generated = generate(&read.model.unwrap(), Options::default());
        let yaml = generated.to_yaml();

        let parsed = api::parse(&name, yaml.as_bytes());
        let found: Vec<String> = parsed
            .issues
            .iter()
            // Deployments are Kubernetes' business.
            .filter(|issue| issue.code != "skipped-kind")
            .map(ToString::to_string)
            .collect();
        assert_eq!((found, generated.issues), (Vec::new(), Vec::new()), "{name}\n{yaml}");
    }
}
