//! Reading fields of messages: every complaint names the field's path and why.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::Origin;
use http::StatusCode;
use proto::envoy::config::core::v3::{
    self as core, Address, Metadata, SocketAddress, address, socket_address::PortSpecifier,
};
use proto::envoy::r#type::v3::Percent;
use proto::google::protobuf::{self, Struct, Value, value::Kind};

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub(crate) struct Wrong {
    path: String,
    why: String,
}

impl Wrong {
    pub(crate) fn new(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self { path: path.into(), why: why.into() }
    }

    /// The same complaint seen from one message further out.
    pub(crate) fn within(mut self, outer: impl std::fmt::Display) -> Self {
        self.path = match self.path.as_bytes().first() {
            None => outer.to_string(),
            Some(b'[') => format!("{outer}{}", self.path),
            Some(_) => format!("{outer}.{}", self.path),
        };
        self
    }
}

/// Puts the path of an outer field before that of a complaint.
pub(crate) trait Within<T> {
    fn within(self, outer: impl std::fmt::Display) -> Result<T, Wrong>;
}

impl<T> Within<T> for Result<T, Wrong> {
    fn within(self, outer: impl std::fmt::Display) -> Result<T, Wrong> {
        self.map_err(|wrong| wrong.within(outer))
    }
}

/// Gives a plain complaint its path.
pub(crate) trait At<T> {
    fn at(self, path: impl std::fmt::Display) -> Result<T, Wrong>;
}

impl<T> At<T> for Result<T, String> {
    fn at(self, path: impl std::fmt::Display) -> Result<T, Wrong> {
        self.map_err(|why| Wrong::new(path.to_string(), why))
    }
}

/// Refuses a field that is set though ignoring it would change what the author asked for.
pub(crate) fn refuse(is_set: bool, path: &str) -> Result<(), Wrong> {
    if is_set { Err(Wrong::new(path, "is not supported")) } else { Ok(()) }
}

/// Applies a reader to each element, with its index in the path.
pub(crate) fn each<T, U>(
    list: &[T],
    path: &str,
    mut read: impl FnMut(&T) -> Result<U, Wrong>,
) -> Result<Vec<U>, Wrong> {
    list.iter().enumerate().map(|(i, item)| read(item).within(format_args!("{path}[{i}]"))).collect()
}

/// A required message.
pub(crate) fn required<'m, T>(message: &'m Option<T>, path: &str) -> Result<&'m T, Wrong> {
    message.as_ref().ok_or_else(|| Wrong::new(path, "is missing"))
}

/// A duration, which may not be negative.
pub(crate) fn duration(message: &Option<protobuf::Duration>, path: &str) -> Result<Option<Duration>, Wrong> {
    let Some(message) = message else { return Ok(None) };
    match (u64::try_from(message.seconds), u32::try_from(message.nanos)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Ok(Some(Duration::new(seconds, nanos))),
        _ => Err(Wrong::new(path, "is not a duration of zero or more")),
    }
}

/// A duration of which zero means that there is no limit.
pub(crate) fn limit(message: &Option<protobuf::Duration>, path: &str) -> Result<Option<Duration>, Wrong> {
    Ok(duration(message, path)?.filter(|d| !d.is_zero()))
}

/// The value of a wrapped boolean.
pub(crate) fn flag(message: &Option<protobuf::BoolValue>, default: bool) -> bool {
    message.as_ref().map_or(default, |m| m.value)
}

/// The value of a wrapped number.
pub(crate) fn number(message: &Option<protobuf::UInt32Value>) -> Option<u32> {
    message.as_ref().map(|m| m.value)
}

/// A percentage.
pub(crate) fn percent(message: &Option<Percent>, path: &str) -> Result<Option<f64>, Wrong> {
    match message {
        None => Ok(None),
        Some(Percent { value }) if (0.0..=100.0).contains(value) => Ok(Some(*value)),
        Some(Percent { value }) => Err(Wrong::new(path, format!("{value} is not a percentage"))),
    }
}

/// A number that must be a port.
pub(crate) fn port(number: u32, path: &str) -> Result<u16, Wrong> {
    u16::try_from(number).map_err(|_| Wrong::new(path, format!("{number} is not a port")))
}

/// A number that must be an HTTP status a response can have.
pub(crate) fn status(number: u32, path: &str) -> Result<StatusCode, Wrong> {
    u16::try_from(number)
        .ok()
        .filter(|n| (200..600).contains(n))
        .and_then(|n| StatusCode::from_u16(n).ok())
        .ok_or_else(|| Wrong::new(path, format!("{number} is not a status between 200 and 599")))
}

/// A list entry that must be set to something.
pub(crate) fn named(text: &str, path: &str) -> Result<Arc<str>, Wrong> {
    if text.is_empty() { Err(Wrong::new(path, "is empty")) } else { Ok(text.into()) }
}

/// An address of a host: numbers, or a name to be resolved.
pub(crate) enum HostPort {
    Address(SocketAddr),
    Pipe(Pipe),
    Name(Arc<str>, u16),
}

