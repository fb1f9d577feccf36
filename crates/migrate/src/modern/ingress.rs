//! Ingresses as one Gateway and a VirtualService per host: exact paths first, then the longest prefix.
//!
//! Rules of a service held at the ingress too, so they stand below the paths that lead to it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::group::Group;
use super::host::Host;
use super::route;
use super::world::World;
use crate::document::Document;
use crate::legacy::{Backend, BackendPort, Ingress, IngressPath, Meta, Old, Service};
use crate::read::Log;

/// The objects for all Ingresses.
pub(super) fn convert(
    ingresses: &[&Old<Ingress>],
    groups: &[Group<'_>],
    world: &mut World,
    log: &Log,
) -> Vec<Document> {
    let Some(first) = ingresses.first() else { return Vec::new() };
    let name = world.name("Gateway", first.meta.namespace(), "ingress");
    let mut documents = vec![gateway(ingresses, &name, log)];
    for (namespace, host) in hosts(ingresses) {
        let site = Site { namespace, host, ingresses, groups };
        let gateway = if namespace == first.meta.namespace() {
            name.clone()
        } else {
            format!("{}/{name}", first.meta.namespace())
        };
        documents.extend(site.virtual_service(&gateway, world, log));
    }
    documents
}

/// Namespaces and hosts, in the order they are named; an empty host is every host.
fn hosts<'i>(ingresses: &[&'i Old<Ingress>]) -> Vec<(&'i str, &'i str)> {
    let mut hosts = Vec::new();
    for old in ingresses {
        let default = old.spec.backend.iter().map(|_| "");
        for host in old.spec.rules.iter().map(|rule| rule.host.as_str()).chain(default) {
            if !hosts.contains(&(old.meta.namespace(), host)) {
                hosts.push((old.meta.namespace(), host));
            }
        }
    }
    hosts
}

fn gateway(ingresses: &[&Old<Ingress>], name: &str, log: &Log) -> Document {
    let mut draft = Draft::default();
    let mut plain: Vec<&str> = Vec::new();
    let mut servers = Vec::new();
    for old in ingresses {
        draft.take((&Meta::default(), &old.source), "", log);
        for key in old.meta.annotations.keys().filter(|key| key.contains("ingress") && *key != CLASS) {
            let message = format!("the annotation {key:?} has no successor that is known");
            old.source.warn(log, "not-kept", "metadata.annotations", message);
        }
        let hosts = old.spec.rules.iter().map(|rule| rule.host.as_str());
        plain.extend(hosts.chain(old.spec.backend.iter().map(|_| "")));
        for tls in &old.spec.tls {
            let message =
                "the secret must stand in the namespace of the gateway's workloads; then this name finds it";
            old.source.warn(log, "assumed", "spec.tls", message);
            let hosts: Vec<&str> = tls.hosts.iter().map(String::as_str).collect();
            servers.push(json!({
                "port": {"number": 443, "name": format!("https-{}", servers.len()), "protocol": "HTTPS"},
                "hosts": server_hosts(&hosts),
                "tls": {"mode": "SIMPLE", "credentialName": tls.secret},
            }));
        }
    }
    let port = json!({"number": 80, "name": "http", "protocol": "HTTP"});
    servers.insert(0, json!({"port": port, "hosts": server_hosts(&plain)}));
    let home = ingresses.first().and_then(|old| old.meta.namespace.as_deref());
    draft.finish(
        "Gateway",
        (home, name),
        json!({"selector": {"istio": "ingressgateway"}, "servers": servers}),
    )
}

const CLASS: &str = "kubernetes.io/ingress.class";

/// The hosts of a server; one that is no full name opens it for all.
fn server_hosts(hosts: &[&str]) -> Vec<String> {
    if hosts.is_empty() || hosts.iter().any(|host| !host.contains('.')) {
        return vec!["*".into()];
    }
    let mut all: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    all.sort();
    all.dedup();
    all
}

/// One host of a namespace.
struct Site<'a> {
    namespace: &'a str,
    host: &'a str,
    ingresses: &'a [&'a Old<Ingress>],
    groups: &'a [Group<'a>],
}

