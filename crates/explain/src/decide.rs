//! From a plan and a call to a decision, step by step as a proxy takes them.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use filter::{Answer, Ask, Exchange, Facts, Limits, Moment, Peer, Phases, Side, Step};
use plan::{
    Action, Connection, FilterChain, Forward, HttpManager, Listener, Lookup, Normalised, Plan, Request,
    RouteMatch, RouteSource, Targets, Terminal, Transport,
};

use crate::{Call, Decision, Failure, Protocol, Security, Share};

/// How many calls are played to tell how often a fault hits.
const DRAWS: u32 = 1000;

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
        .find(|address| address.port() == port && !address.ip().is_unspecified())
        .map(SocketAddr::ip)
}

fn follow(plan: &Plan, call: &Call, decision: &mut Decision) -> Result<(), Failure> {
    let listener = listener(plan, call).ok_or(Failure::NoListener)?;
    decision.listener = Some(listener.name.to_string());
    let chain = chain(listener, call).ok_or(Failure::NoFilterChain)?;
    decision.filter_chain = Some(chain.name.to_string());
    check_security(chain, call)?;
    match &chain.terminal {
        Terminal::Tcp(_) => {
            decision.clusters = clusters_of(chain);
            decision.origin.clone_from(&chain.origin);
            Ok(())
        }
        Terminal::Http(_) if call.protocol == Protocol::Tcp => Err(Failure::Protocol),
        Terminal::Http(manager) => route(plan, manager, call, decision),
    }
}

/// Inbound calls meet the listener the kernel redirects to; others the one of their address, of their port, or the
/// one that takes whatever is captured.
fn listener<'p>(plan: &'p Plan, call: &Call) -> Option<&'p Listener> {
    let at =
        |address: SocketAddr| plan.listeners.values().find(|listener| listener.addresses.contains(&address));
    let exact = SocketAddr::new(call.address, call.port);
    if call.inbound {
        return plan.listener("virtualInbound").or_else(|| at(exact)).map(|listener| &**listener);
    }
    at(exact)
        .or_else(|| at(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), call.port)))
        .or_else(|| plan.listener("virtualOutbound"))
        .map(|listener| &**listener)
}

fn chain<'p>(listener: &'p Listener, call: &Call) -> Option<&'p FilterChain> {
    let is_tls = call.security != Security::Plaintext && listener.tls_inspector.is_some();
    let recognised = match call.protocol {
        Protocol::Http1 => Some("http/1.1"),
        Protocol::Http2 => Some("h2c"),
        Protocol::Tcp => None,
    };
    let sniffs = call.security == Security::Plaintext && listener.http_inspector.is_some();
    let protocols: Vec<&str> = if is_tls {
        call.alpn.iter().map(String::as_str).collect()
    } else {
        recognised.filter(|_| sniffs).into_iter().collect()
    };
    let connection = Connection {
        destination: SocketAddr::new(call.address, call.port),
        server_name: call.sni.as_deref().filter(|_| is_tls),
        transport: if is_tls { Transport::Tls } else { Transport::RawBuffer },
        protocols: &protocols,
    };
    listener.select(&connection).map(|chain| &**chain)
}

fn check_security(chain: &FilterChain, call: &Call) -> Result<(), Failure> {
    let Some(tls) = &chain.tls else {
        let passes = call.security == Security::Plaintext || matches!(chain.terminal, Terminal::Tcp(_));
        return if passes { Ok(()) } else { Err(Failure::Protocol) };
    };
    let secret = call.secret.as_deref().unwrap_or("default");
    let is_mutual = tls.requires_client_certificate && tls.certificates.iter().any(|name| **name == *secret);
    match call.security {
        Security::Plaintext => Err(Failure::Tls),
        Security::Tls if is_mutual => Err(Failure::Mtls),
        Security::Mutual if !is_mutual => Err(Failure::Mtls),
        Security::Mutual | Security::Tls => Ok(()),
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
        Normalised::Redirect(_) => {
            decision.reply = Some(307);
            return Ok(());
        }
        Normalised::Reject => {
            decision.reply = Some(400);
            return Ok(());
        }
    };
    let Some(parts) = head(call, &path) else {
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
        Lookup::Secure(host, _) => {
            decision.virtual_host = Some(host.name.to_string());
            decision.reply = Some(301);
            Err(Failure::TlsRedirect)
        }
        Lookup::Found(found) => {
            act(&found, &parts, call, decision);
            Ok(())
        }
    }
}

