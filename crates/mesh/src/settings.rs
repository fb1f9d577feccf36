//! What holds for the whole mesh.

use std::time::Duration;

use api::connection_pool::{ConnectionPool, H2UpgradePolicy, TcpKeepalive};
use api::locality::{LocalitySetting, ZoneAware};
use api::mesh_config::InboundMode;
use api::outlier::OutlierDetection;
use api::sidecar::OutboundMode;
use api::tls::ClientTls;
use api::virtual_service::Retries;
use api::{ExportTo, MeshConfig};

use crate::slice::{DnsFamily, Manner};

/// Where most systems keep the authorities they trust.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Mesh-wide settings (the part of Istio's MeshConfig that decides something here).
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The DNS suffix of Kubernetes services.
    pub domain: String,
    /// The namespace whose configuration holds for every other.
    pub root_namespace: String,
    /// What becomes of traffic to undeclared destinations.
    pub outbound: OutboundMode,
    /// TLS towards undeclared destinations whose names are resolved.
    pub outbound_tls: Option<ClientTls>,
    /// Where inbound sides hand over what they take.
    pub inbound: InboundMode,
    /// Who sees what says nothing about it.
    pub exports: Exports,
    /// What holds for calls to hosts whose DestinationRule says nothing of it.
    pub traffic: Traffic,
    /// What holds for requests whose route says nothing of it.
    pub requests: Requests,
    /// The names under which numbers of clusters are kept.
    pub stat_names: StatNames,
    /// How listeners treat what comes, whoever it is for; of gateways.
    pub manner: Manner,
    /// The file of the authorities that every program of the proxy's machine trusts.
    pub system_roots: String,
    /// The port of every sidecar's HTTP proxy listener, where they have one.
    pub http_proxy_port: Option<u16>,
    /// The port that captured connections from workloads arrive at.
    pub outbound_port: u16,
    /// The port that captured connections to workloads arrive at.
    pub inbound_port: u16,
}

/// Who sees objects that say nothing about it, in the words of `exportTo`; everybody where there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Exports {
    /// Services and ServiceEntries.
    pub services: Vec<String>,
    /// VirtualServices.
    pub virtual_services: Vec<String>,
    /// DestinationRules.
    pub destination_rules: Vec<String>,
}

/// Patterns of the names under which numbers of clusters are kept; the clusters' own names where they are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StatNames {
    /// Of the workload's own ports.
    pub inbound: String,
    /// Of the ports of services.
    pub outbound: String,
}

/// What holds for calls to hosts whose DestinationRule says nothing of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// The longest a TCP connect may take.
    pub connect_timeout: Duration,
    /// Probes of idle connections.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// How many connections and requests there may be.
    pub pool: Option<ConnectionPool>,
    /// When an endpoint is taken out for a while.
    pub outliers: Option<OutlierDetection>,
    /// Whether HTTP/1.1 becomes HTTP/2 on the way.
    pub h2_upgrade_policy: H2UpgradePolicy,
    /// How localities share requests.
    pub locality: LocalitySetting,
    /// Endpoints of the caller's zone first.
    pub zone_aware: Option<ZoneAware>,
    /// How often names are resolved anew.
    pub dns_refresh: Duration,
}

/// What holds for requests whose route says nothing of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requests {
    /// The retries of outbound routes; None is Istio's own.
    pub retries: Option<Retries>,
    /// The retries of requests to a workload; None is Istio's own.
    pub inbound_retries: Option<Retries>,
}

impl Settings {
    /// The settings that a MeshConfig makes.
    pub fn new(config: &MeshConfig) -> Self {
        Self {
            domain: "cluster.local".into(),
            root_namespace: config.root_namespace.clone(),
            outbound: config.outbound_traffic_policy,
            outbound_tls: config.outbound_tls.clone(),
            inbound: config.inbound_traffic_policy,
            exports: Exports {
                services: config.default_service_export_to.clone(),
                virtual_services: config.default_virtual_service_export_to.clone(),
                destination_rules: config.default_destination_rule_export_to.clone(),
            },
            traffic: Traffic {
                connect_timeout: config.connect_timeout,
                tcp_keepalive: config.tcp_keepalive,
                pool: config.default_traffic_policy.connection_pool.clone(),
                outliers: config.default_traffic_policy.outlier_detection.clone(),
                h2_upgrade_policy: config.h2_upgrade_policy,
                locality: config.locality_lb_setting.clone(),
                zone_aware: config.zone_aware_lb_setting.clone(),
                dns_refresh: config.dns_refresh_rate,
            },
            requests: Requests {
                retries: config.default_http_retry_policy.clone(),
                inbound_retries: config.default_inbound_http_retry_policy.clone(),
            },
            stat_names: StatNames {
                inbound: config.inbound_cluster_stat_name.clone(),
                outbound: config.outbound_cluster_stat_name.clone(),
            },
            manner: manner(config),
            system_roots: SYSTEM_ROOTS.into(),
            http_proxy_port: config.proxy_http_port,
            outbound_port: config.proxy_listen_port,
            inbound_port: config.proxy_inbound_listen_port,
        }
    }
}

fn manner(config: &MeshConfig) -> Manner {
    let proxy = &config.default_config;
    Manner {
        log: config.access_log.clone(),
        detection_timeout: config.protocol_detection_timeout,
        path_normalization: config.path_normalization,
        trusted_proxies: proxy.gateway_topology.num_trusted_proxies,
        dns_family: DnsFamily::default(),
        takes_proxy_protocol: proxy.gateway_topology.takes_proxy_protocol,
        takes_http10: false,
        connections: proxy.connection_settings.clone(),
    }
}

impl Default for Settings {
    /// Istio's defaults, and a log of every request, which its own installation for trying it out has too.
    fn default() -> Self {
        let mut config = MeshConfig::default();
        config.access_log.file = Some("/dev/stdout".into());
        Self::new(&config)
    }
}

impl Default for Traffic {
    fn default() -> Self {
        Settings::default().traffic
    }
}

/// Who sees an object of a namespace: what it says, else the mesh's default.
pub(crate) fn visible(written: Option<&ExportTo>, default: &[String], namespace: &str) -> ExportTo {
    let default = || ExportTo::of(default.iter().map(String::as_str), namespace);
    written.cloned().or_else(default).unwrap_or(ExportTo::All)
}
