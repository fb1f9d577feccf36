//! Servers of Gateways: which of them a proxy offers, and where, several Gateways merged port by port.

use std::collections::{BTreeMap, BTreeSet};

use api::gateway::{Server, ServerHost};
use api::tls::ServerTlsMode;
use api::virtual_service::GatewayRef;
use api::{Bind, Gateway, Valid};
use base::{Host, Protocol};

use crate::proxy::Proxy;
use crate::state::{Own, State};
use crate::virtual_service::Bound;

/// Istio's annotation that binds a Gateway to services instead of a selector.
const SERVICE_ANNOTATION: &str = "internal.istio.io/gateway-service";

/// Istio's label by which a service does not translate the ports of Gateways.
const NO_TRANSLATION_LABEL: &str = "experimental.istio.io/disable-gateway-port-translation";

/// An address and port to listen on, the port 0 for a Unix socket; None is where this proxy usually binds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) port: u16,
    pub(crate) bind: Option<Bind>,
}

/// A server of a Gateway.
#[derive(Clone, Copy)]
pub(crate) struct Served<'a> {
    pub(crate) gateway: &'a Valid<Gateway>,
    pub(crate) index: usize,
    pub(crate) server: &'a Server,
}

/// What connections to a server are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Requests without TLS.
    Http,
    /// Bytes without TLS.
    Tcp,
    /// TLS, told apart by server names.
    Tls,
}

impl Served<'_> {
    pub(crate) fn kind(&self) -> Kind {
        if self.server.port.protocol.is_http() {
            Kind::Http
        } else if self.server.tls.is_some() {
            Kind::Tls
        } else {
            Kind::Tcp
        }
    }

    /// Whether TLS ends here and requests are routed one by one.
    pub(crate) fn ends_https(&self) -> bool {
        self.server.port.protocol == Protocol::Https && self.mode().is_some_and(ServerTlsMode::terminates)
    }

    pub(crate) fn mode(&self) -> Option<ServerTlsMode> {
        self.server.tls.as_ref().map(|tls| tls.mode)
    }

    /// How VirtualServices name its Gateway.
    pub(crate) fn reference(&self) -> GatewayRef {
        let meta = self.gateway.meta();
        GatewayRef::Named { namespace: meta.namespace.to_string(), name: meta.name.to_string() }
    }

    /// Istio's name of the routes of a server that ends HTTPS.
    pub(crate) fn https_routes(&self, bind: Option<&Bind>) -> String {
        let (port, meta) = (&self.server.port, self.gateway.meta());
        let bind = bind.map(|bind| format!(".{bind}")).unwrap_or_default();
        format!("https.{}.{}.{}.{}{bind}", port.number, port.name, meta.name, meta.namespace)
    }

    /// The names TLS clients ask for; empty is any name.
    pub(crate) fn server_names(&self) -> Vec<String> {
        let names: BTreeSet<&str> = self.server.hosts.iter().map(|exposed| exposed.host.as_str()).collect();
        if names.contains("*") { Vec::new() } else { names.into_iter().map(str::to_owned).collect() }
    }

    /// The hosts that it exposes and a VirtualService routes: of two that overlap the narrower.
    pub(crate) fn shared_hosts(&self, bound: &Bound) -> BTreeSet<Host> {
        let namespace = &bound.config.meta().namespace;
        let is_open = |exposed: &&ServerHost| exposed.namespace.as_ref().is_none_or(|n| **n == **namespace);
        let mut shared = BTreeSet::new();
        for exposed in self.server.hosts.iter().filter(is_open) {
            for host in &bound.hosts {
                if exposed.host.covers(host) {
                    shared.insert(host.clone());
                } else if host.covers(&exposed.host) {
                    shared.insert(exposed.host.clone());
                }
            }
        }
        shared
    }
}

/// The servers a proxy offers, by where it listens, the oldest Gateway's first.
///
/// The first server of a place decides what connections there are: more servers may route requests without TLS,
/// or take TLS under other names; bytes have one taker only.
pub(crate) fn places<'a>(state: &'a State, proxy: &Proxy) -> BTreeMap<Place, Vec<Served<'a>>> {
    let own = state.own(proxy);
    let mut places: BTreeMap<Place, Vec<Served<'a>>> = BTreeMap::new();
    for gateway in &state.gateways {
        for (index, server) in gateway.servers.iter().enumerate() {
            for port in ports(gateway, server, proxy, &own) {
                if !proxy.may_bind(port) || is_reserved(port) {
                    continue;
                }
                let served = Served { gateway, index, server };
                // A usual place that is written out is the same place.
                let bind = server.bind.clone().filter(|bind| *bind != Bind::Ip(proxy.gateway_bind));
                let here = places.entry(Place { port, bind }).or_default();
                if is_compatible(here, &served) {
                    here.push(served);
                }
            }
        }
    }
    places
}

/// Whether a port of every gateway serves something else: whether it is ready (15021), and its metrics (15090).
pub(crate) fn is_reserved(port: u16) -> bool {
    matches!(port, 15_021 | 15_090)
}

/// Whether a server may share a place with those that are there.
pub(crate) fn is_compatible(here: &[Served<'_>], served: &Served<'_>) -> bool {
    let Some(first) = here.first() else { return true };
    match first.kind() {
        Kind::Http => served.kind() == Kind::Http,
        Kind::Tcp => false,
        Kind::Tls => {
            let is_same = |other: &&Served<'_>| {
                other.ends_https() && other.https_routes(None) == served.https_routes(None)
            };
            served.kind() == Kind::Tls && !(served.ends_https() && here.iter().any(|other| is_same(&other)))
        }
    }
}

/// The ports a proxy listens on for a Gateway's port: the target ports of the services that lead to it, else
/// the port itself.
fn ports(gateway: &Valid<Gateway>, server: &Server, proxy: &Proxy, own: &[Own]) -> BTreeSet<u16> {
    let number = server.port.number;
    if let Some(services) = gateway.meta().annotations.get(SERVICE_ANNOTATION) {
        let named: Vec<Host> = services.split(',').map(|host| Host::new(host.trim())).collect();
        let namespace = &*gateway.meta().namespace;
        let is_named =
            |own: &&Own| named.contains(&own.service.host) && own.service.name.namespace == namespace;
        return own
            .iter()
            .filter(is_named)
            .filter(|own| own.port.number == number)
            .map(|own| own.target)
            .collect();
    }
    if !gateway.selector.selects(&proxy.labels) {
        return BTreeSet::new();
    }
    if matches!(server.bind, Some(Bind::Pipe(_))) {
        return BTreeSet::from([0]);
    }
    let translated = own
        .iter()
        .filter(|own| own.port.number == number && own.service.labels.value(NO_TRANSLATION_LABEL).is_none())
        .map(|own| own.target)
        .min();
    BTreeSet::from([translated.or(server.port.target_port).unwrap_or(number)])
}

/// The servers that pass on TLS which asks for services by Istio's server names for their ports.
pub(crate) fn by_name<'a>(state: &'a State, proxy: &Proxy) -> Vec<Served<'a>> {
    let is_by_name = |served: &Served<'_>| served.mode() == Some(ServerTlsMode::AutoPassthrough);
    match proxy.is_gateway() {
        true => places(state, proxy).into_values().flatten().filter(is_by_name).collect(),
        false => Vec::new(),
    }
}

/// Whether a server exposes a service.
pub(crate) fn exposes(served: &Served<'_>, host: &Host) -> bool {
    served.server.hosts.iter().any(|exposed| exposed.host.covers(host))
}
