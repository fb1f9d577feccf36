//! A small mesh, what its proxies are told, and what `weft-proxy` makes of it.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use api::{MeshConfig, Parsed, Resource, ResourceSet};
use base::{Issue, Severity};
use mesh::{Proxy, Settings, Snapshot};
use plan::{Plan, RouteSource, Store, Terminal};
use serde_json::Value;
use translate::Output;

use super::difference;

/// The mesh around the object that is tried.
const RESOURCES: &str = include_str!("world.yaml");

/// Who is told: a name, a node id, its metadata.
const PROXIES: [(&str, &str, &str); 5] = [
    (
        "caller",
        "sidecar~10.0.0.9~caller.default~default.svc.cluster.local",
        r#"{"LABELS": {"app": "caller", "version": "v1"}}"#,
    ),
    (
        "reviews",
        "sidecar~10.0.1.1~reviews-v1.default~default.svc.cluster.local",
        r#"{"LABELS": {"app": "reviews", "version": "v1"}}"#,
    ),
    (
        "elsewhere",
        "sidecar~10.0.0.8~stranger.other~other.svc.cluster.local",
        r#"{"LABELS": {"app": "stranger"}}"#,
    ),
    (
        "bound",
        "sidecar~10.0.0.6~bound.default~default.svc.cluster.local",
        r#"{"LABELS": {"app": "bound"}, "INTERCEPTION_MODE": "NONE"}"#,
    ),
    (
        "gateway",
        "router~10.0.0.7~gateway.default~default.svc.cluster.local",
        r#"{"LABELS": {"istio": "ingressgateway"}}"#,
    ),
];

/// What a mesh tells each of its proxies.
pub(super) struct World {
    /// What was said about the object that is tried.
    pub issues: Vec<Issue>,
    told: Vec<Told>,
}

/// What one proxy is told: resources by kind and name.
struct Told {
    resources: BTreeMap<(&'static str, String), Output>,
    plan: Arc<Plan>,
    compiled: OnceCell<String>,
}

/// What came of a change.
pub(super) struct Changes {
    /// The changes, ready to be read.
    pub text: String,
    /// Whether the proxy makes something else of what it is told.
    pub acts: bool,
}

/// Reads objects.
pub(super) fn parse(text: &str) -> Parsed {
    api::parse("it.yaml", text.as_bytes())
}

/// The objects of the mesh, and more beside them.
pub(super) fn around(beside: &str) -> Result<Vec<Resource>, String> {
    let parsed = parse(&format!("{RESOURCES}\n---\n{beside}"));
    if parsed.refused.is_empty() { Ok(parsed.resources) } else { Err(format!("{:?}", parsed.issues)) }
}

impl World {
    /// The mesh with an object and what is around it.
    pub(super) fn new(object: &str, around: &[Resource]) -> Result<Self, String> {
        let parsed = parse(object);
        if let Some(issue) = parsed.issues.iter().find(|issue| issue.severity == Severity::Error) {
            return Err(issue.to_string());
        }
        let set: ResourceSet = around.iter().cloned().chain(parsed.resources).collect();
        let mesh = set.config_maps().find_map(|map| map.mesh.clone());
        let settings = Settings::new(&mesh.unwrap_or_else(MeshConfig::default));
        let snapshot = Snapshot::next(None, &set, &settings);
        let told = PROXIES.iter().map(|(_, id, metadata)| {
            let metadata: Value = serde_json::from_str(metadata).unwrap();
            let proxy = Proxy::new(id, &metadata, &[])?.at("r1", "z1", "s1");
            tell(&snapshot, &proxy)
        });
        Ok(Self { issues: parsed.issues, told: told.collect::<Result<_, String>>()? })
    }
}

/// What a proxy asks for and is told, in the order in which it asks; it must take all of it.
fn tell(snapshot: &Snapshot, proxy: &Proxy) -> Result<Told, String> {
    let view = mesh::view(snapshot, proxy);
    let mut store = Store::new(filters::registry());
    let mut resources = BTreeMap::new();
    let mut put = |store: &mut Store, kind: &'static str, outputs: Vec<Output>| match outputs.first() {
        None => Ok(()),
        Some(first) => {
            let added: Vec<_> = outputs.iter().map(|out| (out.name.clone(), out.any.clone())).collect();
            let rejects = store.update(&first.any.type_url.clone(), &added, &[]);
            resources.extend(outputs.into_iter().map(|out| ((kind, out.name.clone()), out)));
            match rejects.first() {
                None => Ok(()),
                Some(reject) => {
                    Err(format!("the proxy refuses {} {}: {}", kind, reject.name, reject.message))
                }
            }
        }
    };
    put(&mut store, "cluster", translate::clusters(&view.clusters))?;
    let wanted = store.wanted_endpoints();
    let endpoints = wanted.iter().filter_map(|name| view.endpoints(name));
    put(&mut store, "endpoints", endpoints.map(|slice| translate::endpoints(&slice)).collect())?;
    put(&mut store, "listener", translate::listeners(&view.listeners))?;
    let wanted = store.wanted_routes();
    let routes = wanted.iter().filter_map(|name| view.route(name));
    put(&mut store, "routes", routes.map(|slice| translate::route(&slice)).collect())?;
    let wanted = store.wanted_secrets();
    let secrets = wanted.iter().filter_map(|name| view.secret(name));
    put(&mut store, "secret", secrets.map(|slice| translate::secret(&slice)).collect())?;
    Ok(Told { resources, plan: store.plan(), compiled: OnceCell::new() })
}

