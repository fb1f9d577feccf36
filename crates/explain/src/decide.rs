//! From a plan and a call to a decision, step by step as a proxy takes them.

mod arrive;
mod forward;
mod play;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use base::Address;
use plan::{
    Action, FilterChain, HttpManager, Lookup, Normalised, Plan, Request, RouteMatch, RouteSource, StripPort,
    Terminal,
};

use crate::{Call, Decision, Failure, Protocol, Security, Share};

/// Says what a proxy with this plan does with a call.
pub fn decide(plan: &Plan, call: &Call) -> Decision {
    let mut decision = Decision::default();
    if let Err(failure) = follow(plan, call, &mut decision) {
        decision.failure = Some(failure);
    }
    decision
}

/// The address a captured call to a host is made to, where the plan itself names it: the listener of a service
/// that is reached by its address.
pub fn address_of(plan: &Plan, host: &str, port: u16) -> Option<IpAddr> {
    let meant = |cluster: &str| {
        let mut parts = cluster.split('|').skip(1);
        let (at, full) = (parts.next(), parts.nth(1));
        at.is_some_and(|at| at.parse() == Ok(port))
            && full.is_some_and(|full| {
                full.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
    };
    plan.listeners
        .values()
        .filter(|listener| {
            listener.chains.iter().any(|chain| clusters_of(chain).iter().any(|share| meant(&share.cluster)))
        })
        .flat_map(|listener| &listener.addresses)
        .filter_map(Address::socket)
        .find(|address| address.port() == port && !address.ip().is_unspecified())
        .map(|address| address.ip())
}

fn follow(plan: &Plan, call: &Call, decision: &mut Decision) -> Result<(), Failure> {
    let listener = arrive::listener(plan, call)?;
    decision.listener = Some(listener.name.to_string());
    let chain = arrive::chain(listener, call).ok_or(Failure::NoFilterChain)?;
    decision.filter_chain = Some(chain.name.to_string());
    decision.tls = arrive::tls(chain, call)?;
    decision.missing_secrets = arrive::missing_secrets(plan, chain);
    match &chain.terminal {
        Terminal::Tcp(_) => {
            decision.clusters = clusters_of(chain);
            decision.origin.clone_from(&chain.origin);
            forward::settle(plan, call, &mut decision.clusters);
            Ok(())
        }
        Terminal::Http(_) if call.protocol == Protocol::Tcp => Err(Failure::Protocol),
        Terminal::Http(manager) => route(plan, manager, call, decision),
    }
}

fn route(plan: &Plan, manager: &HttpManager, call: &Call, decision: &mut Decision) -> Result<(), Failure> {
    decision.route_config = Some(match &manager.routes {
        RouteSource::Named(name) => name.to_string(),
        RouteSource::Inline(routes) => routes.table.name.to_string(),
    });
    let path = match plan::normalise(&call.path, manager.path) {
        Normalised::Changed(path) => path,
        Normalised::Same => call.path.clone(),
        Normalised::Redirect(path) => {
            decision.reply = Some(307);
            decision.location = Some(path);
            return Ok(());
        }
        Normalised::Reject => {
            decision.reply = Some(400);
            return Ok(());
        }
    };
    let Some(parts) = head(call, manager, &path) else {
        decision.reply = Some(400);
        return Ok(());
    };
    let request = Request { is_secure: call.security != Security::Plaintext, ..Request::new(&parts, 0) };
    match plan.route(manager, &request) {
        Lookup::NoHost(_) | Lookup::NoTable => {
            decision.reply = Some(404);
            Err(Failure::NoVirtualHost)
        }
        Lookup::NoRoute(host, _) => {
            decision.virtual_host = Some(host.name.to_string());
            decision.reply = Some(404);
            Err(Failure::NoRoute)
        }
        Lookup::Secure(host, location) => {
            decision.virtual_host = Some(host.name.to_string());
            decision.reply = Some(301);
            decision.location = Some(location);
            Err(Failure::TlsRedirect)
        }
        Lookup::Found(found) => {
            act(&found, &parts, call, decision);
            let is_left = match &found.route.action {
                Action::Forward(action) => action.leaves_duration_to_manager(&parts),
                Action::Redirect(_) | Action::Reply(_) => true,
            };
            let longest = manager.max_stream_duration.filter(|_| is_left);
            decision.timeout = decision.timeout.into_iter().chain(longest).min();
            forward::settle(plan, call, &mut decision.clusters);
            Ok(())
        }
    }
}

fn act(found: &RouteMatch<'_>, parts: &http::request::Parts, call: &Call, decision: &mut Decision) {
    decision.virtual_host = Some(found.host.name.to_string());
    decision.route = Some(found.route.name.to_string());
    decision.origin.clone_from(&found.route.origin);
    match &found.route.action {
        Action::Forward(action) => forward::forward(action, found, parts, call, decision),
        Action::Redirect(redirect) => {
            decision.reply = Some(redirect.status.as_u16());
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            let matched = found.route.conditions.matched(parts.uri.path());
            let scheme = if call.security == Security::Plaintext { "http" } else { "https" };
            let authority = Request::new(parts, 0).authority();
            decision.location = Some(redirect.location(scheme, authority, path, matched));
            decision.reply_headers = forward::added_to_reply(found, parts, call);
        }
        Action::Reply(reply) => {
            decision.reply = Some(reply.status.as_u16());
            decision.body =
                Some(String::from_utf8_lossy(&reply.body).into_owned()).filter(|body| !body.is_empty());
            decision.reply_headers = forward::added_to_reply(found, parts, call);
        }
    }
    play::play(found, parts, call, decision);
}

/// The head of the request, as it is once the manager has been over it; none where that refuses it.
fn head(call: &Call, manager: &HttpManager, path: &str) -> Option<http::request::Parts> {
    let mut request = http::Request::builder().method(call.method.as_str()).uri(path);
    if !call.host.is_empty() {
        request = request.header(http::header::HOST, host(call, manager));
    }
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    let (mut parts, ()) = request.body(()).ok()?.into_parts();
    manager.underscores.admit(&mut parts.headers).then_some(parts)
}

fn host(call: &Call, manager: &HttpManager) -> String {
    let (host, at) = (call.host.as_str(), call.port);
    let (mut name, port) = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, Some(port)),
        _ => (host, None),
    };
    if manager.strip_trailing_dot {
        name = name.strip_suffix('.').unwrap_or(name);
    }
    let is_kept = |port: &&str| match manager.strip_port {
        StripPort::Any => false,
        StripPort::Matching => port.parse() != Ok(at),
        StripPort::Never => true,
    };
    match port.filter(is_kept) {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    }
}

fn clusters_of(chain: &FilterChain) -> Vec<Share> {
    match &chain.terminal {
        Terminal::Tcp(tcp) => {
            forward::percentages(tcp.clusters.iter().map(|(name, weight)| (&**name, *weight)))
        }
        Terminal::Http(_) => Vec::new(),
    }
}
