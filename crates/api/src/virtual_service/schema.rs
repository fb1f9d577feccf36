//! The fields of a VirtualService.

use crate::schema::{
    COUNT, DURATION, DURATION_OR_ZERO, Field, I32, LABELS, PERCENT, PORT, Shape, TEXTS, U32, ok, partly,
    refused, warned,
};

/// Below `spec`.
pub(crate) const FIELDS: &[Field] = &[
    ok("hosts", TEXTS),
    ok("gateways", TEXTS),
    ok("http", Shape::List(&Shape::Object(HTTP))),
    ok("tls", Shape::List(&Shape::Object(TLS_ROUTE))),
    ok("tcp", Shape::List(&Shape::Object(TCP_ROUTE))),
    ok("exportTo", TEXTS),
];

const HTTP: &[Field] = &[
    ok("name", Shape::Text),
    ok("match", Shape::List(&Shape::Object(MATCH))),
    ok("route", Shape::List(&Shape::Object(ROUTE))),
    ok("redirect", Shape::Object(REDIRECT)),
    ok("directResponse", Shape::Object(DIRECT_RESPONSE)),
    ok("delegate", Shape::Object(&[ok("name", Shape::Text), ok("namespace", Shape::Text)])),
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

const NO_CLAIMS: &str = "claims of tokens (`@request.auth…`) are refused: no token is verified";

const MATCH: &[Field] = &[
    ok("name", Shape::Text),
    ok("uri", STRING_MATCH),
    ok("scheme", STRING_MATCH),
    ok("method", STRING_MATCH),
    ok("authority", STRING_MATCH),
    partly("headers", STRING_MATCHES, NO_CLAIMS),
    partly("withoutHeaders", STRING_MATCHES, NO_CLAIMS),
    ok("queryParams", STRING_MATCHES),
    ok("port", PORT),
    ok("ignoreUriCase", Shape::Bool),
    ok("gateways", TEXTS),
    ok("sourceLabels", LABELS),
    ok("sourceNamespace", Shape::Text),
    ok("statPrefix", Shape::Text),
];

pub(crate) const DESTINATION: Shape = Shape::Object(&[
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

const REWRITE: &[Field] = &[
    ok("uri", Shape::Text),
    ok("authority", Shape::Text),
    ok("uriRegexRewrite", Shape::Object(&[ok("match", Shape::Text), ok("rewrite", Shape::Text)])),
];

pub(crate) const RETRIES: &[Field] = &[
    ok("attempts", COUNT),
    ok("perTryTimeout", DURATION_OR_ZERO),
    ok("retryOn", Shape::Text),
    ok("backoff", DURATION),
    ok("retryIgnorePreviousHosts", Shape::Bool),
    ok("retryRemoteLocalities", Shape::Bool),
];

const FAULT: &[Field] = &[
    ok(
        "delay",
        Shape::Object(&[
            ok("fixedDelay", DURATION),
            ok("percentage", PERCENT),
            ok("percent", Shape::Int(0, 100)),
            refused("exponentialDelay", DURATION, "write `fixedDelay`; no mesh delays like this"),
        ]),
    ),
    ok(
        "abort",
        Shape::Object(&[
            ok("httpStatus", I32),
            ok("percentage", PERCENT),
            ok("grpcStatus", Shape::Text),
            refused(
                "http2Error",
                Shape::Text,
                "write `httpStatus` or `grpcStatus`; no mesh aborts with this",
            ),
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

const L4_ROUTE: Shape = Shape::List(&Shape::Object(&[ok("destination", DESTINATION), ok("weight", COUNT)]));

const TLS_ROUTE: &[Field] = &[ok("match", Shape::List(&Shape::Object(TLS_MATCH))), ok("route", L4_ROUTE)];

const TLS_MATCH: &[Field] = &[
    ok("sniHosts", TEXTS),
    ok("destinationSubnets", TEXTS),
    ok("port", PORT),
    ok("sourceLabels", LABELS),
    ok("gateways", TEXTS),
    ok("sourceNamespace", Shape::Text),
];

const TCP_ROUTE: &[Field] = &[ok("match", Shape::List(&Shape::Object(TCP_MATCH))), ok("route", L4_ROUTE)];

const TCP_MATCH: &[Field] = &[
    ok("destinationSubnets", TEXTS),
    ok("port", PORT),
    ok("sourceLabels", LABELS),
    warned("sourceSubnet", Shape::Text, "callers of every network match; no mesh looks at it"),
    ok("gateways", TEXTS),
    ok("sourceNamespace", Shape::Text),
];