/// What changed for whom: equal changes of several resources and proxies are told once.
pub(super) fn changes(before: &World, after: &World) -> Changes {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut acts = false;
    let mut known = HashMap::new();
    for ((name, ..), (before, after)) in PROXIES.iter().zip(before.told.iter().zip(&after.told)) {
        let keys: BTreeSet<_> = before.resources.keys().chain(after.resources.keys()).collect();
        let mut is_told = false;
        for key in keys {
            let (old, new) = (before.resources.get(key), after.resources.get(key));
            if old == new {
                continue;
            }
            // Most proxies are told the same.
            let bytes = [old, new].map(|output| output.map(|output| &output.any.value));
            let lines = known.entry((key, bytes)).or_insert_with(|| Rc::new(difference(old, new)));
            if lines.is_empty() {
                continue;
            }
            is_told = true;
            let resource = format!("{} {}", key.0, key.1);
            match groups.iter_mut().find(|group| group.lines == *lines) {
                Some(group) => group.who.entry(resource).or_default().push(name),
                None => groups.push(Group { lines: lines.clone(), who: [(resource, vec![*name])].into() }),
            }
        }
        acts = acts || is_told && before.compiled() != after.compiled();
    }
    Changes { text: groups.iter().map(Group::to_text).collect(), acts }
}

/// Where what proxies decide by begins to differ.
pub(super) fn difference_of_plans(before: &World, after: &World) -> Option<String> {
    before.told.iter().zip(&after.told).find_map(|(before, after)| {
        let (before, after) = (before.compiled(), after.compiled());
        let at = before.bytes().zip(after.bytes()).position(|(a, b)| a != b)?;
        let around = at.saturating_sub(200)..(at + 100);
        Some(format!("{:?} {:?}", before.get(around.clone()), after.get(around)))
    })
}

/// How a resource has changed, come or gone.
fn difference(old: Option<&Output>, new: Option<&Output>) -> Vec<String> {
    match (old, new) {
        (Some(old), Some(new)) => difference::lines(&json(old), &json(new)),
        (Some(_), None) => vec!["-".into()],
        (None, _) => vec!["+".into()],
    }
}

fn json(output: &Output) -> Value {
    let mut value = proto::json::to_json(&output.any);
    difference::without_origins(&mut value);
    value
}

/// One change of several resources, each with the proxies that are told of it.
struct Group<'a> {
    lines: Rc<Vec<String>>,
    who: BTreeMap<String, Vec<&'a str>>,
}

