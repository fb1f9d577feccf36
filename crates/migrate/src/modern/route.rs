//! RouteRules of one host as one VirtualService: its routes in the order the rules were looked at.
//!
//! What a rule left to the proxy's default, such as its timeout, is left to today's default.

use std::collections::BTreeMap;

use base::duration;
use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::group::Group;
use super::host::Host;
use super::world::World;
use crate::document::Document;
use crate::json::{is_pseudo, object, text, text_match, texts};
use crate::legacy::{AbortError, Cors, L4, Matching, Old, Retries, RouteRule, Service, Text};
use crate::read::Log;

/// What the old proxies retried after; the default of today leaves out answers with 5xx.
const RETRY_ON: &str = "5xx,connect-failure,refused-stream";

/// The VirtualService of a host; none where no rule is about it.
pub(super) fn virtual_service(group: &Group<'_>, world: &mut World, log: &Log) -> Option<Document> {
    let mut draft = Draft::default();
    let (mut http, mut tcp) = (Vec::new(), Vec::new());
    let mut catch_all: Option<&str> = None;
    for rule in &group.rules {
        if !is_convertible(rule, log) {
            continue;
        }
        let matching = &rule.spec.matching;
        let entry = Entry { rule, group };
        if let Some(condition) = &matching.tcp {
            draft.take((&rule.meta, &rule.source), &format!("spec.tcp[{}]", tcp.len()), log);
            tcp.push(entry.tcp_route(condition, world, log));
            continue;
        }
        if let Some(first) = catch_all {
            let message =
                format!("{first} takes every request before this rule: it is kept, and never reached");
            rule.source.warn(log, "never-reached", "spec.precedence", message);
        }
        draft.take((&rule.meta, &rule.source), &format!("spec.http[{}]", http.len()), log);
        http.push(entry.http_route(world, log));
        if is_catch_all(matching) {
            catch_all.get_or_insert(&rule.source.object);
        }
    }
    let first = group.rules.first()?;
    if http.is_empty() && tcp.is_empty() {
        return None;
    }
    let host = group.host.text_in(group.namespace());
    if !http.is_empty() && catch_all.is_none() {
        // Without a rule for it a request went to the service itself; a VirtualService would answer 404.
        draft.comments.insert(format!("spec.http[{}]", http.len()), vec!["# What no rule is for.".into()]);
        http.push(json!({"route": [{"destination": {"host": host}}]}));
    }
    if let Some(present) = world.present("VirtualService", &group.host) {
        let message =
            format!("{present} is about the same host; put these routes into it, in the order you want");
        first.source.warn(log, "merge", "spec.destination", message);
    }
    let spec = object([
        ("hosts", Some(json!([host]))),
        ("http", (!http.is_empty()).then(|| http.into())),
        ("tcp", (!tcp.is_empty()).then(|| tcp.into())),
    ]);
    let name = world.name("VirtualService", group.namespace(), &group.host.object_name());
    Some(draft.finish("VirtualService", (group.home.as_deref(), &name), spec))
}

/// The routes of a host's rules for calls that come through a gateway: those that are not for certain callers.
pub(super) fn for_gateway(group: &Group<'_>, world: &mut World) -> Vec<Value> {
    // Whatever there is to say about these rules has been said for the mesh.
    let silent = Log::default();
    let mut routes = Vec::new();
    for rule in &group.rules {
        let matching = &rule.spec.matching;
        if matching.source.is_none() && matching.tcp.is_none() && is_convertible(rule, &silent) {
            routes.push(Entry { rule, group }.http_route(world, &silent));
        }
        if is_catch_all(matching) {
            break;
        }
    }
    routes
}

/// Whether the rule can be said at all today; a condition that cannot would otherwise take more than it asked for.
fn is_convertible(rule: &Old<RouteRule>, log: &Log) -> bool {
    let matching = &rule.spec.matching;
    let refuse = |path: &str, message: &str| {
        rule.source.error(log, "not-converted", path, message);
        false
    };
    if matching.udp {
        return refuse("spec.match.udp", "datagrams are not routed, now as then; the rule has no successor");
    }
    if matching.tcp.is_some() && !matching.headers.is_empty() {
        return refuse("spec.match", "a condition on connections and one on requests need a rule each");
    }
    true
}

