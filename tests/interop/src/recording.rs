//! What a real istiod once pushed to one proxy of one world, and the calls stated for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use suites::replay::{Recorded, Replay};
use testkit::Echo;
use tokio::sync::watch;

use crate::{ControlPlane, Home, Proxy};

/// A recording and the folder it stands in.
#[derive(Debug)]
pub struct Recording {
    folder: PathBuf,
    recorded: Recorded,
}

/// One call of a world's `requests.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    /// The proxy that is asked.
    pub proxy: String,
    /// `outbound` or `inbound`.
    pub direction: String,
    /// `HOST:PORT`.
    pub to: String,
    /// The path.
    pub path: String,
    /// More headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What must become of it.
    pub expect: Expect,
}

/// What must become of a call.
#[derive(Clone, Debug, Deserialize)]
pub struct Expect {
    /// The only cluster that may take it.
    pub cluster: Option<String>,
    /// How the call is meant, in words.
    #[serde(default)]
    pub note: String,
}

impl Call {
    /// The port it goes to.
    ///
    /// # Panics
    /// When it says none.
    pub fn port(&self) -> u16 {
        let port = self.to.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.unwrap_or_else(|| panic!("{} has no port", self.to))
    }
}

impl Recording {
    /// Reads the recording of a proxy, e.g. `bookinfo/productpage@none`; none where the suites are missing.
    ///
    /// # Panics
    /// When the folder is there and is not a recording.
    pub fn read(name: &str) -> Option<Self> {
        let folder = testkit::suites()?.join("istiod").join(name);
        let recorded = Recorded::read(&folder).unwrap_or_else(|error| panic!("{error:#}"));
        Some(Self { folder, recorded })
    }

    /// Reads the recordings of all proxies of a world; none where the suites are missing.
    ///
    /// # Panics
    /// When the world is there and has none.
    pub fn of_world(world: &str) -> Vec<Self> {
        let Some(suites) = testkit::suites() else { return Vec::new() };
        let folder = suites.join("istiod").join(world);
        let entries =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let proxies = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.to_owned()));
        let proxies = proxies.filter(|proxy| folder.join(proxy).join("node.json").exists());
        let all: Vec<Self> = proxies.filter_map(|proxy| Self::read(&format!("{world}/{proxy}"))).collect();
        assert!(!all.is_empty(), "{} has no recording", folder.display());
        all
    }

    /// The proxy it was made for.
    pub fn name(&self) -> String {
        self.folder.display().to_string()
    }

    /// Serves it, and starts a proxy that says it is the one it was made for and that has settled on it.
    ///
    /// # Panics
    /// When something is never acknowledged.
    pub fn replay(self, home: &Home) -> (ControlPlane, Proxy) {
        let id = self.recorded.node.id.clone();
        let node: Value = read(&self.folder.join("node.json"));
        let metadata = node["metadata"].as_object().into_iter().flatten();
        let metadata = metadata.map(|(key, value)| (key.clone(), value.clone())).collect();
        let settled = Arc::new(watch::Sender::new(0));
        let supply = Replay { recorded: self.recorded, settled: Arc::clone(&settled) };
        let control_plane = ControlPlane::start(home.at(0), supply);
        let proxy = Proxy::start(home, control_plane.address(), metadata, &id);
        proxy.wait_live();
        testkit::wait_until("everything to be answered", crate::PATIENCE, || match *settled.borrow() {
            0 => Err(format!("refused so far: {:?}", proxy.errors())),
            _ => Ok(()),
        });
        (control_plane, proxy)
    }

    /// The endpoints of every cluster.
    pub fn endpoints(&self) -> BTreeMap<String, BTreeSet<SocketAddr>> {
        let assignments: Vec<Value> = read(&self.folder.join("ClusterLoadAssignment.json"));
        let name =
            |one: &Value| one["cluster_name"].as_str().map(str::to_owned).expect("an assignment's name");
        assignments.iter().map(|one| (name(one), addresses(one))).collect()
    }

    /// Every filter of a chain or of HTTP, by its listener's name and its own.
    pub fn filters(&self) -> BTreeSet<(String, String)> {
        let listeners: Vec<Value> = read(&self.folder.join("Listener.json"));
        let named = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
        let filters = |listener: &Value| {
            let mut names = BTreeSet::new();
            collect_filters(listener, &mut names);
            names
        };
        listeners.iter().flat_map(|one| filters(one).into_iter().map(|filter| (named(one), filter))).collect()
    }

    /// The calls of the world that one proxy makes.
    pub fn calls_from(&self, proxy: &str) -> Vec<Call> {
        let all: Vec<Call> = read(&self.folder.with_file_name("requests.json"));
        all.into_iter().filter(|call| call.proxy == proxy && call.direction == "outbound").collect()
    }

    /// The address discovery gave a service.
    pub fn service_address(&self, name: &str) -> IpAddr {
        let list: Value = read(&self.folder.with_file_name("cluster.json"));
        let is_meant = |item: &&Value| item["kind"] == "Service" && item["metadata"]["name"] == name;
        let service = list["items"].as_array().into_iter().flatten().find(is_meant);
        let address = service.and_then(|service| service["spec"]["clusterIP"].as_str()?.parse().ok());
        address.unwrap_or_else(|| panic!("no service {name} with an address"))
    }
}

/// Starts a backend at every address, which answers with the address as its name.
///
/// # Panics
/// When an address is not the machine's.
pub fn backends<'a>(addresses: impl IntoIterator<Item = &'a SocketAddr>) -> Vec<Echo> {
    let start = |address: &SocketAddr| Echo::start_at(&address.to_string(), *address);
    addresses.into_iter().map(|address| start(address).unwrap_or_else(|e| panic!("{address}: {e}"))).collect()
}

/// Every socket address in a message, however deep.
fn addresses(message: &Value) -> BTreeSet<SocketAddr> {
    let within = |values: &mut dyn Iterator<Item = &Value>| values.flat_map(addresses).collect();
    match message {
        Value::Array(list) => within(&mut list.iter()),
        Value::Object(fields) => match fields.get("socket_address") {
            Some(socket) => {
                let ip = socket["address"].as_str().and_then(|ip| ip.parse::<IpAddr>().ok());
                let port = socket["port_value"].as_u64().and_then(|port| u16::try_from(port).ok());
                ip.zip(port).map(SocketAddr::from).into_iter().collect()
            }
            None => within(&mut fields.values()),
        },
        _ => BTreeSet::new(),
    }
}

/// What stands in a list of filters, but for those of the listener itself, which see no chain.
fn collect_filters(message: &Value, names: &mut BTreeSet<String>) {
    match message {
        Value::Array(list) => list.iter().for_each(|one| collect_filters(one, names)),
        Value::Object(fields) => {
            let lists = fields.iter().filter(|(key, _)| ["filters", "http_filters"].contains(&key.as_str()));
            let filters = lists.flat_map(|(_, list)| list.as_array().into_iter().flatten());
            names.extend(filters.filter_map(|filter| filter["name"].as_str().map(str::to_owned)));
            fields.values().for_each(|one| collect_filters(one, names));
        }
        _ => {}
    }
}

fn read<T: DeserializeOwned>(file: &Path) -> T {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
