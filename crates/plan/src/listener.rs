//! Listeners: where connections arrive, what is looked at first, and which chain takes them.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use base::{Address, Origin};
use proto::Any;
use proto::envoy::config::listener::v3 as wire;
use proto::envoy::extensions::filters::network::sni_dynamic_forward_proxy::v3::FilterConfig as SniForward;
use proto::envoy::extensions::filters::network::sni_dynamic_forward_proxy::v3::filter_config::PortSpecifier;

use crate::access_log::{AccessLog, access_logs};
use crate::cluster_spec::{Degraded, Keepalive};
use crate::discovery::Dns;
use crate::inert::InertFilter;
use crate::listener_filter::{AcceptsProxy, Inspector, ListenerFilters};
use crate::manager::HttpManager;
use crate::read::{
    At, Within, Wrong, config, duration, each, flag, limit, listened, named, number, origin, refuse,
};
use crate::sieve::{ChainMatch, Connection, Sieve, some_port};
use crate::tcp::TcpProxy;
use crate::transport::ServerTls;

/// A listener.
#[derive(Debug)]
pub struct Listener {
    /// Its name, e.g. `0.0.0.0_9080`.
    pub name: Arc<str>,
    /// Its own address, then its additional ones.
    pub addresses: Vec<Address>,
    /// The permissions of the Unix sockets among them; none for those they are made with.
    pub mode: Option<u32>,
    /// Whether a socket is bound; else connections only come by hand-over from another listener.
    pub bind_to_port: bool,
    /// Which side of the workload it serves.
    pub direction: Direction,
    /// Whether connections are handed over to the listener of their original destination.
    pub use_original_dst: bool,
    /// Whether the socket takes connections to addresses that are not its own (TPROXY).
    pub transparent: bool,
    /// Whether the destination is read back from the kernel before the chain is chosen.
    pub restores_destination: bool,
    /// The PROXY header that is expected before everything else.
    pub proxy_protocol: Option<AcceptsProxy>,
    /// When the first bytes are looked at for a TLS greeting.
    pub tls_inspector: Option<Inspector>,
    /// When the first bytes are looked at for HTTP.
    pub http_inspector: Option<Inspector>,
    /// How long to look; none for as long as it takes.
    pub inspect_timeout: Option<Duration>,
    /// Whether a connection goes on after that time with what is known, instead of being closed.
    pub continue_on_timeout: bool,
    /// How many connections may wait to be accepted; none for the kernel's own number.
    pub backlog: Option<u32>,
    /// How the kernel looks after silent connections; none for not at all.
    pub keepalive: Option<Keepalive>,
    /// Where connections that no chain takes are logged.
    pub access_log: Vec<AccessLog>,
    /// What was asked for and is not done, in words.
    pub degraded: Vec<Degraded>,
    /// The object that decided it.
    pub origin: Option<Origin>,
    /// The filter chains as listed, the default one last.
    pub chains: Vec<Arc<FilterChain>>,
    sieve: Sieve,
}

/// Which side of a workload a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Requests to the workload.
    Inbound,
    /// Requests from the workload.
    Outbound,
    /// Neither, as at a gateway.
    Unspecified,
}

/// What is done with the connections that one match takes.
#[derive(Debug)]
pub struct FilterChain {
    /// Its name; empty where the control plane gave none.
    pub name: Arc<str>,
    /// What it takes.
    pub wanted: ChainMatch,
    /// The TLS a client must speak.
    pub tls: Option<Arc<ServerTls>>,
    /// How long its greeting may take; none for as long as it needs.
    pub tls_timeout: Option<Duration>,
    /// Filters that are known to do nothing here.
    pub inert: Vec<InertFilter>,
    /// What it does in the end.
    pub terminal: Terminal,
    /// The object that decided it.
    pub origin: Option<Origin>,
    /// The object's path in the API, as `istio.config` gives it.
    pub config: Option<Arc<str>>,
}

/// What a filter chain does with its connections.
#[derive(Debug)]
pub enum Terminal {
    /// Speaks HTTP.
    Http(Arc<HttpManager>),
    /// Forwards bytes.
    Tcp(TcpProxy),
}

