//! The operators of a format string: their grammar, and the value each has for one account.

mod time;

use std::time::Duration;

use base::Address;
use http::{HeaderMap, HeaderName, Version};

use super::FormatError;
use crate::account::{Account, Flags, TlsFacts};
use crate::text;
use time::TimeFormat;

/// One operator with its arguments.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    what: What,
    limit: usize,
}

#[derive(Clone, Debug)]
enum What {
    /// An operator without arguments, as a function of the account.
    Fact(for<'a> fn(&Account<'a>) -> Value<'a>),
    /// A request header, else another one.
    Request { first: Header, second: Option<Header>, with_query: bool },
    /// A response header, else another one.
    Response { first: Header, second: Option<Header> },
    /// When the request began.
    Start(TimeFormat),
}

/// A header by name, or the field of the account that holds it.
#[derive(Clone, Debug)]
enum Header {
    Authority,
    ForwardedFor,
    Method,
    Named(HeaderName),
    OriginalPath,
    Path,
    RequestId,
    Scheme,
    Status,
    UpstreamServiceTime,
    UserAgent,
}

/// What an operator says about an account.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Address(&'a Address),
    Flags(Flags),
    /// Bytes from outside: to be escaped.
    Foreign(&'a [u8]),
    Ip(&'a Address),
    Nothing,
    Number(u64),
    /// A word of ours: printable, without quotes.
    Ours(&'static str),
    Time(&'a TimeFormat, Duration),
    /// Text whose spaces become underscores, since its field has no quotes.
    Token(&'a str),
}

impl<'a> Value<'a> {
    fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Nothing, |text| Self::Foreign(text.as_bytes()))
    }

    /// A fact of the client's TLS; nothing where it is empty.
    fn tls(account: &Account<'a>, fact: fn(&'a TlsFacts) -> &'a str) -> Self {
        Self::text(account.tls.map(fact).filter(|fact| !fact.is_empty()))
    }

    fn bytes(bytes: Option<&'a [u8]>) -> Self {
        bytes.map_or(Self::Nothing, Self::Foreign)
    }

    fn token(text: Option<&'a str>) -> Self {
        text.map_or(Self::Nothing, Self::Token)
    }

    fn address(address: Option<&'a Address>) -> Self {
        address.map_or(Self::Nothing, Self::Address)
    }

    fn ip(address: Option<&'a Address>) -> Self {
        address.map_or(Self::Nothing, Self::Ip)
    }

    /// A Unix socket has no port, which is not the same as there being no connection.
    fn port(address: Option<&'a Address>) -> Self {
        let port =
            |address: &Address| address.port().map_or(Self::Ours(""), |port| Self::Number(port.into()));
        address.map_or(Self::Nothing, port)
    }

    fn millis(duration: Option<Duration>) -> Self {
        duration.map_or(Self::Nothing, |duration| Self::Number(millis(duration)))
    }

    fn cut(self, limit: usize) -> Self {
        match self {
            Self::Foreign(bytes) => Self::Foreign(bytes.get(..limit).unwrap_or(bytes)),
            other => other,
        }
    }

    /// Writes everything but [`Value::Foreign`], which needs to know where it lands.
    pub(super) fn write_plain(self, out: &mut Vec<u8>) {
        match self {
            Self::Address(address) => text::address(address, out),
            Self::Flags(flags) => write_flags(flags, out),
            Self::Foreign(bytes) => text::escaped(bytes, out),
            Self::Ip(address) => match address.ip() {
                Some(ip) => text::ip(ip, out),
                None => text::address(address, out),
            },
            Self::Nothing => out.push(b'-'),
            Self::Number(number) => text::number(number, out),
            Self::Ours(word) => out.extend_from_slice(word.as_bytes()),
            Self::Time(format, time) => format.write(time, out),
            Self::Token(text) => write_token(text, out),
        }
    }
}

fn write_flags(flags: Flags, out: &mut Vec<u8>) {
    for (place, name) in flags.names().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
    }
}

