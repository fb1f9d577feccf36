//! Listeners: where connections arrive, what is looked at first, and which chain takes them.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Origin;
use proto::Any;
use proto::envoy::config::accesslog::v3 as accesslog;
use proto::envoy::config::core::v3::{
    SubstitutionFormatString, data_source, substitution_format_string::Format,
};
use proto::envoy::config::listener::v3 as wire;
use proto::envoy::config::listener::v3::listener_filter_chain_match_predicate::Rule;
use proto::envoy::extensions::access_loggers::file::v3::{FileAccessLog, file_access_log::AccessLogFormat};

use crate::manager::HttpManager;
use crate::read::{At, Within, Wrong, config, duration, each, flag, named, origin, refuse, socket_address};
use crate::sieve::{ChainMatch, Connection, Sieve};
use crate::tcp::TcpProxy;
use crate::transport::Tls;

/// A listener.
#[derive(Debug)]
pub struct Listener {
    /// Its name, e.g. `0.0.0.0_9080`.
    pub name: Arc<str>,
    /// Its own address, then its additional ones.
    pub addresses: Vec<SocketAddr>,
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
    /// When the first bytes are looked at for a TLS greeting.
    pub tls_inspector: Option<Inspector>,
    /// When the first bytes are looked at for HTTP.
    pub http_inspector: Option<Inspector>,
    /// How long to look; none for as long as it takes.
    pub inspect_timeout: Option<Duration>,
    /// Whether a connection goes on after that time with what is known, instead of being closed.
    pub continue_on_timeout: bool,
    /// Where connections that no chain takes are logged.
    pub access_log: Vec<AccessLog>,
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

/// A look at the first bytes that may be switched off for some ports.
#[derive(Clone, Debug, Default)]
pub struct Inspector {
    disabled: Option<Predicate>,
}

#[derive(Clone, Debug)]
enum Predicate {
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    Fixed(bool),
    Not(Box<Predicate>),
    /// Half open.
    Ports(i32, i32),
}

/// What is done with the connections that one match takes.
#[derive(Debug)]
pub struct FilterChain {
    /// Its name; empty where the control plane gave none.
    pub name: Arc<str>,
    /// What it takes.
    pub wanted: ChainMatch,
    /// The TLS a client must speak; such connections cannot be served and are closed.
    pub tls: Option<Tls>,
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

/// A filter that is accepted and knowingly does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InertFilter {
    /// Its name in the listener.
    pub name: Arc<str>,
    /// The message it is configured by.
    pub message: Arc<str>,
    /// Why it does nothing.
    pub reason: &'static str,
}

/// A file that lines of an access log are appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// The file.
    pub path: Arc<str>,
    /// The format of a line; none for Envoy's own.
    pub format: Option<Arc<str>>,
}

impl Listener {
    #[allow(deprecated, reason = "old control planes still write the old spellings")]
    pub(crate) fn compile(message: &wire::Listener, registry: &filter::Registry) -> Result<Self, Wrong> {
        let name = named(&message.name, "name")?;
        refuse_listener_fields(message)?;
        let mut addresses = vec![socket_address(&message.address)?];
        addresses.extend(each(&message.additional_addresses, "additional_addresses", |a| {
            socket_address(&a.address)
        })?);
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
        let bound = message.deprecated_v1.as_ref().and_then(|v1| v1.bind_to_port.as_ref());
        let mut listener = Self {
            name,
            addresses,
            bind_to_port: flag(&message.bind_to_port, bound.is_none_or(|bound| bound.value)),
            direction: match message.traffic_direction {
                1 => Direction::Inbound,
                2 => Direction::Outbound,
                _ => Direction::Unspecified,
            },
            use_original_dst: flag(&message.use_original_dst, false),
            transparent: flag(&message.transparent, false),
            restores_destination: false,
            tls_inspector: None,
            http_inspector: None,
            inspect_timeout: match duration(&message.listener_filters_timeout, "listener_filters_timeout")? {
                None => Some(Duration::from_secs(15)),
                Some(timeout) => Some(timeout).filter(|t| !t.is_zero()),
            },
            continue_on_timeout: message.continue_on_listener_filters_timeout,
            access_log: access_logs(&message.access_log)?,
            origin: origin(&message.metadata),
            chains: chains.into_iter().map(Arc::new).collect(),
            sieve,
        };
        for (i, filter) in message.listener_filters.iter().enumerate() {
            listener.add_listener_filter(filter).within(format_args!("listener_filters[{i}]"))?;
        }
        Ok(listener)
    }

    fn add_listener_filter(&mut self, message: &wire::ListenerFilter) -> Result<(), Wrong> {
        let Some(wire::listener_filter::ConfigType::TypedConfig(any)) = &message.config_type else {
            return Err(Wrong::new("typed_config", "is missing"));
        };
        let disabled = match &message.filter_disabled {
            Some(predicate) => Some(Predicate::compile(predicate, 0).within("filter_disabled")?),
            None => None,
        };
        match proto::any::type_name(&any.type_url) {
            "envoy.extensions.filters.listener.original_dst.v3.OriginalDst" => {
                self.restores_destination = true
            }
            "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector" => {
                self.tls_inspector = Some(Inspector { disabled });
            }
            "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector" => {
                self.http_inspector = Some(Inspector { disabled });
            }
            // The client's own address is kept by the transparent socket; a listener without one is refused there.
            "envoy.extensions.filters.listener.original_src.v3.OriginalSrc" if self.transparent => {}
            other => {
                return Err(Wrong::new("typed_config", format!("listener filter {other} is not supported")));
            }
        }
        Ok(())
    }

