//! Listeners and their filter chains.

use std::time::Duration;

use proto::Any;
use proto::envoy::config::core::v3::{CidrRange, TrafficDirection};
use proto::envoy::config::listener::v3 as envoy;
use proto::envoy::config::listener::v3::listener_filter::ConfigType as ListenerConfigType;
use proto::envoy::config::listener::v3::listener_filter_chain_match_predicate::{MatchSet, Rule};
use proto::envoy::config::listener::v3::{
    AdditionalAddress, Filter, FilterChain, FilterChainMatch, ListenerFilter,
    ListenerFilterChainMatchPredicate, filter::ConfigType,
};
use proto::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use proto::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use proto::envoy::extensions::filters::listener::original_src::v3::OriginalSrc;
use proto::envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol;
use proto::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use proto::envoy::extensions::filters::network::sni_dynamic_forward_proxy::v3::FilterConfig as SniForward;
use proto::envoy::extensions::filters::network::sni_dynamic_forward_proxy::v3::filter_config::PortSpecifier;
use proto::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use proto::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::{
    ClusterSpecifier, TunnelingConfig, WeightedCluster, weighted_cluster::ClusterWeight,
};
use proto::envoy::r#type::v3::hash_policy::{PolicySpecifier, SourceIp};
use proto::envoy::r#type::v3::{HashPolicy, Int32Range};

use api::destination_rule::{Tunnel, TunnelProtocol};
use mesh::{Arrival, Chain, ChainMatch, Listener, Side, Sniffing, Tcp, Terminal};

use crate::{access_log, cluster, connect, http, origin, tls, wire};

/// The mark of connections that keep their source address, which capture leaves alone.
const TPROXY_MARK: u32 = 1337;

pub(crate) fn listener(listener: &Listener) -> envoy::Listener {
    let direction = match listener.side {
        Side::Inbound => TrafficDirection::Inbound,
        Side::Gateway | Side::Outbound => TrafficDirection::Outbound,
    };
    let mut out = envoy::Listener {
        name: listener.name.clone(),
        address: wire::address(&listener.address),
        additional_addresses: listener
            .additional
            .iter()
            .map(|address| AdditionalAddress {
                address: wire::address(&(*address).into()),
                ..Default::default()
            })
            .collect(),
        filter_chains: listener.chains.iter().map(|c| chain(c, listener)).collect(),
        default_filter_chain: listener.default_chain.as_ref().map(|c| chain(c, listener)),
        per_connection_buffer_limit_bytes: listener
            .manner
            .connections
            .listener_per_connection_buffer_limit_bytes
            .and_then(wire::u32),
        traffic_direction: direction.into(),
        metadata: origin::metadata(listener.origin.as_ref()),
        listener_filters: inspectors(listener),
        ..Default::default()
    };
    if listener.side != Side::Gateway && listener.arrival != Arrival::CapturedDispatch {
        // Unless somebody says otherwise, bytes are waited for as long as it takes. A connection that sends none in
        // time is still a connection.
        let timeout = match &listener.sniffs_http {
            Sniffing::AllBut(_) => listener.manner.detection_timeout,
            Sniffing::Off => None,
        };
        out.listener_filters_timeout = wire::duration(timeout.unwrap_or(Duration::ZERO));
        out.continue_on_listener_filters_timeout = true;
    }
    if matches!(listener.arrival, Arrival::CapturedDispatch | Arrival::CapturedInbound { .. })
        || listener.side == Side::Gateway
    {
        out.access_log = access_log::of_unmatched(&listener.manner.log);
    }
    match listener.arrival {
        Arrival::Bound => {}
        Arrival::CapturedDispatch => out.use_original_dst = wire::bool(true),
        Arrival::CapturedInbound { is_transparent } => {
            out.transparent = is_transparent.then(|| wire::bool(true)).flatten()
        }
        Arrival::HandedOver => out.bind_to_port = wire::bool(false),
    }
    out
}

fn inspectors(listener: &Listener) -> Vec<ListenerFilter> {
    let mut filters = Vec::new();
    if listener.manner.takes_proxy_protocol {
        filters.push(inspector("proxy_protocol", proto::any::pack(&ProxyProtocol::default()), None));
    }
    if let Arrival::CapturedInbound { is_transparent } = listener.arrival {
        filters.push(inspector("original_dst", proto::any::pack(&OriginalDst::default()), None));
        if is_transparent {
            let config = OriginalSrc { mark: TPROXY_MARK, ..Default::default() };
            filters.push(inspector("original_src", proto::any::pack(&config), None));
        }
    }
    if let Some(ports) = hello_ports(listener) {
        filters.push(inspector("tls_inspector", proto::any::pack(&TlsInspector::default()), all_but(&ports)));
    }
    if let Sniffing::AllBut(ports) = &listener.sniffs_http {
        filters.push(inspector("http_inspector", proto::any::pack(&HttpInspector::default()), any_of(ports)));
    }
    filters
}

/// Whether a chain needs to know what a TLS client says before it answers.
fn reads_hello(chain: &Chain) -> bool {
    let asks = !chain.condition.server_names.is_empty() || chain.condition.is_tls || chain.tls.is_some();
    asks || matches!(&chain.terminal, Terminal::Tcp(tcp) if tcp.forwards_by_name.is_some())
}

