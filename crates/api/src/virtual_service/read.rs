//! From a document to a [`VirtualService`], and what must hold between its fields.

use std::collections::BTreeSet;

use super::action::{direct_response, rewrite};
use super::destination::{gateway_ref, own_host_error, read_destination};
use super::l4::{tcp_route, tls_route};
use super::matches::{http_match, is_prefix_or_catch_all};
use super::policy::{cors, fault, header_operations, mirrors, retries};
use super::{Delegate, GatewayRef, HttpAction, HttpMatch, HttpRoute, RouteDestination, VirtualService};
use crate::check;
use crate::export;
use crate::read::At;

/// What a VirtualService is, as far as its routes are judged by it.
#[derive(Clone, Copy)]
struct Role {
    /// It has no hosts: others delegate to it.
    is_delegate: bool,
    /// It is bound to a gateway.
    has_gateway: bool,
}

/// Reads `spec`; what is wrong goes to the log.
pub(crate) fn read(spec: &At<'_>) -> VirtualService {
    let gateways = match spec.list("gateways") {
        none if none.is_empty() => vec![GatewayRef::Mesh],
        some => some.iter().filter_map(gateway_ref).collect(),
    };
    let hosts = hosts(spec, gateways.contains(&GatewayRef::Mesh));
    let role = Role {
        is_delegate: spec.list("hosts").is_empty(),
        has_gateway: gateways.iter().any(|gateway| *gateway != GatewayRef::Mesh),
    };
    if ["http", "tcp", "tls"].iter().all(|field| spec.list(field).is_empty()) {
        spec.missing("http", "a VirtualService needs at least one route");
    }
    if role.is_delegate {
        check_delegate(spec);
    }
    VirtualService {
        http: spec.list("http").iter().filter_map(|route| http_route(route, role)).collect(),
        tls: spec.list("tls").iter().map(|route| tls_route(route, &hosts)).collect(),
        tcp: spec.list("tcp").iter().map(tcp_route).collect(),
        export_to: export::read(spec, false),
        hosts,
        gateways,
    }
}

/// A delegate takes hosts and gateways from those who delegate to it.
fn check_delegate(spec: &At<'_>) {
    for (name, message) in [
        ("gateways", "without `hosts` this is a delegate, which has no gateways of its own"),
        ("tls", "without `hosts` this is a delegate, which routes HTTP only"),
        ("tcp", "without `hosts` this is a delegate, which routes HTTP only"),
    ] {
        if let Some(field) = spec.field(name).filter(|field| field.items().next().is_some()) {
            field.error_at_key("conflict", message);
        }
    }
}

fn hosts(spec: &At<'_>, is_for_mesh: bool) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut hosts = Vec::new();
    for item in spec.list("hosts") {
        let Some(host) = item.node.text() else { continue };
        if let Some(message) = own_host_error(host, is_for_mesh) {
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

fn http_route(at: &At<'_>, role: Role) -> Option<HttpRoute> {
    let conditions: Vec<At<'_>> = at.list("match");
    let matches: Vec<_> =
        conditions.iter().map(|condition| http_match(condition, role.has_gateway)).collect();
    let headers = header_operations(at);
    let rewrite = at.field("rewrite").map(|field| rewrite(&field));
    let action = if at.field("delegate").is_some() { delegation(at, role) } else { action(at) };
    check_route(at, &matches);
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

/// What a route's action asks of its conditions.
fn check_route(at: &At<'_>, matches: &[HttpMatch]) {
    if let Some(redirect) = at.field("redirect")
        && redirect.text("prefixRewrite").is_some()
        && !matches.iter().all(is_prefix_or_catch_all)
    {
        redirect.error(
            "conflict",
            "`prefixRewrite` needs matches by `uri.prefix`: there is no prefix to replace",
        );
    }
}

/// A route that delegates does nothing else.
fn delegation(at: &At<'_>, role: Role) -> Option<HttpAction> {
    let field = at.field("delegate")?;
    if role.is_delegate {
        field.error_at_key("conflict", "without `hosts` this is a delegate, which cannot delegate further");
    }
    for name in ["route", "redirect", "directResponse", "fault", "corsPolicy", "mirror", "mirrors"] {
        if let Some(other) = at.field(name).filter(|other| !is_empty_list(other)) {
            other.error_at_key("conflict", "this cannot stand beside `delegate`; the delegate may say it");
        }
    }
    let Some(name) = field.text("name") else {
        field.missing("name", "a delegate needs a name");
        return None;
    };
    let namespace = field.text("namespace").unwrap_or(at.context.namespace);
    if !check::is_subdomain(name) || !check::is_label(namespace) {
        field.error("wrong-value", format!("{namespace}/{name} does not name a VirtualService"));
    }
    Some(HttpAction::Delegate(Delegate { name: name.into(), namespace: namespace.into() }))
}

fn is_empty_list(at: &At<'_>) -> bool {
    matches!(&at.node.value, crate::yaml::Value::List(items) if items.is_empty())
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host")
}

/// Exactly one of `route`, `redirect` and `directResponse`.
fn action(at: &At<'_>) -> Option<HttpAction> {
    let routes = at.list("route");
    let (redirect, direct) = (at.field("redirect"), at.field("directResponse"));
    let chosen =
        usize::from(!routes.is_empty()) + usize::from(redirect.is_some()) + usize::from(direct.is_some());
    if chosen != 1 {
        let message = "a route needs one of `route`, `redirect` and `directResponse`, and no more than one";
        if chosen == 0 {
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
        (Some(field), _) => super::action::redirect(&field).map(HttpAction::Redirect),
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
        if let Some(destination) = read_destination(route, "destination") {
            all.push(RouteDestination { destination, weight, headers: header_operations(route) });
        }
    }
    if let Some(field) = at.field("route") {
        check::weights(&field, sum);
    }
    all
}
