//! HTTP routes: what becomes of a request.

use serde_json::{Map, Value, json};

use super::draw::{Draw, object};
use super::services::PORT;

/// What headers an operation changes, by whose it is.
const OF_ROUTES: [[&str; 3]; 2] = [
    ["request headers set", "request headers add", "request headers remove"],
    ["response headers set", "response headers add", "response headers remove"],
];
const OF_DESTINATIONS: [[&str; 3]; 2] = [
    [
        "destination's request headers set",
        "destination's request headers add",
        "destination's request headers remove",
    ],
    [
        "destination's response headers set",
        "destination's response headers add",
        "destination's response headers remove",
    ],
];

/// A destination of a service over HTTP.
fn to(host: &str) -> Value {
    json!({"host": format!("{host}.test"), "port": {"number": PORT}})
}

impl Draw<'_> {
    /// A VirtualService, and whom it delegates to.
    pub(super) fn virtual_service(&mut self, number: usize, hosts: &Value, gateways: &[&str]) -> Vec<Value> {
        let is_mesh = gateways.contains(&"mesh");
        let mut objects = Vec::new();
        let mut routes: Vec<Value> = (0..=self.chance.below(3)).map(|_| self.http(is_mesh)).collect();
        if self.chance.once_in(4) {
            let name = format!("delegate{number}");
            let at = self.chance.below(routes.len());
            routes.insert(at, self.delegating(&name));
            let delegated: Vec<Value> = (0..=self.chance.below(2)).map(|_| self.delegated()).collect();
            objects.push(json!({
                "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"http": delegated},
            }));
        }
        objects.push(json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": format!("vs{number}"), "namespace": "default"},
            "spec": {"hosts": hosts, "gateways": gateways, "http": routes},
        }));
        objects
    }

    fn http(&mut self, is_mesh: bool) -> Value {
        self.named("r", |draw| {
            let mut http = object([("name", json!(draw.name()))]);
            if draw.once_in(16, "redirect prefixRewrite") {
                http.insert("match".into(), draw.below(&["/", "/a", "/api/", "/r"]));
                let rewrite = draw.of(&["/new", "/", "/new/"]);
                http.insert("redirect".into(), draw.redirect(&[("prefixRewrite", json!(rewrite))]));
                return Value::Object(http);
            }
            if let Some(matches) = draw.matches(is_mesh) {
                http.insert("match".into(), matches);
            }
            draw.act(&mut http);
            Value::Object(http)
        })
    }

    /// The condition that a path begins with one of these.
    fn below(&mut self, prefixes: &[&str]) -> Value {
        let prefix = self.of(prefixes);
        self.named("m", |draw| {
            draw.note("uri prefix");
            json!([{"name": draw.name(), "uri": {"prefix": prefix}}])
        })
    }

    /// A route whose work is another VirtualService's, for paths below one.
    fn delegating(&mut self, to: &str) -> Value {
        self.named("r", |draw| {
            draw.note("delegate");
            let mut http = object([("name", json!(draw.name())), ("delegate", json!({"name": to}))]);
            if draw.chance.once_in(2) {
                http.insert("match".into(), draw.below(&["/", "/a", "/api"]));
            }
            Value::Object(http)
        })
    }

    /// A route of a VirtualService that others delegate to: what it asks of paths, all of those contain.
    fn delegated(&mut self) -> Value {
        self.named("r", |draw| {
            let mut http = object([("name", json!(draw.name()))]);
            if draw.chance.once_in(2) {
                let narrow = draw.named("m", |draw| match draw.pick(&["method exact", "header prefix"]) {
                    "method exact" => json!([{"name": draw.name(), "method": {"exact": "GET"}}]),
                    _ => json!([{"name": draw.name(), "headers": {"x-user": {"prefix": "al"}}}]),
                });
                http.insert("match".into(), narrow);
            }
            draw.act(&mut http);
            Value::Object(http)
        })
    }

    fn act(&mut self, http: &mut Map<String, Value>) {
        match self.chance.below(8) {
            0 => drop(http.insert("redirect".into(), self.redirect(&[]))),
            1 => drop(http.insert("directResponse".into(), self.direct_response())),
            _ => {
                self.note("forward");
                self.forward(http);
            }
        }
        if self.chance.once_in(3) {
            http.insert("headers".into(), self.headers(OF_ROUTES));
        }
        if self.chance.once_in(5) && http.contains_key("route") {
            http.insert("corsPolicy".into(), self.cors());
        }
    }

    fn direct_response(&mut self) -> Value {
        let status = self.of(&[200, 404, 418, 503]);
        match self.pick(&["direct response text", "direct response bytes", "direct response without a body"])
        {
            "direct response text" => json!({"status": status, "body": {"string": self.name()}}),
            "direct response bytes" => json!({"status": status, "body": {"bytes": "Ynl0ZXMK"}}),
            _ => json!({"status": status}),
        }
    }

    fn redirect(&mut self, path: &[(&str, Value)]) -> Value {
        let mut redirect: Map<String, Value> =
            path.iter().map(|(field, value)| ((*field).to_owned(), value.clone())).collect();
        if redirect.is_empty() && self.once_in(2, "redirect uri") {
            redirect.insert("uri".into(), json!("/new"));
        }
        if self.once_in(3, "redirect authority") {
            redirect.insert("authority".into(), json!("new.test"));
        }
        if redirect.is_empty() || self.chance.once_in(3) {
            self.note("redirect scheme");
            redirect.insert("scheme".into(), json!(self.of(&["https", "http"])));
        }
        match self.chance.below(3) {
            0 => {
                self.note("redirect port");
                redirect.insert("port".into(), json!(self.of(&[9090, 80, 443])));
            }
            1 => {
                self.note("redirect derivePort");
                redirect.insert(
                    "derivePort".into(),
                    json!(self.of(&["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"])),
                );
            }
            _ => {}
        }
        if self.once_in(2, "redirectCode") {
            redirect.insert("redirectCode".into(), json!(self.of(&[302, 303, 307, 308])));
        }
        Value::Object(redirect)
    }

    fn forward(&mut self, http: &mut Map<String, Value>) {
        http.insert("route".into(), self.destinations());
        if self.chance.once_in(3) {
            http.insert("rewrite".into(), self.rewrite());
        }
        if self.chance.once_in(4) {
            http.insert("fault".into(), self.fault());
        }
        if self.chance.once_in(5) {
            self.mirrors(http);
        }
        if self.once_in(4, "timeout") {
            http.insert("timeout".into(), json!("10s"));
        }
        if self.chance.once_in(3) {
            http.insert("retries".into(), self.retries());
        }
    }

    fn retries(&mut self) -> Value {
        let on = self.pick(&[
            "5xx",
            "gateway-error",
            "reset",
            "reset-before-request",
            "connect-failure",
            "envoy-ratelimited",
            "retriable-4xx",
            "refused-stream",
            "503,404",
            "409,retriable-headers",
            "cancelled,unavailable",
            "deadline-exceeded,internal,resource-exhausted",
        ]);
        let mut retries = json!({"attempts": 2, "retryOn": on, "perTryTimeout": "5s", "backoff": "1ms"});
        if self.once_in(2, "previous hosts and remote localities") {
            retries["retryIgnorePreviousHosts"] = json!(self.chance.once_in(2));
            retries["retryRemoteLocalities"] = json!(self.chance.once_in(2));
        }
        retries
    }

    fn destinations(&mut self) -> Value {
        let kind = self.pick(&[
            "one destination",
            "one destination",
            "weights 100 and 0",
            "weights 50 and 50",
            "subset",
            "hashed",
            "hashed",
            "gRPC",
            "TLS SIMPLE",
            "TLS MUTUAL",
        ]);
        let mut first = match kind {
            "subset" => {
                json!({"destination": {"host": "many.test", "subset": "v1", "port": {"number": PORT}}})
            }
            "hashed" => json!({"destination": to("many")}),
            "gRPC" => json!({"destination": to("calls")}),
            "TLS SIMPLE" => json!({"destination": to("sealed")}),
            "TLS MUTUAL" => json!({"destination": to("strict")}),
            "weights 100 and 0" => json!({"destination": to("one"), "weight": 100}),
            "weights 50 and 50" => json!({"destination": to("one"), "weight": 50}),
            _ => json!({"destination": to("two")}),
        };
        if self.chance.once_in(3) {
            first["headers"] = self.headers(OF_DESTINATIONS);
        }
        match kind {
            "weights 100 and 0" => json!([first, {"destination": to("two"), "weight": 0}]),
            // What is drawn between them changes nothing else.
            "weights 50 and 50" => {
                let mut other = first.clone();
                other["destination"] = to("two");
                json!([first, other])
            }
            _ => json!([first]),
        }
    }

    fn mirrors(&mut self, http: &mut Map<String, Value>) {
        match self.pick(&["mirror", "mirrors", "mirror 0 %"]) {
            "mirror" => {
                http.insert("mirror".into(), to("one"));
                http.insert("mirrorPercentage".into(), json!({"value": 50.0}));
            }
            "mirrors" => {
                let every = json!({"destination": to("one"), "percentage": {"value": 100.0}});
                let some = json!({"destination": to("two"), "percentage": {"value": 12.5}});
                http.insert("mirrors".into(), json!([every, some]));
            }
            _ => {
                let never = json!({"destination": to("one"), "percentage": {"value": 0.0}});
                http.insert("mirrors".into(), json!([never]));
            }
        }
    }

    fn rewrite(&mut self) -> Value {
        let mut rewrite = Map::new();
        match self.chance.below(3) {
            0 => {
                self.note("rewrite uri");
                rewrite.insert("uri".into(), json!(self.of(&["/", "/new", "/new/"])));
            }
            1 => {
                self.note("rewrite regex");
                let regex = self.of(&[
                    json!({"match": "/([a-z]+)/(.*)", "rewrite": "/\\2/\\1"}),
                    json!({"match": "^/a", "rewrite": "/"}),
                ]);
                rewrite.insert("uriRegexRewrite".into(), regex);
            }
            _ => {}
        }
        if rewrite.is_empty() || self.chance.once_in(3) {
            self.note("rewrite authority");
            rewrite.insert("authority".into(), json!("new.test"));
        }
        Value::Object(rewrite)
    }

    /// Each operation by its own chance.
    fn headers(&mut self, kinds: [[&'static str; 3]; 2]) -> Value {
        let name = self.name().to_owned();
        let mut request = [
            json!({"x-route": name, "x-user": "set"}),
            json!({"x-user": "added", "x-twice": "1"}),
            json!(["x-other"]),
        ];
        let mut response = [
            json!({"x-served": name, "server": "somebody"}),
            json!({"x-more": "1"}),
            json!(["content-type"]),
        ];
        if self.once_in(3, "header values with blanks") {
            request[0]["x-asked-for"] =
                json!("%REQ(:METHOD)% %REQ(:AUTHORITY)%%REQ(:PATH)%, %REQ(X-USER?X-OTHER):3%");
            request[1]["x-way"] = json!("%PROTOCOL% 100%%");
            response[0]["x-came-by"] = json!("%RESPONSE_CODE% %ROUTE_NAME% %REQ(:SCHEME)%");
            response[1]["x-type"] = json!("%RESP(CONTENT-TYPE)%");
        }
        let mut headers = Map::new();
        for ((side, values), kinds) in [("request", request), ("response", response)].into_iter().zip(kinds) {
            let mut operations = Map::new();
            for ((operation, value), kind) in ["set", "add", "remove"].into_iter().zip(values).zip(kinds) {
                if self.once_in(2, kind) {
                    operations.insert(operation.into(), value);
                }
            }
            if !operations.is_empty() {
                headers.insert(side.into(), Value::Object(operations));
            }
        }
        Value::Object(headers)
    }

    fn fault(&mut self) -> Value {
        match self.pick(&["abort 100 %", "abort 0 %", "abort of gRPC", "delay 100 %", "delay 0 %"]) {
            "abort 100 %" => json!({"abort": {"httpStatus": 555, "percentage": {"value": 100.0}}}),
            "abort 0 %" => json!({"abort": {"httpStatus": 555, "percentage": {"value": 0.0}}}),
            "abort of gRPC" => {
                json!({"abort": {"grpcStatus": "UNAVAILABLE", "percentage": {"value": 100.0}}})
            }
            "delay 100 %" => json!({"delay": {"fixedDelay": "0.002s", "percentage": {"value": 100.0}}}),
            _ => json!({"delay": {"fixedDelay": "10s", "percentage": {"value": 0.0}}}),
        }
    }

    fn cors(&mut self) -> Value {
        let origins = match self.pick(&["CORS exact", "CORS prefix", "CORS regex"]) {
            "CORS exact" => json!({"exact": "https://good.test"}),
            "CORS prefix" => json!({"prefix": "https://good"}),
            _ => json!({"regex": "https://g.*"}),
        };
        let mut cors = json!({
            "allowOrigins": [origins], "allowMethods": ["GET", "PUT"], "allowHeaders": ["x-user"],
            "exposeHeaders": ["x-served"], "maxAge": "24h",
        });
        if self.once_in(2, "CORS credentials") {
            cors["allowCredentials"] = json!(true);
        }
        if self.once_in(3, "CORS forwards other preflights") {
            cors["unmatchedPreflights"] = json!("FORWARD");
        } else if self.once_in(2, "CORS ignores other preflights") {
            cors["unmatchedPreflights"] = json!("IGNORE");
        }
        cors
    }
}
