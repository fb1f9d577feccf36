//! A connection as it arrives: its listener, its filter chain, and what becomes of its TLS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use plan::{CertificateSource, Connection, FilterChain, Listener, Plan, Terminal, Transport};

use crate::{Call, Failure, Protocol, Security, Tls};

/// Inbound calls meet the listener the kernel redirects to; others the one of their address, of their port, or the
/// one that takes whatever is captured.
pub(super) fn listener<'p>(plan: &'p Plan, call: &Call) -> Result<&'p Listener, Failure> {
    let exact = SocketAddr::new(call.address, call.port);
    let direct = || plan.handover(exact);
    let found = if call.inbound {
        plan.listener("virtualInbound").or_else(direct)
    } else {
        match direct() {
            None if is_ambiguous(plan, exact) => return Err(Failure::MultipleFilterChains),
            found => found.or_else(|| plan.listener("virtualOutbound")),
        }
    };
    found.map(|listener| &**listener).ok_or(Failure::NoListener)
}

/// Whether the listener of an address is missing because two of its chains cannot be told apart.
fn is_ambiguous(plan: &Plan, address: SocketAddr) -> bool {
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
    let names = [address, any].map(|address| format!("{}_{}", address.ip(), address.port()));
    plan.rejects.iter().any(|reject| {
        reject.type_url == plan::LISTENER
            && names.contains(&reject.name)
            && reject.message.ends_with("match alike")
    })
}

/// The filter chain that takes a connection, by what the listener's inspectors let it see.
pub(super) fn chain<'p>(listener: &'p Listener, call: &Call) -> Option<&'p FilterChain> {
    let sees_tls = listener.tls_inspector.as_ref().is_some_and(|inspector| inspector.is_on(call.port));
    let sees_http = listener.http_inspector.as_ref().is_some_and(|inspector| inspector.is_on(call.port));
    let is_tls = call.security != Security::Plaintext && sees_tls;
    let recognised = match call.protocol {
        Protocol::Http1 => Some("http/1.1"),
        Protocol::Http2 => Some("h2c"),
        Protocol::Tcp => None,
    };
    let is_recognised = call.security == Security::Plaintext && sees_http;
    let protocols: Vec<&str> = if is_tls {
        call.alpn.iter().map(String::as_str).collect()
    } else {
        recognised.filter(|_| is_recognised).into_iter().collect()
    };
    let connection = Connection {
        destination: SocketAddr::new(call.address, call.port),
        source: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        direct_source: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        server_name: call.sni.as_deref().filter(|_| is_tls),
        transport: if is_tls { Transport::Tls } else { Transport::RawBuffer },
        protocols: &protocols,
    };
    listener.select(&connection).map(|chain| &**chain)
}

/// What becomes of a call's TLS, or why the two do not go together.
pub(super) fn tls(chain: &FilterChain, call: &Call) -> Result<Tls, Failure> {
    let Some(tls) = &chain.tls else {
        return match (call.security, &chain.terminal) {
            (Security::Plaintext, _) => Ok(Tls::None),
            (_, Terminal::Tcp(_)) => Ok(Tls::PassedThrough),
            (_, Terminal::Http(_)) => Err(Failure::Protocol),
        };
    };
    let secret = call.secret.as_deref().unwrap_or("default");
    let serves_secret = tls.common.certificates.iter().any(|source| match source {
        CertificateSource::Secret(name) => **name == *secret,
        CertificateSource::Inline(_) => false,
    });
    let is_mutual = tls.requires_client_certificate && serves_secret;
    match call.security {
        Security::Plaintext => Err(Failure::Tls),
        Security::Tls if is_mutual => Err(Failure::Mtls),
        Security::Mutual if !is_mutual => Err(Failure::Mtls),
        Security::Mutual | Security::Tls if tls.requires_client_certificate => Ok(Tls::Mutual),
        Security::Mutual | Security::Tls => Ok(Tls::Terminated),
    }
}

/// What the chain's TLS needs and the plan does not have.
pub(super) fn missing_secrets(plan: &Plan, chain: &FilterChain) -> Vec<String> {
    let wanted = chain.tls.iter().flat_map(|tls| tls.common.secrets());
    wanted.filter(|name| plan.secret(name).is_none()).map(ToString::to_string).collect()
}
