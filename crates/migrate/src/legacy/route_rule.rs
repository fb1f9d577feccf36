//! RouteRule: where requests for a service go, under what conditions, and what is done to them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::common::{Service, destination, service};
use crate::read::At;

/// One rule for one service.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteRule {
    pub(crate) destination: Service,
    /// Higher ones are looked at first.
    pub(crate) precedence: i32,
    pub(crate) matching: Matching,
    /// Empty means the destination itself.
    pub(crate) routes: Vec<Route>,
    pub(crate) redirect: Option<Target>,
    pub(crate) rewrite: Option<Target>,
    pub(crate) websocket_upgrade: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: Option<Retries>,
    pub(crate) delay: Option<Delay>,
    pub(crate) abort: Option<Abort>,
    pub(crate) mirror: Option<Service>,
    pub(crate) cors: Option<Cors>,
    pub(crate) append_headers: BTreeMap<String, String>,
}

/// When a rule applies: all of its conditions hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matching {
    /// Whether `match` is written at all, however empty.
    pub(crate) is_written: bool,
    pub(crate) source: Option<Service>,
    pub(crate) headers: Vec<(String, Text)>,
    pub(crate) tcp: Option<L4>,
    pub(crate) udp: bool,
}

/// A condition on text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    Exact(String),
    Prefix(String),
    Regex(String),
}

/// A condition on connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct L4 {
    pub(crate) source_subnets: Vec<String>,
    pub(crate) destination_subnets: Vec<String>,
}

/// A destination and its share.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// None means the rule's own.
    pub(crate) destination: Option<Service>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) weight: u32,
}