fn act(found: &RouteMatch<'_>, parts: &http::request::Parts, call: &Call, decision: &mut Decision) {
    decision.virtual_host = Some(found.host.name.to_string());
    decision.route = Some(found.route.name.to_string());
    decision.origin.clone_from(&found.route.origin);
    match &found.route.action {
        Action::Forward(forward) => decision.clusters = shares(forward, parts),
        Action::Redirect(redirect) => decision.reply = Some(redirect.status.as_u16()),
        Action::Reply(reply) => decision.reply = Some(reply.status.as_u16()),
    }
    if found.chain.phases().contains(Phases::REQUEST_HEAD) {
        let hit = (0..DRAWS).filter(|draw| play(found, parts, call, *draw, decision)).count();
        decision.fault_percent = f64::from(u32::try_from(hit).unwrap_or(DRAWS)) * 100.0 / f64::from(DRAWS);
    }
}

/// Runs the route's filters over one such request; whether they held it back or answered it.
fn play(
    found: &RouteMatch<'_>,
    parts: &http::request::Parts,
    call: &Call,
    draw: u32,
    decision: &mut Decision,
) -> bool {
    let mut exchange = Exchange { request: parts.clone(), response: None, facts: facts(call, draw) };
    let mut run = found.chain.open(Limits::default());
    let mut step = run.request_head(&mut exchange);
    let mut delay = Duration::ZERO;
    // A filter asks a handful of times at most; the bound keeps a broken one from looping.
    for _ in 0..64 {
        match step {
            Step::Ask(Ask::Sleep(time)) => {
                delay += time;
                step = run.answered(Side::Request, &mut exchange, Answer::Slept);
            }
            Step::Ask(Ask::Call { .. }) => {
                let failed = Answer::Failed("nothing is called in a simulation".into());
                step = run.answered(Side::Request, &mut exchange, failed);
            }
            Step::Reply(reply) => {
                decision.reply = Some(reply.status.as_u16());
                decision.delay = decision.delay.max(delay);
                return true;
            }
            _ => break,
        }
    }
    decision.delay = decision.delay.max(delay);
    !delay.is_zero()
}

fn facts(call: &Call, draw: u32) -> Facts {
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Facts {
        began: Moment::default(),
        peer: Peer { remote: peer, local: SocketAddr::new(call.address, call.port) },
        attempt: 0,
        flags: Vec::new(),
        seed: u64::from(draw),
    }
}

fn head(call: &Call, path: &str) -> Option<http::request::Parts> {
    let mut request = http::Request::builder().method(call.method.as_str()).uri(path);
    if !call.host.is_empty() {
        request = request.header(http::header::HOST, &call.host);
    }
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    Some(request.body(()).ok()?.into_parts().0)
}

fn shares(forward: &Forward, parts: &http::request::Parts) -> Vec<Share> {
    match &forward.targets {
        Targets::Header(name) => {
            let cluster = parts.headers.get(name).and_then(|value| value.to_str().ok());
            cluster.map(|cluster| Share { cluster: cluster.to_owned(), percent: 100.0 }).into_iter().collect()
        }
        Targets::Weighted(all) => percentages(all.iter().map(|target| (&*target.cluster, target.weight))),
    }
}

fn clusters_of(chain: &FilterChain) -> Vec<Share> {
    match &chain.terminal {
        Terminal::Tcp(tcp) => percentages(tcp.clusters.iter().map(|(name, weight)| (&**name, *weight))),
        Terminal::Http(_) => Vec::new(),
    }
}

/// Weights as parts of a hundred; what weighs nothing takes nothing.
fn percentages<'a>(weights: impl Iterator<Item = (&'a str, u32)> + Clone) -> Vec<Share> {
    let total: f64 = weights.clone().map(|(_, weight)| f64::from(weight)).sum();
    weights
        .filter(|(_, weight)| *weight > 0)
        .map(|(cluster, weight)| Share {
            cluster: cluster.to_owned(),
            percent: f64::from(weight) * 100.0 / total,
        })
        .collect()
}
