//! The fields of a DestinationRule.

use crate::schema::{
    COUNT, DURATION, DURATION_OR_ZERO, Field, I32, LABELS, PORT, Shape, TEXTS, U32, ok, refused, warned,
};
use crate::support::Support;
use crate::virtual_service::EXPORTED;

const NO_LIMIT: &str = "connections and requests are not limited or tuned";
const NO_OUTLIERS: &str = "hosts that fail are not taken out";
const NO_LOCALITY: &str = "every locality is treated alike";
const NOT_BY_PORT: &str = "the policy of the whole host holds for every port";
const BARE: &str = "connections would go out without the TLS asked for";
const NOT_BALANCED_SO: &str = "the default algorithm is used";

/// Below `spec`.
pub(crate) const FIELDS: &[Field] = &[
    ok("host", Shape::Text),
    ok("trafficPolicy", Shape::Object(TRAFFIC_POLICY)),
    ok(
        "subsets",
        Shape::List(&Shape::Object(&[
            ok("name", Shape::Text),
            ok("labels", LABELS),
            ok("trafficPolicy", Shape::Object(TRAFFIC_POLICY)),
        ])),
    ),
    Field { name: "exportTo", shape: TEXTS, support: EXPORTED },
    refused(
        "workloadSelector",
        Shape::Object(&[ok("matchLabels", LABELS)]),
        "the rule would hold for more workloads than it selects",
    ),
];

const TRAFFIC_POLICY: &[Field] = &[
    ok("loadBalancer", Shape::Object(LOAD_BALANCER)),
    ok("connectionPool", Shape::Object(CONNECTION_POOL)),
    warned("outlierDetection", Shape::Object(OUTLIER_DETECTION), NO_OUTLIERS),
    ok("tls", Shape::Object(TLS)),
    ok("portLevelSettings", Shape::List(&Shape::Object(PORT_POLICY))),
    refused("tunnel", Shape::Object(TUNNEL), "connections would not go through the tunnel"),
    refused(
        "proxyProtocol",
        Shape::Object(&[ok("version", Shape::Word(&["V1", "V2"]))]),
        "the server would not be told the client's address",
    ),
    warned("retryBudget", Shape::Object(RETRY_BUDGET), "retries are not limited by a budget"),
];

const PORT_POLICY: &[Field] = &[
    ok("port", Shape::Object(&[ok("number", PORT)])),
    warned("loadBalancer", Shape::Object(LOAD_BALANCER), NOT_BY_PORT),
    warned("connectionPool", Shape::Object(CONNECTION_POOL), NOT_BY_PORT),
    warned("outlierDetection", Shape::Object(OUTLIER_DETECTION), NOT_BY_PORT),
    ok("tls", Shape::Object(TLS)),
];

const LOAD_BALANCER: &[Field] = &[
    Field {
        name: "simple",
        shape: Shape::Word(&[
            "UNSPECIFIED",
            "LEAST_CONN",
            "LEAST_REQUEST",
            "PASSTHROUGH",
            "RANDOM",
            "ROUND_ROBIN",
        ]),
        support: Support::WarnedUnless(
            &["UNSPECIFIED", "LEAST_CONN", "LEAST_REQUEST", "RANDOM", "ROUND_ROBIN"],
            NOT_BALANCED_SO,
        ),
    },
    warned("consistentHash", Shape::Object(CONSISTENT_HASH), NOT_BALANCED_SO),
    warned("localityLbSetting", Shape::Object(LOCALITY), NO_LOCALITY),
    warned("zoneAwareLbSetting", Shape::Object(ZONE_AWARE), NO_LOCALITY),
    warned("warmup", Shape::Object(WARMUP), "new hosts get their full share at once"),
    warned("warmupDurationSecs", DURATION, "new hosts get their full share at once"),
];

const CONSISTENT_HASH: &[Field] = &[
    ok("httpHeaderName", Shape::Text),
    ok(
        "httpCookie",
        Shape::Object(&[
            ok("name", Shape::Text),
            ok("path", Shape::Text),
            ok("ttl", DURATION_OR_ZERO),
            ok(
                "attributes",
                Shape::List(&Shape::Object(&[ok("name", Shape::Text), ok("value", Shape::Text)])),
            ),
        ]),
    ),
    ok("useSourceIp", Shape::Bool),
    ok("httpQueryParameterName", Shape::Text),
    ok("ringHash", Shape::Object(&[ok("minimumRingSize", U32)])),
    ok("maglev", Shape::Object(&[ok("tableSize", U32)])),
    ok("minimumRingSize", U32),
];

