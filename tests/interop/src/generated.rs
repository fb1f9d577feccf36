//! Configurations and requests nobody thought of: every kind of match, action and TLS mode, drawn by chance.
//!
//! Start at [`Generated`]; what there is to draw is listed in [`table`].

mod call;
mod conditions;
mod draw;
mod requests;
mod routes;
mod services;
mod streams;
pub mod table;
mod words;

pub use call::{Exchange, Expected, Place};

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::exchange::Asked;
use crate::town::Town;
use draw::{Draw, Wanted};
use services::{Hash, Ports};
use streams::Streams;
use words::{CALLED, HOSTS};

/// The gateway's port for plain requests, and the one that sends all of them to `https`.
const PLAIN: u16 = 8080;
const REDIRECTING: u16 = 8082;

/// The first of the ports that belong to one configuration alone, so that no other answers there.
const FIRST: u16 = 20_000;

/// How many requests there are to the gateway's plain port, and to that of a sidecar.
const AT_THE_GATEWAY: usize = 10;
const AT_THE_SIDECAR: usize = 6;

/// One configuration, and what is to be asked under it.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The objects, as JSON documents of one YAML text.
    pub text: String,
    ports: Ports,
    /// What is to be asked.
    pub exchanges: Vec<Exchange>,
    noted: BTreeMap<String, Vec<&'static str>>,
    hash: Hash,
    hash_kinds: [&'static str; 2],
}

impl Generated {
    /// Draws the configuration of this number, which leads to these backends.
    pub fn draw(chance: &mut Chance, town: &Town, number: u16) -> Self {
        let first = FIRST + 4 * number;
        let ports = Ports { tls: first, tcp: first + 1, bytes: first + 2, sealed: first + 3 };
        let mut draw = Draw::new(chance);
        let mut objects = services::services(town, ports);
        let (hash, hash_kinds, rule) = draw.hashed();
        objects.push(rule);
        let mut streams = Streams::default();
        objects.push(gateway(ports, &draw.tls_server(town, ports, &mut streams)));
        draw.tcp_at_the_gateway(ports, &mut streams);
        draw.tcp_of_a_workload(ports, &mut streams);
        draw.tls_of_a_workload(town, ports, &mut streams);
        for (hosts, gateways) in [
            (json!(["a.test"]), &["edge", "mesh"][..]),
            (json!(["*.b.test", "b.test"]), &["edge", "mesh"]),
            (json!(["*"]), &["edge"]),
            (json!(["one.test", "two.test"]), &["mesh"]),
        ] {
            if draw.chance.below(4) > 0 {
                let gateways = if draw.chance.once_in(3) { &gateways[..1] } else { gateways };
                objects.extend(draw.virtual_service(objects.len(), &hosts, gateways));
            }
        }
        let Draw { noted, wanted, .. } = draw;
        let Streams { objects: more, mut exchanges } = streams;
        objects.extend(more);
        exchanges.extend(requests(chance, &wanted));
        let text = objects.iter().map(|object| format!("{object}\n")).collect::<Vec<_>>().join("---\n");
        Self { text, ports, exchanges, noted, hash, hash_kinds }
    }

    /// Where connections are taken under it, and under no other configuration, or under every one.
    pub fn doors(&self) -> [(Place, u16); 5] {
        let Ports { tls, tcp, bytes, sealed } = self.ports;
        [
            (Place::Gateway, tls),
            (Place::Gateway, tcp),
            (Place::Service("bytes-1.test"), bytes),
            (Place::Service("sealed.test"), sealed),
            (Place::Sidecar, services::PORT),
        ]
    }

    /// What of the table a request met that took this route, as a proxy names it, to a cluster.
    pub fn met(&self, asked: &Asked, route: &str, cluster: &str) -> Vec<&'static str> {
        let mut met: Vec<_> = self.of_route(route).collect();
        met.retain(|kind| *kind != "hashed");
        if cluster.ends_with("||many.test") && self.hash.is_in(asked) {
            met.extend(self.hash_kinds);
        }
        met
    }

    /// Whether chance decides which backend answers a request that took this route to a cluster.
    pub fn is_drawn(&self, asked: &Asked, route: &str, cluster: &str) -> bool {
        self.is_shared(route) || (self.is_of_many(cluster) && !self.hash.is_in(asked))
    }

    /// Whether chance decides which cluster a request goes to that takes this route.
    pub fn is_shared(&self, route: &str) -> bool {
        self.of_route(route).any(|kind| kind == "weights 50 and 50")
    }

    fn is_of_many(&self, cluster: &str) -> bool {
        cluster.ends_with("|many.test")
    }

    /// What is noted under the parts of a route's name: `ROUTE.CONDITION`, each of them `DELEGATING-DELEGATED`.
    fn of_route(&self, route: &str) -> impl Iterator<Item = &'static str> {
        let parts = route.split(['.', '-']);
        parts.filter_map(|part| self.noted.get(part)).flatten().copied()
    }
}

fn gateway(ports: Ports, tls: &Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "edge", "namespace": "default"},
        "spec": {
            "selector": {"istio": "edge"},
            "servers": [
                {"port": {"number": PLAIN, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]},
                {
                    "port": {"number": REDIRECTING, "name": "http-redirects", "protocol": "HTTP"},
                    "hosts": ["*"], "tls": {"httpsRedirect": true},
                },
                {"port": {"number": ports.tcp, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]},
                tls,
            ],
        },
    })
}

fn requests(chance: &mut Chance, wanted: &Wanted) -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    let places = [
        (Place::Gateway, PLAIN, &HOSTS, AT_THE_GATEWAY),
        (Place::Gateway, REDIRECTING, &HOSTS, 1),
        (Place::Sidecar, services::PORT, &CALLED, AT_THE_SIDECAR),
    ];
    for (place, port, hosts, count) in places {
        for _ in 0..count {
            let (asked, mut kinds) = requests::request(chance, hosts, wanted);
            if port == REDIRECTING {
                kinds.push("httpsRedirect");
            }
            exchanges.push(Exchange::new(place, port, asked, kinds));
        }
    }
    exchanges
}