impl Group<'_> {
    /// The change under whom it is for: proxies, and the first of the resources.
    fn to_text(&self) -> String {
        let mut by_proxies: BTreeMap<&[&str], Vec<&str>> = BTreeMap::new();
        for (resource, proxies) in &self.who {
            by_proxies.entry(proxies).or_default().push(resource);
        }
        let mut text = String::new();
        for (proxies, resources) in by_proxies {
            let more = match resources.len() {
                0..=3 => String::new(),
                all => format!(" and {} more", all - 3),
            };
            let first: Vec<&str> = resources.into_iter().take(3).collect();
            text += &format!("  {}: {}{more}\n", proxies.join(", "), first.join(", "));
        }
        text.extend(self.lines.iter().map(|line| format!("    {line}\n")));
        text
    }
}

impl Told {
    /// What the proxy decides by, as text: what it was made from does not count, nor the order of maps.
    fn compiled(&self) -> &str {
        self.compiled.get_or_init(|| {
            let plan = &self.plan;
            let mut text = String::new();
            for listener in plan.listeners.values() {
                text += &settled(&format!("{listener:?}"));
                for chain in &listener.chains {
                    if let Terminal::Http(manager) = &chain.terminal
                        && let RouteSource::Named(_) = manager.routes
                    {
                        text += &settled(&format!("{:?}", plan.routes(manager)));
                    }
                }
            }
            let mut clusters: Vec<_> =
                plan.clusters().map(|cluster| settled(&format!("{cluster:?}"))).collect();
            clusters.sort();
            let secrets = self.resources.keys().filter(|(kind, _)| *kind == "secret");
            text.extend(secrets.map(|(_, name)| format!("{:?}", plan.secret(name))));
            text + &clusters.concat()
        })
    }
}

/// Parts of a plan that nothing is decided by: what it was made from, where that came from, what is not done.
const UNREAD: [&str; 5] = ["Any {", "Degraded {", "Digest(", "InertFilter {", "Origin {"];

/// The text of a value with the entries of its maps in order.
fn settled(text: &str) -> String {
    let mut rest = text;
    group(&mut rest)
}

/// One group of entries, up to its closing bracket, which is taken too.
fn group(rest: &mut &str) -> String {
    let (mut entries, mut entry, mut in_quotes) = (Vec::new(), String::new(), false);
    let mut is_escaped = false;
    let mut close = None;
    while let Some(letter) = rest.chars().next() {
        *rest = &rest[letter.len_utf8()..];
        match letter {
            _ if in_quotes => {
                entry.push(letter);
                in_quotes = is_escaped || letter != '"';
                is_escaped = !is_escaped && letter == '\\';
                continue;
            }
            '"' => in_quotes = true,
            ',' => {
                entries.push(std::mem::take(&mut entry));
                continue;
            }
            '}' | ']' | ')' => {
                close = Some(letter);
                break;
            }
            _ => {}
        }
        entry.push(letter);
        if matches!(letter, '{' | '[' | '(') {
            let is_told = !UNREAD.iter().any(|kind| entry.ends_with(kind));
            let inside = group(rest);
            entry += if is_told { &inside } else { "" };
        }
    }
    entries.push(entry);
    if close == Some('}') && entries.iter().all(|entry| entry.trim_start().starts_with('"')) {
        entries = entries.into_iter().map(|entry| entry.trim().to_owned()).collect();
        entries.sort();
    }
    entries.join(",") + &close.map(String::from).unwrap_or_default()
}

/// Whether the page on xDS says of a field that the proxy takes it and does not act on it.
pub(super) fn is_listed(word: &str) -> Result<(), String> {
    let page = include_str!("../../../../../docs/xds.md");
    let table = page.split("## Taken, and not acted on").nth(1).and_then(|rest| rest.split("\n## ").next());
    match table.is_some_and(|table| table.contains(&format!("`{word}`"))) {
        true => Ok(()),
        false => Err(format!("docs/xds.md does not say that `{word}` is not acted on")),
    }
}
