//! The fields of MeshConfig.

use super::proxy;
use crate::connection_pool::{self, H2_UPGRADE};
use crate::schema::{DURATION, DURATION_OR_ZERO, Field, PORT, Shape, TEXTS, ok, warned};
use crate::virtual_service::RETRIES;
use crate::{locality, outlier, tls};

const NO_IDENTITY: &str = "this version gives workloads no certificates of their own";
const ONE_CLUSTER: &str = "there is one cluster";
const NOT_SENT: &str = "requests are written to `accessLogFile` only, and traces are not sent";
const NO_INGRESS: &str = "Ingress objects are not read";
const ELSEWHERE: &str = "the control plane is told so on its command line";

/// Below `data.mesh`.
pub(crate) const FIELDS: &[Field] = &[
    ok("connectTimeout", DURATION),
    ok("tcpKeepalive", Shape::Object(connection_pool::KEEPALIVE)),
    ok("protocolDetectionTimeout", DURATION_OR_ZERO),
    ok("dnsRefreshRate", DURATION),
    ok("h2UpgradePolicy", H2_UPGRADE),
    ok(
        "outboundTrafficPolicy",
        Shape::Object(&[
            ok("mode", Shape::Word(&["REGISTRY_ONLY", "ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS"])),
            ok("tls", Shape::Object(tls::CLIENT_FIELDS)),
        ]),
    ),
    ok("inboundTrafficPolicy", Shape::Object(&[ok("mode", Shape::Word(&["PASSTHROUGH", "LOCALHOST"]))])),
    ok("localityLbSetting", Shape::Object(locality::FIELDS)),
    ok("zoneAwareLbSetting", Shape::Object(locality::ZONE_AWARE)),
    ok("defaultHttpRetryPolicy", Shape::Object(RETRIES)),
    ok("defaultInboundHttpRetryPolicy", Shape::Object(RETRIES)),
    ok(
        "defaultTrafficPolicy",
        Shape::Object(&[
            ok("connectionPool", Shape::Object(connection_pool::FIELDS)),
            ok("outlierDetection", Shape::Object(outlier::FIELDS)),
        ]),
    ),
    ok("defaultServiceExportTo", TEXTS),
    ok("defaultVirtualServiceExportTo", TEXTS),
    ok("defaultDestinationRuleExportTo", TEXTS),
    ok("rootNamespace", Shape::Text),
    warned("serviceSettings", Shape::List(&Shape::Object(SERVICE_SETTINGS)), ONE_CLUSTER),
    ok("pathNormalization", Shape::Object(&[ok("normalization", NORMALIZATION)])),
    ok("accessLogFile", Shape::Text),
    ok("accessLogFormat", Shape::Text),
    ok("accessLogEncoding", Shape::Word(&["TEXT", "JSON"])),
    ok("proxyHttpPort", PORT),
    warned("ingressClass", Shape::Text, NO_INGRESS),
    warned("ingressService", Shape::Text, NO_INGRESS),
    warned("ingressSelector", Shape::Text, NO_INGRESS),
    warned("ingressControllerMode", Shape::Word(&["UNSPECIFIED", "OFF", "DEFAULT", "STRICT"]), NO_INGRESS),
    ok("proxyListenPort", PORT),
    ok("proxyInboundListenPort", PORT),
    ok("inboundClusterStatName", Shape::Text),
    ok("outboundClusterStatName", Shape::Text),
    ok("defaultConfig", Shape::Object(proxy::FIELDS)),
    warned("enableTracing", Shape::Bool, NOT_SENT),
    warned("enableEnvoyAccessLogService", Shape::Bool, NOT_SENT),
    warned(
        "disableEnvoyListenerLog",
        Shape::Bool,
        "connections that nobody takes are written where requests are",
    ),
    warned("configSources", Shape::Any, ELSEWHERE),
    warned("enableAutoMtls", Shape::Bool, NO_IDENTITY),
    warned("trustDomain", Shape::Text, NO_IDENTITY),
    warned("trustDomainAliases", TEXTS, NO_IDENTITY),
    warned("caCertificates", Shape::Any, NO_IDENTITY),
    warned("certificates", Shape::Any, NO_IDENTITY),
    warned("ca", Shape::Any, NO_IDENTITY),
    warned("verifyCertificateAtClient", Shape::Bool, "DestinationRules say so themselves"),
    warned("meshMTLS", Shape::Any, NO_IDENTITY),
    warned("tlsDefaults", Shape::Any, "Gateways say so themselves"),
    warned("enablePrometheusMerge", Shape::Bool, "a program's own numbers are not merged in"),
    warned("extensionProviders", Shape::Any, NOT_SENT),
    warned("defaultProviders", Shape::Any, NOT_SENT),
    warned("discoverySelectors", Shape::Any, "every namespace is read"),
    warned("hboneInboundListenPort", PORT, "there is no tunnel between proxies"),
    warned("mixerCheckServer", Shape::Text, NOT_SENT),
    warned("mixerReportServer", Shape::Text, NOT_SENT),
    warned("thriftConfig", Shape::Any, "Thrift is carried as TCP"),
    warned("serviceScopeConfigs", Shape::Any, ONE_CLUSTER),
    warned("serviceEntryVisibility", Shape::Any, "`exportTo` alone says who sees a ServiceEntry"),
];

const SERVICE_SETTINGS: &[Field] =
    &[ok("settings", Shape::Object(&[ok("clusterLocal", Shape::Bool)])), ok("hosts", TEXTS)];

const NORMALIZATION: Shape =
    Shape::Word(&["DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]);
