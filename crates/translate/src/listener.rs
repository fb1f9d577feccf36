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
use proto::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use proto::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy::ClusterSpecifier};
use proto::envoy::r#type::v3::Int32Range;

use mesh::{Arrival, Chain, ChainMatch, Listener, Side, Sniffing, Terminal};

use crate::{access_log, http, origin, wire};

/// The mark of connections that keep their source address, which capture leaves alone.
const TPROXY_MARK: u32 = 1337;

pub(crate) fn listener(listener: &Listener) -> envoy::Listener {
    let direction = match listener.side {
        Side::Inbound => TrafficDirection::Inbound,
        Side::Gateway | Side::Outbound => TrafficDirection::Outbound,
    };
    let mut out = envoy::Listener {
        name: listener.name.clone(),
        address: wire::address(listener.address),
        additional_addresses: listener
            .additional
            .iter()
            .map(|address| AdditionalAddress { address: wire::address(*address), ..Default::default() })
            .collect(),
        filter_chains: listener.chains.iter().map(|c| chain(c, listener.side)).collect(),
        default_filter_chain: listener.default_chain.as_ref().map(|c| chain(c, listener.side)),
        traffic_direction: direction.into(),
        metadata: origin::metadata(listener.origin.as_ref()),
        listener_filters: inspectors(listener),
        ..Default::default()
    };
    if listener.side != Side::Gateway && listener.arrival != Arrival::CapturedDispatch {
        // Bytes are waited for as long as it takes, and a connection that ends early is still a connection.
        out.listener_filters_timeout = wire::duration(Duration::ZERO);
        out.continue_on_listener_filters_timeout = true;
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
    if let Arrival::CapturedInbound { is_transparent } = listener.arrival {
        filters.push(inspector("original_dst", proto::any::pack(&OriginalDst::default()), &[]));
        if is_transparent {
            let config = OriginalSrc { mark: TPROXY_MARK, ..Default::default() };
            filters.push(inspector("original_src", proto::any::pack(&config), &[]));
        }
    }
    if listener.chains.iter().any(|chain| !chain.condition.server_names.is_empty()) {
        filters.push(inspector("tls_inspector", proto::any::pack(&TlsInspector::default()), &[]));
    }
    if let Sniffing::AllBut(ports) = &listener.sniffs_http {
        filters.push(inspector("http_inspector", proto::any::pack(&HttpInspector::default()), ports));
    }
    filters
}

fn inspector(name: &str, config: Any, disabled: &[u16]) -> ListenerFilter {
    let rules: Vec<_> = disabled.iter().map(|port| port_is(*port)).collect();
    ListenerFilter {
        name: format!("envoy.filters.listener.{name}"),
        filter_disabled: match rules.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            _ => Some(ListenerFilterChainMatchPredicate { rule: Some(Rule::OrMatch(MatchSet { rules })) }),
        },
        config_type: Some(ListenerConfigType::TypedConfig(config)),
    }
}

fn port_is(port: u16) -> ListenerFilterChainMatchPredicate {
    let start = i32::from(port);
    let range = Int32Range { start, end: start + 1 };
    ListenerFilterChainMatchPredicate { rule: Some(Rule::DestinationPortRange(range)) }
}

fn chain(chain: &Chain, side: Side) -> FilterChain {
    FilterChain {
        name: chain.name.clone(),
        filter_chain_match: condition(&chain.condition),
        filters: vec![terminal(&chain.terminal, side)],
        metadata: origin::metadata(chain.origin.as_ref()),
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
        ..Default::default()
    };
    if condition.is_http {
        out.transport_protocol = "raw_buffer".into();
        out.application_protocols = vec!["http/1.1".into(), "h2c".into()];
    }
    Some(out)
}

fn terminal(terminal: &Terminal, side: Side) -> Filter {
    let (name, config) = match terminal {
        Terminal::Http(http) => ("http_connection_manager", proto::any::pack(&http::manager(http, side))),
        Terminal::Tcp { cluster } => ("tcp_proxy", proto::any::pack(&tcp_proxy(cluster))),
    };
    Filter {
        name: format!("envoy.filters.network.{name}"),
        config_type: Some(ConfigType::TypedConfig(config)),
    }
}

fn tcp_proxy(cluster: &str) -> TcpProxy {
    TcpProxy {
        stat_prefix: cluster.to_owned(),
        access_log: access_log::standard_output(),
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
        ..Default::default()
    }
}
