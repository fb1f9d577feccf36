//! Changes to headers, and the texts they are made from.
//!
//! A value may hold `%DOWNSTREAM_REMOTE_ADDRESS%`, `%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%`,
//! `%DOWNSTREAM_LOCAL_ADDRESS%`, `%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%`, `%DOWNSTREAM_LOCAL_PORT%`,
//! `%PROTOCOL%`, `%REQ(NAME?OTHER):LENGTH%`, `%RESP(NAME?OTHER):LENGTH%`, `%RESPONSE_CODE%`, `%ROUTE_NAME%`,
//! `%UPSTREAM_CLUSTER%`, `%UPSTREAM_HOST%`, `%UPSTREAM_REMOTE_ADDRESS%` and `%%`; anything else is refused.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use base::Address;
use filter::Exchange;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use proto::envoy::config::core::v3::HeaderValueOption;
use smallvec::SmallVec;

use crate::read::{Wrong, each, required};

/// Changes to the headers of a request or response, as one level of the configuration asks for them.
#[derive(Clone, Debug, Default)]
pub struct HeaderOps {
    remove: Vec<HeaderName>,
    add: Vec<Addition>,
}

#[derive(Clone, Debug)]
struct Addition {
    name: HeaderName,
    value: Template,
    action: Action,
    keeps_empty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    AddIfAbsent,
    Append,
    Overwrite,
    OverwriteIfExists,
}

/// What a value may speak of beside the exchange.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeaderScope<'a> {
    /// The route's name.
    pub route: &'a str,
    /// The cluster the request goes to.
    pub cluster: &'a str,
    /// The endpoint it goes to, once there is one.
    pub upstream: Option<&'a Address>,
    /// Whether the response is a reply of our own: like Envoy's, its status is told as 0.
    pub is_reply: bool,
}

/// The changes a message makes to requests and to responses. Configurations, virtual hosts, routes and weighted
/// clusters are four messages without a common type, but they name these fields alike.
macro_rules! header_ops {
    ($message:expr) => {{
        let message = $message;
        let (to_add, to_remove) = (&message.request_headers_to_add, &message.request_headers_to_remove);
        let request = $crate::headers::HeaderOps::compile(to_add, to_remove, "request")?;
        let (to_add, to_remove) = (&message.response_headers_to_add, &message.response_headers_to_remove);
        let response = $crate::headers::HeaderOps::compile(to_add, to_remove, "response")?;
        (request, response)
    }};
}
pub(crate) use header_ops;

impl HeaderOps {
    /// Reads the lists of one level, whose fields begin with `prefix`.
    pub(crate) fn compile(
        add: &[HeaderValueOption],
        remove: &[String],
        prefix: &str,
    ) -> Result<Option<Self>, Wrong> {
        if add.is_empty() && remove.is_empty() {
            return Ok(None);
        }
        let mut add = each(add, &format!("{prefix}_headers_to_add"), Addition::compile)?;
        // Like Envoy: what overwrites is done before what adds, whichever was written first.
        add.sort_by_key(|addition| !addition.overwrites());
        let remove = each(remove, &format!("{prefix}_headers_to_remove"), |name| header_name(name, ""))?;
        Ok(Some(Self { remove, add }))
    }

    /// Applies them to the request's headers.
    pub fn apply_to_request(&self, x: &mut Exchange, scope: HeaderScope<'_>) {
        self.remove.iter().for_each(|name| drop(x.request.headers.remove(name)));
        for (addition, value) in self.values(x, scope) {
            addition.put(&mut x.request.headers, value);
        }
    }

    /// Applies them to the response's headers, if there is a response.
    pub fn apply_to_response(&self, x: &mut Exchange, scope: HeaderScope<'_>) {
        if let Some(response) = &mut x.response {
            self.remove.iter().for_each(|name| drop(response.headers.remove(name)));
        }
        for (addition, value) in self.values(x, scope) {
            if let Some(response) = &mut x.response {
                addition.put(&mut response.headers, value);
            }
        }
    }

    /// What is to be put in, all of it made from the headers as they are before.
    fn values(&self, x: &Exchange, scope: HeaderScope<'_>) -> SmallVec<[(&Addition, HeaderValue); 4]> {
        self.add.iter().filter_map(|addition| Some((addition, addition.value(x, scope)?))).collect()
    }
}