/// Whether every request satisfies the conditions.
fn is_catch_all(matching: &Matching) -> bool {
    let is_any = |(name, text): &(String, Text)| {
        name == "uri" && matches!(text, Text::Prefix(prefix) if prefix.is_empty() || prefix == "/")
    };
    matching.source.is_none() && matching.tcp.is_none() && matching.headers.iter().all(is_any)
}

/// One rule on its way into its host's VirtualService.
struct Entry<'a> {
    rule: &'a Old<RouteRule>,
    group: &'a Group<'a>,
}

impl Entry<'_> {
    fn http_route(&self, world: &mut World, log: &Log) -> Value {
        let rule = &self.rule.spec;
        if rule.websocket_upgrade {
            let message = "nothing is written for it: every route lets connections be upgraded";
            self.rule.source.warn(log, "needless", "spec.websocketUpgrade", message);
        }
        let condition = self.condition(world, log);
        let target = |target: &crate::legacy::Target| {
            object([("uri", text(&target.uri)), ("authority", text(&target.authority))])
        };
        let mirror = rule.mirror.as_ref().map(|service| self.destination(service, &service.labels, world));
        let add = (!rule.append_headers.is_empty()).then(|| json!({"request": {"add": rule.append_headers}}));
        object([
            ("name", text(&self.rule.meta.name)),
            ("match", condition.map(|condition| json!([condition]))),
            ("redirect", rule.redirect.as_ref().map(target)),
            ("route", rule.redirect.is_none().then(|| self.routes(world).into())),
            ("rewrite", rule.rewrite.as_ref().map(target)),
            ("timeout", rule.timeout.map(|timeout| duration::render(timeout).into())),
            ("retries", rule.retries.map(retries)),
            ("fault", self.fault(log)),
            ("mirror", mirror),
            ("corsPolicy", rule.cors.as_ref().map(cors)),
            ("headers", add),
        ])
    }

    /// The rule's conditions; none where it is for everything.
    fn condition(&self, world: &World, log: &Log) -> Option<Value> {
        let matching = &self.rule.spec.matching;
        let (mut condition, mut headers) = (Map::new(), Map::new());
        for (name, text) in &matching.headers {
            let is_any = matches!(text, Text::Prefix(prefix) if prefix.is_empty());
            match (is_pseudo(name), is_any) {
                (true, true) => {}
                (true, false) => {
                    condition.insert(name.clone(), text_match(text));
                }
                // A header that begins with nothing is a header that is there.
                (false, true) => {
                    headers.insert(name.clone(), json!({}));
                }
                (false, false) => {
                    headers.insert(name.clone(), text_match(text));
                }
            }
        }
        if !headers.is_empty() {
            condition.insert("headers".into(), headers.into());
        }
        condition.extend(self.source(world, log));
        (!condition.is_empty()).then(|| condition.into())
    }

    fn source(&self, world: &World, log: &Log) -> Map<String, Value> {
        let Some(source) = &self.rule.spec.matching.source else { return Map::new() };
        let caller = world.caller(source, self.rule.meta.namespace());
        if let Some(label) = caller.assumed {
            let message = format!(
                "callers are told by their labels now: the workloads of this service are taken to have `{label}`; give its Service among the files, or change `sourceLabels`"
            );
            self.rule.source.warn(log, "assumed", "spec.match.source", message);
        }
        let mut fields = Map::new();
        if !caller.labels.is_empty() {
            fields.insert("sourceLabels".into(), json!(caller.labels));
        }
        if let Some(namespace) = caller.namespace {
            fields.insert("sourceNamespace".into(), namespace.into());
        }
        fields
    }

    fn routes(&self, world: &mut World) -> Vec<Value> {
        let rule = &self.rule.spec;
        if rule.routes.is_empty() {
            return vec![
                json!({"destination": self.destination(&rule.destination, &BTreeMap::new(), world)}),
            ];
        }
        let is_single = rule.routes.len() == 1;
        let mut routes = Vec::new();
        for route in &rule.routes {
            let service = route.destination.as_ref().unwrap_or(&rule.destination);
            let destination = self.destination(service, &route.labels, world);
            let weight = (!is_single).then(|| route.weight.into());
            routes.push(object([("destination", Some(destination)), ("weight", weight)]));
        }
        routes
    }

    fn destination(&self, service: &Service, labels: &BTreeMap<String, String>, world: &mut World) -> Value {
        let host = Host::of(service, self.rule.meta.namespace());
        let subset = (!labels.is_empty()).then(|| world.subset(&host, labels, &self.rule.source).into());
        object([("host", Some(host.text_in(self.group.namespace()).into())), ("subset", subset)])
    }

    fn fault(&self, log: &Log) -> Option<Value> {
        let rule = &self.rule.spec;
        let lost = |path: &str, message: &str| self.rule.source.warn(log, "not-kept", path, message);
        let delay = rule.delay.and_then(|delay| {
            let fixed = delay.fixed?;
            Some(json!({"fixedDelay": duration::render(fixed), "percentage": percentage(delay.percent)}))
        });
        let abort = rule.abort.as_ref().and_then(|abort| {
            let (name, value) = match abort.error.as_ref()? {
                AbortError::Http(status) => ("httpStatus", Value::from(*status)),
                AbortError::Grpc(status) => ("grpcStatus", status.as_str().into()),
                AbortError::Http2(_) => {
                    lost(
                        "spec.httpFault.abort.http2Error",
                        "no proxy aborts with an error of HTTP/2; write `httpStatus`",
                    );
                    return None;
                }
            };
            Some(json!({name: value, "percentage": percentage(abort.percent)}))
        });
        (delay.is_some() || abort.is_some()).then(|| object([("delay", delay), ("abort", abort)]))
    }

    fn tcp_route(&self, condition: &L4, world: &mut World, log: &Log) -> Value {
        let rule = &self.rule.spec;
        let of_http = [
            ("redirect", rule.redirect.is_some()),
            ("rewrite", rule.rewrite.is_some()),
            ("httpReqTimeout", rule.timeout.is_some()),
            ("httpReqRetries", rule.retries.is_some()),
            ("httpFault", rule.delay.is_some() || rule.abort.is_some()),
            ("mirror", rule.mirror.is_some()),
            ("corsPolicy", rule.cors.is_some()),
            ("appendHeaders", !rule.append_headers.is_empty()),
        ];
        for (field, _) in of_http.into_iter().filter(|(_, is_written)| *is_written) {
            let message = "the rule is about connections: this is for requests and does nothing";
            self.rule.source.warn(log, "not-kept", &format!("spec.{field}"), message);
        }
        let source = self.source(world, log);
        let destinations = texts(&condition.destination_subnets);
        let sources: Vec<Option<&String>> = match condition.source_subnets.as_slice() {
            [] => vec![None],
            some => some.iter().map(Some).collect(),
        };
        let mut matches = Vec::new();
        for subnet in sources {
            let mut fields = source.clone();
            fields.extend(destinations.clone().map(|subnets| ("destinationSubnets".to_owned(), subnets)));
            fields.extend(subnet.map(|subnet| ("sourceSubnet".to_owned(), subnet.as_str().into())));
            matches.push(Value::from(fields));
        }
        json!({"match": matches, "route": self.routes(world)})
    }
}

