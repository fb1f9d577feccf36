//! `weft explain`: what a proxy of the mesh would do with a request, and which object says so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use http::Uri;

use api::{Kind, Resource, ResourceSet};
use base::{Bootstrap, Host, Place};
use control::wire::Object;
use explain::{Call, Changes, Decision, Retries, Security, Share, Tls};
use local::Layout;
use mesh::{Proxy, Settings, Snapshot};

use super::target::Target;
use crate::exit::{Exit, UsageError};
use crate::input;
use crate::report::{self, Sources};
use crate::terminal;

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON document.
    Json,
    /// Lines for people.
    Text,
    /// One YAML document.
    Yaml,
}

/// Tell what a proxy would do with a request, and which object says so; nothing is sent.
#[derive(Args, Debug)]
pub struct Explain {
    /// The URL as the client writes it: http://reviews:9080/reviews/0, or https://… for one that speaks TLS itself.
    pub(crate) url: Uri,
    /// The workload that asks, or `gateway` for a request that arrives there.
    #[arg(long, value_name = "NAME")]
    pub(crate) from: String,
    /// The method.
    #[arg(short = 'X', long, default_value = "GET")]
    pub(crate) method: String,
    /// A header; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// What if these objects were applied? A file, a directory of them, or - for standard input.
    #[arg(short, long = "filename", value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
    #[command(flatten)]
    pub(crate) target: Target,
}

impl Explain {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let client = self.target.find().await?;
        let layout = Layout::new(client.status().await?.dir);
        let mut set = ResourceSet::default();
        let mut places = Places::default();
        let objects = client.resources(None, None, None).await?.objects;
        let held = held(&objects);
        for object in objects {
            for resource in api::parse(&object.file, object.text.as_bytes()).resources {
                places.0.insert(resource.key().to_string(), object.line.saturating_sub(1));
                set.insert(resource);
            }
        }
        if !self.suppose(&mut set, &mut places)? {
            return Ok(Exit::Wrong);
        }
        let proxy = asking(&layout, &self.from)?;
        let snapshot =
            Snapshot::next(Some(&Snapshot::with_addresses(addresses(&layout))), &set, &settings(&set));
        let mut decision = explain::decide(&explain::compile(&snapshot, &proxy).plan, &self.call(&proxy)?);
        decision.missing_secrets.retain(|name| !is_held(name, &proxy.namespace, &held));
        let text = match self.output {
            Format::Json => format!("{:#}\n", serde_json::to_value(&decision)?),
            Format::Yaml => api::yaml::emit(&serde_json::to_value(&decision)?),
            Format::Text => render(&decision, places.find(&set, &decision)),
        };
        terminal::print(&text)?;
        Ok(if decision.failure.is_some() { Exit::Wrong } else { Exit::Done })
    }

    /// Puts what is handed over in the place of what is in force; whether it could.
    fn suppose(&self, set: &mut ResourceSet, places: &mut Places) -> anyhow::Result<bool> {
        let documents = input::read(&self.filename)?;
        let sources = Sources::of(&documents);
        let mut is_good = true;
        for document in &documents {
            let parsed = api::parse(&document.file, document.text.as_bytes());
            report::say(&parsed.issues, &sources);
            is_good &= !report::has_error(&parsed.issues);
            for resource in parsed.resources {
                places.0.remove(&resource.key().to_string());
                set.insert(resource);
            }
        }
        Ok(is_good)
    }

    fn call(&self, proxy: &Proxy) -> Result<Call, UsageError> {
        let wrong = || UsageError(format!("{} is no URL of the form http[s]://HOST[:PORT]/PATH", self.url));
        let (usual, security) = match self.url.scheme_str() {
            Some("http") => (80, Security::Plaintext),
            Some("https") => (443, Security::Tls),
            _ => return Err(wrong()),
        };
        let authority = self.url.authority().ok_or_else(wrong)?;
        let address = match proxy.local {
            _ if proxy.is_gateway() => proxy.gateway_bind,
            Some(net) => net.outbound().into(),
            None => Ipv4Addr::UNSPECIFIED.into(),
        };
        let is_secured = security == Security::Tls;
        Ok(Call {
            address,
            security,
            sni: is_secured.then(|| authority.host().to_owned()),
            alpn: if is_secured { vec!["h2".to_owned(), "http/1.1".to_owned()] } else { Vec::new() },
            method: self.method.clone(),
            path: self.url.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            headers: self.headers.clone(),
            ..Call::http(authority.port_u16().unwrap_or(usual), authority.as_str())
        })
    }
}

/// The Secrets in force: what they hold is told to nobody, so that they cannot be among the other objects here.
fn held(objects: &[Object]) -> BTreeSet<(String, String)> {
    let secrets = objects.iter().filter(|object| object.kind == Kind::Secret.name());
    secrets.map(|secret| (secret.namespace.clone(), secret.name.clone())).collect()
}

/// Whether there is the Secret that a proxy of a namespace asks for by a name of Istio's.
fn is_held(asked: &str, namespace: &str, held: &BTreeSet<(String, String)>) -> bool {
    mesh::secrets_behind(asked, namespace).any(|name| held.contains(&(namespace.to_owned(), name.to_owned())))
}

/// The mesh's settings: those of its ConfigMap `istio`, that of `istio-system` first.
fn settings(set: &ResourceSet) -> Settings {
    let mut maps: Vec<_> = set.config_maps().filter(|map| &*map.meta().name == "istio").collect();
    maps.sort_by_key(|map| &*map.meta().namespace != "istio-system");
    maps.iter().find_map(|map| map.mesh.as_ref()).map_or_else(Settings::default, Settings::new)
}

/// How far down its file each object in force begins.
#[derive(Default)]
struct Places(BTreeMap<String, u32>);

