//! `weft gateway`: an ingress for one machine.

mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;
use tokio::time::Instant;

use api::Resource;
use base::Labels;
use control::wire::Document;
use local::{Layout, Options, Role, Sidecar, Tools, Workload};

use place::Place;

use super::supervise;
use crate::exit::Exit;
use crate::report::{self, Sources};
use crate::{input, terminal};

/// How long control plane and proxy may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the ports may take to be listened on once the proxy is ready.
const LISTENING: Duration = Duration::from_secs(3);

/// The name of the proxy.
const NAME: &str = "gateway";

/// Run an ingress for one machine from YAML: Gateways say where to listen, VirtualServices where requests go,
/// ServiceEntries (resolution STATIC or DNS) what stands behind. The files are reloaded as they change.
#[derive(Args, Debug)]
pub struct Gateway {
    /// A file or a directory of them; may be given several times.
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub(crate) filename: Vec<PathBuf>,
    /// The address to listen on.
    #[arg(long, value_name = "ADDR", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub(crate) bind: IpAddr,
    /// Run a stock Envoy as the proxy.
    #[arg(long)]
    pub(crate) envoy: bool,
}

impl Gateway {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let documents = input::read(&self.filename)?;
        let plan = Plan::of(&documents);
        anyhow::ensure!(!plan.ports.is_empty(), "there is no Gateway with a server in what was given");
        plan.complain();
        let workloads = vec![self.workload(plan.labels.clone())];
        let tools = Tools::find(&workloads)?;
        let place = Place::of(&self.filename)?;
        let layout = Layout::new(place.path());
        let options = Options { layout, mesh: None, tools, workloads, patience: PATIENCE };
        let (bind, dir) = (self.bind, place.path().to_owned());
        let mut following = JoinSet::new();
        following.spawn(place.follow());
        let log = options.layout.workload(NAME).proxy_log();
        supervise::run(options, async move |_| {
            let (open, shut) = listening(bind, &plan.ports).await;
            let weft = std::env::args().next().unwrap_or_else(|| "weft".to_owned());
            if !shut.is_empty() {
                let log = log.display();
                terminal::say(&format!("warning: nothing listens on {}; {log} may say why", shut.join(", ")));
            }
            terminal::print(&format!(
                "listening on {}\n{weft} status --mesh {} shows how it stands; Ctrl-C ends it\n",
                if open.is_empty() { "no port".to_owned() } else { open.join(", ") },
                dir.display()
            ))?;
            Ok(())
        })
        .await
    }

    fn workload(&self, labels: Labels) -> Workload {
        Workload {
            name: NAME.to_owned(),
            pod: NAME.to_owned(),
            namespace: "istio-system".to_owned(),
            labels,
            service_account: NAME.to_owned(),
            role: Role::Gateway(self.bind),
            sidecar: if self.envoy { Sidecar::Envoy } else { Sidecar::Weft },
            ..Workload::default()
        }
    }
}

/// Which ports accept connections, and which do not, as `ADDRESS:PORT`.
async fn listening(bind: IpAddr, ports: &BTreeSet<u16>) -> (Vec<String>, Vec<String>) {
    let reached = match bind {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let deadline = Instant::now() + LISTENING;
    let (mut open, mut shut) = (Vec::new(), Vec::new());
    for port in ports {
        let is_open = local::ready::accepts(SocketAddr::new(reached, *port), deadline).await.is_ok();
        if is_open { &mut open } else { &mut shut }.push(SocketAddr::new(bind, *port).to_string());
    }
    (open, shut)
}

/// What the files ask of the proxy.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// The labels every Gateway selects.
    labels: Labels,
    /// The ports to listen on.
    ports: BTreeSet<u16>,
    /// Selectors that contradict an earlier one, by the Gateway's name.
    contradicted: Vec<String>,
}

impl Plan {
    /// Reads the Gateways, and says what is wrong with the files.
    fn of(documents: &[Document]) -> Self {
        let sources = Sources::of(documents);
        let mut plan = Self { labels: Labels::from([("app", NAME)]), ..Self::default() };
        for document in documents {
            let parsed = api::parse(&document.file, document.text.as_bytes());
            report::say(&parsed.issues, &sources);
            for resource in &parsed.resources {
                if let Resource::Gateway(gateway) = resource {
                    plan.take(gateway.key().to_string(), &gateway.selector.0);
                    plan.ports.extend(gateway.servers.iter().map(|server| server.port.number));
                }
            }
        }
        plan
    }

    fn take(&mut self, name: String, selector: &BTreeMap<String, String>) {
        let labels = &mut self.labels.0;
        // The label `app` of our own gives way; one Gateway's does not to another's.
        let is_ours = |key: &str, value: &String| key == "app" && value == NAME;
        if selector.iter().any(|(key, value)| labels.get(key).is_some_and(|l| l != value && !is_ours(key, l)))
        {
            self.contradicted.push(name);
            return;
        }
        labels.extend(selector.clone());
    }

    fn complain(&self) {
        for name in &self.contradicted {
            terminal::say(&format!(
                "warning: {name} selects another proxy than the Gateways before it; it is not served"
            ));
        }
        let low: Vec<String> = self.ports.iter().filter(|port| **port < 1024).map(u16::to_string).collect();
        if !low.is_empty() && !local::bootstrap::may_bind_low_ports() {
            terminal::say(&format!(
                "warning: this user may not listen on port {}; use one from 1024 up, or allow it with \
                 sysctl net.ipv4.ip_unprivileged_port_start",
                low.join(", ")
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(name: &str, selector: &str, port: u16) -> Document {
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata:\n  name: {name}\nspec:\n  selector:\n    \
             {selector}\n  servers:\n  - port:\n      number: {port}\n      name: http\n      protocol: HTTP\n    \
             hosts:\n    - \"*\"\n"
        );
        Document { file: format!("{name}.yaml"), text }
    }

    #[test]
    fn the_proxy_is_the_one_every_gateway_selects() {
        let plan = Plan::of(&[gateway("a", "istio: ingressgateway", 8080), gateway("b", "app: edge", 80)]);

        assert_eq!(plan.labels, Labels::from([("app", "edge"), ("istio", "ingressgateway")]));
        assert_eq!(plan.ports, [80, 8080].into());
        assert!(plan.contradicted.is_empty());
    }

    #[tokio::test]
    async fn ports_that_nobody_listens_on_are_told_apart() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let port = listener.local_addr().expect("its address").port();

        let (open, shut) = listening(IpAddr::V4(Ipv4Addr::UNSPECIFIED), &[port].into()).await;

        assert_eq!((open, shut), (vec![format!("0.0.0.0:{port}")], Vec::new()));
    }

    #[test]
    fn a_gateway_for_another_proxy_is_named() {
        let plan = Plan::of(&[gateway("a", "istio: one", 8080), gateway("b", "istio: two", 8081)]);

        assert_eq!(plan.labels.value("istio"), Some("one"));
        assert_eq!(plan.contradicted, ["Gateway/default/b"]);
    }
}
