//! Conditions of HTTP routes.

use serde_json::{Map, Value, json};

use super::draw::Draw;
use super::words::{CALLED, HOSTS, METHODS, PATHS, REGEXES};

/// What a condition may ask for; twice what is seldom met.
const KINDS: [&str; 26] = [
    "uri exact",
    "uri prefix",
    "uri regex",
    "scheme",
    "method exact",
    "method prefix",
    "method regex",
    "authority exact",
    "authority prefix",
    "authority regex",
    "header exact",
    "header exact",
    "header prefix",
    "header regex",
    "header regex",
    "header present",
    "withoutHeaders value",
    "withoutHeaders present",
    "query exact",
    "query prefix",
    "query regex",
    "port",
    "gateways",
    "gateways",
    "sourceLabels",
    "sourceNamespace",
];

impl Draw<'_> {
    /// Some conditions, of which one is to hold; none is every request.
    pub(super) fn matches(&mut self, is_mesh: bool) -> Option<Value> {
        let count = self.of(&[0, 1, 1, 2, 2]);
        let matches: Vec<Value> = (0..count).map(|_| self.condition(is_mesh)).collect();
        if matches.is_empty() {
            self.note("nothing");
        }
        (!matches.is_empty()).then(|| json!(matches))
    }

    /// One condition under a name of its own.
    pub(super) fn condition(&mut self, is_mesh: bool) -> Value {
        self.named("m", |draw| {
            let mut condition = Map::new();
            condition.insert("name".into(), json!(draw.name()));
            for _ in 0..=draw.chance.below(2) {
                let (field, kind, value) = draw.one_condition(is_mesh);
                // Of two about the same, the first stands.
                if !condition.contains_key(field) {
                    draw.note(kind);
                    condition.insert(field.into(), value);
                }
            }
            if condition.contains_key("uri") && draw.once_in(3, "ignoreUriCase") {
                condition.insert("ignoreUriCase".into(), json!(true));
            }
            Value::Object(condition)
        })
    }

    fn one_condition(&mut self, is_mesh: bool) -> (&'static str, &'static str, Value) {
        let kind = self.of(&KINDS);
        let user = self.of(&["alice", "alice", "bob", "al"]);
        let path = self.of(&PATHS);
        let method = self.of(&METHODS);
        let host = self.of(if is_mesh { &CALLED } else { &HOSTS });
        match kind {
            "uri exact" | "uri prefix" => self.wanted.paths.push(path),
            "method exact" => self.wanted.methods.push(method),
            "authority exact" => self.wanted.hosts.push(host),
            _ => {}
        }
        let (field, value) = match kind {
            "uri exact" => ("uri", json!({"exact": path})),
            "uri prefix" => ("uri", json!({"prefix": path})),
            "uri regex" => ("uri", json!({"regex": self.of(&REGEXES)})),
            "scheme" => {
                let schemes =
                    [json!({"exact": "http"}), json!({"exact": "https"}), json!({"prefix": "http"})];
                ("scheme", self.of(&schemes))
            }
            "method exact" => ("method", json!({"exact": method})),
            "method prefix" => ("method", json!({"prefix": self.of(&["P", "GE", "D"])})),
            "method regex" => ("method", json!({"regex": "P(OST|UT)"})),
            "authority exact" => ("authority", json!({"exact": host})),
            "authority prefix" => ("authority", json!({"prefix": self.of(&["a", "x.", "b.test", "one"])})),
            "authority regex" => ("authority", json!({"regex": self.of(&["[a-z.]+", ".*[.]test", "a.*"])})),
            "header exact" => ("headers", json!({"x-user": {"exact": user}})),
            "header prefix" => ("headers", json!({"x-user": {"prefix": user}})),
            "header regex" => ("headers", json!({"x-user": {"regex": "al.*"}})),
            "header present" => ("headers", json!({"x-other": {}})),
            "withoutHeaders value" => ("withoutHeaders", json!({"x-user": {"exact": "bob"}})),
            "withoutHeaders present" => ("withoutHeaders", json!({"x-other": {}})),
            "query exact" => ("queryParams", json!({"q": {"exact": "1"}})),
            "query prefix" => ("queryParams", json!({"q": {"prefix": "1"}})),
            "query regex" => ("queryParams", json!({"q": {"regex": "[0-9]"}})),
            "port" => ("port", json!(self.of(&[8080, 8000]))),
            "gateways" if is_mesh && !self.chance.once_in(4) => return ("gateways", "mesh", json!(["mesh"])),
            "gateways" => ("gateways", json!(["edge"])),
            "sourceLabels" => (
                "sourceLabels",
                self.of(&[json!({"app": "client"}), json!({"istio": "edge"}), json!({"app": "no"})]),
            ),
            _ => ("sourceNamespace", json!(self.of(&["default", "default", "elsewhere"]))),
        };
        (field, kind, value)
    }
}