impl Places {
    /// Where the field that decided stands.
    fn find(&self, set: &ResourceSet, decision: &Decision) -> Option<Place> {
        let origin = decision.origin.as_ref()?;
        let resource =
            set.iter().find(|resource: &&Resource| resource.key().to_string() == origin.object())?;
        let mut place = resource.place(&origin.path);
        place.line += self.0.get(&origin.object()).copied().unwrap_or_default();
        Some(place)
    }
}

/// The proxy of the workload a user means, as it described itself when it was started.
fn asking(layout: &Layout, name: &str) -> anyhow::Result<Proxy> {
    let mut known = Vec::new();
    for entry in
        std::fs::read_dir(layout.own()).with_context(|| format!("reading {}", layout.own().display()))?
    {
        let folder = entry?.file_name().to_string_lossy().into_owned();
        let Some(bootstrap) = bootstrap(&layout.workload(&folder).bootstrap()) else { continue };
        let extensions = ["weft".to_owned()];
        let metadata = serde_json::to_value(&bootstrap.metadata)?;
        let proxy = Proxy::new(&bootstrap.id, &metadata, &extensions).map_err(UsageError)?;
        if folder == name || proxy.id.name == name || (name == "gateway" && proxy.is_gateway()) {
            return Ok(proxy);
        }
        known.push(folder);
    }
    known.sort();
    Err(UsageError(format!("there is no workload {name:?}; there are {}", known.join(", "))).into())
}

fn bootstrap(path: &Path) -> Option<Bootstrap> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn addresses(layout: &Layout) -> BTreeMap<Host, u8> {
    let read = || -> Option<BTreeMap<String, u8>> {
        serde_json::from_slice(&std::fs::read(layout.addresses()).ok()?).ok()
    };
    read().unwrap_or_default().into_iter().map(|(host, slot)| (Host::new(&host), slot)).collect()
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is written NAME: VALUE")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

fn render(decision: &Decision, place: Option<Place>) -> String {
    let mut lines = Vec::new();
    let mut line =
        |label: &str, text: Option<String>| lines.extend(text.map(|text| format!("{label:<15}{text}\n")));
    line("listener", decision.listener.clone());
    line("TLS", tls(decision.tls).map(str::to_owned));
    for secret in &decision.missing_secrets {
        line("secret missing", Some(secret.clone()));
    }
    line("route table", decision.route_config.clone());
    line("virtual host", decision.virtual_host.clone());
    line("route", decision.route.clone().filter(|name| !name.is_empty()));
    line("decided by", decision.origin.as_ref().map(ToString::to_string));
    line("written at", place.map(|place| place.to_string()));
    if decision.fault_percent > 0.0 {
        line("fault", Some(format!("{} % of such requests", decision.fault_percent)));
    }
    if !decision.delay.is_zero() {
        line("held for", Some(base::duration::render(decision.delay)));
    }
    line("answered with", decision.reply.map(|status| status.to_string()));
    line("sent to", decision.location.clone());
    for (name, value) in &decision.reply_headers {
        line("with header", Some(format!("{name}: {value}")));
    }
    line("saying", decision.body.clone());
    // A fault that hits every request leaves none to send on.
    let is_sent_on = decision.fault_percent < 100.0 || decision.reply.is_none();
    for share in decision.clusters.iter().filter(|_| is_sent_on) {
        line("goes to", Some(goes_to(share)));
        let sees = [&share.authority, &share.path].into_iter().flatten().map(String::as_str);
        line("  as", Some(sees.collect::<String>()).filter(|sees| !sees.is_empty()));
        changes(&mut line, ["  set", "  removed"], &share.request_headers);
        changes(&mut line, ["  answer set", "  answer less"], &share.response_headers);
    }
    for copy in decision.mirrors.iter().filter(|_| is_sent_on) {
        line("copied to", Some(format!("{} ({} %)", copy.cluster, copy.percent)));
    }
    line("within", decision.timeout.map(base::duration::render));
    line("tried again", decision.retries.as_ref().map(again));
    if !decision.hash.is_empty() {
        line("kept together", Some(format!("by {}", decision.hash.join(", else "))));
    }
    line("fails", decision.failure.map(|failure| failure.to_string()));
    lines.concat()
}

fn tls(tls: Tls) -> Option<&'static str> {
    match tls {
        Tls::Mutual => Some("ended here, with the client's certificate"),
        Tls::None => None,
        Tls::PassedThrough => Some("passed through"),
        Tls::Terminated => Some("ended here"),
    }
}

fn goes_to(share: &Share) -> String {
    let destination = share.destination.map(|address| format!(", to {address}")).unwrap_or_default();
    let missing = if share.is_missing { ", which does not exist" } else { "" };
    let secured = if share.is_secured { " over TLS" } else { "" };
    format!("{} ({} %){secured}{destination}{missing}", share.cluster, share.percent)
}

fn changes(line: &mut impl FnMut(&str, Option<String>), [set, removed]: [&str; 2], changes: &Changes) {
    changes.set.iter().for_each(|(name, value)| line(set, Some(format!("{name}: {value}"))));
    changes.removed.iter().for_each(|name| line(removed, Some(name.clone())));
}

fn again(retries: &Retries) -> String {
    let each = retries.per_try_timeout.map(|each| format!(", each within {}", base::duration::render(each)));
    let statuses: Vec<String> = retries.statuses.iter().map(ToString::to_string).collect();
    let on = retries.on.iter().map(|on| (*on).to_owned()).chain(statuses).collect::<Vec<_>>().join(", ");
    format!("up to {} times{} on {on}", retries.attempts, each.unwrap_or_default())
}

#[cfg(test)]
mod tests;