/// `{value: 12.5}`; whole ones without a fraction.
fn percentage(percent: f64) -> Value {
    // Reading it kept it between 0 and 100.
    if percent.fract() == 0.0 { json!({"value": percent as u8}) } else { json!({"value": percent}) }
}

fn retries(retries: Retries) -> Value {
    if retries.attempts == 0 {
        return json!({"attempts": 0});
    }
    object([
        ("attempts", Some(retries.attempts.into())),
        ("perTryTimeout", retries.per_try.map(|time| duration::render(time).into())),
        ("retryOn", Some(RETRY_ON.into())),
    ])
}

fn cors(cors: &Cors) -> Value {
    let origin = |origin: &String| match origin.as_str() {
        "*" => json!({"regex": ".*"}),
        _ => json!({"exact": origin}),
    };
    let origins: Vec<Value> = cors.allow_origin.iter().map(origin).collect();
    object([
        ("allowOrigins", (!origins.is_empty()).then(|| origins.into())),
        ("allowMethods", texts(&cors.allow_methods)),
        ("allowHeaders", texts(&cors.allow_headers)),
        ("exposeHeaders", texts(&cors.expose_headers)),
        ("maxAge", cors.max_age.map(|age| duration::render(age).into())),
        ("allowCredentials", cors.allow_credentials.map(Value::from)),
    ])
}
