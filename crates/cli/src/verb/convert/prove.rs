//! Old rules and new objects, asked about the same requests.

mod compare;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Context;
use serde::Serialize;
use serde_json::json;

use ::explain::{Call, Compiled};
use api::{Resource, ResourceSet};
use base::Host;
use mesh::{Proxy, Settings, Snapshot};
use migrate::Converted;
use migrate::old::{Action, Caller, OldDecision, Request, Rules, decide};

use compare::{Subsets, difference};

/// The port a service is called at that is not among the files.
const PORT: u16 = 80;

/// What came of comparing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Proof {
    /// How many requests were asked about.
    pub(super) compared: usize,
    /// How many of them differ.
    pub(super) different: usize,
    /// How many no caller could make today: of hosts with `*`, or with another name than their service's.
    pub(super) aside: usize,
    /// How many services they were for.
    pub(super) hosts: usize,
    /// The first that differs.
    pub(super) first: Option<Difference>,
}

/// A request about which the two say different things.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Difference {
    /// The request.
    pub(super) request: String,
    /// The old rule that took it.
    pub(super) rule: Option<String>,
    /// In what they differ.
    pub(super) field: String,
    /// What the old rules did.
    pub(super) before: String,
    /// What the new ones do.
    pub(super) now: String,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "compared {} requests to {} services: ", self.compared, self.hosts)?;
        match self.different {
            0 => writeln!(f, "old and new decide alike")?,
            different => writeln!(f, "{different} are decided otherwise")?,
        }
        if self.aside > 0 {
            writeln!(f, "set aside {}, which nobody could make today", self.aside)?;
        }
        let Some(first) = &self.first else { return Ok(()) };
        writeln!(f, "the first of them: {}", first.request)?;
        writeln!(f, "  decided by  {}", first.rule.as_deref().unwrap_or("no rule"))?;
        writeln!(f, "  in          {}", first.field)?;
        writeln!(f, "  before      {}", first.before)?;
        writeln!(f, "  now         {}", first.now)
    }
}

/// Asks both about requests that tell the rules apart.
pub(super) fn prove(files: &[(&str, &str)], converted: &Converted) -> anyhow::Result<Proof> {
    let (rules, _) = Rules::read(files);
    let requests = rules.probes();
    let decisions: Vec<OldDecision> = requests.iter().map(|request| decide(&rules, request)).collect();
    let world = World::new(converted, &requests, &decisions)?;
    let mut proof = Proof::default();
    let mut hosts = BTreeSet::new();
    let mut compiled: BTreeMap<Caller, Compiled> = BTreeMap::new();
    for (request, before) in requests.iter().zip(&decisions) {
        let Some(call) = world.call(request) else {
            proof.aside += 1;
            continue;
        };
        if !compiled.contains_key(&request.caller) {
            let proxy = world.proxy(&request.caller)?;
            compiled.insert(request.caller.clone(), ::explain::compile(&world.snapshot, &proxy));
        }
        let plan = &compiled.get(&request.caller).context("a caller has a plan")?.plan;
        let now = ::explain::decide(plan, &call);
        hosts.insert(request.host.as_str());
        proof.compared += 1;
        if let Some((field, before_text, now_text)) = difference(before, &now, &world.subsets) {
            proof.different += 1;
            proof.first.get_or_insert_with(|| Difference {
                request: told(request),
                rule: before.rule.clone(),
                field: field.to_owned(),
                before: before_text,
                now: now_text,
            });
        }
    }
    proof.hosts = hosts.len();
    Ok(proof)
}

/// The request as a person would write it.
fn told(request: &Request) -> String {
    let mut text = format!("{} {}://{}{}", request.method, request.scheme, request.authority, request.path);
    for (name, value) in &request.headers {
        text.push_str(&format!(" -H '{name}: {value}'"));
    }
    let caller = &request.caller;
    let from = caller.services.iter().cloned().chain(caller.labels.iter().map(|(k, v)| format!("{k}={v}")));
    let from: Vec<String> = from.collect();
    if !from.is_empty() {
        text.push_str(&format!(" from {}", from.join(" ")));
    }
    text
}

/// The new objects, with a service for every host they are about.
struct World {
    snapshot: Snapshot,
    subsets: Subsets,
    /// Labels by which a service selects its workloads, and the port it is called at.
    services: BTreeMap<String, (BTreeMap<String, String>, u16)>,
}

