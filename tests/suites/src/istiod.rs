//! What a real istiod pushed: accepted without a NACK, and its HTTP calls decided as stated.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use explain::{Call, Decision};
use serde::Deserialize;

use crate::pushed::World;
use crate::replay::Recorded;
use crate::{Case, json, pushed};

/// Runs every world of the folder: kind `accepted` has a case per recorded proxy, `calls` one per call; `pushed` has
/// a case per kind of name that our own control plane would push, `pushed-calls` one per call it would decide.
///
/// # Errors
/// A file cannot be read.
pub fn run(folder: &Path) -> anyhow::Result<Vec<Case>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut cases = Vec::new();
    for world in folders(folder)?.into_iter().filter(|world| world.join("requests.json").exists()) {
        let mut plans = BTreeMap::new();
        for proxy in folders(&world)?.into_iter().filter(|proxy| proxy.join("node.json").exists()) {
            let id = format!("{}/{}", name_of(&world), name_of(&proxy));
            let replayed = Recorded::read(&proxy).and_then(|recorded| runtime.block_on(recorded.replay()));
            let outcome = match &replayed {
                Ok((_, rejects)) if rejects.is_empty() => Ok(()),
                Ok((_, rejects)) => Err(rejects
                    .iter()
                    .map(|r| format!("{}: {}", r.name, r.message))
                    .collect::<Vec<_>>()
                    .join("; ")),
                Err(e) => Err(format!("{e:#}")),
            };
            cases.push(Case { kind: "accepted".into(), id, outcome });
            if let Ok((plan, _)) = replayed {
                plans.insert(name_of(&proxy), plan);
            }
        }
        let requests: Vec<Request> = json(&world.join("requests.json"))?;
        cases.extend(calls("calls", &world, &requests, |proxy| plans.get(proxy).map(|plan| &**plan)));
        cases.extend(pushed(&world, &folder.join("debug/mesh.json"), &requests)?);
    }
    Ok(cases)
}

/// The calls of a world under the plans of its proxies.
fn calls<'a>(
    kind: &str,
    world: &Path,
    requests: &[Request],
    plan: impl Fn(&str) -> Option<&'a plan::Plan>,
) -> Vec<Case> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut cases = Vec::new();
    for request in requests {
        let outcome = match plan(&request.proxy) {
            Some(plan) => request.check(plan),
            None => Err("its proxy has no plan".into()),
        };
        let mut id = format!("{}/{}", name_of(world), request.id());
        // Calls of one head may differ in what they expect alone.
        let times = seen.entry(id.clone()).or_default();
        *times += 1;
        if *times > 1 {
            id = format!("{id} ({times})");
        }
        cases.push(Case { kind: kind.into(), id, outcome });
    }
    cases
}

/// What our own control plane would have pushed into a world, if its configuration is one it takes.
fn pushed(world: &Path, mesh: &Path, requests: &[Request]) -> anyhow::Result<Vec<Case>> {
    let Some(own) = World::read(world, mesh)? else { return Ok(Vec::new()) };
    let mut cases = Vec::new();
    let mut plans = BTreeMap::new();
    for proxy in folders(world)?.into_iter().filter(|proxy| proxy.join("node.json").exists()) {
        let id = format!("{}/{}", name_of(world), name_of(&proxy));
        let (view, plan) = own.view(&proxy).with_context(|| id.clone())?;
        cases.extend(pushed::compare(&id, &proxy, &view)?);
        plans.insert(name_of(&proxy), plan);
    }
    cases.extend(calls("pushed-calls", world, requests, |proxy| plans.get(proxy).map(|plan| &**plan)));
    Ok(cases)
}

/// One call of a `requests.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    proxy: String,
    direction: Direction,
    to: String,
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    expect: Expect,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Inbound,
    Outbound,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    cluster: Option<String>,
    weights: Option<BTreeMap<String, f64>>,
    status: Option<u16>,
    percent: Option<f64>,
    delay_s: Option<f64>,
    tls: Option<serde_json::Value>,
    refused: Option<serde_json::Value>,
    #[serde(rename = "note")]
    note: Option<String>,
}

impl Request {
    fn id(&self) -> String {
        let headers: Vec<String> =
            self.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!(
            "{} {:?} {} {} {} {}",
            self.proxy,
            self.direction,
            self.to,
            self.method,
            self.path,
            headers.join(",")
        )
        .trim_end()
        .to_owned()
    }

    fn check(&self, plan: &plan::Plan) -> Result<(), String> {
        let raw = self.expect.note.as_deref().is_some_and(|note| note.contains("raw TCP"));
        let call = self.call(plan, raw)?;
        let decision = explain::decide(plan, &call);
        self.expect.compare(&decision)
    }

    /// The call as the captured connection shows it: the address a name resolves to is the one the plan's own
    /// routes or listeners give it.
    fn call(&self, plan: &plan::Plan, raw: bool) -> Result<Call, String> {
        let (host, port) = self.to.rsplit_once(':').ok_or_else(|| format!("{:?} has no port", self.to))?;
        let port: u16 = port.parse().map_err(|_| format!("{:?} has no port", self.to))?;
        let mut call = Call::http(port, host);
        call.method.clone_from(&self.method);
        call.path.clone_from(&self.path);
        call.headers = self.headers.clone().into_iter().collect();
        call.inbound = self.direction == Direction::Inbound;
        if raw {
            call = call.raw();
        }
        if let Some(address) = explain::address_of(plan, host, port) {
            call.address = address;
        }
        Ok(call)
    }
}

impl Expect {
    fn compare(&self, decision: &Decision) -> Result<(), String> {
        if self.tls.is_some() || self.refused.is_some() {
            return Err("how a connection is secured is not decided by this version".into());
        }
        if let Some(status) = self.status {
            same("status", &Some(status), &decision.reply)?;
        }
        if let Some(percent) = self.percent {
            same("percent", &percent, &decision.fault_percent)?;
        }
        if let Some(delay) = self.delay_s {
            same("delay", &delay, &decision.delay.as_secs_f64())?;
        }
        let shares: BTreeMap<String, f64> =
            decision.clusters.iter().map(|share| (share.cluster.clone(), share.percent)).collect();
        if let Some(weights) = &self.weights {
            same("weights", weights, &shares)?;
        }
        if let Some(cluster) = &self.cluster {
            same("cluster", &BTreeMap::from([(cluster.clone(), 100.0)]), &shares)?;
        }
        match (&decision.failure, self.status) {
            (Some(failure), None) => Err(format!("failed: {failure}")),
            _ => Ok(()),
        }
    }
}

/// An error that shows both where they differ.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, wanted: &T, found: &T) -> Result<(), String> {
    if wanted == found { Ok(()) } else { Err(format!("{what}: expected {wanted:?}, found {found:?}")) }
}

fn folders(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut folders: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
