//! The table of everything that is drawn, and how often requests have met it.

use std::collections::BTreeMap;
use std::fmt;

/// Everything there is to meet, by what it is a part of.
pub const KINDS: &[(&str, &[&str])] = &[
    (
        "match",
        &[
            "nothing",
            "uri exact",
            "uri prefix",
            "uri regex",
            "ignoreUriCase",
            "scheme",
            "method exact",
            "method prefix",
            "method regex",
            "authority exact",
            "authority prefix",
            "authority regex",
            "header exact",
            "header prefix",
            "header regex",
            "header present",
            "withoutHeaders value",
            "withoutHeaders present",
            "query exact",
            "query prefix",
            "query regex",
            "port",
            "gateways",
            "mesh",
            "sourceLabels",
            "sourceNamespace",
        ],
    ),
    (
        "action",
        &[
            "forward",
            "delegate",
            "redirect uri",
            "redirect prefixRewrite",
            "redirect authority",
            "redirect scheme",
            "redirect port",
            "redirect derivePort",
            "redirectCode",
            "httpsRedirect",
            "direct response text",
            "direct response bytes",
            "direct response without a body",
        ],
    ),
    (
        "destination",
        &[
            "one destination",
            "weights 100 and 0",
            "weights 50 and 50",
            "subset",
            "hash: header",
            "hash: cookie",
            "hash: query parameter",
            "hash: source address",
            "ring hash",
            "Maglev",
            "gRPC",
            "TLS SIMPLE",
            "TLS MUTUAL",
        ],
    ),
    (
        "on the way",
        &[
            "rewrite uri",
            "rewrite authority",
            "rewrite regex",
            "mirror",
            "mirrors",
            "mirror 0 %",
            "timeout",
            "abort 100 %",
            "abort 0 %",
            "abort of gRPC",
            "delay 100 %",
            "delay 0 %",
            "request headers set",
            "request headers add",
            "request headers remove",
            "response headers set",
            "response headers add",
            "response headers remove",
            "destination's request headers set",
            "destination's request headers add",
            "destination's request headers remove",
            "destination's response headers set",
            "destination's response headers add",
            "destination's response headers remove",
            "header values with blanks",
            "CORS exact",
            "CORS prefix",
            "CORS regex",
            "CORS credentials",
            "CORS forwards other preflights",
            "CORS ignores other preflights",
        ],
    ),
    (
        "retries",
        &[
            "5xx",
            "gateway-error",
            "reset",
            "reset-before-request",
            "connect-failure",
            "envoy-ratelimited",
            "retriable-4xx",
            "refused-stream",
            "503,404",
            "409,retriable-headers",
            "cancelled,unavailable",
            "deadline-exceeded,internal,resource-exhausted",
            "previous hosts and remote localities",
        ],
    ),
    (
        "client",
        &[
            "HTTP/1.1",
            "HTTP/2",
            "gRPC call",
            "WebSocket",
            "body",
            "preflight",
            "wishes by headers",
            "gateway",
            "sidecar",
        ],
    ),
    (
        "gateway's TLS",
        &[
            "gateway SIMPLE",
            "gateway MUTUAL",
            "gateway MUTUAL turns away",
            "gateway OPTIONAL_MUTUAL",
            "gateway OPTIONAL_MUTUAL turns away",
            "gateway PASSTHROUGH",
            "gateway AUTO_PASSTHROUGH",
            "gateway AUTO_PASSTHROUGH turns away",
            "gateway TLS around TCP",
        ],
    ),
    (
        "TLS routes",
        &[
            "sniHosts exact",
            "sniHosts wildcard",
            "TLS weights 100 and 0",
            "TLS weights 50 and 50",
            "no such name",
        ],
    ),
    (
        "TCP routes",
        &[
            "TCP by port",
            "TCP by another port",
            "TCP by gateways",
            "TCP by sourceLabels",
            "TCP by sourceNamespace",
            "TCP by destinationSubnets",
            "TCP without a match",
            "TCP without a route",
            "TCP weights 100 and 0",
            "TCP weights 50 and 50",
        ],
    ),
];

/// How often everything was met.
#[derive(Clone, Debug)]
pub struct Table {
    hits: BTreeMap<&'static str, usize>,
}

impl Default for Table {
    fn default() -> Self {
        Self { hits: KINDS.iter().flat_map(|(_, kinds)| kinds.iter().map(|kind| (*kind, 0))).collect() }
    }
}

impl Table {
    /// Counts one that was met.
    ///
    /// # Panics
    /// When it is not in the table.
    pub fn hit(&mut self, kind: &str) {
        let count = self.hits.get_mut(kind).unwrap_or_else(|| panic!("{kind:?} is not in the table"));
        *count += 1;
    }

    /// What was met less often than this.
    pub fn rarer_than(&self, often: usize) -> Vec<(&'static str, usize)> {
        self.hits.iter().map(|(kind, count)| (*kind, *count)).filter(|(_, count)| *count < often).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (part, kinds) in KINDS {
            writeln!(f, "{part}")?;
            for kind in *kinds {
                writeln!(f, "  {:6}  {kind}", self.hits.get(kind).copied().unwrap_or_default())?;
            }
        }
        Ok(())
    }
}
