//! Listeners towards a workload: one per port of its own, or the single captured one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base::Protocol;

use crate::cluster::{BLACK_HOLE, INBOUND_PASSTHROUGH, by_target, inbound_name};
use crate::proxy::{Interception, Proxy};
use crate::slice::{
    Arrival, Chain, ChainMatch, Http, Listener, Route, RouteSlice, RouteSource, Side, Sniffing, Terminal,
    VirtualHost,
};
use crate::snapshot::{Own, State};

/// Istio's port for captured inbound connections.
const CAPTURE: u16 = 15006;

/// The listeners towards a proxy's workload.
pub(crate) fn listeners(state: &State, proxy: &Proxy) -> Vec<Listener> {
    match (proxy.interception, proxy.local) {
        (Interception::None, None) => Vec::new(),
        (Interception::None, Some(local)) => by_target(state.own(proxy))
            .into_iter()
            .filter(|(target, _)| proxy.may_bind(*target))
            .filter_map(|(target, own)| bound(local.sidecar().into(), target, own.first()?))
            .collect(),
        (Interception::Redirect | Interception::Tproxy, _) => vec![captured(state, proxy)],
    }
}

fn bound(ip: IpAddr, target: u16, own: &Own) -> Option<Listener> {
    let name = format!("{ip}_{target}");
    let (chains, default_chain) = port_chains(own, target, &name, &ChainMatch::default());
    Some(Listener {
        address: SocketAddr::new(ip, target),
        additional: Vec::new(),
        arrival: Arrival::Bound,
        side: Side::Inbound,
        sniffs_http: match own.port.protocol {
            Protocol::Auto => Sniffing::AllBut(Vec::new()),
            _ => Sniffing::Off,
        },
        chains,
        default_chain,
        origin: Some(own.service.origin.clone()),
        name,
    })
}

fn captured(state: &State, proxy: &Proxy) -> Listener {
    let ports = by_target(state.own(proxy));
    let declared = ports.iter().filter_map(|(target, own)| own.first().map(|own| (*target, own)));
    let mut unsniffed: Vec<u16> = declared
        .clone()
        .filter(|(_, own)| own.port.protocol != Protocol::Auto)
        .map(|(target, _)| target)
        .collect();
    unsniffed.push(CAPTURE);
    unsniffed.sort_unstable();
    unsniffed.dedup();
    let mut chains = vec![black_hole()];
    chains.extend(passthrough());
    for (target, own) in declared {
        let port = ChainMatch { destination_port: Some(target), ..ChainMatch::default() };
        let (of_port, rest) = port_chains(own, target, &format!("0.0.0.0_{target}"), &port);
        chains.extend(of_port);
        chains.extend(rest);
    }
    Listener {
        name: "virtualInbound".into(),
        address: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), CAPTURE),
        additional: Vec::new(),
        arrival: Arrival::CapturedInbound { is_transparent: proxy.interception == Interception::Tproxy },
        side: Side::Inbound,
        sniffs_http: Sniffing::AllBut(unsniffed),
        chains,
        default_chain: None,
        origin: None,
    }
}

/// A connection made to the capturing port itself would come back for ever.
fn black_hole() -> Chain {
    Chain {
        name: "virtualInbound-blackhole".into(),
        condition: ChainMatch { destination_port: Some(CAPTURE), ..ChainMatch::default() },
        terminal: Terminal::Tcp { cluster: BLACK_HOLE.into() },
        origin: None,
    }
}

fn passthrough() -> [Chain; 2] {
    let routes = inbound_routes(
        INBOUND_PASSTHROUGH,
        0,
        Route::Default {
            name: "default".into(),
            cluster: INBOUND_PASSTHROUGH.into(),
            operation: ":0/*".into(),
            origin: None,
        },
    );
    [
        Chain {
            name: "virtualInbound-catchall-http".into(),
            condition: ChainMatch { is_http: true, ..ChainMatch::default() },
            terminal: Terminal::Http(Http {
                routes,
                stat_prefix: INBOUND_PASSTHROUGH.into(),
                forwards_by_dns: false,
            }),
            origin: None,
        },
        Chain {
            name: "virtualInbound".into(),
            condition: ChainMatch::default(),
            terminal: Terminal::Tcp { cluster: INBOUND_PASSTHROUGH.into() },
            origin: None,
        },
    ]
}

/// The chains of one own port, and the one for whatever is not HTTP where the port says neither.
fn port_chains(own: &Own, target: u16, name: &str, port: &ChainMatch) -> (Vec<Chain>, Option<Chain>) {
    let origin = Some(own.service.origin.clone());
    let cluster = inbound_name(target);
    let tcp = Chain {
        name: name.to_owned(),
        condition: port.clone(),
        terminal: Terminal::Tcp { cluster: cluster.clone() },
        origin: origin.clone(),
    };
    let protocol = own.port.protocol;
    if !protocol.is_http() && protocol != Protocol::Auto {
        return (vec![tcp], None);
    }
    let route = Route::Default {
        name: "default".into(),
        operation: format!("{}:{}/*", own.service.host, own.port.number),
        cluster: cluster.clone(),
        origin: origin.clone(),
    };
    let is_http = protocol == Protocol::Auto;
    let http = Chain {
        name: name.to_owned(),
        condition: ChainMatch { is_http, ..port.clone() },
        terminal: Terminal::Http(Http {
            routes: inbound_routes(&cluster, own.port.number, route),
            stat_prefix: format!("inbound_{name}"),
            forwards_by_dns: false,
        }),
        origin,
    };
    (vec![http], is_http.then_some(tcp))
}

fn inbound_routes(name: &str, port: u16, route: Route) -> RouteSource {
    let host = VirtualHost::new(format!("inbound|http|{port}"), vec!["*".into()], vec![route]);
    RouteSource::Inline(Arc::new(RouteSlice::new(name, Side::Inbound, false, vec![host])))
}
