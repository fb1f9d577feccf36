//! Configurations and requests nobody thought of: every kind of match and action, drawn by chance.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use crate::chance::Chance;

/// What requests and conditions are made of: both draw from the same few words, so that they often meet.
const PATHS: [&str; 12] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/A/b",
    "/ab",
    "/api/v1/users",
    "/api/v2",
    "/r/123",
    "/r/abc",
    "/old/x",
    "/a%20b",
];
const HOSTS: [&str; 6] = ["a.test", "x.b.test", "b.test", "A.TEST", "other.test", "a.test:8080"];
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"];
const USERS: [&str; 5] = ["alice", "bob", "al", "", "Alice"];
const QUERIES: [&str; 6] = ["", "?q=1", "?q=2&debug=", "?q=12", "?x=1&q=1", "?debug=true"];
const REGEXES: [&str; 5] = ["/r/[0-9]+", "/a.*", ".*", "/api/v[12](/.*)?", "al.*"];

/// One configuration, and how often it uses what.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The objects, as JSON documents of one YAML text.
    pub text: String,
    /// The kinds of match and action in it.
    pub uses: BTreeMap<&'static str, usize>,
    /// What requests to `many` are told apart by.
    pub hash: Hash,
}

/// What of a request chooses the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// The cookie `session`.
    Cookie,
    /// The header `x-user`.
    Header,
    /// The query parameter `q`.
    Query,
    /// The client's address.
    Source,
}

impl Hash {
    /// Whether a request has it; otherwise the endpoint is drawn.
    pub fn is_in(self, asked: &Asked) -> bool {
        let has = |name: &str, what: fn(&str) -> bool| {
            asked.headers.iter().any(|(n, value)| *n == name && what(value))
        };
        match self {
            // An empty cookie is as good as none.
            Hash::Cookie => has("cookie", |value| !value.starts_with("session=;")),
            Hash::Header => has("x-user", |_| true),
            Hash::Query => asked.path.contains("q="),
            Hash::Source => true,
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// The host.
    pub host: &'static str,
    /// More headers.
    pub headers: Vec<(&'static str, String)>,
}

impl Asked {
    /// Draws one.
    pub fn draw(chance: &mut Chance) -> Self {
        let mut headers = Vec::new();
        for name in ["x-user", "x-other"] {
            if chance.once_in(2) {
                headers.push((name, (*chance.of(&USERS)).to_owned()));
            }
        }
        if chance.once_in(3) {
            headers.push(("cookie", format!("session={}; theme=dark", chance.of(&USERS))));
        }
        if chance.once_in(4) {
            headers.push(("origin", (*chance.of(&["https://good.test", "https://bad.test"])).to_owned()));
            if chance.once_in(2) {
                headers.push(("access-control-request-method", "PUT".to_owned()));
            }
        }
        if chance.once_in(6) {
            headers.push(("x-answer", (*chance.of(&["503", "404", "500", "201"])).to_owned()));
        }
        Self {
            method: *chance.of(&METHODS),
            path: format!("{}{}", chance.of(&PATHS), chance.of(&QUERIES)),
            host: *chance.of(&HOSTS),
            headers,
        }
    }
}

/// Draws a configuration for a gateway on port 8080, its services behind these backends.
pub fn configuration(chance: &mut Chance, backends: &[SocketAddr]) -> Generated {
    let mut draw = Draw { chance, uses: BTreeMap::new(), route: 0, hash: Hash::Source };
    let mut objects = vec![gateway()];
    for (index, name) in ["one", "two", "many"].into_iter().enumerate() {
        let own: Vec<&SocketAddr> =
            if name == "many" { backends.iter().skip(2).collect() } else { vec![&backends[index]] };
        objects.push(service(name, &own));
    }
    objects.push(draw.destination_rule());
    for hosts in [json!(["a.test"]), json!(["*.b.test", "b.test"]), json!(["*"])] {
        if draw.chance.below(4) > 0 {
            objects.push(draw.virtual_service(objects.len(), &hosts));
        }
    }
    let text = objects.iter().map(|object| format!("{object}\n")).collect::<Vec<_>>().join("---\n");
    Generated { text, uses: draw.uses, hash: draw.hash }
}

fn gateway() -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "edge", "namespace": "default"},
        "spec": {
            "selector": {"istio": "edge"},
            "servers": [{"port": {"number": 8080, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
        },
    })
}

fn service(name: &str, backends: &[&SocketAddr]) -> Value {
    let endpoints: Vec<Value> = backends
        .iter()
        .enumerate()
        .map(|(index, at)| {
            json!({
                "address": at.ip().to_string(),
                "ports": {"http": at.port()},
                "labels": {"version": if index == 0 { "v1" } else { "v2" }},
            })
        })
        .collect();
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "hosts": [format!("{name}.test")], "location": "MESH_INTERNAL", "resolution": "STATIC",
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "endpoints": endpoints,
        },
    })
}