const FAILOVER: Shape = Shape::List(&Shape::Object(&[ok("from", Shape::Text), ok("to", Shape::Text)]));

const LOCALITY: &[Field] = &[
    ok(
        "distribute",
        Shape::List(&Shape::Object(&[ok("from", Shape::Text), ok("to", Shape::Map(&Shape::Int(1, 100)))])),
    ),
    ok("failover", FAILOVER),
    ok("failoverPriority", TEXTS),
    ok("enabled", Shape::Bool),
];

const ZONE_AWARE: &[Field] = &[
    ok("enabled", Shape::Bool),
    ok("failover", FAILOVER),
    ok("failoverPriority", TEXTS),
    ok("minClusterSize", U32),
];

const WARMUP: &[Field] = &[
    ok("duration", DURATION),
    ok("minimumPercent", Shape::Number(0.0, 100.0)),
    ok("aggression", Shape::Number(1.0, f64::MAX)),
];

const CONNECTION_POOL: &[Field] = &[
    ok(
        "tcp",
        Shape::Object(&[
            warned("maxConnections", COUNT, NO_LIMIT),
            ok("connectTimeout", DURATION),
            warned("tcpKeepalive", Shape::Object(KEEPALIVE), NO_LIMIT),
            warned("maxConnectionDuration", DURATION, NO_LIMIT),
            warned("idleTimeout", DURATION_OR_ZERO, NO_LIMIT),
        ]),
    ),
    warned("http", Shape::Object(HTTP_POOL), NO_LIMIT),
];

const KEEPALIVE: &[Field] = &[ok("probes", U32), ok("time", DURATION), ok("interval", DURATION)];

const HTTP_POOL: &[Field] = &[
    ok("http1MaxPendingRequests", COUNT),
    ok("http2MaxRequests", COUNT),
    ok("maxRequestsPerConnection", COUNT),
    ok("maxRetries", COUNT),
    ok("idleTimeout", DURATION_OR_ZERO),
    ok("h2UpgradePolicy", Shape::Word(&["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"])),
    ok("useClientProtocol", Shape::Bool),
    ok("maxConcurrentStreams", COUNT),
    ok("http2KeepAlive", Shape::Object(&[ok("interval", DURATION), ok("timeout", DURATION)])),
];

const OUTLIER_DETECTION: &[Field] = &[
    ok("consecutiveErrors", I32),
    ok("splitExternalLocalOriginErrors", Shape::Bool),
    ok("consecutiveLocalOriginFailures", U32),
    ok("consecutiveGatewayErrors", U32),
    ok("consecutive5xxErrors", U32),
    ok("outlierDetectionHttpErrorCodes", TEXTS),
    ok("interval", DURATION),
    ok("baseEjectionTime", DURATION),
    ok("maxEjectionPercent", Shape::Int(0, 100)),
    ok("minHealthPercent", Shape::Int(0, 100)),
];

const NO_TLS: &str = "no TLS is spoken to the server";

const TLS: &[Field] = &[
    Field {
        name: "mode",
        shape: Shape::Word(&["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]),
        support: Support::RefusedUnless(&["DISABLE"], BARE),
    },
    warned("clientCertificate", Shape::Text, NO_TLS),
    warned("privateKey", Shape::Text, NO_TLS),
    warned("caCertificates", Shape::Text, NO_TLS),
    warned("credentialName", Shape::Text, NO_TLS),
    warned("subjectAltNames", TEXTS, NO_TLS),
    warned("sni", Shape::Text, NO_TLS),
    warned("insecureSkipVerify", Shape::Bool, NO_TLS),
    warned("caCrl", Shape::Text, NO_TLS),
];

const TUNNEL: &[Field] =
    &[ok("protocol", Shape::Text), ok("targetHost", Shape::Text), ok("targetPort", PORT)];

const RETRY_BUDGET: &[Field] = &[
    ok("percent", Shape::Number(0.0, 100.0)),
    ok("minRetryConcurrency", U32),
    ok("budgetInterval", DURATION),
];