/// Only graphic ASCII that needs no escape in either form; anything else becomes an underscore.
fn write_token(text: &str, out: &mut Vec<u8>) {
    let plain = |byte: u8| if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\') { byte } else { b'_' };
    out.extend(text.bytes().map(plain));
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Operator {
    pub(super) fn reads_request_headers(&self) -> bool {
        match &self.what {
            What::Request { first, second, .. } => {
                matches!(first, Header::Named(_)) || matches!(second, Some(Header::Named(_)))
            }
            _ => false,
        }
    }

    pub(super) fn reads_response_headers(&self) -> bool {
        match &self.what {
            What::Response { first, second } => {
                matches!(first, Header::Named(_)) || matches!(second, Some(Header::Named(_)))
            }
            _ => false,
        }
    }

    pub(super) fn value<'a>(&'a self, account: &Account<'a>) -> Value<'a> {
        let value = match &self.what {
            What::Fact(fact) => fact(account),
            What::Request { first, second, with_query } => {
                let value = either(first, second.as_ref(), account, account.request_headers);
                if *with_query { value } else { without_query(value) }
            }
            What::Response { first, second } => {
                either(first, second.as_ref(), account, account.response_headers)
            }
            What::Start(format) => Value::Time(format, account.start),
        };
        value.cut(self.limit)
    }
}

fn either<'a>(
    first: &Header,
    second: Option<&Header>,
    account: &Account<'a>,
    headers: Option<&'a HeaderMap>,
) -> Value<'a> {
    match (header(first, account, headers), second) {
        (Value::Nothing, Some(second)) => header(second, account, headers),
        (value, _) => value,
    }
}

fn header<'a>(header: &Header, account: &Account<'a>, headers: Option<&'a HeaderMap>) -> Value<'a> {
    match header {
        Header::Authority => Value::text(account.authority),
        Header::ForwardedFor => Value::bytes(account.forwarded_for),
        Header::Method => Value::text(account.method),
        Header::Named(name) => {
            Value::bytes(headers.and_then(|headers| headers.get(name)).map(|value| value.as_bytes()))
        }
        Header::OriginalPath => Value::text(account.original_path),
        Header::Path => Value::text(account.path),
        Header::RequestId => Value::bytes(account.request_id),
        Header::Scheme => Value::text(account.scheme),
        Header::Status => Value::Number(account.response_code.into()),
        Header::UpstreamServiceTime => Value::millis(account.upstream_service_time),
        Header::UserAgent => Value::bytes(account.user_agent),
    }
}

fn without_query(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Foreign(bytes) => Value::Foreign(bytes.split(|byte| *byte == b'?').next().unwrap_or(bytes)),
        other => other,
    }
}

/// A format string's parts.
pub(super) enum Part {
    Literal(String),
    Operator(Operator),
}

/// Splits a format string into literals and operators; `%%` is a percent sign.
pub(super) fn split(format: &str) -> Result<Vec<Part>, FormatError> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        literal.push_str(before);
        if let Some(next) = after.strip_prefix('%') {
            literal.push('%');
            rest = next;
            continue;
        }
        let length = operator_length(after).ok_or_else(|| FormatError::Open(format!("%{after}")))?;
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(Part::Operator(parse(&after[..length])?));
        rest = &after[length + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

/// The length of an operator up to its closing percent sign; those within parentheses belong to its argument.
fn operator_length(text: &str) -> Option<usize> {
    let mut inside = false;
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => inside = true,
            b')' => inside = false,
            b'%' if !inside => return Some(place),
            _ => {}
        }
    }
    None
}

