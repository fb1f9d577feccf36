//! Istio's MeshConfig: what holds for the whole mesh.

use std::time::Duration;

use base::{Host, Issue};

use crate::connection_pool::{ConnectionPool, H2UpgradePolicy, TcpKeepalive};
use crate::locality::{LocalitySetting, ZoneAware};
use crate::outlier::OutlierDetection;
use crate::sidecar::OutboundMode;
use crate::tls::ClientTls;
use crate::virtual_service::Retries;

mod connections;
mod proxy;
mod read;
mod schema;

pub use connections::{ConnectionSettings, EscapedSlashes, HeadersWithUnderscores};
pub use proxy::{GatewayTopology, ProxySettings};

pub(crate) use read::read_embedded;
pub(crate) use schema::FIELDS;

/// What holds for the whole mesh, with Istio's defaults for what is not written.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshConfig {
    /// The longest a TCP connect may take.
    pub connect_timeout: Duration,
    /// Probes of idle connections.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// How long is waited for a client's first bytes before a connection is taken as a stream; None is for ever.
    pub protocol_detection_timeout: Option<Duration>,
    /// How often names are resolved anew.
    pub dns_refresh_rate: Duration,
    /// Whether HTTP/1.1 becomes HTTP/2 on the way.
    pub h2_upgrade_policy: H2UpgradePolicy,
    /// What becomes of traffic to destinations nobody declared.
    pub outbound_traffic_policy: OutboundMode,
    /// TLS towards the destinations of [`OutboundMode::AllowAnyDynamicDns`].
    pub outbound_tls: Option<ClientTls>,
    /// Where traffic to a workload's ports goes.
    pub inbound_traffic_policy: InboundMode,
    /// How localities share requests.
    pub locality_lb_setting: LocalitySetting,
    /// Endpoints of the caller's zone first.
    pub zone_aware_lb_setting: Option<ZoneAware>,
    /// The retries of routes that say nothing of them; None means Istio's own.
    pub default_http_retry_policy: Option<Retries>,
    /// The retries of requests to a workload; None is none.
    pub default_inbound_http_retry_policy: Option<Retries>,
    /// The limits of hosts whose DestinationRule says nothing of them.
    pub default_traffic_policy: DefaultTrafficPolicy,
    /// The words of `exportTo` for services that have none; none are `*`.
    pub default_service_export_to: Vec<String>,
    /// The words of `exportTo` for VirtualServices that have none; none are `*`.
    pub default_virtual_service_export_to: Vec<String>,
    /// The words of `exportTo` for DestinationRules that have none; none are `*`.
    pub default_destination_rule_export_to: Vec<String>,
    /// The namespace whose configuration holds for every other.
    pub root_namespace: String,
    /// Services that are of one cluster, or not.
    pub service_settings: Vec<ServiceSettings>,
    /// How a request's path is made plain before it is matched.
    pub path_normalization: PathNormalization,
    /// What is written of requests.
    pub access_log: AccessLog,
    /// Ingress objects and the gateway they are for.
    pub ingress: IngressSettings,
    /// The port of the outbound side.
    pub proxy_listen_port: u16,
    /// The port of the inbound side.
    pub proxy_inbound_listen_port: u16,
    /// The port of the HTTP proxy, if there is one.
    pub proxy_http_port: Option<u16>,
    /// The pattern of inbound clusters' names in numbers, empty for Istio's own.
    pub inbound_cluster_stat_name: String,
    /// The pattern of outbound clusters' names in numbers, empty for Istio's own.
    pub outbound_cluster_stat_name: String,
    /// How proxies are run.
    pub default_config: ProxySettings,
}

/// Where traffic to a workload's ports goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InboundMode {
    /// To `127.0.0.1`.
    Localhost,
    /// To the address it came to.
    #[default]
    Passthrough,
}

/// The limits of hosts whose DestinationRule says nothing of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DefaultTrafficPolicy {
    /// How many connections and requests there may be.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is taken out for a while.
    pub outlier_detection: Option<OutlierDetection>,
}

/// Services that are of one cluster, or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceSettings {
    /// Whether requests stay in the caller's cluster.
    pub is_cluster_local: bool,
    /// The services.
    pub hosts: Vec<Host>,
}

/// How a request's path is made plain before it is matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathNormalization {
    /// As RFC 3986 has it; Istio's default.
    #[default]
    Base,
    /// As [`PathNormalization::MergeSlashes`], with `%2F` and `%5C` read as slashes first.
    DecodeAndMergeSlashes,
    /// As [`PathNormalization::Base`], with several slashes taken for one.
    MergeSlashes,
    /// Not at all.
    None,
}

/// What is written of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AccessLog {
    /// The file; empty writes nothing, and so does Istio where nothing is said.
    pub file: Option<String>,
    /// The format; empty is Istio's own.
    pub format: String,
    /// How it is written.
    pub encoding: LogEncoding,
}

/// How an access log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogEncoding {
    /// As JSON.
    Json,
    /// As text.
    #[default]
    Text,
}

/// Ingress objects and the gateway they are for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IngressSettings {
    /// The class of the Ingress objects.
    pub class: String,
    /// The gateway's service.
    pub service: String,
    /// The value of the label `istio` of the gateway's workloads.
    pub selector: String,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            tcp_keepalive: None,
            protocol_detection_timeout: None,
            dns_refresh_rate: Duration::from_mins(1),
            h2_upgrade_policy: H2UpgradePolicy::Default,
            outbound_traffic_policy: OutboundMode::AllowAny,
            outbound_tls: None,
            inbound_traffic_policy: InboundMode::Passthrough,
            locality_lb_setting: LocalitySetting { is_enabled: true, ..LocalitySetting::default() },
            zone_aware_lb_setting: None,
            default_http_retry_policy: None,
            default_inbound_http_retry_policy: None,
            default_traffic_policy: DefaultTrafficPolicy::default(),
            default_service_export_to: Vec::new(),
            default_virtual_service_export_to: Vec::new(),
            default_destination_rule_export_to: Vec::new(),
            root_namespace: "istio-system".into(),
            service_settings: Vec::new(),
            path_normalization: PathNormalization::Base,
            access_log: AccessLog::default(),
            ingress: IngressSettings {
                class: "istio".into(),
                service: "istio-ingressgateway".into(),
                selector: "ingressgateway".into(),
            },
            proxy_listen_port: 15001,
            proxy_inbound_listen_port: 15006,
            proxy_http_port: None,
            inbound_cluster_stat_name: String::new(),
            outbound_cluster_stat_name: String::new(),
            default_config: ProxySettings::default(),
        }
    }
}

impl MeshConfig {
    /// Reads a file that holds nothing but these settings; `file` is how places name it. None where the settings
    /// are refused.
    ///
    /// ```
    /// use api::MeshConfig;
    /// use api::sidecar::OutboundMode;
    ///
    /// let (settings, issues) = MeshConfig::parse("mesh.yaml", b"outboundTrafficPolicy: {mode: REGISTRY_ONLY}");
    ///
    /// assert_eq!(issues, []);
    /// assert!(settings.is_some_and(|s| s.outbound_traffic_policy == OutboundMode::RegistryOnly));
    /// ```
    pub fn parse(file: &str, bytes: &[u8]) -> (Option<Self>, Vec<Issue>) {
        read::read_file(file, bytes)
    }
}

#[cfg(test)]
mod tests;