impl Listener {
    #[allow(deprecated, reason = "old control planes still write the old spellings")]
    pub(crate) fn compile(message: &wire::Listener, registry: &filter::Registry) -> Result<Self, Wrong> {
        let name = named(&message.name, "name")?;
        refuse_listener_fields(message)?;
        let (addresses, mode) = addresses(message)?;
        let mut chains =
            each(&message.filter_chains, "filter_chains", |chain| FilterChain::compile(chain, registry))?;
        let wanted: Vec<ChainMatch> = chains.iter().map(|chain| chain.wanted.clone()).collect();
        let default = message.default_filter_chain.as_ref().map(|chain| {
            chains.push(FilterChain::compile(chain, registry).within("default_filter_chain")?);
            Ok(chains.len() - 1)
        });
        let sieve = Sieve::new(&wanted, default.transpose()?).at("filter_chains")?;
        if chains.is_empty() {
            return Err(Wrong::new("filter_chains", "is empty"));
        }
        let is_transparent = flag(&message.transparent, false);
        let filters = ListenerFilters::compile(&message.listener_filters, is_transparent)?;
        let bound = message.deprecated_v1.as_ref().and_then(|v1| v1.bind_to_port.as_ref());
        let bind_to_port = flag(&message.bind_to_port, bound.is_none_or(|bound| bound.value));
        if addresses.iter().any(Address::is_pipe) {
            refuse_beside_pipe(message, &filters, bind_to_port)?;
        }
        Ok(Self {
            name,
            addresses,
            mode,
            bind_to_port,
            direction: match message.traffic_direction {
                1 => Direction::Inbound,
                2 => Direction::Outbound,
                _ => Direction::Unspecified,
            },
            use_original_dst: flag(&message.use_original_dst, false),
            transparent: is_transparent,
            restores_destination: filters.restores_destination,
            proxy_protocol: filters.proxy_protocol,
            tls_inspector: filters.tls_inspector,
            http_inspector: filters.http_inspector,
            inspect_timeout: match duration(&message.listener_filters_timeout, "listener_filters_timeout")? {
                None => Some(Duration::from_secs(15)),
                Some(timeout) => Some(timeout).filter(|t| !t.is_zero()),
            },
            continue_on_timeout: message.continue_on_listener_filters_timeout,
            backlog: number(&message.tcp_backlog_size),
            keepalive: match &message.tcp_keepalive {
                Some(keepalive) => Some(Keepalive::compile(keepalive).within("tcp_keepalive")?),
                None => None,
            },
            access_log: access_logs(&message.access_log)?,
            degraded: degraded(message),
            origin: origin(&message.metadata),
            chains: chains.into_iter().map(Arc::new).collect(),
            sieve,
        })
    }

    /// The chain that takes a connection.
    pub fn select(&self, connection: &Connection<'_>) -> Option<&Arc<FilterChain>> {
        self.chains.get(self.sieve.select(connection)?)
    }

    /// Whether the first bytes of a connection to a port must be looked at for TLS.
    pub fn looks_for_tls(&self, port: u16) -> bool {
        self.tls_inspector.as_ref().is_some_and(|inspector| inspector.is_on(port))
            && (self.sieve.asks_tls(port) || self.chains.iter().any(|chain| chain.follows_server_name(port)))
    }

    /// Whether the first bytes of a connection to a port must be looked at for HTTP.
    pub fn looks_for_http(&self, port: u16) -> bool {
        self.http_inspector.as_ref().is_some_and(|inspector| inspector.is_on(port))
            && self.sieve.asks_protocols(port)
    }

    /// The HTTP managers of all chains.
    pub fn managers(&self) -> impl Iterator<Item = &Arc<HttpManager>> {
        self.chains.iter().filter_map(|chain| match &chain.terminal {
            Terminal::Http(manager) => Some(manager),
            Terminal::Tcp(_) => None,
        })
    }
}

/// Where a listener listens, and the permissions of its Unix sockets.
fn addresses(message: &wire::Listener) -> Result<(Vec<Address>, Option<u32>), Wrong> {
    let (first, mut mode) = listened(&message.address)?;
    let mut addresses = vec![first];
    for (place, more) in message.additional_addresses.iter().enumerate() {
        let path = format!("additional_addresses[{place}]");
        let (address, own) = listened(&more.address).within(&path)?;
        if address.is_pipe() && addresses.iter().any(Address::is_pipe) && own != mode {
            return Err(Wrong::new(path + ".address.pipe.mode", "differs from that of another address"));
        }
        mode = mode.or(own);
        addresses.push(address);
    }
    Ok((addresses, mode))
}

