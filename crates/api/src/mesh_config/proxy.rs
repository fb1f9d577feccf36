//! `defaultConfig`: how proxies are run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::connections::{self, ConnectionSettings};
use crate::check;
use crate::read::At;
use crate::schema::{
    COUNT, DURATION, DURATION_OR_ZERO, Field, LABELS, PORT, Shape, TEXTS, U32, ok, partly, warned,
};

/// How proxies are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// How many threads serve; zero is one for each core, None is left to the proxy.
    pub concurrency: Option<u32>,
    /// What the proxy announces of itself, as environment variables.
    pub proxy_metadata: BTreeMap<String, String>,
    /// How long connections are wound up when listeners change.
    pub drain_duration: Duration,
    /// How long connections are wound up when the proxy ends.
    pub termination_drain_duration: Duration,
    /// What stands before gateways.
    pub gateway_topology: GatewayTopology,
    /// Limits of clients' connections.
    pub connection_settings: ConnectionSettings,
}

/// What stands before gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayTopology {
    /// How many proxies the client's address is believed from (`x-forwarded-for`).
    pub num_trusted_proxies: u32,
    /// Whether clients begin with a PROXY header.
    pub takes_proxy_protocol: bool,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self {
            concurrency: None,
            proxy_metadata: BTreeMap::new(),
            drain_duration: Duration::from_secs(45),
            termination_drain_duration: Duration::from_secs(5),
            gateway_topology: GatewayTopology::default(),
            connection_settings: ConnectionSettings::default(),
        }
    }
}

const FIXED: &str = "the proxy's place, ports and names are told on its command line";
const LATER: &str = "traces are not sent";
const NO_IDENTITY: &str = "this version gives workloads no certificates of their own";
const LOCAL: &str = "of the proxies that `weft up` starts; any other is told so where it is started";
const NUMBERS: &str = "the numbers kept are always the same";

pub(super) const FIELDS: &[Field] = &[
    partly("concurrency", COUNT, LOCAL),
    partly("proxyMetadata", LABELS, LOCAL),
    partly(
        "drainDuration",
        DURATION,
        "of Envoys that `weft up` starts; `weft-proxy` waits for requests under way only",
    ),
    partly(
        "terminationDrainDuration",
        DURATION_OR_ZERO,
        "of each `weft-proxy` that `weft up` starts; any other is told so where it is started",
    ),
    ok(
        "gatewayTopology",
        Shape::Object(&[
            ok("numTrustedProxies", U32),
            warned("forwardClientCertDetails", Shape::Text, NO_IDENTITY),
            ok("proxyProtocol", Shape::Object(&[])),
        ]),
    ),
    ok("connectionSettings", Shape::Object(connections::FIELDS)),
    warned("configPath", Shape::Text, FIXED),
    warned("binaryPath", Shape::Text, FIXED),
    warned("serviceCluster", Shape::Text, FIXED),
    warned("tracingServiceName", Shape::Text, LATER),
    warned("discoveryAddress", Shape::Text, FIXED),
    warned("discoveryRefreshDelay", DURATION, FIXED),
    warned("parentShutdownDuration", DURATION, FIXED),
    warned("statsdUdpAddress", Shape::Text, NUMBERS),
    warned("proxyAdminPort", PORT, FIXED),
    warned("statusPort", PORT, FIXED),
    warned("availabilityZone", Shape::Text, FIXED),
    warned("controlPlaneAuthPolicy", Shape::Word(&["NONE", "MUTUAL_TLS"]), NO_IDENTITY),
    warned("customConfigFile", Shape::Text, FIXED),
    warned("proxyBootstrapTemplatePath", Shape::Text, FIXED),
    warned("statNameLength", U32, NUMBERS),
    warned("interceptionMode", Shape::Word(&["REDIRECT", "TPROXY", "NONE"]), FIXED),
    warned("meshId", Shape::Text, "there is one mesh"),
    warned("tracing", Shape::Any, LATER),
    warned("zipkinAddress", Shape::Text, LATER),
    warned("envoyAccessLogService", Shape::Any, "requests are written to a file only"),
    warned("envoyMetricsService", Shape::Any, NUMBERS),
    warned("extraStatTags", TEXTS, NUMBERS),
    warned("proxyStatsMatcher", Shape::Any, NUMBERS),
    warned("readinessProbe", Shape::Any, "a program's readiness is told where it is started"),
    warned("image", Shape::Any, "proxies are not started from images"),
    warned("privateKeyProvider", Shape::Any, "keys are files or Secrets"),
    warned("proxyHeaders", Shape::Any, "headers of the proxy's own are always the same"),
    warned("caCertificatesPem", TEXTS, NO_IDENTITY),
    warned("holdApplicationUntilProxyStarts", Shape::Bool, "the proxy is always ready first"),
    warned("runtimeValues", LABELS, "there are no values that change at run time"),
    warned("fileFlushInterval", DURATION, NUMBERS),
    warned("fileFlushMinSizeKb", U32, NUMBERS),
];

/// Reads `defaultConfig`.
pub(super) fn read(at: &At<'_>) -> ProxySettings {
    let defaults = ProxySettings::default();
    for name in ["discoveryAddress", "statsdUdpAddress", "zipkinAddress"] {
        if let Some(field) = at.field(name)
            && field.node.text().is_some_and(|text| !text.is_empty() && !check::is_host_and_port(text))
        {
            field.error("wrong-value", "write HOST:PORT");
        }
    }
    for name in ["envoyMetricsService", "envoyAccessLogService"] {
        if let Some(field) = at.field(name).and_then(|service| service.field("address"))
            && !field.node.text().is_some_and(check::is_host_and_port)
        {
            field.error("wrong-value", "write HOST:PORT");
        }
    }
    for name in ["configPath", "binaryPath", "serviceCluster"] {
        if let Some(field) = at.field(name)
            && field.node.text() == Some("")
        {
            field.error("wrong-value", "this is empty");
        }
    }
    let topology = at.field("gatewayTopology");
    let settings = at.field("connectionSettings");
    ProxySettings {
        concurrency: at.whole("concurrency"),
        proxy_metadata: at.map("proxyMetadata"),
        drain_duration: at.duration("drainDuration").unwrap_or(defaults.drain_duration),
        termination_drain_duration: at
            .duration("terminationDrainDuration")
            .unwrap_or(defaults.termination_drain_duration),
        gateway_topology: topology
            .map(|topology| GatewayTopology {
                num_trusted_proxies: topology.whole("numTrustedProxies").unwrap_or(0),
                takes_proxy_protocol: topology.field("proxyProtocol").is_some(),
            })
            .unwrap_or_default(),
        connection_settings: settings.map(|settings| connections::read(&settings)).unwrap_or_default(),
    }
}
