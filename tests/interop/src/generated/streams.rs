//! What is not HTTP, or comes inside TLS: servers of a gateway, and routes of connections.

use serde_json::{Map, Value, json};

use super::call::{Exchange, Expected, Place};
use super::draw::{Draw, Wanted};
use super::requests::request;
use super::services::{PORT, Ports};
use super::words::HOSTS;
use crate::exchange::{Asked, Client, Hello};
use crate::town::Town;

/// The VirtualServices of connections, and the connections that are to be made.
#[derive(Default)]
pub(super) struct Streams {
    pub(super) objects: Vec<Value>,
    pub(super) exchanges: Vec<Exchange>,
}

/// A destination that bytes, or TLS, go on to.
fn to(host: &str, port: u16) -> Value {
    json!({"destination": {"host": format!("{host}.test"), "port": {"number": port}}})
}

fn virtual_service(name: &str, hosts: &Value, gateway: &str, field: &str, routes: &[Value]) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"hosts": hosts, "gateways": [gateway], field: routes},
    })
}

impl Draw<'_> {
    /// A server of the gateway that has TLS in one mode or another, with what asks there.
    pub(super) fn tls_server(&mut self, town: &Town, ports: Ports, streams: &mut Streams) -> Value {
        let mode = self.of(&[
            "gateway SIMPLE",
            "gateway MUTUAL",
            "gateway OPTIONAL_MUTUAL",
            "gateway PASSTHROUGH",
            "gateway AUTO_PASSTHROUGH",
            "gateway TLS around TCP",
        ]);
        let keys = &town.keys;
        let mut tls = json!({"serverCertificate": keys.certificate("edge"), "privateKey": keys.key("edge")});
        let (protocol, hosts) = match mode {
            "gateway PASSTHROUGH" => {
                tls = json!({"mode": "PASSTHROUGH"});
                self.passed_through(town, ports, streams);
                ("TLS", "*.pass.test")
            }
            "gateway AUTO_PASSTHROUGH" => {
                tls = json!({"mode": "AUTO_PASSTHROUGH"});
                Self::passed_by_name(town, ports, streams);
                ("TLS", "*.test")
            }
            "gateway TLS around TCP" => {
                tls["mode"] = json!("SIMPLE");
                let hello = Hello { name: "a.test".into(), config: keys.client(&[], None) };
                let asked = Asked { hello: Some(hello), ..Asked::bytes() };
                streams.exchanges.push(Exchange::new(Place::Gateway, ports.tls, asked, vec![mode]));
                ("TLS", "a.test")
            }
            _ => {
                tls["mode"] = json!(mode.trim_start_matches("gateway "));
                if mode != "gateway SIMPLE" {
                    tls["caCertificates"] = json!(keys.authority());
                }
                self.ended(town, ports, mode, streams);
                ("HTTPS", "*")
            }
        };
        json!({
            "port": {"number": ports.tls, "name": "tls", "protocol": protocol}, "hosts": [hosts], "tls": tls,
        })
    }

    /// Requests to where TLS ends, by clients that have a certificate, a foreign one, or none.
    fn ended(&mut self, town: &Town, ports: Ports, mode: &'static str, streams: &mut Streams) {
        for _ in 0..2 {
            let (mut asked, mut kinds) = request(self.chance, &HOSTS[..1], &Wanted::default());
            let protocol =
                if matches!(asked.client, Client::Http2 | Client::Grpc) { "h2" } else { "http/1.1" };
            let somebody = self.of(&[None, Some("client"), Some("client"), Some("stranger")]);
            let config = town.keys.client(&[protocol], somebody);
            asked.hello = Some(Hello { name: asked.host.clone(), config });
            let turned_away = match (mode, somebody) {
                ("gateway MUTUAL", None | Some("stranger")) => Some("gateway MUTUAL turns away"),
                ("gateway OPTIONAL_MUTUAL", Some("stranger")) => Some("gateway OPTIONAL_MUTUAL turns away"),
                _ => None,
            };
            let expected = match turned_away {
                Some(kind) => {
                    kinds = vec![kind];
                    Expected::Refusal
                }
                None => {
                    kinds.push(mode);
                    Expected::Requests
                }
            };
            let exchange = Exchange::new(Place::Gateway, ports.tls, asked, kinds);
            streams.exchanges.push(exchange.expecting(expected));
        }
    }

    /// TLS that ends behind the gateway, by the name it asks for.
    fn passed_through(&mut self, town: &Town, ports: Ports, streams: &mut Streams) {
        let wide = self.of(&["*.one.pass.test", "*.pass.test"]);
        let (weights, shares, expected) = self.shares("TLS", ["sealed", "strict"], ports.sealed);
        let routes = [
            json!({"match": [{"port": ports.tls, "sniHosts": ["one.pass.test"]}], "route": shares}),
            json!({"match": [{"port": ports.tls, "sniHosts": [wide]}], "route": [to("strict", ports.sealed)]}),
        ];
        streams.objects.push(virtual_service("names", &json!(["*.pass.test"]), "edge", "tls", &routes));
        let other = match wide {
            "*.pass.test" => (Expected::Name("strict"), vec!["sniHosts wildcard"]),
            _ => (Expected::Refusal, vec!["no such name"]),
        };
        let asked = [
            ("one.pass.test", (expected, vec!["sniHosts exact", weights])),
            ("deep.one.pass.test", (Expected::Name("strict"), vec!["sniHosts wildcard"])),
            ("two.pass.test", other),
        ];
        for (name, (expected, mut kinds)) in asked {
            kinds.push("gateway PASSTHROUGH");
            let exchange = Exchange::new(Place::Gateway, ports.tls, within(town, name, &["http/1.1"]), kinds);
            streams.exchanges.push(exchange.expecting(expected));
        }
    }

    /// TLS of the mesh, by the name of a cluster.
    fn passed_by_name(town: &Town, ports: Ports, streams: &mut Streams) {
        let name = format!("outbound_.{PORT}_._.sealed.test");
        for (protocols, expected, kind) in [
            (&["istio-http/1.1", "http/1.1"][..], Expected::Name("sealed"), "gateway AUTO_PASSTHROUGH"),
            (&["istio"], Expected::Name("sealed"), "gateway AUTO_PASSTHROUGH"),
            (&["http/1.1"], Expected::Refusal, "gateway AUTO_PASSTHROUGH turns away"),
        ] {
            let asked = within(town, &name, protocols);
            let exchange = Exchange::new(Place::Gateway, ports.tls, asked, vec![kind]);
            streams.exchanges.push(exchange.expecting(expected));
        }
    }

    /// Bytes at a port of the gateway.
    pub(super) fn tcp_at_the_gateway(&mut self, ports: Ports, streams: &mut Streams) {
        let kind = self.of(&[
            "TCP by port",
            "TCP by another port",
            "TCP by gateways",
            "TCP by sourceLabels",
            "TCP by sourceNamespace",
            "TCP without a match",
        ]);
        let condition = match kind {
            "TCP by port" => Some(json!({"port": ports.tcp})),
            "TCP by another port" => Some(json!({"port": 9})),
            "TCP by gateways" => Some(json!({"gateways": ["edge"]})),
            "TCP by sourceLabels" => Some(json!({"sourceLabels": {"istio": "edge"}})),
            "TCP by sourceNamespace" => Some(json!({"sourceNamespace": "default"})),
            _ => None,
        };
        let (weights, shares, mut expected) = self.shares("TCP", ["bytes-1", "bytes-2"], ports.bytes);
        let mut first = json!({"route": shares});
        if let Some(condition) = condition {
            first["match"] = json!([condition]);
        }
        let mut kinds = vec![kind, weights];
        if kind == "TCP by another port" {
            expected = Expected::Name("bytes-2");
            kinds = vec![kind, "TCP without a match"];
        }
        let rest = json!({"route": [to("bytes-2", ports.bytes)]});
        streams.objects.push(virtual_service("bytes", &json!(["*"]), "edge", "tcp", &[first, rest]));
        let exchange = Exchange::new(Place::Gateway, ports.tcp, Asked::bytes(), kinds);
        // What comes inside TLS goes the same way, but for the port.
        for other in &mut streams.exchanges {
            if other.asked.client == Client::Bytes {
                other.expected = if kind == "TCP by port" { Expected::Name("bytes-2") } else { expected };
            }
        }
        streams.exchanges.push(exchange.expecting(expected));
    }

    /// Bytes that a workload sends to a service.
    pub(super) fn tcp_of_a_workload(&mut self, ports: Ports, streams: &mut Streams) {
        let kind = self.of(&[
            "TCP by port",
            "TCP by another port",
            "TCP by gateways",
            "TCP by sourceLabels",
            "TCP by sourceNamespace",
            "TCP by destinationSubnets",
            "TCP without a match",
            "TCP without a route",
        ]);
        let mut holds = true;
        let condition = match kind {
            "TCP by another port" => {
                holds = false;
                Some(json!({"port": 9}))
            }
            "TCP by port" => Some(json!({"port": ports.bytes})),
            "TCP by gateways" => Some(json!({"gateways": ["mesh"]})),
            "TCP by sourceLabels" => {
                holds = self.chance.once_in(2);
                Some(json!({"sourceLabels": {"app": if holds { "client" } else { "no" }}}))
            }
            "TCP by sourceNamespace" => {
                holds = self.chance.once_in(2);
                Some(json!({"sourceNamespace": if holds { "default" } else { "elsewhere" }}))
            }
            "TCP by destinationSubnets" => {
                holds = self.chance.once_in(2);
                Some(json!({"destinationSubnets": [if holds { "127.0.0.0/8" } else { "10.0.0.0/8" }]}))
            }
            _ => None,
        };
        let (weights, shares, mut expected) = self.shares("TCP", ["bytes-2", "bytes-1"], ports.bytes);
        let mut kinds = vec![kind, weights];
        if kind == "TCP without a route" || !holds {
            expected = Expected::Name("bytes-1");
            kinds = vec![kind];
        }
        if kind != "TCP without a route" {
            let mut route = json!({"route": shares});
            if let Some(condition) = condition {
                route["match"] = json!([condition]);
            }
            streams.objects.push(virtual_service("own", &json!(["bytes-1.test"]), "mesh", "tcp", &[route]));
        }
        let exchange = Exchange::new(Place::Service("bytes-1.test"), ports.bytes, Asked::bytes(), kinds);
        streams.exchanges.push(exchange.expecting(expected));
    }

    /// TLS of a workload's own, by the name it asks for.
    pub(super) fn tls_of_a_workload(&mut self, town: &Town, ports: Ports, streams: &mut Streams) {
        let (weights, shares, expected) = self.shares("TLS", ["strict", "sealed"], ports.sealed);
        let routes = [json!({
            "match": [{"port": ports.sealed, "sniHosts": ["sealed.test"]}], "route": shares,
        })];
        streams.objects.push(virtual_service("sealed", &json!(["sealed.test"]), "mesh", "tls", &routes));
        let kinds = vec!["sniHosts exact", weights];
        let asked = within(town, "sealed.test", &[]);
        let exchange = Exchange::new(Place::Service("sealed.test"), ports.sealed, asked, kinds);
        streams.exchanges.push(exchange.expecting(expected));
    }

    /// Where connections of one kind go, and what is expected of that.
    fn shares(
        &mut self,
        of: &str,
        [one, other]: [&'static str; 2],
        port: u16,
    ) -> (&'static str, Value, Expected) {
        let [zero, half] = match of {
            "TLS" => ["TLS weights 100 and 0", "TLS weights 50 and 50"],
            _ => ["TCP weights 100 and 0", "TCP weights 50 and 50"],
        };
        let kind = self.of(&[zero, half]);
        let share = |host: &str, weight: u32| {
            let mut share: Map<String, Value> = Map::new();
            share.extend(to(host, port).as_object().cloned().unwrap_or_default());
            share.insert("weight".into(), json!(weight));
            Value::Object(share)
        };
        if kind == zero {
            return (kind, json!([share(one, 100), share(other, 0)]), Expected::Name(one));
        }
        (kind, json!([share(one, 50), share(other, 50)]), Expected::Either(one, other))
    }
}

/// A request inside TLS that a backend ends.
fn within(town: &Town, name: &str, protocols: &[&str]) -> Asked {
    let config = town.keys.client(protocols, Some("client"));
    Asked { hello: Some(Hello { name: name.to_owned(), config }), ..Asked::get(name, "/") }
}