impl Addition {
    #[allow(deprecated, reason = "old control planes still write the old spelling")]
    fn compile(message: &HeaderValueOption) -> Result<Self, Wrong> {
        let header = required(&message.header, "header")?;
        let action = match (&message.append, message.append_action) {
            (Some(append), 0) if append.value => Action::Append,
            (Some(_), 0) => Action::Overwrite,
            (_, 0) => Action::Append,
            (_, 1) => Action::AddIfAbsent,
            (_, 2) => Action::Overwrite,
            (_, 3) => Action::OverwriteIfExists,
            (_, other) => return Err(Wrong::new("append_action", format!("{other} is not known"))),
        };
        let value = match header.value.is_empty() && !header.raw_value.is_empty() {
            false => Template::parse(&header.value).map_err(|why| Wrong::new("header.value", why))?,
            true => Template::fixed(&header.raw_value).map_err(|why| Wrong::new("header.raw_value", why))?,
        };
        Ok(Self {
            name: header_name(&header.key, "header.key")?,
            value,
            action,
            keeps_empty: message.keep_empty_value,
        })
    }

    fn overwrites(&self) -> bool {
        matches!(self.action, Action::Overwrite | Action::OverwriteIfExists)
    }

    /// The header's value here; none where it is empty and not to be kept so.
    fn value(&self, x: &Exchange, scope: HeaderScope<'_>) -> Option<HeaderValue> {
        let value = self.value.render(x, scope)?;
        if value.is_empty() && !self.keeps_empty { None } else { Some(value) }
    }

    fn put(&self, headers: &mut HeaderMap, value: HeaderValue) {
        match self.action {
            Action::AddIfAbsent if headers.contains_key(&self.name) => {}
            Action::OverwriteIfExists if !headers.contains_key(&self.name) => {}
            Action::AddIfAbsent | Action::Append => {
                headers.append(self.name.clone(), value);
            }
            Action::Overwrite | Action::OverwriteIfExists => {
                headers.insert(self.name.clone(), value);
            }
        }
    }
}

/// A header that may be changed: neither part of the request line nor `host`, which have rewrites of their own.
fn header_name(name: &str, path: &str) -> Result<HeaderName, Wrong> {
    if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
        return Err(Wrong::new(path, format!("{name:?} may not be changed as a header")));
    }
    HeaderName::try_from(name).map_err(|_| Wrong::new(path, format!("{name:?} is not a header name")))
}

/// A value with blanks to be filled in.
#[derive(Clone, Debug)]
enum Template {
    /// Without blanks, ready to be put in.
    Fixed(HeaderValue),
    Parts(Vec<Part>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    LocalAddress { with_ip: bool, with_port: bool },
    Protocol,
    RemoteAddress { with_port: bool },
    Request(Source),
    Response(Source),
    ResponseCode,
    Route,
    Text(String),
    UpstreamAddress,
    UpstreamCluster,
}

/// The headers a blank is filled from, and how many bytes at most.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    first: Field,
    other: Option<Field>,
    length: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Authority,
    Header(HeaderName),
    Method,
    Path,
    Scheme,
}

impl Template {
    fn fixed(bytes: &[u8]) -> Result<Self, String> {
        HeaderValue::from_bytes(bytes)
            .map(Self::Fixed)
            .map_err(|_| format!("{:?} is not a header value", String::from_utf8_lossy(bytes)))
    }

    fn parse(text: &str) -> Result<Self, String> {
        if !text.contains('%') {
            return Self::fixed(text.as_bytes());
        }
        let mut parts = Vec::new();
        let mut pieces = text.split('%');
        let mut plain = pieces.next().unwrap_or_default().to_owned();
        while let Some(blank) = pieces.next() {
            let after = pieces.next().ok_or_else(|| format!("{text:?} has a single %"))?;
            match blank {
                "" => plain.push('%'),
                blank => {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(Part::parse(blank)?);
                }
            }
            plain.push_str(after);
        }
        parts.push(Part::Text(plain));
        parts.retain(|part| *part != Part::Text(String::new()));
        if let [Part::Text(text)] = parts.as_slice() {
            return Self::fixed(text.as_bytes());
        }
        for part in &parts {
            if let Part::Text(text) = part {
                Self::fixed(text.as_bytes())?;
            }
        }
        Ok(Self::Parts(parts))
    }

    fn render(&self, x: &Exchange, scope: HeaderScope<'_>) -> Option<HeaderValue> {
        match self {
            Self::Fixed(value) => Some(value.clone()),
            Self::Parts(parts) => {
                let mut out = Vec::new();
                parts.iter().for_each(|part| part.render(x, scope, &mut out));
                HeaderValue::from_bytes(&out).ok()
            }
        }
    }
}