/// Parses `NAME`, `NAME(ARGUMENT)` or `NAME(ARGUMENT):LENGTH`.
fn parse(text: &str) -> Result<Operator, FormatError> {
    let (head, limit) = match text.rsplit_once(':') {
        Some((head, limit)) if !limit.contains(')') && (head.ends_with(')') || !head.contains('(')) => {
            let wrong = || FormatError::Argument { operator: head.to_owned(), argument: limit.to_owned() };
            (head, limit.parse().map_err(|_| wrong())?)
        }
        _ => (text, usize::MAX),
    };
    let (name, argument) = match head.split_once('(').map(|(name, rest)| (name, rest.strip_suffix(')'))) {
        Some((_, None)) => return Err(FormatError::Unknown(text.to_owned())),
        Some((name, argument)) => (name, argument),
        None => (head, None),
    };
    Ok(Operator { what: what(name, argument)?, limit })
}

fn what(name: &str, argument: Option<&str>) -> Result<What, FormatError> {
    let wrong = || FormatError::Argument {
        operator: name.to_owned(),
        argument: argument.unwrap_or_default().to_owned(),
    };
    match (name, argument) {
        ("START_TIME", _) => {
            TimeFormat::parse(argument.unwrap_or_default()).map(What::Start).ok_or_else(wrong)
        }
        ("REQ" | "REQ_WITHOUT_QUERY", Some(argument)) => {
            let (first, second) = headers(argument).ok_or_else(wrong)?;
            Ok(What::Request { first, second, with_query: name == "REQ" })
        }
        ("RESP", Some(argument)) => {
            let (first, second) = headers(argument).ok_or_else(wrong)?;
            Ok(What::Response { first, second })
        }
        ("METADATA", Some("ROUTE:weft.origin")) => Ok(What::Fact(|account| Value::text(account.origin))),
        // Filter metadata and filter state of anybody else's making: known operators that never have a value here.
        ("DYNAMIC_METADATA" | "FILTER_STATE" | "METADATA", Some(_)) => Ok(What::Fact(|_| Value::Nothing)),
        (_, Some(_)) if fact(name).is_some() => Err(wrong()),
        (_, None) => fact(name).map(What::Fact).ok_or_else(|| FormatError::Unknown(name.to_owned())),
        (_, Some(argument)) => Err(FormatError::Unknown(format!("{name}({argument})"))),
    }
}

type Fact = for<'a> fn(&Account<'a>) -> Value<'a>;

fn fact(name: &str) -> Option<Fact> {
    let fact: Fact = match name {
        "BYTES_RECEIVED" => |account| Value::Number(account.bytes_received),
        "BYTES_SENT" => |account| Value::Number(account.bytes_sent),
        "CONNECTION_TERMINATION_DETAILS" => |account| Value::token(account.termination),
        "DURATION" => |account| Value::Number(millis(account.duration)),
        "GRPC_STATUS" => |account| account.grpc_status.map_or(Value::Nothing, grpc_status),
        "GRPC_STATUS_NUMBER" => {
            |account| account.grpc_status.map_or(Value::Nothing, |status| Value::Number(status.into()))
        }
        "PROTOCOL" => |account| account.protocol.map_or(Value::Nothing, protocol),
        "REQUESTED_SERVER_NAME" => |account| Value::text(account.server_name),
        "REQUEST_DURATION" => |account| Value::millis(account.request_duration),
        "RESPONSE_CODE" => |account| Value::Number(account.response_code.into()),
        "RESPONSE_CODE_DETAILS" => |account| Value::token(account.code_details),
        "RESPONSE_DURATION" => |account| Value::millis(account.response_duration),
        "RESPONSE_FLAGS" => |account| match account.flags {
            none if none.is_empty() => Value::Nothing,
            flags => Value::Flags(flags),
        },
        "RESPONSE_TX_DURATION" => |account| {
            Value::millis(account.response_duration.map(|first| account.duration.saturating_sub(first)))
        },
        "ROUTE_NAME" => |account| Value::text(account.route_name),
        "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => |account| Value::text(account.upstream_cluster),
        "UPSTREAM_REQUEST_ATTEMPT_COUNT" => |account| Value::Number(account.attempts.into()),
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => |account| Value::token(account.upstream_failure),
        _ => return address_fact(name),
    };
    Some(fact)
}