    /// The chain that takes a connection.
    pub fn select(&self, connection: &Connection<'_>) -> Option<&Arc<FilterChain>> {
        self.chains.get(self.sieve.select(connection)?)
    }

    /// Whether the first bytes of a connection to a port must be looked at for TLS.
    pub fn looks_for_tls(&self, port: u16) -> bool {
        self.tls_inspector.as_ref().is_some_and(|inspector| inspector.is_on(port))
            && self.sieve.asks_tls(port)
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

impl Inspector {
    /// Whether connections to this port are looked at.
    pub fn is_on(&self, port: u16) -> bool {
        !self.disabled.as_ref().is_some_and(|predicate| predicate.matches(port))
    }
}

impl Predicate {
    fn compile(message: &wire::ListenerFilterChainMatchPredicate, depth: usize) -> Result<Self, Wrong> {
        if depth > 16 {
            return Err(Wrong::new("", "is nested too deeply"));
        }
        let all = |set: &[wire::ListenerFilterChainMatchPredicate]| {
            each(set, "rules", |rule| Self::compile(rule, depth + 1))
        };
        match &message.rule {
            Some(Rule::AndMatch(set)) => Ok(Self::All(all(&set.rules)?)),
            Some(Rule::AnyMatch(value)) => Ok(Self::Fixed(*value)),
            Some(Rule::DestinationPortRange(range)) => Ok(Self::Ports(range.start, range.end)),
            Some(Rule::NotMatch(rule)) => Ok(Self::Not(Box::new(Self::compile(rule, depth + 1)?))),
            Some(Rule::OrMatch(set)) => Ok(Self::Any(all(&set.rules)?)),
            None => Err(Wrong::new("rule", "is missing")),
        }
    }

    fn matches(&self, port: u16) -> bool {
        match self {
            Self::All(rules) => rules.iter().all(|rule| rule.matches(port)),
            Self::Any(rules) => rules.iter().any(|rule| rule.matches(port)),
            Self::Fixed(value) => *value,
            Self::Not(rule) => !rule.matches(port),
            Self::Ports(start, end) => (*start..*end).contains(&i32::from(port)),
        }
    }
}

impl FilterChain {
    #[allow(deprecated, reason = "old control planes still write the old spellings")]
    fn compile(message: &wire::FilterChain, registry: &filter::Registry) -> Result<Self, Wrong> {
        refuse(flag(&message.use_proxy_proto, false), "use_proxy_proto")?;
        let Some((last, before)) = message.filters.split_last() else {
            return Err(Wrong::new("filters", "is empty"));
        };
        let inert = each(before, "filters", inert)?;
        let terminal = Terminal::compile(last, registry).within(format_args!("filters[{}]", before.len()))?;
        Ok(Self {
            name: message.name.as_str().into(),
            wanted: match &message.filter_chain_match {
                Some(wanted) => ChainMatch::compile(wanted).within("filter_chain_match")?,
                None => ChainMatch::default(),
            },
            tls: Tls::downstream(&message.transport_socket).within("transport_socket")?,
            inert,
            terminal,
            origin: origin(&message.metadata),
            config: config(&message.metadata),
        })
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

/// Network filters before the last: only those that observe, and whose absence lets nothing more through.
fn inert(message: &wire::Filter) -> Result<InertFilter, Wrong> {
    let any = typed(message)?;
    let kind = filter::kind(any).at("typed_config")?;
    let reason = match &*kind {
        "stats.PluginConfig" => "metrics are counted by the proxy itself",
        "envoy.tcp.metadataexchange.config.MetadataExchange" => {
            "its preamble is only spoken where istio-peer-exchange was negotiated, which is never offered"
        }
        "envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy" => {
            "it observes, the bytes pass unchanged"
        }
        "io.istio.network.authn.Config" => "it only names a TLS peer, and no TLS is served",
        other => return Err(Wrong::new("typed_config", format!("network filter {other} is not supported"))),
    };
    Ok(InertFilter { name: message.name.as_str().into(), message: kind.as_ref().into(), reason })
}

pub(crate) fn access_logs(messages: &[accesslog::AccessLog]) -> Result<Vec<AccessLog>, Wrong> {
    let logs = each(messages, "access_log", |message| {
        let Some(accesslog::access_log::ConfigType::TypedConfig(any)) = &message.config_type else {
            return Err(Wrong::new("typed_config", "is missing"));
        };
        // A log that cannot be written takes nothing from the traffic; files are the kind that can.
        if proto::any::type_name(&any.type_url) != "envoy.extensions.access_loggers.file.v3.FileAccessLog" {
            return Ok(None);
        }
        let file: FileAccessLog = proto::any::unpack(any).at("typed_config")?;
        Ok(Some(AccessLog { path: named(&file.path, "typed_config.path")?, format: log_format(&file) }))
    })?;
    Ok(logs.into_iter().flatten().collect())
}

#[allow(deprecated, reason = "old control planes still write the old spellings")]
fn log_format(file: &FileAccessLog) -> Option<Arc<str>> {
    let text = match file.access_log_format.as_ref()? {
        AccessLogFormat::Format(text) => text,
        AccessLogFormat::LogFormat(SubstitutionFormatString { format, .. }) => match format.as_ref()? {
            Format::TextFormat(text) => text,
            Format::TextFormatSource(source) => match source.specifier.as_ref()? {
                data_source::Specifier::InlineString(text) => text,
                _ => return None,
            },
            Format::JsonFormat(_) => return None,
        },
        AccessLogFormat::JsonFormat(_) | AccessLogFormat::TypedJsonFormat(_) => return None,
    };
    Some(text.as_str().into())
}