/// A path on its way into the VirtualService.
struct Ranked<'a> {
    /// Exact ones first, then longer ones.
    rank: (bool, usize),
    /// Conditions on the path, any of which will do; none is every path.
    uris: Vec<Value>,
    backend: &'a Backend,
    old: &'a Old<Ingress>,
}

impl<'a> Site<'a> {
    fn virtual_service(&self, gateway: &str, world: &mut World, log: &Log) -> Option<Document> {
        let mut ranked = self.ranked();
        // A stable sort: paths of one rank stay in the user's order.
        ranked.sort_by_key(|path| std::cmp::Reverse(path.rank));
        let mut draft = Draft::default();
        let mut http = Vec::new();
        for path in &ranked {
            let mut meta = path.old.meta.clone();
            meta.annotations.retain(|key, _| !key.contains("ingress"));
            draft.take((&meta, &path.old.source.uncommented()), "", log);
            http.extend(self.routes(path, world, log));
        }
        let first = ranked.first()?;
        let host = if self.host.is_empty() { "*" } else { self.host };
        let wanted = match self.host {
            "" => first.old.meta.name.clone(),
            host => super::host::legal_name(host),
        };
        let name = world.name("VirtualService", self.namespace, &wanted);
        let spec = json!({"hosts": [host], "gateways": [gateway], "http": http});
        Some(draft.finish("VirtualService", (first.old.meta.namespace.as_deref(), &name), spec))
    }

    fn ranked(&self) -> Vec<Ranked<'a>> {
        let mut ranked = Vec::new();
        let near = self.ingresses.iter().filter(|old| old.meta.namespace() == self.namespace);
        for old in near.clone() {
            for path in
                old.spec.rules.iter().filter(|rule| rule.host == self.host).flat_map(|rule| &rule.paths)
            {
                let (rank, uris) = conditions(path);
                ranked.push(Ranked { rank, uris, backend: &path.backend, old });
            }
        }
        if self.host.is_empty() {
            let defaults = near.filter_map(|old| Some((old, old.spec.backend.as_ref()?)));
            ranked.extend(defaults.map(|(old, backend)| Ranked {
                rank: (false, 0),
                uris: Vec::new(),
                backend,
                old,
            }));
        }
        ranked
    }

    /// The routes for a path: those of the rules of its service, then the service itself.
    fn routes(&self, path: &Ranked<'_>, world: &mut World, log: &Log) -> Vec<Value> {
        let service = Service { name: path.backend.service.clone(), ..Service::default() };
        let host = Host::of(&service, self.namespace);
        let port = self.port(path, world, log);
        let group = self.groups.iter().find(|group| group.host.full == host.full);
        let mut entries = group.map(|group| route::for_gateway(group, world)).unwrap_or_default();
        entries.push(json!({"route": [{"destination": {"host": host.text_in(self.namespace)}}]}));
        let mut routes = Vec::new();
        for mut entry in entries {
            let own = entry.get("match").and_then(|list| list.get(0)).cloned().unwrap_or_else(|| json!({}));
            let Some(matches) = compose(&path.uris, &own) else {
                let message = "a rule of this service has a regular expression for the path, which cannot be joined with this path: it does not hold at the gateway";
                path.old.source.warn(log, "not-kept", &path.backend.field, message);
                continue;
            };
            if matches.is_empty() {
                continue;
            }
            let is_open = matches.iter().all(|condition| condition.as_object().is_some_and(Map::is_empty));
            let destinations = entry.get_mut("route").and_then(Value::as_array_mut);
            for destination in
                destinations.into_iter().flatten().filter_map(|route| route.get_mut("destination"))
            {
                let is_own = destination["host"] == host.full.as_str()
                    || destination["host"] == host.text_in(self.namespace).as_str();
                if let Some(port) = port.filter(|_| is_own) {
                    destination["port"] = json!({"number": port});
                }
            }
            let is_last = own.as_object().is_some_and(Map::is_empty);
            let mut whole = Map::new();
            if let Some(name) = entry.get("name") {
                whole.insert("name".into(), name.clone());
            }
            if !is_open {
                whole.insert("match".into(), matches.into());
            }
            let rest = entry
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(key, _)| !matches!(key.as_str(), "name" | "match"));
            whole.extend(rest.map(|(key, value)| (key.clone(), value.clone())));
            routes.push(whole.into());
            if is_last {
                break;
            }
        }
        routes
    }

    fn port(&self, path: &Ranked<'_>, world: &World, log: &Log) -> Option<u16> {
        let name = match &path.backend.port {
            BackendPort::Number(number) => return Some(*number),
            BackendPort::Name(name) => name,
        };
        let number = world.port(self.namespace, &path.backend.service, name);
        if number.is_none() {
            let message = format!(
                "ports are named by number now: {name:?} is left out, which will do if the service has one port; give its Service among the files, or write `port: {{number: …}}`"
            );
            path.old.source.warn(log, "assumed", &path.backend.field, message);
        }
        number
    }
}

