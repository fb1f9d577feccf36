//! The rules of Istio's own validation, row by row, as far as they are about our kinds.
//!
//! A row's message is put where it belongs in a whole object, which is then parsed. Rows that fail are listed, each
//! with its reason, in `validation-failures.txt`; the list may only shrink.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use base::Severity;
use serde_json::{Map, Value, json};

const SUITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/suites/validation");
const KNOWN: &str = include_str!("validation-failures.txt");

/// What became of a row.
#[derive(Debug, PartialEq)]
enum Outcome {
    Passed,
    /// It must be accepted, and is refused for a field this version refuses on purpose.
    Refused,
    Failed(String),
}

#[test]
fn semantic_rules_are_judged_as_istio_judges_them() {
    let Some(rows) = read("semantic.json") else { return };
    let mut tally: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let mut failed = BTreeMap::new();
    for row in rows.as_array().unwrap() {
        let id = row["id"].as_str().unwrap();
        let group = id.split('/').next().unwrap();
        let Some(object) = object_of(group, &row["input"]) else { continue };
        let outcome = judge(&object.to_string(), row["expect"]["ok"].as_bool().unwrap());
        count(&mut tally, group, &outcome);
        if let Outcome::Failed(why) = outcome {
            failed.insert(format!("semantic {id}"), why);
        }
    }
    report("semantic", &tally);
    compare("semantic ", &failed);
}

#[test]
fn documents_are_judged_as_the_api_server_judges_them() {
    let Some(rows) = read("documents.json") else { return };
    let mut tally: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let mut failed = BTreeMap::new();
    for row in rows.as_array().unwrap() {
        let (id, kind) = (row["id"].as_str().unwrap(), row["kind"].as_str().unwrap());
        let is_ours =
            api::Kind::named(kind).is_some() && row["apiVersion"].as_str().unwrap().contains("istio.io");
        if !is_ours {
            continue;
        }
        let text = fs::read_to_string(Path::new(SUITE).join(row["file"].as_str().unwrap())).unwrap();
        let text: String = text.split_inclusive('\n').filter(|line| !line.starts_with("_err")).collect();
        let outcome = judge(&text, row["error"].is_null());
        count(&mut tally, kind, &outcome);
        if let Outcome::Failed(why) = outcome {
            failed.insert(format!("document {id}"), why);
        }
    }
    report("documents", &tally);
    compare("document ", &failed);
}

fn read(name: &str) -> Option<Value> {
    let path = Path::new(SUITE).join(name);
    if !path.is_file() {
        eprintln!("SKIPPED: {} is missing", path.display());
        return None;
    }
    let file: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    Some(if file.is_array() { file } else { file["cases"].clone() })
}

fn judge(text: &str, must_pass: bool) -> Outcome {
    let parsed = api::parse("row", text.as_bytes());
    let errors: Vec<_> = parsed.issues.iter().filter(|issue| issue.severity == Severity::Error).collect();
    match (errors.is_empty(), must_pass) {
        (true, true) | (false, false) => Outcome::Passed,
        (true, false) => Outcome::Failed("accepted".into()),
        (false, true) if errors.iter().all(|error| error.code == "refused-field") => Outcome::Refused,
        (false, true) => Outcome::Failed(errors[0].to_string()),
    }
}

fn count(tally: &mut BTreeMap<String, [usize; 3]>, group: &str, outcome: &Outcome) {
    let row = tally.entry(group.into()).or_default();
    row[match outcome {
        Outcome::Passed => 0,
        Outcome::Refused => 1,
        Outcome::Failed(_) => 2,
    }] += 1;
}

fn report(what: &str, tally: &BTreeMap<String, [usize; 3]>) {
    let mut sum = [0; 3];
    for (group, row) in tally {
        println!("{what} {group} {} / {} ({} refused on purpose)", row[0], row.iter().sum::<usize>(), row[1]);
        sum.iter_mut().zip(row).for_each(|(sum, n)| *sum += n);
    }
    println!("{what} {} / {} ({} refused on purpose)", sum[0], sum.iter().sum::<usize>(), sum[1]);
}

fn compare(prefix: &str, failed: &BTreeMap<String, String>) {
    let rows = KNOWN.lines().filter(|line| line.starts_with(prefix));
    let known: BTreeSet<&str> = rows.filter_map(|line| line.split("  #").next()).map(str::trim_end).collect();
    let new: Vec<String> = failed
        .iter()
        .filter(|(id, _)| !known.contains(id.as_str()))
        .map(|(id, why)| format!("{id}: {why}"))
        .collect();
    let fixed: Vec<&&str> = known.iter().filter(|id| !failed.contains_key(**id)).collect();
    assert!(new.is_empty(), "failures that are not in validation-failures.txt:\n{}", new.join("\n"));
    assert!(fixed.is_empty(), "take these out of validation-failures.txt, they pass: {fixed:#?}");
}