struct Draw<'a> {
    chance: &'a mut Chance,
    uses: BTreeMap<&'static str, usize>,
    route: usize,
    hash: Hash,
}

impl Draw<'_> {
    fn uses(&mut self, what: &'static str) {
        *self.uses.entry(what).or_default() += 1;
    }

    /// One of several, counted under its name.
    fn pick(&mut self, several: &[&'static str]) -> &'static str {
        let one = *self.chance.of(several);
        self.uses(one);
        one
    }

    fn path(&mut self) -> &'static str {
        self.chance.of::<&str>(&PATHS)
    }

    /// Every request of one kind finds the same endpoint of `many`, on every proxy.
    fn destination_rule(&mut self) -> Value {
        let mut hash = match self.pick(&[
            "hash: header",
            "hash: cookie",
            "hash: query parameter",
            "hash: source address",
        ]) {
            "hash: header" => {
                self.hash = Hash::Header;
                json!({"httpHeaderName": "x-user"})
            }
            "hash: cookie" => {
                self.hash = Hash::Cookie;
                json!({"httpCookie": {"name": "session", "ttl": "0s"}})
            }
            "hash: query parameter" => {
                self.hash = Hash::Query;
                json!({"httpQueryParameterName": "q"})
            }
            _ => json!({"useSourceIp": true}),
        };
        match self.pick(&["ring hash", "Maglev"]) {
            "Maglev" => hash["maglev"] = json!({"tableSize": 101}),
            _ => hash["ringHash"] = json!({"minimumRingSize": 128}),
        }
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": "many", "namespace": "default"},
            "spec": {
                "host": "many.test",
                "trafficPolicy": {"loadBalancer": {"consistentHash": hash}},
                "subsets": [{"name": "v1", "labels": {"version": "v1"}}],
            },
        })
    }

    fn virtual_service(&mut self, number: usize, hosts: &Value) -> Value {
        let count = 1 + self.chance.below(4);
        let routes: Vec<Value> = (0..count).map(|_| self.http()).collect();
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": format!("vs{number}"), "namespace": "default"},
            "spec": {"hosts": hosts, "gateways": ["edge"], "http": routes},
        })
    }

    fn http(&mut self) -> Value {
        self.route += 1;
        let name = format!("route-{}", self.route);
        let mut http = Map::new();
        http.insert("name".into(), json!(name));
        let matches: Vec<Value> = (0..self.chance.below(3)).map(|_| self.condition()).collect();
        if !matches.is_empty() {
            http.insert("match".into(), json!(matches));
        }
        let action = self.pick(&["forward", "forward", "forward", "redirect", "direct response"]);
        match action {
            "redirect" => drop(http.insert("redirect".into(), self.redirect())),
            "direct response" => {
                let status = *self.chance.of(&[200, 404, 418, 503]);
                http.insert("directResponse".into(), json!({"status": status, "body": {"string": name}}));
            }
            _ => self.forward(&mut http),
        }
        if self.chance.once_in(3) {
            self.uses("headers");
            http.insert("headers".into(), self.headers());
        }
        if self.chance.once_in(5) && action == "forward" {
            self.uses("CORS");
            http.insert("corsPolicy".into(), self.cors());
        }
        Value::Object(http)
    }

    fn forward(&mut self, http: &mut Map<String, Value>) {
        let to = |host: &str| json!({"host": format!("{host}.test"), "port": {"number": 80}});
        let route = match self.pick(&["one destination", "weights 100 and 0", "subset", "hashed"]) {
            "weights 100 and 0" => json!([
                {"destination": to("one"), "weight": 100}, {"destination": to("two"), "weight": 0}
            ]),
            "subset" => {
                let mut destination = to("many");
                destination["subset"] = json!("v1");
                json!([{"destination": destination}])
            }
            "hashed" => json!([{"destination": to("many")}]),
            _ => {
                let mut one = json!({"destination": to("two")});
                if self.chance.once_in(2) {
                    self.uses("headers of a destination");
                    one["headers"] = self.headers();
                }
                json!([one])
            }
        };
        http.insert("route".into(), route);
        if self.chance.once_in(3) {
            http.insert("rewrite".into(), self.rewrite());
        }
        if self.chance.once_in(5) {
            http.insert("fault".into(), self.fault());
        }
        if self.chance.once_in(6) {
            self.uses("mirror");
            http.insert(
                "mirrors".into(),
                json!([{"destination": to("one"), "percentage": {"value": 100.0}}]),
            );
        }
        if self.chance.once_in(4) {
            self.uses("timeout");
            http.insert("timeout".into(), json!("10s"));
        }
        if self.chance.once_in(4) {
            self.uses("retries");
            let on = *self.chance.of(&["5xx", "503", "retriable-4xx,reset", "gateway-error"]);
            http.insert("retries".into(), json!({"attempts": 2, "retryOn": on, "perTryTimeout": "5s"}));
        }
    }

    fn condition(&mut self) -> Value {
        let mut condition = Map::new();
        for _ in 0..=self.chance.below(2) {
            let (field, value) = self.one_condition();
            condition.insert(field.into(), value);
        }
        if condition.contains_key("uri") && self.chance.once_in(3) {
            self.uses("ignoreUriCase");
            condition.insert("ignoreUriCase".into(), json!(true));
        }
        Value::Object(condition)
    }

    fn one_condition(&mut self) -> (&'static str, Value) {
        let kind = self.pick(&[
            "uri exact",
            "uri prefix",
            "uri regex",
            "scheme",
            "method exact",
            "method regex",
            "authority exact",
            "authority prefix",
            "header exact",
            "header prefix",
            "header regex",
            "header present",
            "withoutHeaders",
            "query exact",
            "query prefix",
            "query regex",
            "port",
            "gateways",
        ]);
        let user = *self.chance.of(&USERS[..3]);
        match kind {
            "uri exact" => ("uri", json!({"exact": self.path()})),
            "uri prefix" => ("uri", json!({"prefix": self.path()})),
            "uri regex" => ("uri", json!({"regex": self.chance.of(&REGEXES)})),
            "scheme" => ("scheme", json!({"exact": self.chance.of(&["http", "https"])})),
            "method exact" => ("method", json!({"exact": self.chance.of(&METHODS)})),
            "method regex" => ("method", json!({"regex": "P(OST|UT)"})),
            "authority exact" => ("authority", json!({"exact": self.chance.of(&HOSTS)})),
            "authority prefix" => ("authority", json!({"prefix": self.chance.of(&["a", "x.", "b.test"])})),
            "header exact" => ("headers", json!({"x-user": {"exact": user}})),
            "header prefix" => ("headers", json!({"x-user": {"prefix": user}})),
            "header regex" => ("headers", json!({"x-user": {"regex": "al.*"}})),
            "header present" => ("headers", json!({"x-other": {}})),
            "withoutHeaders" => (
                "withoutHeaders",
                self.chance.of(&[json!({"x-user": {"exact": "bob"}}), json!({"x-other": {}})]).clone(),
            ),
            "query exact" => ("queryParams", json!({"q": {"exact": "1"}})),
            "query prefix" => ("queryParams", json!({"q": {"prefix": "1"}})),
            "query regex" => ("queryParams", json!({"q": {"regex": "[0-9]"}})),
            "port" => ("port", json!(self.chance.of(&[8080, 80]))),
            _ => ("gateways", json!([self.chance.of(&["edge", "mesh"])])),
        }
    }

    fn redirect(&mut self) -> Value {
        let mut redirect = Map::new();
        match self.pick(&["redirect uri", "redirect authority", "redirect scheme", "redirect port"]) {
            "redirect uri" => redirect.insert("uri".into(), json!("/new")),
            "redirect authority" => redirect.insert("authority".into(), json!("new.test")),
            "redirect scheme" => redirect.insert("scheme".into(), json!("https")),
            _ => redirect.insert("port".into(), json!(9090)),
        };
        if self.chance.once_in(2) {
            redirect.insert("redirectCode".into(), json!(self.chance.of(&[302, 303, 307, 308])));
        }
        Value::Object(redirect)
    }

    fn rewrite(&mut self) -> Value {
        match self.pick(&["rewrite uri", "rewrite authority", "rewrite regex"]) {
            "rewrite uri" => json!({"uri": self.chance.of(&["/", "/new", "/new/"])}),
            "rewrite authority" => json!({"authority": "new.test"}),
            _ => json!({"uriRegexRewrite": {"match": "/([a-z]+)/(.*)", "rewrite": "/\\2/\\1"}}),
        }
    }

    fn headers(&mut self) -> Value {
        let name = format!("route-{}", self.route);
        json!({
            "request": {"set": {"x-route": name}, "add": {"x-user": "added"}, "remove": ["x-other"]},
            "response": {"set": {"x-served": name}, "add": {"x-more": "1"}, "remove": ["content-type"]},
        })
    }

    fn fault(&mut self) -> Value {
        match self.pick(&["abort 100 %", "abort 0 %", "delay 100 %", "delay 0 %"]) {
            "abort 100 %" => json!({"abort": {"httpStatus": 555, "percentage": {"value": 100.0}}}),
            "abort 0 %" => json!({"abort": {"httpStatus": 555, "percentage": {"value": 0.0}}}),
            "delay 100 %" => json!({"delay": {"fixedDelay": "0.002s", "percentage": {"value": 100.0}}}),
            _ => json!({"delay": {"fixedDelay": "10s", "percentage": {"value": 0.0}}}),
        }
    }

    fn cors(&mut self) -> Value {
        json!({
            "allowOrigins": [self.chance.of(&[
                json!({"exact": "https://good.test"}), json!({"prefix": "https://good"}), json!({"regex": "https://g.*"})
            ])],
            "allowMethods": ["GET", "PUT"], "allowHeaders": ["x-user"], "exposeHeaders": ["x-served"],
            "maxAge": "24h", "allowCredentials": self.chance.once_in(2),
        })
    }
}