/// A path's rank and its conditions, any of which will do.
fn conditions(path: &IngressPath) -> ((bool, usize), Vec<Value>) {
    let text = path.path.as_str();
    let prefix = text.strip_suffix(".*").or_else(|| text.strip_suffix("/*"));
    let length = text.len();
    match (path.kind.as_str(), prefix) {
        _ if text.is_empty() => ((false, 0), Vec::new()),
        ("Exact", _) => ((true, length), vec![json!({"exact": text})]),
        ("Prefix", _) => {
            // Kubernetes compares whole elements: `/foo` is `/foo` and what is below it.
            let bare = text.trim_end_matches('/');
            let below = json!({"prefix": format!("{bare}/")});
            let all = if bare.is_empty() { vec![below] } else { vec![json!({"exact": bare}), below] };
            ((false, length), all)
        }
        (_, Some("" | "/")) => ((false, 1), vec![json!({"prefix": "/"})]),
        (_, Some(prefix)) => ((false, prefix.len()), vec![json!({"prefix": prefix})]),
        (_, None) => ((true, length), vec![json!({"exact": text})]),
    }
}

/// A rule's condition joined with each of the path's; empty if no request satisfies both, none if that cannot be
/// said.
fn compose(uris: &[Value], own: &Value) -> Option<Vec<Value>> {
    if uris.is_empty() {
        return Some(vec![own.clone()]);
    }
    let mut all = Vec::new();
    for uri in uris {
        let joined = match own.get("uri") {
            None => Joined::Uri(uri.clone()),
            Some(own) => join(uri, own),
        };
        match joined {
            Joined::Never => {}
            Joined::Unsayable => return None,
            Joined::Uri(uri) => {
                let mut condition: BTreeMap<String, Value> = BTreeMap::new();
                condition.extend(own.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
                condition.insert("uri".into(), uri);
                all.push(json!(condition));
            }
        }
    }
    Some(all)
}

enum Joined {
    Never,
    Unsayable,
    Uri(Value),
}

/// The condition on paths that satisfies both.
fn join(path: &Value, own: &Value) -> Joined {
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    let when = |holds: bool, value: &Value| if holds { Joined::Uri(value.clone()) } else { Joined::Never };
    match (
        text(path, "exact"),
        text(path, "prefix"),
        text(own, "exact"),
        text(own, "prefix"),
        text(own, "regex"),
    ) {
        (Some(a), _, Some(b), _, _) => when(a == b, path),
        (Some(a), _, _, Some(b), _) => when(a.starts_with(&b), path),
        (Some(a), _, _, _, Some(regex)) => match regex::Regex::new(&format!("^(?:{regex})$")) {
            Ok(regex) => when(regex.is_match(&a), path),
            Err(_) => Joined::Unsayable,
        },
        (_, Some(a), Some(b), _, _) => when(b.starts_with(&a), own),
        (_, Some(a), _, Some(b), _) if b.starts_with(&a) => Joined::Uri(own.clone()),
        (_, Some(a), _, Some(b), _) => when(a.starts_with(&b), path),
        (_, Some(a), _, _, Some(_)) if a == "/" => Joined::Uri(own.clone()),
        _ => Joined::Unsayable,
    }
}