/// The ports at which a TLS client's first message is read, none being all; None where nobody asks for it. A port
/// that does not need it must not wait for the client to speak first.
fn hello_ports(listener: &Listener) -> Option<Vec<u16>> {
    let reading = listener.chains.iter().chain(&listener.default_chain).filter(|chain| reads_hello(chain));
    let ports: Vec<Option<u16>> = reading.map(|chain| chain.condition.destination_port).collect();
    let all: Option<Vec<u16>> = ports.iter().copied().collect();
    (!ports.is_empty()).then(|| all.unwrap_or_default())
}

fn inspector(name: &str, config: Any, disabled: Option<ListenerFilterChainMatchPredicate>) -> ListenerFilter {
    ListenerFilter {
        name: format!("envoy.filters.listener.{name}"),
        filter_disabled: disabled,
        config_type: Some(ListenerConfigType::TypedConfig(config)),
    }
}

/// Holds at these ports; None where there are none.
fn any_of(ports: &[u16]) -> Option<ListenerFilterChainMatchPredicate> {
    let rules: Vec<_> = ports.iter().map(|port| port_is(*port)).collect();
    match rules.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        _ => Some(ListenerFilterChainMatchPredicate { rule: Some(Rule::OrMatch(MatchSet { rules })) }),
    }
}

/// Holds at every port but these; None where there are none.
fn all_but(ports: &[u16]) -> Option<ListenerFilterChainMatchPredicate> {
    let rule = Rule::NotMatch(Box::new(any_of(ports)?));
    Some(ListenerFilterChainMatchPredicate { rule: Some(rule) })
}

fn port_is(port: u16) -> ListenerFilterChainMatchPredicate {
    let start = i32::from(port);
    let range = Int32Range { start, end: start + 1 };
    ListenerFilterChainMatchPredicate { rule: Some(Rule::DestinationPortRange(range)) }
}

fn chain(chain: &Chain, listener: &Listener) -> FilterChain {
    FilterChain {
        name: chain.name.clone(),
        filter_chain_match: condition(&chain.condition),
        filters: filters(&chain.terminal, listener),
        metadata: origin::metadata(chain.origin.as_ref()),
        transport_socket: chain.tls.as_ref().map(tls::server),
        ..Default::default()
    }
}

fn condition(condition: &ChainMatch) -> Option<FilterChainMatch> {
    if *condition == ChainMatch::default() {
        return None;
    }
    let mut out = FilterChainMatch {
        destination_port: condition.destination_port.and_then(|port| wire::u32(port.into())),
        prefix_ranges: condition
            .destinations
            .iter()
            .map(|network| CidrRange {
                address_prefix: network.address.to_string(),
                prefix_len: wire::u32(network.length.into()),
            })
            .collect(),
        server_names: condition.server_names.clone(),
        application_protocols: condition.offers.clone(),
        ..Default::default()
    };
    if condition.is_tls {
        out.transport_protocol = "tls".into();
    }
    if condition.is_http || condition.is_plaintext {
        out.transport_protocol = "raw_buffer".into();
    }
    if condition.is_http {
        out.application_protocols = vec!["http/1.1".into(), "h2c".into()];
    }
    Some(out)
}

/// What is done with a connection; the last of them takes it away.
fn filters(terminal: &Terminal, listener: &Listener) -> Vec<Filter> {
    match terminal {
        Terminal::Http(http) => {
            let manager = http::manager(http, listener.side, &listener.manner);
            vec![filter("http_connection_manager", proto::any::pack(&manager))]
        }
        Terminal::Tcp(tcp) => {
            let by_name = tcp.forwards_by_name.map(|port| {
                let config = SniForward {
                    dns_cache_config: Some(cluster::dns_cache(listener.manner.dns_family)),
                    port_specifier: Some(PortSpecifier::PortValue(port.into())),
                    ..Default::default()
                };
                filter("sni_dynamic_forward_proxy", proto::any::pack(&config))
            });
            let proxy = filter("tcp_proxy", proto::any::pack(&tcp_proxy(tcp, listener)));
            by_name.into_iter().chain([proxy]).collect()
        }
    }
}

fn filter(name: &str, config: Any) -> Filter {
    Filter {
        name: format!("envoy.filters.network.{name}"),
        config_type: Some(ConfigType::TypedConfig(config)),
    }
}

fn tcp_proxy(tcp: &Tcp, listener: &Listener) -> TcpProxy {
    TcpProxy {
        stat_prefix: tcp.stat_prefix.clone(),
        access_log: access_log::of(&listener.manner.log),
        tunneling_config: tcp.tunnel.as_ref().map(tunnel),
        cluster_specifier: Some(match tcp.shares.as_slice() {
            [only] => ClusterSpecifier::Cluster(only.cluster.clone()),
            many => ClusterSpecifier::WeightedClusters(WeightedCluster {
                clusters: many
                    .iter()
                    .map(|share| ClusterWeight {
                        name: share.cluster.clone(),
                        weight: share.weight,
                        ..Default::default()
                    })
                    .collect(),
            }),
        }),
        idle_timeout: tcp.idle_timeout.and_then(wire::duration),
        max_downstream_connection_duration: tcp.max_duration.and_then(wire::duration),
        hash_policy: if tcp.hashes_source { vec![by_source()] } else { Vec::new() },
        ..Default::default()
    }
}

fn by_source() -> HashPolicy {
    HashPolicy { policy_specifier: Some(PolicySpecifier::SourceIp(SourceIp::default())) }
}

fn tunnel(tunnel: &Tunnel) -> TunnelingConfig {
    TunnelingConfig {
        hostname: connect::target(tunnel),
        use_post: tunnel.protocol == TunnelProtocol::Post,
        ..Default::default()
    }
}