/// The smallest object in which a row's message stands where the rule looks at it.
fn object_of(group: &str, input: &Value) -> Option<Value> {
    let route = || json!([{"destination": {"host": "a.b"}}]);
    let http = |field: &str, value: Value| {
        let mut entry = Map::from_iter([("route".to_owned(), route())]);
        entry.insert(field.to_owned(), value);
        virtual_service(json!([entry]))
    };
    let policy = |field: &str, value: &Value| rule(json!({field: value}));
    Some(match group {
        "ValidateVirtualService" => object("VirtualService", input.clone()),
        "ValidateDestinationRule" => object("DestinationRule", input.clone()),
        "ValidateGateway" => object("Gateway", input.clone()),
        "ValidateServiceEntries" => object("ServiceEntry", input.clone()),
        "ValidateWorkloadEntry" => object("WorkloadEntry", input.clone()),
        "ValidateServer" => object("Gateway", json!({"servers": [input]})),
        "ValidateServerPort" => object(
            "Gateway",
            json!({"servers": [{"hosts": ["a.b"], "port": input["in"], "bind": input["bind"]}]}),
        ),
        "ValidateHTTPRoute" | "ValidateRootHTTPRoute" => virtual_service(json!([input["route"]])),
        "ValidateRouteDestination" => virtual_service(json!([{"route": input["routes"]}])),
        "ValidateDestination" => virtual_service(json!([{"route": [input]}])),
        "ValidateCORSPolicy" => http("corsPolicy", input.clone()),
        "ValidateHTTPFaultInjectionAbort" if !input.is_null() => http("fault", json!({"abort": input})),
        "ValidateHTTPFaultInjectionDelay" => http("fault", json!({"delay": input})),
        "ValidateHTTPRetry" => http("retries", input.clone()),
        "ValidateHTTPRewrite" => http("rewrite", input.clone()),
        "ValidateUriRegexRewrite" if !input.is_null() => http("rewrite", json!({"uriRegexRewrite": input})),
        "ValidateHTTPRedirect" => virtual_service(json!([{"redirect": input["redirect"]}])),
        "ValidateHTTPDirectResponse" if !input["directResponse"].is_null() => {
            virtual_service(json!([{"directResponse": input["directResponse"]}]))
        }
        "ValidateHTTPStatus" => virtual_service(json!([{"directResponse": {"status": input}}])),
        "ValidateHTTPHeaderValue" => http("headers", json!({"request": {"set": {"x": input["input"]}}})),
        "ValidateTrafficPolicy" => rule(input.clone()),
        "ValidateConnectionPool" => policy("connectionPool", input),
        "ValidateLoadBalancer" => policy("loadBalancer", input),
        "ValidateOutlierDetection" => policy("outlierDetection", input),
        "ValidateTLS" => policy("tls", &input["tls"]),
        "ValidateLocalityLbSetting" => policy("loadBalancer", &json!({"localityLbSetting": input["in"]})),
        "ValidateZoneAwareLbSetting" => rule(json!({
            "loadBalancer": {"simple": "RANDOM", "zoneAwareLbSetting": input["in"]},
            "outlierDetection": input["outlier"],
        })),
        "ValidateWildcardDomain" => gateway_bound(input),
        "ValidateWildcardDomainForVirtualServiceBoundToGateway" if input["sni"] == false => {
            gateway_bound(&input["in"])
        }
        "ValidateFQDN" => object("DestinationRule", json!({"host": input["fqdn"]})),
        "validateExportTo"
            if input["isDestinationRuleWithSelector"].is_null() && input["isServiceEntry"].is_null() =>
        {
            object("DestinationRule", json!({"host": "a.b", "exportTo": input["exportTo"]}))
        }
        _ => return None,
    })
}

fn object(kind: &str, spec: Value) -> Value {
    let metadata = json!({"name": "row", "namespace": "ns5"});
    json!({"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec})
}

fn virtual_service(http: Value) -> Value {
    object("VirtualService", json!({"hosts": ["foo.bar"], "http": http}))
}

fn rule(policy: Value) -> Value {
    object("DestinationRule", json!({"host": "a.b", "trafficPolicy": policy}))
}

fn gateway_bound(host: &Value) -> Value {
    let http = json!([{"route": [{"destination": {"host": "a.b"}}]}]);
    object("VirtualService", json!({"hosts": [host], "gateways": ["ns1/gateway"], "http": http}))
}