/// An address of a host.
pub(crate) fn host_port(message: &Option<Address>) -> Result<HostPort, Wrong> {
    match required(message, "address")?.address.as_ref() {
        Some(address::Address::SocketAddress(socket)) => {
            socket_host_port(socket).within("address.socket_address")
        }
        Some(address::Address::Pipe(pipe)) => Ok(HostPort::Pipe(self::pipe(pipe).within("address.pipe")?)),
        Some(address::Address::EnvoyInternalAddress(_)) => {
            Err(Wrong::new("address.envoy_internal_address", "is not supported"))
        }
        None => Err(Wrong::new("address", "is empty")),
    }
}

fn socket_host_port(socket: &SocketAddress) -> Result<HostPort, Wrong> {
    if socket.protocol != 0 {
        return Err(Wrong::new("protocol", "only TCP is supported"));
    }
    refuse(!socket.resolver_name.is_empty(), "resolver_name")?;
    refuse(!socket.network_namespace_filepath.is_empty(), "network_namespace_filepath")?;
    let port = match &socket.port_specifier {
        Some(PortSpecifier::PortValue(number)) => port(*number, "port_value")?,
        Some(PortSpecifier::NamedPort(_)) => return Err(Wrong::new("named_port", "is not supported")),
        None => 0,
    };
    match socket.address.parse::<IpAddr>() {
        Ok(ip) => Ok(HostPort::Address(SocketAddr::new(ip, port))),
        Err(_) => Ok(HostPort::Name(named(&socket.address, "address")?, port)),
    }
}

/// An address that must be one of numbers.
pub(crate) fn socket_address(message: &Option<Address>) -> Result<SocketAddr, Wrong> {
    match host_port(message)? {
        HostPort::Address(address) => Ok(address),
        HostPort::Name(name, _) => Err(not_an_ip(&name)),
        HostPort::Pipe(_) => Err(Wrong::new("address.pipe", "is no IP address")),
    }
}

/// Where a listener listens: an address of numbers or a Unix socket, the latter with its permissions.
pub(crate) fn listened(message: &Option<Address>) -> Result<(base::Address, Option<u32>), Wrong> {
    match host_port(message)? {
        HostPort::Address(address) => Ok((address.into(), None)),
        HostPort::Name(name, _) => Err(not_an_ip(&name)),
        HostPort::Pipe(pipe) => Ok((base::Address::Pipe(pipe.path), pipe.mode)),
    }
}

fn not_an_ip(name: &str) -> Wrong {
    Wrong::new("address.socket_address.address", format!("{name:?} is not an IP address"))
}

/// A Unix socket.
pub(crate) struct Pipe {
    pub(crate) path: Arc<str>,
    /// The permissions of its file; none for those it is made with.
    pub(crate) mode: Option<u32>,
}

/// The kernel takes no longer path.
const LONGEST_PATH: usize = 107;

fn pipe(message: &core::Pipe) -> Result<Pipe, Wrong> {
    let path = named(&message.path, "path")?;
    if path.len() > LONGEST_PATH {
        return Err(Wrong::new("path", format!("is longer than {LONGEST_PATH} bytes")));
    }
    if !path.starts_with(['/', '@']) || path.len() == 1 || path.contains('\0') {
        let why = "is neither absolute nor, after an `@`, the name of an abstract socket";
        return Err(Wrong::new("path", format!("{path:?} {why}")));
    }
    if message.mode > 0o777 {
        return Err(Wrong::new(
            "mode",
            format!("{:o} has more than the nine bits of permissions", message.mode),
        ));
    }
    if message.mode != 0 && path.starts_with('@') {
        return Err(Wrong::new("mode", "is for sockets that are files"));
    }
    Ok(Pipe { path, mode: Some(message.mode).filter(|mode| *mode != 0) })
}

/// One field of a filter's metadata.
pub(crate) fn metadata<'m>(metadata: &'m Option<Metadata>, filter: &str, field: &str) -> Option<&'m Value> {
    metadata.as_ref()?.filter_metadata.get(filter)?.fields.get(field)
}

/// A value's text.
pub(crate) fn text(value: &Value) -> Option<&str> {
    match value.kind.as_ref()? {
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The object that decided something, where our own control plane says so.
pub(crate) fn origin(message: &Option<Metadata>) -> Option<Origin> {
    let object = text(metadata(message, "weft.origin", "object")?)?;
    let path = metadata(message, "weft.origin", "path").and_then(text).unwrap_or_default();
    object.parse::<Origin>().ok().map(|origin| origin.at(path))
}

/// The object's path in the API, where istiod or our own control plane says so.
pub(crate) fn config(message: &Option<Metadata>) -> Option<Arc<str>> {
    metadata(message, "istio", "config").and_then(text).map(Into::into)
}

/// Whether every field of `part` stands in `whole` with the same value.
pub(crate) fn is_subset(part: &Struct, whole: Option<&Struct>) -> bool {
    part.fields.iter().all(|(key, value)| whole.is_some_and(|whole| whole.fields.get(key) == Some(value)))
}
