//! From a document to a [`VirtualService`], and what must hold between its fields.

use std::collections::BTreeSet;

use super::matches::{http_match, is_prefix_or_catch_all};
use super::policy::{cors, fault, header_operations, mirrors, retries};
use super::{
    Destination, DirectResponse, GatewayRef, HttpAction, HttpRoute, Redirect, RedirectPath, RedirectPort,
    RegexRewrite, Rewrite, RouteDestination, VirtualService,
};
use crate::check;
use crate::read::At;

/// Reads `spec`; what is wrong goes to the log.
pub(crate) fn read(spec: &At<'_>) -> VirtualService {
    let gateways = match spec.list("gateways") {
        none if none.is_empty() => vec![GatewayRef::Mesh],
        some => some.iter().filter_map(gateway_ref).collect(),
    };
    let hosts = hosts(spec, gateways.contains(&GatewayRef::Mesh));
    let routes = spec.list("http");
    let is_routed = ["http", "tcp", "tls"].iter().any(|field| !spec.list(field).is_empty());
    if !is_routed {
        spec.missing("http", "a VirtualService needs at least one route");
    }
    if hosts.is_empty() && is_routed {
        spec.warn_at_key(
            "no-effect",
            "without hosts this could only be a delegate, and nothing delegates to it",
        );
    }
    let has_gateway = gateways.iter().any(|gateway| *gateway != GatewayRef::Mesh);
    VirtualService {
        hosts,
        gateways,
        http: routes.iter().filter_map(|r| http_route(r, has_gateway)).collect(),
    }
}

fn hosts(spec: &At<'_>, is_for_mesh: bool) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut hosts = Vec::new();
    for item in spec.list("hosts") {
        let Some(host) = item.node.text() else { continue };
        if let Some(message) = host_error(host) {
            item.error("wrong-value", message);
        } else if host == "*" && is_for_mesh {
            item.error("wrong-value", "the host `*` cannot be bound to the gateway `mesh`; name the hosts");
        } else if !seen.insert(host) {
            item.error("duplicate-value", format!("the host {host:?} stands twice"));
        } else {
            hosts.push(host.to_owned());
        }
    }
    hosts
}

/// A host with a wildcard or an address is what routes and hosts may name.
fn host_error(host: &str) -> Option<String> {
    check::wildcard_host_error(host).filter(|_| host.parse::<std::net::IpAddr>().is_err())
}

/// `mesh`, `name`, `namespace/name`, or the host name of a gateway's service, as older documents have it.
pub(super) fn gateway_ref(item: &At<'_>) -> Option<GatewayRef> {
    let text = item.node.text()?;
    if text == "mesh" {
        return Some(GatewayRef::Mesh);
    }
    let (namespace, name) = match text.split_once('/') {
        Some((".", name)) => (item.context.namespace, name),
        Some(pair) => pair,
        None if check::is_label(text) => (item.context.namespace, text),
        None if check::is_fqdn(text) && text.contains('.') => {
            let mut labels = text.split('.');
            let name = labels.next().unwrap_or_default();
            let namespace = labels.next().unwrap_or_default();
            item.warn("deprecated", format!("a host name names a gateway; write {namespace}/{name}"));
            (namespace, name)
        }
        None => (item.context.namespace, text),
    };
    if !check::is_label(namespace) || !check::is_subdomain(name) {
        item.error(
            "wrong-value",
            format!("{text:?} does not name a gateway; write `namespace/name` or `mesh`"),
        );
        return None;
    }
    Some(GatewayRef::Named { namespace: namespace.into(), name: name.into() })
}

fn http_route(at: &At<'_>, has_gateway: bool) -> Option<HttpRoute> {
    let conditions: Vec<At<'_>> = at.list("match");
    let matches: Vec<_> = conditions.iter().map(|condition| http_match(condition, has_gateway)).collect();
    let headers = header_operations(at);
    let rewrite = at.field("rewrite").map(|field| rewrite(&field));
    let action = action(at);
    if let Some(redirect) = at.field("redirect")
        && redirect.text("prefixRewrite").is_some()
        && !matches.iter().all(is_prefix_or_catch_all)
    {
        redirect.error(
            "conflict",
            "`prefixRewrite` needs matches by `uri.prefix`: there is no prefix to replace",
        );
    }
    let sets_authority = headers.request.set.keys().chain(headers.request.add.keys());
    if sets_authority.into_iter().any(|name| is_authority(name))
        && rewrite.as_ref().is_some_and(|rewrite| rewrite.authority.is_some())
    {
        at.error("conflict", "both `rewrite.authority` and `headers` set the authority; keep one of them");
    }
    Some(HttpRoute {
        name: at.text("name").unwrap_or_default().into(),
        matches,
        action: action?,
        rewrite,
        timeout: at.duration("timeout"),
        retries: at.field("retries").map(|field| retries(&field)),
        fault: at.field("fault").map(|field| fault(&field)).unwrap_or_default(),
        headers,
        cors: at.field("corsPolicy").map(|field| cors(&field)),
        mirrors: mirrors(at),
    })
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host")
}