impl World {
    fn new(converted: &Converted, requests: &[Request], decisions: &[OldDecision]) -> anyhow::Result<Self> {
        let mut set = ResourceSet::default();
        let mut services = BTreeMap::new();
        let mut rules = Vec::new();
        for resource in api::parse("converted.yaml", converted.to_yaml().as_bytes()).resources {
            match &resource {
                Resource::Service(service) => {
                    let meta = service.meta();
                    let host = Host::resolve(&meta.name, &meta.namespace, "cluster.local");
                    let port = service.ports.first().map_or(PORT, |port| port.number);
                    services.insert(host.as_str().to_owned(), (service.selector.0.clone(), port));
                }
                Resource::DestinationRule(rule) => rules.push(rule.clone()),
                _ => {}
            }
            set.insert(resource);
        }
        let hosts: BTreeSet<&str> = requests
            .iter()
            .map(|request| request.host.as_str())
            .chain(decisions.iter().flat_map(destinations))
            .collect();
        for host in hosts.into_iter().filter(|host| !host.contains('*')) {
            if !services.contains_key(host) {
                let (resource, selector) = stand_in(host)?;
                set.insert(resource);
                services.insert(host.to_owned(), (selector, PORT));
            }
        }
        let snapshot = Snapshot::next(None, &set, &Settings::default());
        Ok(Self { snapshot, subsets: Subsets::of(&rules), services })
    }

    /// The request as its caller would make it today; none where nobody could.
    fn call(&self, request: &Request) -> Option<Call> {
        let (_, port) = self.services.get(&request.host)?;
        let short = request.host.split('.').next().unwrap_or_default();
        let is_its_name = request.authority == request.host || request.authority == short;
        let is_plain = request.scheme == "http";
        (is_its_name && is_plain).then(|| Call {
            method: request.method.clone(),
            path: request.path.clone(),
            headers: request.headers.clone(),
            ..Call::http(*port, &request.host)
        })
    }

    fn proxy(&self, caller: &Caller) -> anyhow::Result<Proxy> {
        let mut labels = caller.labels.clone();
        for service in &caller.services {
            // Without a Service among the files a workload is known by the label conversion assumes.
            let short = service.split('.').next().unwrap_or_default().to_owned();
            let selector = self.services.get(service).map(|(selector, _)| selector.clone());
            let selector = selector.filter(|selector| !selector.is_empty());
            for (key, value) in selector.unwrap_or_else(|| [("app".to_owned(), short)].into()) {
                labels.entry(key).or_insert(value);
            }
        }
        let namespace = if caller.namespace.is_empty() { "default" } else { &caller.namespace };
        let id = format!("sidecar~127.0.0.1~caller.{namespace}~{namespace}.svc.cluster.local");
        let metadata = json!({"NAMESPACE": namespace, "LABELS": labels});
        Proxy::new(&id, &metadata, &[]).map_err(anyhow::Error::msg)
    }
}

/// The hosts a request may have gone to.
fn destinations(decision: &OldDecision) -> Vec<&str> {
    let shares = match &decision.action {
        Action::Forward { shares, .. } => shares.as_slice(),
        Action::Redirect { .. } => &[],
    };
    let shares = shares.iter().map(|share| share.destination.host.as_str());
    shares.chain(decision.mirror.iter().map(|mirror| mirror.host.as_str())).collect()
}

/// A service for a host of which the files hold none, and its selector.
fn stand_in(host: &str) -> anyhow::Result<(Resource, BTreeMap<String, String>)> {
    let of_cluster = host.strip_suffix(".svc.cluster.local").and_then(|rest| rest.split_once('.'));
    let (object, selector) = match of_cluster {
        Some((name, namespace)) => (
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": PORT}]},
            }),
            [("app".to_owned(), name.to_owned())].into(),
        ),
        None => (
            json!({
                "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
                "metadata": {"name": host, "namespace": "default"},
                "spec": {
                    "hosts": [host], "location": "MESH_INTERNAL", "resolution": "STATIC",
                    "ports": [{"number": PORT, "name": "http", "protocol": "HTTP"}],
                    "endpoints": [{"address": "127.0.0.2"}],
                },
            }),
            BTreeMap::new(),
        ),
    };
    let mut parsed = api::parse("stand-in.yaml", object.to_string().as_bytes());
    let resource = parsed.resources.pop();
    let resource = resource.with_context(|| format!("{host} cannot be the host of a service today"))?;
    Ok((resource, selector))
}

#[cfg(test)]
mod tests;
