//! The fields of a VirtualService.

use crate::schema::{
    COUNT, DURATION, DURATION_OR_ZERO, Field, I32, LABELS, PERCENT, PORT, Shape, TEXTS, U32, ok, refused,
    warned,
};
use crate::support::Support;

const STREAMS: &str = "connections to these ports would bypass the routes written for them";

/// Below `spec`.
pub(crate) const FIELDS: &[Field] = &[
    ok("hosts", TEXTS),
    ok("gateways", TEXTS),
    ok("http", Shape::List(&Shape::Object(HTTP))),
    refused("tls", Shape::List(&Shape::Object(TLS_ROUTE)), STREAMS),
    refused("tcp", Shape::List(&Shape::Object(TCP_ROUTE)), STREAMS),
    Field { name: "exportTo", shape: TEXTS, support: EXPORTED },
];

/// What `exportTo` may be as long as every namespace sees every object.
pub(crate) const EXPORTED: Support =
    Support::RefusedUnless(&["*"], "the object would be seen by namespaces it is not exported to");

const HTTP: &[Field] = &[
    ok("name", Shape::Text),
    ok("match", Shape::List(&Shape::Object(MATCH))),
    ok("route", Shape::List(&Shape::Object(ROUTE))),
    ok("redirect", Shape::Object(REDIRECT)),
    ok("directResponse", Shape::Object(DIRECT_RESPONSE)),
    refused("delegate", Shape::Object(DELEGATE), "the routes it points to would not be merged in"),
    ok("rewrite", Shape::Object(REWRITE)),
    ok("timeout", DURATION_OR_ZERO),
    ok("retries", Shape::Object(RETRIES)),
    ok("fault", Shape::Object(FAULT)),
    ok("mirror", DESTINATION),
    ok("mirrors", Shape::List(&Shape::Object(MIRROR))),
    ok("mirrorPercentage", PERCENT),
    ok("mirrorPercent", Shape::Int(0, 100)),
    ok("mirror_percent", Shape::Int(0, 100)),
    ok("corsPolicy", Shape::Object(CORS)),
    ok("headers", HEADERS),
];

const STRING_MATCH: Shape =
    Shape::Object(&[ok("exact", Shape::Text), ok("prefix", Shape::Text), ok("regex", Shape::Text)]);
const STRING_MATCHES: Shape = Shape::Map(&STRING_MATCH);

const MATCH: &[Field] = &[
    ok("name", Shape::Text),
    ok("uri", STRING_MATCH),
    ok("scheme", STRING_MATCH),
    ok("method", STRING_MATCH),
    ok("authority", STRING_MATCH),
    ok("headers", STRING_MATCHES),
    ok("withoutHeaders", STRING_MATCHES),
    ok("queryParams", STRING_MATCHES),
    ok("port", PORT),
    ok("ignoreUriCase", Shape::Bool),
    ok("gateways", TEXTS),
    ok("sourceLabels", LABELS),
    ok("sourceNamespace", Shape::Text),
    warned("statPrefix", Shape::Text, "no numbers are kept under this prefix"),
];

const DESTINATION: Shape = Shape::Object(&[
    ok("host", Shape::Text),
    ok("subset", Shape::Text),
    ok("port", Shape::Object(&[ok("number", PORT)])),
]);

const ROUTE: &[Field] = &[ok("destination", DESTINATION), ok("weight", COUNT), ok("headers", HEADERS)];

const MIRROR: &[Field] = &[ok("destination", DESTINATION), ok("percentage", PERCENT)];

const HEADER_EDITS: Shape = Shape::Object(&[ok("set", LABELS), ok("add", LABELS), ok("remove", TEXTS)]);
const HEADERS: Shape = Shape::Object(&[ok("request", HEADER_EDITS), ok("response", HEADER_EDITS)]);

const REDIRECT: &[Field] = &[
    ok("uri", Shape::Text),
    ok("prefixRewrite", Shape::Text),
    ok("authority", Shape::Text),
    ok("port", PORT),
    ok("derivePort", Shape::Word(&["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"])),
    ok("scheme", Shape::Text),
    ok("redirectCode", U32),
];

const DIRECT_RESPONSE: &[Field] =
    &[ok("status", U32), ok("body", Shape::Object(&[ok("string", Shape::Text), ok("bytes", Shape::Text)]))];

const DELEGATE: &[Field] = &[ok("name", Shape::Text), ok("namespace", Shape::Text)];

const REWRITE: &[Field] = &[
    ok("uri", Shape::Text),
    ok("authority", Shape::Text),
    ok("uriRegexRewrite", Shape::Object(&[ok("match", Shape::Text), ok("rewrite", Shape::Text)])),
];

const RETRIES: &[Field] = &[
    ok("attempts", COUNT),
    ok("perTryTimeout", DURATION_OR_ZERO),
    ok("retryOn", Shape::Text),
    ok("backoff", DURATION),
    ok("retryIgnorePreviousHosts", Shape::Bool),
    warned("retryRemoteLocalities", Shape::Bool, "localities make no difference to retries"),
];

const FAULT: &[Field] = &[
    ok(
        "delay",
        Shape::Object(&[
            ok("fixedDelay", DURATION),
            ok("percentage", PERCENT),
            ok("percent", Shape::Int(0, 100)),
            refused("exponentialDelay", DURATION, "requests would go on without their delay"),
        ]),
    ),
    ok(
        "abort",
        Shape::Object(&[
            ok("httpStatus", I32),
            ok("percentage", PERCENT),
            refused("grpcStatus", Shape::Text, "requests would go through that were to be aborted"),
            refused("http2Error", Shape::Text, "requests would go through that were to be aborted"),
        ]),
    ),
];

const CORS: &[Field] = &[
    ok("allowOrigins", Shape::List(&STRING_MATCH)),
    ok("allowOrigin", TEXTS),
    ok("allowMethods", TEXTS),
    ok("allowHeaders", TEXTS),
    ok("exposeHeaders", TEXTS),
    ok("maxAge", DURATION),
    ok("allowCredentials", Shape::Bool),
    ok("unmatchedPreflights", Shape::Word(&["UNSPECIFIED", "FORWARD", "IGNORE"])),
];

const L4_MATCH: &[Field] = &[
    ok("sniHosts", TEXTS),
    ok("destinationSubnets", TEXTS),
    ok("port", PORT),
    ok("sourceLabels", LABELS),
    ok("sourceSubnet", Shape::Text),
    ok("gateways", TEXTS),
    ok("sourceNamespace", Shape::Text),
];

const L4_ROUTE: Shape = Shape::List(&Shape::Object(&[ok("destination", DESTINATION), ok("weight", COUNT)]));

const TLS_ROUTE: &[Field] = &[ok("match", Shape::List(&Shape::Object(L4_MATCH))), ok("route", L4_ROUTE)];
const TCP_ROUTE: &[Field] = TLS_ROUTE;