fn address_fact(name: &str) -> Option<Fact> {
    let fact: Fact = match name {
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => |account| Value::address(account.downstream_direct),
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => |account| Value::ip(account.downstream_direct),
        "DOWNSTREAM_LOCAL_ADDRESS" => |account| Value::address(account.downstream_local),
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => |account| Value::ip(account.downstream_local),
        "DOWNSTREAM_LOCAL_PORT" => |account| Value::port(account.downstream_local),
        "DOWNSTREAM_REMOTE_ADDRESS" => |account| Value::address(account.downstream_remote),
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => |account| Value::ip(account.downstream_remote),
        "DOWNSTREAM_REMOTE_PORT" => |account| Value::port(account.downstream_remote),
        "UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS" => |account| Value::address(account.upstream_host),
        "UPSTREAM_LOCAL_ADDRESS" => |account| Value::address(account.upstream_local),
        "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => |account| Value::ip(account.upstream_local),
        "UPSTREAM_LOCAL_PORT" => |account| Value::port(account.upstream_local),
        "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => |account| Value::ip(account.upstream_host),
        "UPSTREAM_REMOTE_PORT" => |account| Value::port(account.upstream_host),
        _ => return tls_fact(name),
    };
    Some(fact)
}

fn tls_fact(name: &str) -> Option<Fact> {
    let fact: Fact = match name {
        "DOWNSTREAM_LOCAL_DNS_SAN" => |account| Value::tls(account, |tls| &tls.local_dns),
        "DOWNSTREAM_LOCAL_SUBJECT" => |account| Value::tls(account, |tls| &tls.local_subject),
        "DOWNSTREAM_LOCAL_URI_SAN" => |account| Value::tls(account, |tls| &tls.local_uris),
        "DOWNSTREAM_PEER_DNS_SAN" => |account| Value::tls(account, |tls| &tls.peer_dns),
        "DOWNSTREAM_PEER_FINGERPRINT_256" => |account| Value::tls(account, |tls| &tls.peer_fingerprint),
        "DOWNSTREAM_PEER_ISSUER" => |account| Value::tls(account, |tls| &tls.peer_issuer),
        "DOWNSTREAM_PEER_SERIAL" => |account| Value::tls(account, |tls| &tls.peer_serial),
        "DOWNSTREAM_PEER_SUBJECT" => |account| Value::tls(account, |tls| &tls.peer_subject),
        "DOWNSTREAM_PEER_URI_SAN" => |account| Value::tls(account, |tls| &tls.peer_uris),
        "DOWNSTREAM_TLS_CIPHER" => |account| Value::tls(account, |tls| tls.cipher),
        "DOWNSTREAM_TLS_VERSION" => |account| Value::tls(account, |tls| tls.version),
        _ => return None,
    };
    Some(fact)
}

/// `NAME` or `NAME?OTHER`.
fn headers(argument: &str) -> Option<(Header, Option<Header>)> {
    match argument.split_once('?') {
        Some((first, second)) => Some((header_named(first)?, Some(header_named(second)?))),
        None => Some((header_named(argument)?, None)),
    }
}

fn header_named(name: &str) -> Option<Header> {
    Some(match name.to_ascii_lowercase().as_str() {
        ":authority" | "host" => Header::Authority,
        ":method" => Header::Method,
        ":path" => Header::Path,
        ":scheme" => Header::Scheme,
        ":status" => Header::Status,
        "user-agent" => Header::UserAgent,
        "x-envoy-original-path" => Header::OriginalPath,
        "x-envoy-upstream-service-time" => Header::UpstreamServiceTime,
        "x-forwarded-for" => Header::ForwardedFor,
        "x-request-id" => Header::RequestId,
        other => Header::Named(HeaderName::from_bytes(other.as_bytes()).ok()?),
    })
}

fn protocol(version: Version) -> Value<'static> {
    Value::Ours(match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => return Value::Nothing,
    })
}

fn grpc_status(status: u16) -> Value<'static> {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    NAMES.get(usize::from(status)).map_or(Value::Number(status.into()), |name| Value::Ours(name))
}
