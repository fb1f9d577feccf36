//! What a consistent hash is made from, and the hash itself, bit for bit Envoy's.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use balance::{hash as hashed, hash_all, join};
use filter::Peer;
use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};
use proto::envoy::config::route::v3::route_action::{self as wire, hash_policy::PolicySpecifier};

use crate::read::{Wrong, duration, each, named, refuse, required};

/// What a consistent hash is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashPolicy {
    /// Where the value comes from.
    pub source: HashSource,
    /// Whether what follows is skipped once this, or one before it, gave a value.
    pub terminal: bool,
}

/// Where a hash's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashSource {
    /// A cookie; made by us and kept this long where the client has none.
    Cookie {
        /// Its name.
        name: Arc<str>,
        /// How long the client keeps it, zero for its session; none to never make one.
        ttl: Option<Duration>,
        /// The path it is for.
        path: Arc<str>,
        /// What else is said of one that is made.
        attributes: Vec<Attribute>,
    },
    /// A header; `host` is the authority, wherever it stands.
    Header(HeaderName),
    /// A query parameter.
    Query(Arc<str>),
    /// The client's address.
    SourceIp,
}

/// Something said of a cookie beside its name, value, path and life, e.g. `SameSite=Strict`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: Arc<str>,
    /// Its value, which may be empty.
    pub value: Arc<str>,
}

/// What came of hashing a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashed {
    /// The hash; none where no policy found a value.
    pub hash: Option<u64>,
    /// The cookies (`set-cookie`) that the client is to keep, so that its next request has the same hash.
    pub cookies: Vec<HeaderValue>,
}

/// A route's policies; one of a connection that names no property of it does nothing.
pub(crate) fn hash_policies(messages: &[wire::HashPolicy]) -> Result<Vec<HashPolicy>, Wrong> {
    Ok(each(messages, "hash_policy", HashPolicy::compile)?.into_iter().flatten().collect())
}

impl HashPolicy {
    fn compile(message: &wire::HashPolicy) -> Result<Option<Self>, Wrong> {
        let source = match required(&message.policy_specifier, "policy_specifier")? {
            PolicySpecifier::Header(header) => {
                refuse(header.regex_rewrite.is_some(), "header.regex_rewrite")?;
                let name = match header.header_name.to_ascii_lowercase().as_str() {
                    ":authority" => HOST,
                    name => HeaderName::try_from(name).map_err(|_| {
                        Wrong::new("header.header_name", format!("{name:?} is not a header name"))
                    })?,
                };
                HashSource::Header(name)
            }
            PolicySpecifier::Cookie(cookie) => HashSource::Cookie {
                name: named(&cookie.name, "cookie.name")?,
                // Envoy counts whole seconds.
                ttl: duration(&cookie.ttl, "cookie.ttl")?.map(|ttl| Duration::from_secs(ttl.as_secs())),
                path: cookie.path.as_str().into(),
                attributes: each(&cookie.attributes, "cookie.attributes", |attribute| {
                    let name = named(&attribute.name, "name")?;
                    Ok(Attribute { name, value: attribute.value.as_str().into() })
                })?,
            },
            PolicySpecifier::ConnectionProperties(properties) if properties.source_ip => HashSource::SourceIp,
            PolicySpecifier::QueryParameter(parameter) => {
                HashSource::Query(named(&parameter.name, "query_parameter.name")?)
            }
            PolicySpecifier::ConnectionProperties(_) => return Ok(None),
            PolicySpecifier::FilterState(_) => {
                return Err(Wrong::new("policy_specifier", "is not supported"));
            }
        };
        Ok(Some(Self { source, terminal: message.terminal }))
    }
}

/// Hashes a request by a route's policies: each value turns the hash so far by a bit and joins it.
pub(crate) fn hash(policies: &[HashPolicy], request: &http::request::Parts, peer: &Peer) -> Hashed {
    let mut all = Hashed::default();
    for policy in policies {
        let new = match &policy.source {
            HashSource::Cookie { name, ttl, path, attributes } => {
                match (cookie(&request.headers, name), ttl) {
                    (Some(value), _) => Some(hashed(value)),
                    (None, Some(ttl)) => {
                        let value = made(peer);
                        all.cookies.extend(set_cookie((name, &value), *ttl, path, attributes));
                        Some(hashed(value.as_bytes()))
                    }
                    (None, None) => None,
                }
            }
            HashSource::Header(name) => header(request, name),
            HashSource::Query(name) => query(request.uri.query().unwrap_or_default(), name),
            HashSource::SourceIp => source_ip(peer),
        };
        if let Some(new) = new {
            all.hash = Some(join(all.hash, new));
        }
        if policy.terminal && all.hash.is_some() {
            break;
        }
    }
    all
}

/// The hash of a client's address without its port; none of a Unix socket's.
pub(crate) fn source_ip(peer: &Peer) -> Option<u64> {
    Some(hashed(peer.remote.ip()?.to_canonical().to_string().as_bytes()))
}

/// Several headers of one name count in any order.
fn header(request: &http::request::Parts, name: &HeaderName) -> Option<u64> {
    if let (true, Some(authority)) = (name == HOST, request.uri.authority()) {
        return Some(hashed(authority.as_str().as_bytes()));
    }
    let mut values: Vec<&[u8]> = request.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    values.sort_unstable();
    (!values.is_empty()).then(|| hash_all(values))
}

/// The first parameter of the name, as it was written.
fn query(query: &str, name: &str) -> Option<u64> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| hashed(value.as_bytes()))
}

/// The value of a request's cookie, without quotes; none where it is empty or missing.
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|b| *b == b';'));
    let mut found = pairs.filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (pair.get(..equals)?, pair.get(equals + 1..)?);
        (key.trim_ascii() == name.as_bytes()).then(|| value.trim_ascii())
    });
    let value = found.next()?;
    let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
    Some(value).filter(|value| !value.is_empty())
}

/// The value of a cookie that is made: the same for all requests of one connection.
fn made(peer: &Peer) -> String {
    format!("{:016x}", hashed(format!("{}{}", peer.remote, peer.local).as_bytes()))
}

fn set_cookie(
    (name, value): (&str, &str),
    ttl: Duration,
    path: &str,
    attributes: &[Attribute],
) -> Option<HeaderValue> {
    let mut text = format!("{name}=\"{value}\"");
    // Writing to memory cannot fail.
    if !ttl.is_zero() {
        let _ = write!(text, "; Max-Age={}", ttl.as_secs());
    }
    if !path.is_empty() {
        let _ = write!(text, "; Path={path}");
    }
    for attribute in attributes {
        let _ = match attribute.value.is_empty() {
            true => write!(text, "; {}", attribute.name),
            false => write!(text, "; {}={}", attribute.name, attribute.value),
        };
    }
    text.push_str("; HttpOnly");
    HeaderValue::try_from(text).ok()
}