/// What a Unix socket has nothing of.
fn refuse_beside_pipe(
    message: &wire::Listener,
    filters: &ListenerFilters,
    bind_to_port: bool,
) -> Result<(), Wrong> {
    let wrong = [
        (!bind_to_port, "bind_to_port", "must be true: nothing is handed over from a Unix socket"),
        (
            flag(&message.use_original_dst, false),
            "use_original_dst",
            "connections to a Unix socket have none",
        ),
        (
            filters.restores_destination,
            "listener_filters",
            "connections to a Unix socket have no original destination",
        ),
        (flag(&message.transparent, false), "transparent", "is not for Unix sockets"),
        (message.tcp_keepalive.is_some(), "tcp_keepalive", "is not for Unix sockets"),
    ];
    match wrong.into_iter().find(|(is_set, ..)| *is_set) {
        Some((_, path, why)) => Err(Wrong::new(path, why)),
        None => Ok(()),
    }
}

/// What would serve other connections than were asked for.
fn refuse_listener_fields(message: &wire::Listener) -> Result<(), Wrong> {
    refuse(message.fcds_config.is_some(), "fcds_config")?;
    refuse(message.filter_chain_matcher.is_some(), "filter_chain_matcher")?;
    refuse(message.udp_listener_config.is_some(), "udp_listener_config")?;
    refuse(message.api_listener.is_some(), "api_listener")?;
    refuse(message.listener_specifier.is_some(), "internal_listener")?;
    refuse(!message.socket_options.is_empty(), "socket_options")?;
    refuse(flag(&message.freebind, false), "freebind")
}

/// What can be left out without harm.
fn degraded(message: &wire::Listener) -> Vec<Degraded> {
    let all = [
        (
            message.connection_balance_config.is_some(),
            "connection_balance_config",
            "the kernel deals connections out to the workers",
        ),
        (
            message.tcp_fast_open_queue_length.is_some(),
            "tcp_fast_open_queue_length",
            "connections begin with the whole greeting",
        ),
        (message.enable_mptcp, "enable_mptcp", "connections take one path"),
    ];
    let set = all.into_iter().filter(|(is_set, ..)| *is_set);
    set.map(|(_, path, instead)| Degraded { path, instead }).collect()
}

impl Listener {
    /// The names of the secrets its TLS needs.
    pub fn secrets(&self) -> impl Iterator<Item = &Arc<str>> {
        self.chains.iter().filter_map(|chain| chain.tls.as_ref()).flat_map(|tls| tls.common.secrets())
    }
}

impl FilterChain {
    #[allow(deprecated, reason = "old control planes still write the old spellings")]
    fn compile(message: &wire::FilterChain, registry: &filter::Registry) -> Result<Self, Wrong> {
        refuse(flag(&message.use_proxy_proto, false), "use_proxy_proto")?;
        let Some((last, before)) = message.filters.split_last() else {
            return Err(Wrong::new("filters", "is empty"));
        };
        let mut terminal =
            Terminal::compile(last, registry).within(format_args!("filters[{}]", before.len()))?;
        let inert = each(before, "filters", |filter| match by_server_name(filter)? {
            None => inert(filter).map(Some),
            Some(by) => terminal.follow(by).map(|()| None),
        })?;
        Ok(Self {
            name: message.name.as_str().into(),
            wanted: match &message.filter_chain_match {
                Some(wanted) => ChainMatch::compile(wanted).within("filter_chain_match")?,
                None => ChainMatch::default(),
            },
            tls: ServerTls::compile(&message.transport_socket).within("transport_socket")?,
            tls_timeout: limit(
                &message.transport_socket_connect_timeout,
                "transport_socket_connect_timeout",
            )?,
            inert: inert.into_iter().flatten().collect(),
            terminal,
            origin: origin(&message.metadata),
            config: config(&message.metadata),
        })
    }
}

impl FilterChain {
    /// Whether it may take connections to a port and lets their server name decide where they go.
    fn follows_server_name(&self, port: u16) -> bool {
        let follows = matches!(&self.terminal, Terminal::Tcp(proxy)
            if proxy.follows_sni || proxy.forwards_by_name.is_some());
        follows && self.wanted.port.is_none_or(|wanted| wanted == port)
    }
}

