//! What is checked and done to a request before it is routed.

use std::rc::Rc;

use filter::LocalReply;
use http::header::{HOST, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, request};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use plan::{HttpManager, Normalised, StripPort};
use telemetry::request_id::{RequestId, TraceReason};

use crate::account::{Entry, Record};
use crate::forwarded::{self, REQUEST_ID, Special};
use crate::reply;
use crate::upgrade::Upgrade;

/// The upgrade that the method of this name asks for.
pub(crate) const CONNECT: &str = "connect";

/// A request that goes no further.
pub(crate) struct Refused {
    pub(crate) reply: LocalReply,
    /// What becomes of its connection.
    pub(crate) after: After,
}

/// What becomes of a connection after a request that was refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It cannot be trusted any more.
    Close,
    /// Other requests may come.
    Next,
    /// The same, though the stream of this one ends without an answer.
    Reset,
}

impl Refused {
    fn malformed(status: StatusCode, details: &'static str) -> Self {
        Self { reply: reply::malformed(status, details), after: After::Close }
    }
}

/// Admits a request: its head becomes what routing and filters see.
pub(crate) fn admit(
    entry: &Rc<Entry>,
    manager: &HttpManager,
    is_http1: bool,
) -> Result<Option<Upgrade>, Refused> {
    let mut record = entry.record.borrow_mut();
    let record = &mut *record;
    check(&record.x.request, manager)?;
    if !manager.underscores.admit(&mut record.x.request.headers) {
        return Err(underscored(is_http1));
    }
    let special = Special::among(&record.x.request.headers);
    let upgrade = match is_http1 {
        _ if record.x.request.method == Method::CONNECT
            && record.x.request.extensions.get::<Protocol>().is_none() =>
        {
            let client = record.x.request.extensions.remove::<OnUpgrade>();
            Some(Upgrade { protocol: CONNECT.into(), client })
        }
        true if special.has_upgrade() => upgrade(&record.x.request),
        true => None,
        false => extended_connect(&mut record.x.request),
    };
    record.upgrades = upgrade.is_some();
    forwarded::forget_extensions(&mut record.x.request.extensions);
    let head = &mut record.x.request;
    forwarded::normalise_hop(head, special, upgrade.is_some());
    let comes = forwarded::forward(&mut head.headers, special, manager, &entry.client);
    if record.x.facts.peer.remote != comes.from {
        record.x.facts.peer.remote = comes.from.clone();
    }
    (record.from, record.over_edge) = (comes.from, comes.over_edge);
    if manager.generate_request_id {
        let is_believed = !comes.over_edge || manager.preserve_external_request_id;
        if !is_believed || !special.has_request_id() {
            let worker = entry.worker();
            let id = RequestId::of(worker.random(), worker.random(), TraceReason::None);
            if let Ok(id) = HeaderValue::from_bytes(id.as_bytes()) {
                head.headers.insert(REQUEST_ID, id);
            }
        }
    }
    normalise(record, manager)?;
    Ok(upgrade)
}

fn check(head: &request::Parts, manager: &HttpManager) -> Result<(), Refused> {
    if head.version < Version::HTTP_11 && !manager.accepts_http_10 {
        return Err(Refused::malformed(StatusCode::UPGRADE_REQUIRED, "low_version"));
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Refused::malformed(StatusCode::BAD_REQUEST, "multiple_host_headers"));
    }
    let authority = match (head.uri.authority(), host) {
        (Some(authority), _) => authority.as_str().as_bytes(),
        (None, Some(host)) => host.as_bytes(),
        (None, None) if head.version < Version::HTTP_11 => b"-",
        (None, None) => return Err(Refused::malformed(StatusCode::BAD_REQUEST, "missing_host_header")),
    };
    if authority.is_empty() || !authority.iter().all(|b| is_of_authority(*b)) {
        return Err(Refused::malformed(StatusCode::BAD_REQUEST, "invalid_authority"));
    }
    Ok(())
}

/// What becomes of a request with an underscore in the name of a header, where it may not have any.
fn underscored(is_http1: bool) -> Refused {
    let (details, after) = match is_http1 {
        true => ("http1.unexpected_underscore", After::Close),
        false => ("http2.unexpected_underscore", After::Reset),
    };
    Refused { reply: reply::malformed(StatusCode::BAD_REQUEST, details), after }
}

/// Whether RFC 3986 lets a byte stand in an authority.
fn is_of_authority(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]%@".contains(&byte)
}

/// The upgrade a request asks for; HTTP/2 by upgrade is no longer a thing and is ignored.
fn upgrade(head: &request::Parts) -> Option<Upgrade> {
    let wanted = head.headers.get(UPGRADE)?;
    if head.version != Version::HTTP_11
        || wanted.as_bytes().eq_ignore_ascii_case(b"h2c")
        || !names_upgrade(&head.headers)
    {
        return None;
    }
    let protocol = wanted.to_str().ok()?.to_ascii_lowercase().into_boxed_str();
    Some(Upgrade { protocol, client: None })
}

/// The upgrade an HTTP/2 client asks for (RFC 8441); it is routed as the same request of HTTP/1.1 would be.
fn extended_connect(head: &mut request::Parts) -> Option<Upgrade> {
    let wanted = head.extensions.remove::<Protocol>()?;
    let client = head.extensions.remove::<OnUpgrade>()?;
    let protocol = wanted.as_str().to_ascii_lowercase().into_boxed_str();
    head.headers.insert(UPGRADE, HeaderValue::from_str(&protocol).ok()?);
    head.method = Method::GET;
    Some(Upgrade { protocol, client: Some(client) })
}

fn names_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(http::header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|name| name.trim().eq_ignore_ascii_case("upgrade"))
}

fn normalise(record: &mut Record, manager: &HttpManager) -> Result<(), Refused> {
    let head = &mut record.x.request;
    strip_host(head, manager);
    let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    match plan::normalise(path, manager.path) {
        Normalised::Same => Ok(()),
        Normalised::Changed(path) => {
            head.uri = Uri::try_from(path)
                .map_err(|_| Refused::malformed(StatusCode::BAD_REQUEST, "path_normalization_failed"))?;
            Ok(())
        }
        Normalised::Reject => Err(Refused::malformed(StatusCode::BAD_REQUEST, "path_normalization_failed")),
        Normalised::Redirect(path) => {
            let mut reply = LocalReply::text(StatusCode::TEMPORARY_REDIRECT, "", "path_normalization_failed");
            reply.headers.extend(HeaderValue::try_from(path).ok().map(|path| (http::header::LOCATION, path)));
            Err(Refused { reply, after: After::Next })
        }
    }
}

fn strip_host(head: &mut request::Parts, manager: &HttpManager) {
    if manager.strip_port == StripPort::Never && !manager.strip_trailing_dot {
        return;
    }
    let Some(host) = head.headers.get(HOST).and_then(|host| host.to_str().ok()) else { return };
    let (mut name, port) = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, Some(port)),
        _ => (host, None),
    };
    if manager.strip_trailing_dot {
        name = name.strip_suffix('.').unwrap_or(name);
    }
    let stripped = match (manager.strip_port, port) {
        (StripPort::Any, _) | (_, None) => name.to_owned(),
        (StripPort::Matching | StripPort::Never, Some(port)) => format!("{name}:{port}"),
    };
    if let Ok(value) = HeaderValue::try_from(stripped) {
        head.headers.insert(HOST, value);
    }
}
