//! The messages beside Envoy's own that a mesh in Istio's dialect puts on the wire, written by hand.
//!
//! The files of `istio/` say the same to the JSON side; a test holds the two together.

use std::collections::BTreeMap;

use crate::google::protobuf::{Duration, Struct};

/// Gives a message its name on the wire.
macro_rules! named {
    ($message:ty, $package:literal, $name:literal) => {
        impl prost::Name for $message {
            const NAME: &'static str = $name;
            const PACKAGE: &'static str = $package;

            fn full_name() -> String {
                concat!($package, ".", $name).to_owned()
            }

            fn type_url() -> String {
                concat!("type.googleapis.com/", $package, ".", $name).to_owned()
            }
        }
    };
}

/// `stats.PluginConfig`: what the filter `istio.stats` counts, and how.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StatsConfig {
    /// Whether the filter logs what it does.
    #[prost(bool, tag = "1")]
    pub debug: bool,
    /// How many peers are remembered.
    #[prost(int32, tag = "2")]
    pub max_peer_cache_size: i32,
    /// What every metric name begins with, when not `istio_`.
    #[prost(string, tag = "3")]
    pub stat_prefix: String,
    /// What stands between two labels of a raw metric name.
    #[prost(string, tag = "4")]
    pub field_separator: String,
    /// What stands between a label and its value.
    #[prost(string, tag = "5")]
    pub value_separator: String,
    /// Whether an unknown destination service stays unknown instead of being named by the Host header.
    #[prost(bool, tag = "6")]
    pub disable_host_header_fallback: bool,
    /// How often an open TCP connection reports.
    #[prost(message, optional, tag = "7")]
    pub tcp_reporting_duration: Option<Duration>,
    /// Changes to single metrics.
    #[prost(message, repeated, tag = "8")]
    pub metrics: Vec<MetricConfig>,
    /// Metrics beyond the standard ones.
    #[prost(message, repeated, tag = "9")]
    pub definitions: Vec<MetricDefinition>,
    /// Whose view is reported: 0 as the listener's direction says, 1 that of a gateway as the server.
    #[prost(int32, tag = "10")]
    pub reporter: i32,
    /// How often metrics that were not used are looked for.
    #[prost(message, optional, tag = "11")]
    pub rotation_interval: Option<Duration>,
    /// How long a metric that was not used stays.
    #[prost(message, optional, tag = "12")]
    pub graceful_deletion_interval: Option<Duration>,
}
named!(StatsConfig, "stats", "PluginConfig");

/// `stats.MetricConfig`: a change to one metric.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricConfig {
    /// Label to the CEL expression that gives its value.
    #[prost(btree_map = "string, string", tag = "1")]
    pub dimensions: BTreeMap<String, String>,
    /// The metric's name; empty means all.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Labels to leave out.
    #[prost(string, repeated, tag = "3")]
    pub tags_to_remove: Vec<String>,
    /// The CEL expression that says which requests count.
    #[prost(string, tag = "4")]
    pub r#match: String,
    /// Whether the metric is not reported at all.
    #[prost(bool, tag = "5")]
    pub drop: bool,
}
named!(MetricConfig, "stats", "MetricConfig");

/// `stats.MetricDefinition`: a metric beyond the standard ones.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricDefinition {
    /// The metric's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The CEL expression that gives its value.
    #[prost(string, tag = "2")]
    pub value: String,
    /// 0 a counter, 1 a gauge, 2 a histogram.
    #[prost(int32, tag = "3")]
    pub r#type: i32,
}
named!(MetricDefinition, "stats", "MetricDefinition");

/// `istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig`: what is offered upstream, per protocol.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AlpnConfig {
    /// One list of values per upstream protocol.
    #[prost(message, repeated, tag = "1")]
    pub alpn_override: Vec<AlpnOverride>,
}
named!(AlpnConfig, "istio.envoy.config.filter.http.alpn.v2alpha1", "FilterConfig");

/// `FilterConfig.AlpnOverride`: the values for one upstream protocol.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AlpnOverride {
    /// 0 HTTP/1.0, 1 HTTP/1.1, 2 HTTP/2.
    #[prost(int32, tag = "1")]
    pub upstream_protocol: i32,
    /// The values, the most wanted first.
    #[prost(string, repeated, tag = "2")]
    pub alpn_override: Vec<String>,
}
named!(AlpnOverride, "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", "AlpnOverride");

/// `envoy.tcp.metadataexchange.config.MetadataExchange`: how the peers of a TCP connection introduce themselves.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetadataExchange {
    /// The ALPN value under which they do.
    #[prost(string, tag = "1")]
    pub protocol: String,
    /// Whether a peer that does not is looked up by its address.
    #[prost(bool, tag = "2")]
    pub enable_discovery: bool,
    /// Labels sent beyond the standard ones.
    #[prost(string, repeated, tag = "3")]
    pub additional_labels: Vec<String>,
}
named!(MetadataExchange, "envoy.tcp.metadataexchange.config", "MetadataExchange");

/// `istio.networking.nds.v1.NameTable`: the names a workload's DNS proxy answers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NameTable {
    /// Host to what is known of it.
    #[prost(btree_map = "string, message", tag = "1")]
    pub table: BTreeMap<String, NamedHost>,
}
named!(NameTable, "istio.networking.nds.v1", "NameTable");

/// `NameTable.NameInfo`: one host of the table.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NamedHost {
    /// Its addresses.
    #[prost(string, repeated, tag = "1")]
    pub ips: Vec<String>,
    /// Which registry it comes from: `Kubernetes` or `External`.
    #[prost(string, tag = "2")]
    pub registry: String,
    /// Its name within its namespace.
    #[prost(string, tag = "3")]
    pub shortname: String,
    /// Its namespace.
    #[prost(string, tag = "4")]
    pub namespace: String,
    /// Other spellings of it.
    #[prost(string, repeated, tag = "5")]
    pub alt_hosts: Vec<String>,
}
named!(NamedHost, "istio.networking.nds.v1.NameTable", "NameInfo");

/// `istio.v1.HealthInformation`: what a request about a workload's health asks for; it carries nothing itself.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HealthInformation {}
named!(HealthInformation, "istio.v1", "HealthInformation");

/// `udpa.type.v1.TypedStruct`: a message as untyped fields, in the older spelling, which istiod uses.
#[derive(Clone, PartialEq, prost::Message)]
pub struct UdpaTypedStruct {
    /// The type the fields belong to.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The fields.
    #[prost(message, optional, tag = "2")]
    pub value: Option<Struct>,
}
named!(UdpaTypedStruct, "udpa.type.v1", "TypedStruct");

/// `xds.type.v3.TypedStruct`: a message as untyped fields, named by type URL.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TypedStruct {
    /// The type the fields belong to.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The fields.
    #[prost(message, optional, tag = "2")]
    pub value: Option<Struct>,
}
named!(TypedStruct, "xds.type.v3", "TypedStruct");