impl Terminal {
    fn compile(message: &wire::Filter, registry: &filter::Registry) -> Result<Self, Wrong> {
        let any = typed(message)?;
        match proto::any::type_name(&any.type_url) {
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager" => {
                let message = proto::any::unpack(any).at("typed_config")?;
                Ok(Self::Http(Arc::new(HttpManager::compile(&message, registry).within("typed_config")?)))
            }
            "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy" => {
                let message = proto::any::unpack(any).at("typed_config")?;
                Ok(Self::Tcp(TcpProxy::compile(&message).within("typed_config")?))
            }
            other => Err(Wrong::new("typed_config", format!("{other} cannot end a filter chain here"))),
        }
    }

    /// Lets the server name of a connection's TLS greeting decide.
    fn follow(&mut self, by: ByServerName) -> Result<(), Wrong> {
        match (self, by) {
            (Self::Tcp(proxy), ByServerName::Cluster) => proxy.follows_sni = true,
            (Self::Tcp(proxy), ByServerName::Host { port }) => proxy.forwards_by_name = Some(port),
            // Requests have names of their own, by which they are routed.
            (Self::Http(_), ByServerName::Cluster) => {}
            (Self::Http(_), ByServerName::Host { .. }) => {
                return Err(Wrong::new("typed_config", "is for a TCP proxy only"));
            }
        }
        Ok(())
    }
}

/// What the server name of a connection's TLS greeting names.
enum ByServerName {
    /// The cluster.
    Cluster,
    /// The host that a dynamic cluster resolves.
    Host { port: u16 },
}

fn typed(message: &wire::Filter) -> Result<&Any, Wrong> {
    match &message.config_type {
        Some(wire::filter::ConfigType::TypedConfig(any)) => Ok(any),
        Some(wire::filter::ConfigType::ConfigDiscovery(_)) => {
            Err(Wrong::new("config_discovery", "is not supported"))
        }
        None => Err(Wrong::new("typed_config", "is missing")),
    }
}

/// What a filter lets the server name of a connection's TLS greeting name; none where it is another filter.
fn by_server_name(message: &wire::Filter) -> Result<Option<ByServerName>, Wrong> {
    let any = typed(message)?;
    match proto::any::type_name(&any.type_url) {
        "envoy.extensions.filters.network.sni_cluster.v3.SniCluster" => Ok(Some(ByServerName::Cluster)),
        "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig" => {
            let message = proto::any::unpack(any).at("typed_config")?;
            sni_forward(&message).within("typed_config").map(Some)
        }
        _ => Ok(None),
    }
}

/// The names are remembered where the cluster's are, whose cache the filter must name.
fn sni_forward(message: &SniForward) -> Result<ByServerName, Wrong> {
    let Some(cache) = &message.dns_cache_config else {
        return Err(Wrong::new("dns_cache_config", "is missing"));
    };
    named(&cache.name, "name").and_then(|_| Dns::of_cache(cache)).within("dns_cache_config")?;
    // Nobody reads what it would save.
    refuse(message.save_upstream_address, "save_upstream_address")?;
    match message.port_specifier {
        // Envoy would take it, and connect to port 0.
        None => Err(Wrong::new("port_value", "is missing")),
        Some(PortSpecifier::PortValue(number)) => {
            Ok(ByServerName::Host { port: some_port(number, "port_value")? })
        }
    }
}

/// Network filters before the last: only those that observe, and whose absence lets nothing more through.
fn inert(message: &wire::Filter) -> Result<InertFilter, Wrong> {
    let any = typed(message)?;
    let kind = filter::kind(any).at("typed_config")?;
    let reason = match &*kind {
        "stats.PluginConfig" => "metrics are counted by the proxy itself",
        "envoy.tcp.metadataexchange.config.MetadataExchange" => {
            "its preamble is only spoken where istio-peer-exchange was negotiated, which is never offered"
        }
        "envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy"
        | "envoy.extensions.filters.network.mysql_proxy.v3.MySQLProxy" => {
            "it observes, the bytes pass unchanged"
        }
        "io.istio.network.authn.Config" => "it only names a TLS peer, which the proxy does itself",
        other => return Err(Wrong::new("typed_config", format!("network filter {other} is not supported"))),
    };
    Ok(InertFilter { name: message.name.as_str().into(), message: kind.as_ref().into(), reason })
}
