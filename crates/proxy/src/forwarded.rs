//! The headers a proxy answers for: those of one hop, those that tell where a request comes from.

use std::net::{IpAddr, SocketAddr};

use base::Address;
use http::header::{CONNECTION, EXPECT, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{Extensions, HeaderMap, HeaderValue, Uri, request};
use net::http1::Names;
use plan::HttpManager;

use crate::client::{Client, written};

/// `x-forwarded-for`.
pub(crate) const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `x-forwarded-proto`.
pub(crate) const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `x-request-id`.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const DECORATOR: HeaderName = HeaderName::from_static("x-envoy-decorator-operation");
const CERTIFICATE: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const EXTERNAL: HeaderName = HeaderName::from_static("x-envoy-external-address");
const INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What Envoy does not believe that comes over an edge.
const FROM_WITHIN: [HeaderName; 4] = [
    HeaderName::from_static("x-envoy-decorator-operation"),
    HeaderName::from_static("x-envoy-downstream-service-cluster"),
    HeaderName::from_static("x-envoy-downstream-service-node"),
    HeaderName::from_static("x-envoy-original-path"),
];

/// What Envoy believes only of addresses that are said to be inside.
const SENSITIVE: [HeaderName; 14] = [
    INTERNAL,
    HeaderName::from_static("x-envoy-attempt-count"),
    HeaderName::from_static("x-envoy-expected-rq-timeout-ms"),
    HeaderName::from_static("x-envoy-force-trace"),
    HeaderName::from_static("x-envoy-hedge-on-per-try-timeout"),
    HeaderName::from_static("x-envoy-ip-tags"),
    HeaderName::from_static("x-envoy-max-retries"),
    HeaderName::from_static("x-envoy-retriable-header-names"),
    HeaderName::from_static("x-envoy-retriable-status-codes"),
    HeaderName::from_static("x-envoy-retry-grpc-on"),
    HeaderName::from_static("x-envoy-retry-on"),
    HeaderName::from_static("x-envoy-upstream-alt-stat-name"),
    HeaderName::from_static("x-envoy-upstream-rq-per-try-timeout-ms"),
    HeaderName::from_static("x-envoy-upstream-rq-timeout-ms"),
];

/// Where a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Comes {
    /// The client, as far as its word is believed.
    pub(crate) from: Address,
    /// Whether it comes from outside the mesh's own network, through an edge.
    pub(crate) over_edge: bool,
}

