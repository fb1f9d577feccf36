//! What the mesh's own control plane pushes for a world that was recorded: the same names as a real istiod, and the
//! same decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use api::{MeshConfig, Resource, ResourceSet, parse};
use base::Severity;
use mesh::{Proxy, Settings, Snapshot, View};
use serde::Deserialize;
use serde_json::Value;

use crate::istiod::same;
use crate::{Case, json};

/// The namespace the configuration of the worlds was applied in.
const NAMESPACE: &str = "demo";

/// One recorded world.
pub(crate) struct World {
    set: ResourceSet,
    settings: Settings,
}

/// A proxy's node, as far as the control plane looks at it.
#[derive(Deserialize)]
struct Node {
    id: String,
    metadata: Value,
    #[serde(default)]
    locality: Locality,
}

#[derive(Default, Deserialize)]
struct Locality {
    #[serde(default)]
    region: String,
    #[serde(default)]
    zone: String,
    #[serde(default)]
    sub_zone: String,
}

impl World {
    /// Reads what discovery saw and what was applied on top; `mesh` is the file of the mesh's settings. None where
    /// the configuration asks for what this version refuses.
    pub(crate) fn read(folder: &Path, mesh: &Path) -> anyhow::Result<Option<Self>> {
        let cluster = std::fs::read_to_string(folder.join("cluster.json"))?;
        let config = std::fs::read_to_string(folder.join("config.yaml"))?;
        let bytes = std::fs::read(mesh).with_context(|| mesh.display().to_string())?;
        let (written, issues) = MeshConfig::parse("mesh.json", &bytes);
        let settings = Settings::new(&written.with_context(|| format!("{issues:?}"))?);
        let mut set = ResourceSet::default();
        // Of two documents for one object the later was applied last.
        for document in config.split("\n---\n") {
            let applied = parse("config.yaml", document.as_bytes());
            if applied.issues.iter().any(|issue| issue.severity == Severity::Error) {
                return Ok(None);
            }
            for resource in applied.resources {
                in_namespace(&resource)?.into_iter().for_each(|resource| drop(set.insert(resource)));
            }
        }
        // What discovery saw is what the platform made of it.
        for resource in parse("cluster.json", cluster.as_bytes()).resources {
            set.insert(resource);
        }
        Ok(Some(Self { set, settings }))
    }

    /// What a proxy is told, from its recorded node.
    pub(crate) fn view(&self, folder: &Path) -> anyhow::Result<(View, Arc<plan::Plan>)> {
        let node: Node = json(&folder.join("node.json"))?;
        let place = node.locality;
        let proxy = Proxy::new(&node.id, &node.metadata, &[]).map_err(anyhow::Error::msg)?.at(
            &place.region,
            &place.zone,
            &place.sub_zone,
        );
        let snapshot = Snapshot::next(None, &self.set, &self.settings);
        let compiled = explain::compile(&snapshot, &proxy);
        if let Some(reject) = compiled.rejects.first() {
            anyhow::bail!("a proxy refuses {}: {}", reject.name, reject.message);
        }
        Ok((mesh::view(&snapshot, &proxy), compiled.plan))
    }
}

/// The object in the namespace that what names none was applied in.
fn in_namespace(resource: &Resource) -> anyhow::Result<Vec<Resource>> {
    let mut object = resource.to_json();
    if object["metadata"]["namespace"] == "default" {
        object["metadata"]["namespace"] = NAMESPACE.into();
    }
    let parsed = parse("config.yaml", object.to_string().as_bytes());
    anyhow::ensure!(parsed.refused.is_empty(), "{:?}", parsed.issues);
    Ok(parsed.resources)
}

/// Compares what a proxy is told with what was recorded: one case for each kind of name.
pub(crate) fn compare(id: &str, folder: &Path, view: &View) -> anyhow::Result<Vec<Case>> {
    let names = |file: &str, key: &str| -> anyhow::Result<BTreeSet<String>> {
        let file = folder.join(file);
        if !file.exists() {
            return Ok(BTreeSet::new());
        }
        let all: Vec<Value> = json(&file)?;
        Ok(all.iter().filter_map(|each| each[key].as_str().map(str::to_owned)).collect())
    };
    let own = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<BTreeSet<String>>();
    let clusters = view.clusters.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    let listeners = view.listeners.listeners.iter().map(|listener| listener.name.as_str()).collect();
    let routes = view.routes().map(|route| route.name.as_str()).collect();
    let outcomes = [
        ("clusters", differ(&names("Cluster.json", "name")?, &own(clusters))),
        ("listeners", differ(&names("Listener.json", "name")?, &own(listeners))),
        ("routes", differ(&names("RouteConfiguration.json", "name")?, &own(routes))),
        (
            "endpoints",
            differ(
                &names("ClusterLoadAssignment.json", "cluster_name")?,
                &own(view.endpoint_names().collect()),
            ),
        ),
        ("domains", same("domains", &recorded_domains(folder)?, &own_domains(view))),
        ("tables", alike(&recorded(folder, "RouteConfiguration.json")?, &own_tables(view))),
        ("chains", alike(&recorded_chains(folder)?, &own_chains(view))),
    ];
    let case = |(what, outcome)| Case { kind: "pushed".into(), id: format!("{id} {what}"), outcome };
    Ok(outcomes.into_iter().map(case).collect())
}