/// Exactly one of `route`, `redirect` and `directResponse`; `delegate` is refused elsewhere.
fn action(at: &At<'_>) -> Option<HttpAction> {
    let routes = at.list("route");
    let (redirect, direct) = (at.field("redirect"), at.field("directResponse"));
    let chosen =
        usize::from(!routes.is_empty()) + usize::from(redirect.is_some()) + usize::from(direct.is_some());
    let delegates = at.field("delegate").is_some();
    if chosen + usize::from(delegates) != 1 {
        let message = "a route needs one of `route`, `redirect` and `directResponse`, and no more than one";
        if chosen == 0 && !delegates {
            at.missing("route", message);
        } else {
            at.error("conflict", message);
        }
        return None;
    }
    if let (Some(_), Some(field)) = (&redirect, at.field("rewrite")) {
        field.error_at_key("conflict", "a redirect forwards nothing: this cannot stand beside `redirect`");
    }
    match (redirect, direct) {
        (Some(field), _) => redirect_action(&field).map(HttpAction::Redirect),
        (_, Some(field)) => direct_response(&field).map(HttpAction::DirectResponse),
        _ if routes.is_empty() => None,
        _ => Some(HttpAction::Forward(destinations(at, &routes))),
    }
}

fn destinations(at: &At<'_>, routes: &[At<'_>]) -> Vec<RouteDestination> {
    let is_single = routes.len() == 1;
    let mut sum = 0u64;
    let mut all = Vec::with_capacity(routes.len());
    for route in routes {
        // A lone destination gets everything, whatever weight it has.
        let weight = if is_single { 100 } else { route.whole::<u32>("weight").unwrap_or(0) };
        sum = sum.saturating_add(u64::from(weight));
        if let Some(destination) = destination(route, "destination") {
            all.push(RouteDestination { destination, weight, headers: header_operations(route) });
        }
    }
    let place = at.field("route");
    let place = place.as_ref().unwrap_or(at);
    if sum == 0 {
        place.error("wrong-value", "the weights add up to zero: no destination would get a request");
    } else if sum > u64::from(u32::MAX) {
        place.error("wrong-value", "the weights add up to more than 4294967295");
    }
    all
}

/// Reads a field that is a destination.
pub(super) fn destination(parent: &At<'_>, name: &str) -> Option<Destination> {
    let Some(at) = parent.field(name) else {
        parent.missing(name, "a destination is missing");
        return None;
    };
    let Some(host) = at.text("host") else {
        at.missing("host", "a destination needs a host");
        return None;
    };
    if host == "*" {
        at.error("wrong-value", "the host of a destination cannot be `*`");
    } else if let Some(message) = host_error(host)
        && let Some(field) = at.field("host")
    {
        field.error("wrong-value", message);
    }
    if let Some(subset) = at.field("subset")
        && subset.node.text().is_some_and(|text| !text.is_empty() && !check::is_label(text))
    {
        subset.error("wrong-value", "a subset's name is made of lower-case letters, digits and dashes");
    }
    let port = at.field("port");
    if let Some(port) = &port
        && port.field("number").is_none()
    {
        port.missing("number", "a port is named by its number");
    }
    Some(Destination {
        host: host.into(),
        subset: at.text("subset").map(str::to_owned),
        port: port.and_then(|port| port.port("number")),
    })
}

fn rewrite(at: &At<'_>) -> Rewrite {
    let uri_regex = at.field("uriRegexRewrite").map(|field| regex_rewrite(&field));
    let uri = at.text("uri").map(str::to_owned);
    let authority = at.text("authority").map(str::to_owned);
    if uri.is_some() && uri_regex.is_some() {
        at.error("conflict", "`uri` and `uriRegexRewrite` exclude each other");
    } else if uri.is_none() && uri_regex.is_none() && authority.is_none() {
        at.missing("uri", "a rewrite needs `uri`, `uriRegexRewrite` or `authority`");
    }
    Rewrite { uri, authority, uri_regex }
}