/// Makes a request's head what is sent upstream as far as the hop decides it: no headers of one hop, the
/// authority in `host`, the path alone in the URI.
pub(crate) fn normalise_hop(head: &mut request::Parts, special: Special, upgrades: bool) {
    let headers = &mut head.headers;
    if head.uri.authority().is_some() {
        if let Some(authority) = head.uri.authority()
            && let Ok(value) = HeaderValue::from_str(authority.as_str())
        {
            headers.insert(HOST, value);
        }
        let path = head.uri.path_and_query().cloned();
        head.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
    strip(headers, special, upgrades);
}

/// Which of the headers that a hop treats specially are there.
///
/// Found in one walk: asking a header map for a name costs a hash of the name, present or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Special(u16);

impl Special {
    const CONNECTION: Self = Self(1);
    const KEEP_ALIVE: Self = Self(1 << 1);
    const PROXY_CONNECTION: Self = Self(1 << 2);
    const TE: Self = Self(1 << 3);
    const TRANSFER_ENCODING: Self = Self(1 << 4);
    const UPGRADE: Self = Self(1 << 5);
    const EXPECT: Self = Self(1 << 6);
    const DECORATOR: Self = Self(1 << 7);
    const CERTIFICATE: Self = Self(1 << 8);
    const FOR: Self = Self(1 << 9);
    const PROTO: Self = Self(1 << 10);
    const REQUEST_ID: Self = Self(1 << 11);
    /// Anything of Envoy's own.
    const ENVOY: Self = Self(1 << 12);

    /// Looks for them.
    pub(crate) fn among(headers: &HeaderMap) -> Self {
        Self(headers.keys().map(|name| Self::of(name).0).fold(0, |all, one| all | one))
    }

    fn of(name: &HeaderName) -> Self {
        match name.as_str() {
            "connection" => Self::CONNECTION,
            "expect" => Self::EXPECT,
            "keep-alive" => Self::KEEP_ALIVE,
            "proxy-connection" => Self::PROXY_CONNECTION,
            "te" => Self::TE,
            "transfer-encoding" => Self::TRANSFER_ENCODING,
            "upgrade" => Self::UPGRADE,
            "x-envoy-decorator-operation" => Self(Self::DECORATOR.0 | Self::ENVOY.0),
            "x-forwarded-client-cert" => Self::CERTIFICATE,
            "x-forwarded-for" => Self::FOR,
            "x-forwarded-proto" => Self::PROTO,
            "x-request-id" => Self::REQUEST_ID,
            name if name.starts_with("x-envoy-") => Self::ENVOY,
            _ => Self(0),
        }
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the request brings an id.
    pub(crate) fn has_request_id(self) -> bool {
        self.has(Self::REQUEST_ID)
    }

    /// Whether an upgrade is asked for.
    pub(crate) fn has_upgrade(self) -> bool {
        self.has(Self::UPGRADE)
    }
}

/// Takes away what a codec has attached to a head, but for the names of headers as they were written.
pub(crate) fn forget_extensions(extensions: &mut Extensions) {
    if extensions.is_empty() {
        return;
    }
    let names = extensions.remove::<Names>();
    *extensions = Extensions::new();
    if let Some(names) = names {
        extensions.insert(names);
    }
}

/// Takes away what concerns one hop only.
pub(crate) fn strip(headers: &mut HeaderMap, special: Special, keeps_upgrade: bool) {
    if special.has(Special::CONNECTION) {
        strip_named(headers, keeps_upgrade);
    }
    if special.has(Special::KEEP_ALIVE) {
        headers.remove(KEEP_ALIVE);
    }
    if special.has(Special::PROXY_CONNECTION) {
        headers.remove(PROXY_CONNECTION);
    }
    if special.has(Special::TRANSFER_ENCODING) {
        headers.remove(TRANSFER_ENCODING);
    }
    if special.has(Special::TE) && headers.get(TE).is_some_and(|te| te != "trailers") {
        headers.remove(TE);
    }
    if special.has(Special::UPGRADE) && !keeps_upgrade {
        headers.remove(UPGRADE);
    }
    if special.has(Special::EXPECT) {
        // The connection itself answers `100-continue` once the body is asked for.
        headers.remove(EXPECT);
    }
    if special.has(Special::DECORATOR) {
        // It names a span for the proxy that gets it, and no further.
        headers.remove(DECORATOR);
    }
}

/// Takes away `connection` and the headers it names.
fn strip_named(headers: &mut HeaderMap, keeps_upgrade: bool) {
    let Some(connection) = headers.remove(CONNECTION) else { return };
    let named = connection.to_str().unwrap_or_default().split(',').map(str::trim);
    for name in named.filter(|name| !name.is_empty()) {
        let is_kept = keeps_upgrade && name.eq_ignore_ascii_case("upgrade");
        let is_option = ["close", "keep-alive", "te"].iter().any(|option| name.eq_ignore_ascii_case(option));
        if !is_kept && !is_option && !is_vital(name) {
            headers.remove(name);
        }
    }
}

/// Whether taking a header away by naming it in `connection` would change what the request means.
fn is_vital(name: &str) -> bool {
    ["host", "content-length", "authorization", "cookie"].iter().any(|vital| name.eq_ignore_ascii_case(vital))
        || name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"))
}

/// Enters this hop into the `x-forwarded-…` headers; tells where the request comes from.
pub(crate) fn forward(
    headers: &mut HeaderMap,
    special: Special,
    manager: &HttpManager,
    client: &Client,
) -> Comes {
    let remote = &client.remote;
    // A Unix socket is inside of nothing.
    let is_inside = |ip| manager.inside.iter().any(|range| range.contains(ip));
    let comes = if manager.use_remote_address {
        let over_edge = !remote.ip().is_some_and(is_inside);
        if over_edge && special.has(Special::ENVOY) {
            FROM_WITHIN.iter().chain(&SENSITIVE).for_each(|name| drop(headers.remove(name)));
        }
        let from = trusted(headers, special, manager.trusted_hops).unwrap_or_else(|| remote.clone());
        if let (false, Some(address)) = (manager.skip_xff_append, client.forwarded_for()) {
            append_for(headers, special, address);
        }
        if !over_edge {
            headers.insert(INTERNAL, HeaderValue::from_static("true"));
        } else if from.ip() == remote.ip() {
            client.address().map(|address| headers.insert(EXTERNAL, address.clone()));
        } else {
            from.ip().map(|ip| headers.insert(EXTERNAL, written(ip)));
        }
        Comes { from, over_edge }
    } else {
        let from = trusted(headers, special, manager.trusted_hops.saturating_add(1));
        // One address alone is nobody's who stands between.
        let is_alone = || headers.get(FOR).is_some_and(|told| !told.as_bytes().contains(&b','));
        let inside = from.as_ref().and_then(Address::ip).is_some_and(is_inside) && is_alone();
        if inside {
            headers.insert(INTERNAL, HeaderValue::from_static("true"));
        } else if special.has(Special::ENVOY) {
            SENSITIVE.iter().for_each(|name| drop(headers.remove(name)));
        }
        Comes { from: from.unwrap_or_else(|| remote.clone()), over_edge: false }
    };
    let believes_proto = !manager.use_remote_address || manager.trusted_hops > 0;
    if !(believes_proto && special.has(Special::PROTO)) {
        let proto = if client.secured().is_some() { "https" } else { "http" };
        headers.insert(PROTO, HeaderValue::from_static(proto));
    }
    if let (true, Some(port)) = (manager.append_x_forwarded_port, client.destination.port()) {
        headers.entry(PORT).or_insert_with(|| HeaderValue::from(port));
    }
    certificate(headers, special, manager, client);
    comes
}

/// Tells the client's certificate, as the manager says; only mutual TLS can vouch for what came.
fn certificate(headers: &mut HeaderMap, special: Special, manager: &HttpManager, client: &Client) {
    if manager.client_certificate == plan::ClientCertificate::AlwaysForwardOnly {
        return;
    }
    let before = if special.has(Special::CERTIFICATE) { headers.remove(CERTIFICATE) } else { None };
    if let Some(value) =
        client.secured().and_then(|secured| secured.certificate_header(manager, before.as_ref()))
    {
        headers.insert(CERTIFICATE, value);
    }
}

/// The client told by the n-th address from the right of `x-forwarded-for`.
fn trusted(headers: &HeaderMap, special: Special, hops: u32) -> Option<Address> {
    if hops == 0 || !special.has(Special::FOR) {
        return None;
    }
    let value = headers.get_all(FOR).iter().next_back()?.to_str().ok()?;
    let nth = usize::try_from(hops).ok()?.checked_sub(1)?;
    let ip: IpAddr = value.rsplit(',').nth(nth)?.trim().parse().ok()?;
    Some(SocketAddr::new(ip, 0).into())
}

/// Marks a copy of a request as one that this machine makes itself.
pub(crate) fn copied(headers: &mut HeaderMap, machine: &HeaderValue) {
    headers.insert(INTERNAL, HeaderValue::from_static("true"));
    append_for(headers, Special::among(headers), machine);
}

fn append_for(headers: &mut HeaderMap, special: Special, address: &HeaderValue) {
    if !special.has(Special::FOR) {
        headers.insert(FOR, address.clone());
        return;
    }
    let mut text = Vec::new();
    for before in headers.get_all(FOR) {
        text.extend_from_slice(before.as_bytes());
        text.push(b',');
    }
    text.extend_from_slice(address.as_bytes());
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(FOR, value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn headers_of_one_hop_and_those_it_names_are_taken_away() {
        let mut all = headers(&[
            ("connection", "close, a, X-Request-Id"),
            ("keep-alive", "5"),
            ("te", "gzip"),
            ("a", "b"),
            ("upgrade", "h2c"),
            ("x-request-id", "1"),
        ]);

        let special = Special::among(&all);
        strip(&mut all, special, false);

        assert_eq!(all, headers(&[("x-request-id", "1")]));
    }

    #[test]
    fn an_upgrade_survives_where_it_is_wanted() {
        let mut all = headers(&[("connection", "Upgrade"), ("upgrade", "websocket")]);

        let special = Special::among(&all);
        strip(&mut all, special, true);

        assert_eq!(all, headers(&[("upgrade", "websocket")]));
    }

    #[test]
    fn the_nth_trusted_address_counts_from_the_right() {
        let all = headers(&[("x-forwarded-for", "9.9.9.9, 1.2.3.4,5.6.7.8")]);

        assert_eq!(trusted(&all, Special::among(&all), 1).unwrap().ip().unwrap().to_string(), "5.6.7.8");
        assert_eq!(trusted(&all, Special::among(&all), 2).unwrap().ip().unwrap().to_string(), "1.2.3.4");
        assert_eq!(trusted(&all, Special::among(&all), 9), None);
    }
}