/// Virtual hosts with their domains, by route configuration.
type Domains = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn recorded_domains(folder: &Path) -> anyhow::Result<Domains> {
    let file = folder.join("RouteConfiguration.json");
    let tables: Vec<Value> = if file.exists() { json(&file)? } else { Vec::new() };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let hosts = |table: &Value| {
        let hosts = list(&table["virtual_hosts"]).into_iter();
        hosts.map(|host| (text(&host["name"]), list(&host["domains"]).iter().map(text).collect())).collect()
    };
    Ok(tables.iter().map(|table| (text(&table["name"]), hosts(table))).collect())
}

fn own_domains(view: &View) -> Domains {
    let hosts = |route: &mesh::RouteSlice| {
        route.virtual_hosts.iter().map(|host| (host.name.clone(), host.domains.clone())).collect()
    };
    view.routes().map(|route| (route.name.clone(), hosts(route))).collect()
}

fn differ(recorded: &BTreeSet<String>, own: &BTreeSet<String>) -> Result<(), String> {
    let missing: Vec<&String> = recorded.difference(own).collect();
    let more: Vec<&String> = own.difference(recorded).collect();
    if missing.is_empty() && more.is_empty() {
        return Ok(());
    }
    Err(format!("missing {missing:?}, more than recorded {more:?}"))
}

/// Resources of a recorded file; none where there is no file.
fn recorded(folder: &Path, file: &str) -> anyhow::Result<BTreeMap<String, Value>> {
    let file = folder.join(file);
    let all: Vec<Value> = if file.exists() { json(&file)? } else { Vec::new() };
    Ok(all
        .into_iter()
        .map(|each| (each["name"].as_str().unwrap_or_default().to_owned(), plain(each)))
        .collect())
}

fn own_tables(view: &View) -> BTreeMap<String, Value> {
    view.routes()
        .map(|route| (route.name.clone(), plain(proto::json::to_json(&translate::route(route).any))))
        .collect()
}

/// The filter chains of the outbound side: which connections each takes, and where they go. What a workload takes
/// is secured by its identity in the recordings.
fn recorded_chains(folder: &Path) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut listeners = recorded(folder, "Listener.json")?;
    listeners.retain(|name, _| name != "virtualInbound");
    Ok(listeners.into_iter().map(|(name, listener)| (name, chains(&listener))).collect())
}

fn own_chains(view: &View) -> BTreeMap<String, Value> {
    let outbound = view.listeners.listeners.iter().filter(|listener| listener.name != "virtualInbound");
    outbound
        .map(|listener| {
            let json = plain(proto::json::to_json(&translate::listener(listener).any));
            (listener.name.clone(), chains(&json))
        })
        .collect()
}

fn chains(listener: &Value) -> Value {
    let chains = listener["filter_chains"].as_array().into_iter().flatten();
    let all = chains.chain(listener.get("default_filter_chain"));
    let all: Vec<Value> = all
        .map(|chain| {
            let last = chain["filters"].as_array().and_then(|filters| filters.last()).cloned().unwrap_or_default();
            let config = &last["typed_config"];
            serde_json::json!({
                "name": chain.get("name"),
                "match": chain.get("filter_chain_match").filter(|condition| *condition != &serde_json::json!({})),
                "filter": last["name"],
                "rds": config["rds"]["route_config_name"],
                "stat_prefix": config["stat_prefix"],
                "cluster": config["cluster"],
                "weighted": config["weighted_clusters"],
            })
        })
        .collect();
    let inspectors =
        listener["listener_filters"].as_array().into_iter().flatten().map(|each| each["name"].clone());
    serde_json::json!({"chains": all, "inspectors": inspectors.collect::<Vec<_>>()})
}

/// A resource without what is spelt differently and means the same, and without what is ours alone.
fn plain(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for ours in ["weft.origin", "max_grpc_timeout", "max_stream_duration"] {
                fields.remove(ours);
            }
            for field in fields.values_mut() {
                *field = plain(field.take());
            }
            fields.retain(|_, field| !matches!(field, Value::Object(empty) if empty.is_empty()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = plain(item.take())),
        _ => {}
    }
    value
}

/// The first place where two sets of resources differ.
fn alike(recorded: &BTreeMap<String, Value>, own: &BTreeMap<String, Value>) -> Result<(), String> {
    for (name, recorded) in recorded {
        let Some(own) = own.get(name) else { continue };
        if let Some(difference) = difference(recorded, own, name) {
            return Err(difference);
        }
    }
    Ok(())
}

fn difference(recorded: &Value, own: &Value, at: &str) -> Option<String> {
    match (recorded, own) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter().find_map(|key| {
                difference(
                    a.get(key).unwrap_or(&Value::Null),
                    b.get(key).unwrap_or(&Value::Null),
                    &format!("{at}.{key}"),
                )
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(index, (a, b))| difference(a, b, &format!("{at}[{index}]"))),
        (a, b) if a == b => None,
        (a, b) => Some(format!("{at}: expected {a}, found {b}")),
    }
}