fn regex_rewrite(at: &At<'_>) -> RegexRewrite {
    let pattern = at.text("match").unwrap_or_default();
    let substitution = at.text("rewrite").unwrap_or_default();
    if pattern.is_empty() {
        at.missing("match", "a regular expression is missing");
    } else if let Some(message) = check::regex_error(pattern) {
        at.error("wrong-value", message);
    } else if let Some(message) = substitution_error(pattern, substitution) {
        at.error("wrong-value", message);
    }
    RegexRewrite { pattern: pattern.into(), substitution: substitution.into() }
}

/// A substitution may name the groups the expression has, and holds no other backslash than `\\`.
fn substitution_error(pattern: &str, substitution: &str) -> Option<String> {
    let groups = regex::Regex::new(pattern).map_or(0, |regex| regex.captures_len().saturating_sub(1));
    let mut chars = substitution.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            continue;
        }
        match chars.next() {
            Some('\\') => {}
            Some(digit @ '0'..='9') => {
                let group = digit.to_digit(10).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
                if group > groups {
                    return Some(format!("`\\{digit}` names a group that {pattern:?} does not have"));
                }
            }
            _ => return Some("a backslash must be followed by a digit or a backslash".into()),
        }
    }
    None
}

fn redirect_action(at: &At<'_>) -> Option<Redirect> {
    let (uri, prefix) = (at.text("uri"), at.text("prefixRewrite"));
    let port = match (at.port("port"), at.text("derivePort")) {
        (Some(_), Some(_)) => {
            at.error("conflict", "`port` and `derivePort` exclude each other");
            None
        }
        (Some(number), None) => Some(RedirectPort::Number(number)),
        (None, Some("FROM_REQUEST_PORT")) => Some(RedirectPort::FromRequestPort),
        (None, Some(_)) => Some(RedirectPort::FromProtocolDefault),
        (None, None) => None,
    };
    let path = match (uri, prefix) {
        (Some(_), Some(_)) => {
            at.error("conflict", "`uri` and `prefixRewrite` exclude each other");
            None
        }
        (Some(uri), None) => Some(RedirectPath::Full(uri.into())),
        (None, Some(prefix)) => Some(RedirectPath::Prefix(prefix.into())),
        (None, None) => None,
    };
    let (authority, scheme) = (at.text("authority"), at.text("scheme"));
    if uri.is_none() && prefix.is_none() && authority.is_none() && port.is_none() && scheme.is_none() {
        at.missing("uri", "a redirect needs `uri`, `prefixRewrite`, `authority`, `port` or `scheme`");
    }
    if let Some(field) = at.field("scheme")
        && !matches!(scheme, None | Some("http" | "https"))
    {
        field.error("wrong-value", "a redirect's scheme is http or https");
    }
    let code = match at.whole::<u16>("redirectCode").unwrap_or(0) {
        0 => 301,
        code @ (301 | 302 | 303 | 307 | 308) => code,
        code => {
            at.error("wrong-value", format!("{code} is no redirect; write 301, 302, 303, 307 or 308"));
            301
        }
    };
    Some(Redirect {
        path,
        authority: authority.map(str::to_owned),
        port,
        scheme: scheme.map(str::to_owned),
        code,
    })
}

fn direct_response(at: &At<'_>) -> Option<DirectResponse> {
    let Some(status) = at.field("status") else {
        at.missing("status", "a direct response needs a status");
        return None;
    };
    let status = status_of(&status)?;
    let Some(body) = at.field("body") else { return Some(DirectResponse { status, body: Vec::new() }) };
    let body = match (body.field("string"), body.field("bytes")) {
        (Some(_), Some(_)) => {
            body.error("conflict", "`string` and `bytes` exclude each other");
            return None;
        }
        (Some(text), None) => text.node.text().unwrap_or_default().as_bytes().to_vec(),
        (None, Some(bytes)) => {
            let decoded = check::base64(bytes.node.text().unwrap_or_default());
            if decoded.is_none() {
                bytes.error("wrong-value", "this is not base64");
            }
            decoded?
        }
        (None, None) => {
            body.missing("string", "a body needs `string` or `bytes`");
            return None;
        }
    };
    if body.len() > MAX_BODY {
        at.error("wrong-value", format!("the body is larger than {MAX_BODY} bytes"));
    }
    Some(DirectResponse { status, body })
}

/// As much as a route configuration carries for one route.
const MAX_BODY: usize = 1024 * 1024;

/// A final HTTP status.
pub(super) fn status_of(at: &At<'_>) -> Option<u16> {
    let status = at.int().and_then(|value| u16::try_from(value).ok()).filter(|s| (200..=599).contains(s));
    if status.is_none() && at.int().is_some() {
        at.error("wrong-value", "a status is between 200 and 599");
    }
    status
}
