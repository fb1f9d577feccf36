//! The Gateway, and a VirtualService for each host.

use serde_json::{Value, json};

use super::annotation::PREFIX;
use super::location::{Location, Site};
use super::route;
use super::settings::Read;
use crate::document::Document;
use crate::legacy::{BackendPort, Meta};
use crate::modern::{Draft, World, legal_name};
use crate::read::Log;

const CLASS: &str = "kubernetes.io/ingress.class";

/// The Gateway for all of them.
pub(super) fn gateway(mains: &[Read<'_>], name: &str, log: &Log) -> Document {
    let mut draft = Draft::default();
    let mut servers =
        vec![json!({"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]})];
    let mut passed: Vec<&str> = Vec::new();
    for read in mains {
        let old = read.old;
        draft.take((&Meta::default(), &old.source), "", log);
        if read.settings.is_passed_through {
            passed
                .extend(old.spec.rules.iter().map(|rule| rule.host.as_str()).filter(|host| !host.is_empty()));
            continue;
        }
        for tls in &old.spec.tls {
            if tls.secret.is_empty() {
                let message = "nginx would show its own certificate: name a secret";
                old.source.warn(log, "not-kept", "spec.tls", message);
                continue;
            }
            let message =
                "the secret must stand in the namespace of the gateway's workloads; then this name finds it";
            old.source.warn(log, "assumed", "spec.tls", message);
            let hosts = if tls.hosts.is_empty() { vec!["*".to_owned()] } else { tls.hosts.clone() };
            servers.push(json!({
                "port": {"number": 443, "name": format!("https-{}", servers.len()), "protocol": "HTTPS"},
                "hosts": hosts,
                "tls": {"mode": "SIMPLE", "credentialName": tls.secret},
            }));
        }
    }
    passed.sort_unstable();
    passed.dedup();
    if !passed.is_empty() {
        servers.push(json!({
            "port": {"number": 443, "name": format!("tls-{}", servers.len()), "protocol": "TLS"},
            "hosts": passed,
            "tls": {"mode": "PASSTHROUGH"},
        }));
    }
    let home = mains.first().and_then(|read| read.old.meta.namespace.as_deref());
    let spec = json!({"selector": {"istio": "ingressgateway"}, "servers": servers});
    draft.finish("Gateway", (home, name), spec)
}

/// The VirtualService of a host, and the one that sends its `www` twin to it.
pub(super) fn virtual_services(
    site: &Site<'_>,
    gateway: &str,
    (world, log): (&mut World, &Log),
) -> Vec<Document> {
    let Some(first) = site.locations.first() else { return Vec::new() };
    let mut draft = Draft::default();
    let mut http: Vec<Value> = Vec::new();
    let mut tls: Vec<Value> = Vec::new();
    let whole = site.locations.iter().all(|location| is_secured(site, location));
    if whole {
        http.push(json!({"match": [{"port": 80}], "redirect": secured()}));
    }
    http.extend(app_root(site));
    for location in &site.locations {
        let mut meta = location.read.old.meta.clone();
        meta.annotations.retain(|key, _| !key.starts_with(PREFIX) && key != CLASS);
        draft.take((&meta, &location.read.old.source.uncommented()), "", log);
        if let Some((_, canary)) = location.canary {
            draft.take((&Meta::default(), &canary.old.source), "", log);
        }
        if location.read.settings.is_passed_through {
            tls.extend(passed_through(site, location));
            continue;
        }
        if !whole && is_secured(site, location) {
            let only_80 = json!({"port": 80});
            let to = serde_json::Map::from_iter([("redirect".to_owned(), secured())]);
            http.push(route::route(location, &[only_80], to));
        }
        http.extend(route::routes(location, site.namespace, (world, log)));
    }
    let home = first.read.old.meta.namespace.as_deref();
    let hosts = hosts(site);
    let wanted = match site.host {
        "" => first.read.old.meta.name.clone(),
        host => legal_name(host),
    };
    let name = world.name("VirtualService", site.namespace, &wanted);
    let mut spec = json!({"hosts": hosts, "gateways": [gateway]});
    if !http.is_empty() {
        spec["http"] = http.into();
    }
    if !tls.is_empty() {
        spec["tls"] = tls.into();
    }
    let mut documents = vec![draft.finish("VirtualService", (home, &name), spec)];
    if let Some((location, twin)) = www(site) {
        let name = world.name("VirtualService", site.namespace, &legal_name(&twin));
        let redirect = json!([{"redirect": {"authority": site.host, "redirectCode": 308}}]);
        let spec = json!({"hosts": [twin], "gateways": [gateway], "http": redirect});
        let mut draft = Draft::default();
        draft.take((&Meta::default(), &location.read.old.source.uncommented()), "", log);
        documents.push(draft.finish("VirtualService", (home, &name), spec));
    }
    documents
}

fn secured() -> Value {
    json!({"scheme": "https", "redirectCode": 308})
}

/// Whether port 80 only sends requests for a location to https.
fn is_secured(site: &Site<'_>, location: &Location<'_>) -> bool {
    let spec = &location.read.old.spec;
    let is_named = |hosts: &[String]| hosts.is_empty() || hosts.iter().any(|host| host == site.host);
    let has_certificate = spec.tls.iter().any(|tls| !tls.secret.is_empty() && is_named(&tls.hosts));
    location.read.settings.ssl_redirect.unwrap_or(has_certificate)
        && !location.read.settings.is_passed_through
}

fn app_root(site: &Site<'_>) -> Option<Value> {
    let root = site.locations.iter().find_map(|location| location.read.settings.app_root.as_ref())?;
    Some(json!({"match": [{"uri": {"exact": "/"}}], "redirect": {"uri": root, "redirectCode": 302}}))
}

fn hosts(site: &Site<'_>) -> Vec<String> {
    let own = if site.host.is_empty() { "*" } else { site.host };
    let mut hosts = vec![own.to_owned()];
    for alias in site.locations.iter().flat_map(|location| &location.read.settings.aliases) {
        if !hosts.contains(alias) && own != "*" {
            hosts.push(alias.clone());
        }
    }
    hosts
}

/// The other of a host and its `www` twin, where one is sent to the other.
fn www<'s>(site: &'s Site<'_>) -> Option<(&'s Location<'s>, String)> {
    let location = site.locations.iter().find(|location| location.read.settings.redirects_www)?;
    let twin = match site.host.strip_prefix("www.") {
        Some(bare) => bare.to_owned(),
        None => format!("www.{}", site.host),
    };
    (!site.host.is_empty() && !site.host.starts_with('*')).then_some((location, twin))
}

fn passed_through(site: &Site<'_>, location: &Location<'_>) -> Option<Value> {
    if site.host.is_empty() {
        return None;
    }
    let mut destination = json!({"host": location.backend.service});
    if let BackendPort::Number(number) = location.backend.port {
        destination["port"] = json!({"number": number});
    }
    Some(json!({
        "match": [{"port": 443, "sniHosts": [site.host]}],
        "route": [{"destination": destination}],
    }))
}