impl Part {
    fn parse(blank: &str) -> Result<Self, String> {
        if let Some(inner) = blank.strip_prefix("REQ(") {
            return Source::parse(inner).map(Self::Request);
        }
        if let Some(inner) = blank.strip_prefix("RESP(") {
            return Source::parse(inner).map(Self::Response);
        }
        Ok(match blank {
            "DOWNSTREAM_LOCAL_ADDRESS" => Self::LocalAddress { with_ip: true, with_port: true },
            "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Self::LocalAddress { with_ip: true, with_port: false },
            "DOWNSTREAM_LOCAL_PORT" => Self::LocalAddress { with_ip: false, with_port: true },
            "DOWNSTREAM_REMOTE_ADDRESS" => Self::RemoteAddress { with_port: true },
            "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Self::RemoteAddress { with_port: false },
            "PROTOCOL" => Self::Protocol,
            "RESPONSE_CODE" => Self::ResponseCode,
            "ROUTE_NAME" => Self::Route,
            "UPSTREAM_CLUSTER" => Self::UpstreamCluster,
            "UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS" => Self::UpstreamAddress,
            other => return Err(format!("%{other}% is not supported")),
        })
    }

    fn render(&self, x: &Exchange, scope: HeaderScope<'_>, out: &mut Vec<u8>) {
        // Writing to memory cannot fail.
        let mut text = String::new();
        let _ = match self {
            Self::LocalAddress { with_ip: true, with_port: true } => write!(text, "{}", x.facts.peer.local),
            Self::LocalAddress { with_ip: true, .. } => without_port(&x.facts.peer.local, &mut text),
            Self::LocalAddress { .. } => match x.facts.peer.local.port() {
                Some(port) => write!(text, "{port}"),
                None => Ok(()),
            },
            Self::Protocol => write!(text, "{}", protocol(x.request.version)),
            Self::RemoteAddress { with_port: true } => write!(text, "{}", x.facts.peer.remote),
            Self::RemoteAddress { with_port: false } => without_port(&x.facts.peer.remote, &mut text),
            Self::Request(source) => return source.render(&x.request.headers, Some(&x.request), out),
            Self::Response(source) => {
                let none = HeaderMap::new();
                return source.render(x.response.as_ref().map_or(&none, |r| &r.headers), None, out);
            }
            Self::ResponseCode => match x.response.as_ref().filter(|_| !scope.is_reply) {
                Some(response) => write!(text, "{}", response.status.as_u16()),
                None => write!(text, "0"),
            },
            Self::Route => write!(text, "{}", scope.route),
            Self::Text(plain) => write!(text, "{plain}"),
            Self::UpstreamAddress => match scope.upstream {
                Some(address) => write!(text, "{address}"),
                None => Ok(()),
            },
            Self::UpstreamCluster => write!(text, "{}", scope.cluster),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// A Unix socket has no port to leave out.
fn without_port(address: &Address, text: &mut String) -> std::fmt::Result {
    match address.ip() {
        Some(ip) => write!(text, "{ip}"),
        None => write!(text, "{address}"),
    }
}

impl Source {
    fn parse(inner: &str) -> Result<Self, String> {
        let (names, tail) = inner.split_once(')').ok_or_else(|| format!("({inner} is not closed"))?;
        let length = match tail.strip_prefix(':') {
            Some(digits) => digits.parse().map_err(|_| format!("{digits:?} is not a length"))?,
            None if tail.is_empty() => usize::MAX,
            None => return Err(format!("{tail:?} follows a header's name")),
        };
        let (first, other) =
            names.split_once('?').map_or((names, None), |(first, other)| (first, Some(other)));
        Ok(Self { first: Field::parse(first)?, other: other.map(Field::parse).transpose()?, length })
    }

    fn render(&self, headers: &HeaderMap, request: Option<&http::request::Parts>, out: &mut Vec<u8>) {
        let value = |field: &Field| field.value(headers, request);
        if let Some(found) = value(&self.first).or_else(|| value(self.other.as_ref()?)) {
            out.extend_from_slice(found.get(..self.length).unwrap_or(found));
        }
    }
}

impl Field {
    fn parse(name: &str) -> Result<Self, String> {
        Ok(match name.to_ascii_lowercase().as_str() {
            ":authority" | "host" => Self::Authority,
            ":method" => Self::Method,
            ":path" => Self::Path,
            ":scheme" => Self::Scheme,
            other => Self::Header(
                HeaderName::try_from(other).map_err(|_| format!("{name:?} is not a header name"))?,
            ),
        })
    }

    fn value<'x>(
        &self,
        headers: &'x HeaderMap,
        request: Option<&'x http::request::Parts>,
    ) -> Option<&'x [u8]> {
        match self {
            Self::Authority => match request?.uri.authority() {
                Some(authority) => Some(authority.as_str().as_bytes()),
                None => headers.get(http::header::HOST).map(HeaderValue::as_bytes),
            },
            Self::Header(name) => headers.get(name).map(HeaderValue::as_bytes),
            Self::Method => Some(request?.method.as_str().as_bytes()),
            Self::Path => Some(request?.uri.path_and_query()?.as_str().as_bytes()),
            Self::Scheme => Some(filter::scheme(request?).as_bytes()),
        }
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}