/// What a redirect or a rewrite puts in place; empty texts stay as they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    pub(crate) uri: String,
    pub(crate) authority: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retries {
    pub(crate) attempts: u32,
    pub(crate) per_try: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Delay {
    pub(crate) percent: f64,
    /// None where the delay is of a kind no proxy ever had.
    pub(crate) fixed: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(crate) struct Abort {
    pub(crate) percent: f64,
    pub(crate) error: Option<AbortError>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AbortError {
    Grpc(String),
    Http(u16),
    Http2(String),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Cors {
    pub(crate) allow_origin: Vec<String>,
    pub(crate) allow_methods: Vec<String>,
    pub(crate) allow_headers: Vec<String>,
    pub(crate) expose_headers: Vec<String>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) allow_credentials: Option<bool>,
}

const CUSTOM: &str =
    "custom policies named types of a proxy that is no longer there; write the settings themselves";
const OVERRIDE: &str = "callers cannot change this by a header of this name; write one route per value, each with a match on the header";

/// Reads `spec`; what is wrong goes to the log.
pub(super) fn read(spec: &At<'_>) -> RouteRule {
    spec.only(&[
        "destination",
        "precedence",
        "match",
        "route",
        "redirect",
        "rewrite",
        "websocketUpgrade",
        "httpReqTimeout",
        "httpReqRetries",
        "httpFault",
        "l4Fault",
        "mirror",
        "corsPolicy",
        "appendHeaders",
    ]);
    spec.drop_field(
        "l4Fault",
        "faults of connections have no successor; write an `httpFault`, or break the service itself",
    );
    let fault = spec.map_field("httpFault");
    if let Some(fault) = &fault {
        fault.only(&["delay", "abort", "headers"]);
        fault.drop_field(
            "headers",
            "the condition of a fault is the condition of its rule; write a rule of its own",
        );
    }
    let rule = RouteRule {
        destination: destination(spec),
        precedence: spec.whole("precedence").unwrap_or(0),
        matching: spec.map_field("match").map(|field| matching(&field)).unwrap_or_default(),
        routes: spec.list("route").iter().map(route).collect(),
        redirect: spec.map_field("redirect").map(|field| target(&field)),
        rewrite: spec.map_field("rewrite").map(|field| target(&field)),
        websocket_upgrade: spec.bool("websocketUpgrade"),
        timeout: spec.map_field("httpReqTimeout").and_then(|field| timeout(&field)),
        retries: spec.map_field("httpReqRetries").and_then(|field| retries(&field)),
        delay: fault.as_ref().and_then(|fault| fault.map_field("delay")).map(|field| delay(&field)),
        abort: fault.as_ref().and_then(|fault| fault.map_field("abort")).map(|field| abort(&field)),
        mirror: spec.field("mirror").map(|field| service(&field)),
        cors: spec.map_field("corsPolicy").map(|field| cors(&field)),
        append_headers: spec.map("appendHeaders"),
    };
    check(spec, &rule);
    rule
}

/// What the server of that time refused, or what no route can be.
fn check(spec: &At<'_>, rule: &RouteRule) {
    let destinations = spec.list("route").into_iter().chain([spec.clone()]);
    for destination in destinations.filter_map(|at| at.field("destination")) {
        destination.drop_field(
            "labels",
            "labels of a destination never chose anything; write them beside it, below `route`",
        );
    }
    if let Some(redirect) = spec.field("redirect") {
        if !rule.routes.is_empty() || rule.rewrite.is_some() {
            redirect.error(
                "conflict",
                "a redirect forwards nothing: it cannot stand beside `route` or `rewrite`",
            );
        }
        if rule.redirect.as_ref().is_some_and(|target| target.uri.is_empty() && target.authority.is_empty()) {
            redirect.error("missing-field", "a redirect needs `uri` or `authority`");
        }
    }
    if let Some(rewrite) = spec.field("rewrite")
        && rule.rewrite.as_ref().is_some_and(|target| target.uri.is_empty() && target.authority.is_empty())
    {
        rewrite.error("missing-field", "a rewrite needs `uri` or `authority`");
    }
    if let Some(mirror) = spec.field("mirror")
        && rule.mirror.as_ref().is_some_and(Service::is_nameless)
    {
        mirror.error("missing-field", "a mirror needs `name` or `service`");
    }
    let Some(routes) = spec.field("route") else { return };
    let sum = rule.routes.iter().fold(0u64, |sum, route| sum.saturating_add(u64::from(route.weight)));
    match rule.routes.len() {
        0 => {}
        1 if sum == 0 || sum == 100 => {}
        _ if sum == 0 => {
            routes.error("wrong-value", "the weights add up to zero: no destination would get a request")
        }
        _ if sum != 100 => {
            routes.warn(
                "changed",
                format!("the weights add up to {sum}; they are shares now and need not make 100"),
            );
        }
        _ => {}
    }
}

fn matching(at: &At<'_>) -> Matching {
    at.only(&["source", "sourceTags", "tcp", "udp", "request", "httpHeaders"]);
    let mut source = at.field("source").map(|field| service(&field));
    let tags = at.map("sourceTags");
    if !tags.is_empty() {
        source.get_or_insert_default().labels.extend(tags);
    }
    if let (Some(field), Some(service)) = (at.field("source"), &source)
        && service.is_nameless()
        && service.labels.is_empty()
        && service.namespace.is_empty()
    {
        field.error("missing-field", "a source needs `name`, `service` or `labels`");
    }
    let request = at.map_field("request");
    if let Some(request) = &request {
        request.only(&["headers"]);
    }
    let holders = [request.and_then(|request| request.map_field("headers")), at.map_field("httpHeaders")]
        .into_iter()
        .flatten();
    let mut headers = Vec::new();
    for entry in holders.flat_map(|holder| holder.entries()) {
        let name = entry.name().to_ascii_lowercase();
        let text = text(&entry);
        let is_empty = matches!(&text, Some(Text::Exact(text)) if text.is_empty());
        if is_empty && matches!(name.as_str(), "authority" | "method" | "scheme" | "uri") {
            entry.error("wrong-value", format!("no request has an empty {name}: the rule would never apply"));
        }
        headers.extend(text.map(|text| (name, text)));
    }
    Matching {
        is_written: true,
        source,
        headers,
        tcp: at.map_field("tcp").map(|field| l4(&field)),
        udp: at.field("udp").is_some(),
    }
}

fn text(at: &At<'_>) -> Option<Text> {
    at.only(&["exact", "prefix", "regex"]);
    let given: Vec<At<'_>> = ["exact", "prefix", "regex"].iter().filter_map(|name| at.field(name)).collect();
    let [field] = given.as_slice() else {
        at.error("wrong-value", "a condition needs exactly one of `exact`, `prefix` and `regex`");
        return None;
    };
    let value = field.own_text();
    Some(match field.name() {
        "exact" => Text::Exact(value),
        "prefix" => Text::Prefix(value),
        // An empty expression had to fit the whole text, as any.
        _ if value.is_empty() => Text::Exact(value),
        _ => {
            if let Err(error) = regex::RegexBuilder::new(&value).size_limit(1 << 20).build() {
                let why = error.to_string();
                let why =
                    why.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
                field.error(
                    "wrong-value",
                    format!("regular expressions are RE2's now, and this is none: {why}"),
                );
            }
            Text::Regex(value)
        }
    })
}

fn l4(at: &At<'_>) -> L4 {
    at.only(&["sourceSubnet", "destinationSubnet"]);
    L4 { source_subnets: at.texts("sourceSubnet"), destination_subnets: at.texts("destinationSubnet") }
}

fn route(at: &At<'_>) -> Route {
    at.only(&["destination", "labels", "tags", "weight"]);
    let destination = at.field("destination").map(|field| service(&field));
    let labels = if at.field("labels").is_some() { at.map("labels") } else { at.map("tags") };
    Route {
        destination: destination.filter(|service| !service.is_nameless()),
        labels,
        weight: at.whole("weight").unwrap_or(0),
    }
}

fn target(at: &At<'_>) -> Target {
    at.only(&["uri", "authority"]);
    Target { uri: at.text("uri"), authority: at.text("authority") }
}

fn timeout(at: &At<'_>) -> Option<Duration> {
    at.only(&["simpleTimeout", "custom"]);
    at.drop_field("custom", CUSTOM);
    let simple = at.map_field("simpleTimeout")?;
    simple.only(&["timeout", "overrideHeaderName"]);
    simple.drop_field("overrideHeaderName", OVERRIDE);
    simple.duration("timeout")
}

fn retries(at: &At<'_>) -> Option<Retries> {
    at.only(&["simpleRetry", "custom"]);
    at.drop_field("custom", CUSTOM);
    let simple = at.map_field("simpleRetry")?;
    simple.only(&["attempts", "perTryTimeout", "overrideHeaderName"]);
    simple.drop_field("overrideHeaderName", OVERRIDE);
    Some(Retries {
        attempts: simple.whole("attempts").unwrap_or(0),
        per_try: simple.duration("perTryTimeout"),
    })
}

fn delay(at: &At<'_>) -> Delay {
    at.only(&["percent", "fixedDelay", "exponentialDelay", "overrideHeaderName"]);
    at.drop_field("overrideHeaderName", OVERRIDE);
    at.drop_field("exponentialDelay", "no proxy ever delayed exponentially; write `fixedDelay`");
    Delay { percent: at.percent("percent").unwrap_or(0.0), fixed: at.duration("fixedDelay") }
}

fn abort(at: &At<'_>) -> Abort {
    at.only(&["percent", "grpcStatus", "http2Error", "httpStatus", "overrideHeaderName"]);
    at.drop_field("overrideHeaderName", OVERRIDE);
    let error = match (at.field("httpStatus"), at.field("grpcStatus"), at.field("http2Error")) {
        (Some(status), _, _) => {
            let code = at.whole::<u16>("httpStatus");
            if code.is_some_and(|code| !(200..=599).contains(&code)) {
                status.error("wrong-value", "a status is between 200 and 599");
            }
            code.map(AbortError::Http)
        }
        (None, Some(grpc), _) => Some(AbortError::Grpc(grpc.own_text())),
        (None, None, Some(http2)) => Some(AbortError::Http2(http2.own_text())),
        (None, None, None) => {
            at.error("missing-field", "an abort needs `httpStatus`");
            None
        }
    };
    Abort { percent: at.percent("percent").unwrap_or(0.0), error }
}

fn cors(at: &At<'_>) -> Cors {
    at.only(&["allowOrigin", "allowMethods", "allowHeaders", "exposeHeaders", "maxAge", "allowCredentials"]);
    // A wrapped boolean may be written as one or as the map it is in.
    let credentials = at.field("allowCredentials").map(|field| match field.field("value") {
        Some(_) => field.bool("value"),
        None => at.bool("allowCredentials"),
    });
    Cors {
        allow_origin: at.texts("allowOrigin"),
        allow_methods: at.texts("allowMethods"),
        allow_headers: at.texts("allowHeaders"),
        expose_headers: at.texts("exposeHeaders"),
        max_age: at.duration("maxAge"),
        allow_credentials: credentials,
    }
}
