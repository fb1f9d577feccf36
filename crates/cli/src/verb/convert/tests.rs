//! The examples of `samples/nginx-ingress`: each says in its first lines which requests go where.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use api::ResourceSet;
use base::Severity;
use explain::{Call, Compiled, Decision, Security, Share};
use mesh::{Proxy, Settings, Snapshot};
use serde_json::json;

use super::*;

/// A request, and what is said of it.
struct Asked {
    line: String,
    call: Call,
    expected: Vec<String>,
}

fn asked(text: &str) -> Vec<Asked> {
    let mut all: Vec<Asked> = Vec::new();
    for line in text.lines().map_while(|line| line.strip_prefix('#')) {
        if let Some(request) = line.strip_prefix(" > ") {
            all.push(Asked { line: request.to_owned(), call: call(request), expected: Vec::new() });
        } else if let Some(fact) = line.strip_prefix(" < ") {
            all.last_mut().unwrap().expected.push(fact.to_owned());
        }
    }
    all
}

/// `GET http://host/path -H 'name: value'` at a gateway.
fn call(request: &str) -> Call {
    let mut parts = request.split(" -H '");
    let (method, url) = parts.next().unwrap().split_once(' ').unwrap();
    let (scheme, rest) = url.split_once("://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let headers = parts.map(|part| part.trim().strip_suffix('\'').unwrap().split_once(": ").unwrap());
    let (port, security) = if scheme == "https" { (443, Security::Tls) } else { (80, Security::Plaintext) };
    Call {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
        security,
        sni: Some(host.to_owned()),
        alpn: vec!["http/1.1".to_owned()],
        ..Call::http(port, host)
    }
}

fn gateway(yaml: &str) -> Compiled {
    let parsed = api::parse("converted.yaml", yaml.as_bytes());
    assert_eq!(parsed.issues, [], "{yaml}");
    let set: ResourceSet = parsed.resources.into_iter().collect();
    let metadata = json!({"NAMESPACE": "default", "LABELS": {"istio": "ingressgateway"}});
    let proxy = Proxy::new("router~127.0.0.1~gw.default~default.svc.cluster.local", &metadata, &[]).unwrap();
    let compiled = ::explain::compile(&Snapshot::next(None, &set, &Settings::default()), &proxy);
    assert!(compiled.rejects.is_empty(), "{:?}", compiled.rejects);
    compiled
}

/// Everything an example may say of a decision.
fn facts(decision: &Decision) -> Vec<String> {
    let mut facts = Vec::new();
    for share in &decision.clusters {
        facts.push(to(share));
        facts.extend(share.path.iter().map(|path| format!("path {path}")));
        facts.extend(share.authority.iter().map(|host| format!("host {host}")));
        facts.extend(share.is_secured.then(|| "over TLS".to_owned()));
        facts.extend(
            share.request_headers.set.iter().map(|(name, value)| format!("set header {name}: {value}")),
        );
    }
    facts.extend(decision.reply.map(|status| format!("status {status}")));
    facts.extend(decision.location.iter().map(|location| format!("location {location}")));
    facts.extend(decision.reply_headers.iter().map(|(name, value)| format!("reply header {name}: {value}")));
    facts.extend(decision.timeout.map(|timeout| format!("timeout {}", base::duration::render(timeout))));
    facts.push(match &decision.retries {
        Some(retries) => format!("retries {} on {}", retries.attempts, retries.on.join(" ")),
        None => "retries none".to_owned(),
    });
    facts.extend(decision.hash.iter().map(|hash| format!("kept by {hash}")));
    facts
}

fn to(share: &Share) -> String {
    let parts: Vec<&str> = share.cluster.split('|').collect();
    let [_, port, _, host] = parts[..] else { panic!("{share:?}") };
    format!("to {}:{port} {:.0}%", host.split('.').next().unwrap(), share.percent)
}

#[test]
fn examples_of_ingress_nginx_do_what_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/nginx-ingress");
    let mut examples = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (name, text) = (path.display().to_string(), std::fs::read_to_string(&path).unwrap());
        let converted = migrate::convert(&[(name.as_str(), &text)], Mode::NginxIngress);
        let errors = converted.issues.iter().filter(|issue| issue.severity == Severity::Error);
        assert_eq!(errors.collect::<Vec<_>>(), Vec::<&Issue>::new(), "{name}");
        let yaml = converted.to_yaml();
        let compiled = gateway(&yaml);
        let all = asked(&text);
        assert!(!all.is_empty(), "{name} asks nothing");
        for Asked { line, call, expected } in all {
            let decision = ::explain::decide(&compiled.plan, &call);
            let facts = facts(&decision);
            for fact in &expected {
                assert!(facts.contains(fact), "{name}\n{line}\n{fact} is not among {facts:#?}\n{yaml}");
            }
            let to = |facts: &[String]| facts.iter().filter(|fact| fact.starts_with("to ")).count();
            assert_eq!(to(&facts), to(&expected), "{name}\n{line}\n{facts:#?}\n{yaml}");
        }
        examples += 1;
    }
    assert_eq!(examples, 10);
}
