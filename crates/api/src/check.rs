//! Rules for single values that several kinds share: names, hosts, labels, headers, regular expressions.

use std::net::IpAddr;

use base::Protocol;
use ipnet::IpNet;
use regex::RegexBuilder;

use crate::read::At;

/// The most memory a compiled regular expression may take, and the longest one that is tried.
const REGEX_BYTES: usize = 1 << 20;
const REGEX_LENGTH: usize = 1024 * 4;

/// Whether this is an RFC 1123 label: lower-case letters, digits and dashes, at most 63.
pub(crate) fn is_label(text: &str) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| edge(b) || b == b'-')
        && text.bytes().next().is_some_and(edge)
        && text.bytes().last().is_some_and(edge)
}

/// Whether this is an RFC 1123 subdomain: labels joined by dots, at most 253 characters.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && !text.is_empty() && text.split('.').all(is_label)
}

/// Whether this is a host name as Istio takes it: labels of any case that may begin and end with letters and
/// digits only, at most 255 characters, a closing dot allowed.
pub(crate) fn is_fqdn(text: &str) -> bool {
    let bare = text.strip_suffix('.').unwrap_or(text);
    !bare.is_empty() && text.len() <= 255 && bare.split('.').all(is_host_label) && has_named_top(bare)
}

/// A host name that ends in an all-digit label is an address in disguise.
fn has_named_top(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|top| !top.bytes().all(|b| b.is_ascii_digit()))
}

fn is_host_label(label: &str) -> bool {
    let edge = |b: u8| b.is_ascii_alphanumeric();
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| edge(b) || b == b'-')
        && label.bytes().next().is_some_and(edge)
        && label.bytes().last().is_some_and(edge)
}

/// What is wrong with a host that may begin with `*`; None if nothing is.
pub(crate) fn wildcard_host_error(text: &str) -> Option<String> {
    let fault = if text.is_empty() {
        "a host is empty".to_owned()
    } else if text.len() > 255 {
        format!("the host is too long ({} characters of 255)", text.len())
    } else if text == "*" || text.strip_prefix('*').is_some_and(is_host_tail) || is_fqdn(text) {
        return None;
    } else if text.get(1..).is_some_and(|rest| rest.contains('*')) {
        format!("{text:?} is an invalid host: `*` may stand at its beginning only")
    } else {
        format!("{text:?} is an invalid host name")
    };
    Some(fault)
}

/// What may follow the star: `.bar.com`, `-foo.bar.com`, `foo`.
fn is_host_tail(tail: &str) -> bool {
    match tail.strip_prefix(['.', '-']) {
        Some(name) => is_fqdn(name),
        None => is_fqdn(tail),
    }
}

/// What is wrong with a server name of TLS: a host, or `outbound_.PORT_.SUBSET_.HOST` as proxies call each other.
pub(crate) fn sni_error(text: &str) -> Option<String> {
    let generated = text.strip_prefix("outbound_.").and_then(|rest| {
        let (port, rest) = rest.split_once("_.")?;
        let (subset, host) = rest.split_once("_.")?;
        let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        (is_port && (subset.is_empty() || is_label(subset))).then_some(host)
    });
    wildcard_host_error(generated.unwrap_or(text))
}

/// The network in CIDR notation, or of a single address.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Whether this is `HOST:PORT`.
pub(crate) fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_host = bare.parse::<IpAddr>().is_ok() || is_fqdn(bare);
    is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Checks a field that is empty or names a namespace.
pub(crate) fn namespace(at: &At<'_>, name: &str) {
    if let Some(field) = at.field(name)
        && field.node.text().is_some_and(|text| !text.is_empty() && !is_label(text))
    {
        field.error("wrong-value", "this is not a namespace's name");
    }
}

/// Checks the sum of the weights of several destinations.
pub(crate) fn weights(at: &At<'_>, sum: u64) {
    if sum == 0 {
        at.error("wrong-value", "the weights add up to zero: no destination would get anything");
    } else if sum > u64::from(u32::MAX) {
        at.error("wrong-value", "the weights add up to more than 4294967295");
    }
}

/// Whether this is an address or a network in CIDR notation.
pub(crate) fn is_address_or_network(text: &str) -> bool {
    match text.split_once('/') {
        None => text.parse::<IpAddr>().is_ok(),
        Some((address, length)) => match (address.parse::<IpAddr>(), length.parse::<u8>()) {
            (Ok(address), Ok(length)) => length <= if address.is_ipv4() { 32 } else { 128 },
            _ => false,
        },
    }
}

/// Checks a map of labels: Kubernetes' syntax of keys and values.
pub(crate) fn labels(at: &At<'_>) {
    for entry in at.entries() {
        let value = entry.node.text().unwrap_or_default();
        if !is_qualified_name(entry.name()) {
            entry.error_at_key("wrong-value", format!("{:?} is not a label's name", entry.name()));
        }
        if !value.is_empty() && !is_name_part(value) {
            entry.error("wrong-value", format!("{value:?} is not a label's value"));
        }
    }
}

/// Checks a map of labels by which workloads are chosen: such labels are whole.
pub(crate) fn selector(at: &At<'_>) {
    for entry in at.entries() {
        let is_wild = entry.name().contains('*') || entry.node.text().is_some_and(|text| text.contains('*'));
        if is_wild {
            entry.error("wrong-value", "a selector knows no wildcards");
        }
    }
    labels(at);
}

/// Whether this is `name` or `prefix.example/name`, as labels and annotations are called.
pub(crate) fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_name_part(name),
        None => is_name_part(text),
    }
}

fn is_name_part(text: &str) -> bool {
    let edge = |b: u8| b.is_ascii_alphanumeric();
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| edge(b) || matches!(b, b'-' | b'_' | b'.'))
        && text.bytes().next().is_some_and(edge)
        && text.bytes().last().is_some_and(edge)
}

/// Whether this may name an HTTP header.
pub(crate) fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// What is wrong with a header's value: a control character, or a `%` that is neither doubled nor part of a
/// `%COMMAND%` as Envoy has them.
pub(crate) fn header_value_error(value: &str) -> Option<String> {
    if value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
        return Some("a header's value cannot hold a line break".into());
    }
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('%') {
        match after.strip_prefix('%').or_else(|| command_tail(after)) {
            Some(tail) => rest = tail,
            None => return Some(format!("{value:?} has a lone `%`; write `%%`")),
        }
    }
    None
}

/// What follows a command `NAME(arguments):length%`.
fn command_tail(text: &str) -> Option<&str> {
    let name = text.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))?;
    if name == 0 || !text.starts_with(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    let mut rest = text.get(name..)?;
    if rest.starts_with('(') {
        rest = rest.get(rest.find(')')? + 1..)?;
    }
    if let Some(length) = rest.strip_prefix(':') {
        rest = length.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    rest.strip_prefix('%')
}

/// What is wrong with a regular expression of RE2's kind; None if nothing is.
pub(crate) fn regex_error(pattern: &str) -> Option<String> {
    if pattern.len() > REGEX_LENGTH {
        return Some(format!("the regular expression is longer than {REGEX_LENGTH} bytes"));
    }
    let error = RegexBuilder::new(pattern).size_limit(REGEX_BYTES).nest_limit(200).build().err()?;
    // The library draws the expression over several lines; the last one says what is wrong with it.
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
    Some(format!("the regular expression {pattern:?} does not compile: {reason}"))
}

/// A final HTTP status.
pub(crate) fn status(at: &At<'_>) -> Option<u16> {
    let status = at.int().and_then(|value| u16::try_from(value).ok()).filter(|s| (200..=599).contains(s));
    if status.is_none() && at.int().is_some() {
        at.error("wrong-value", "a status is between 200 and 599");
    }
    status
}

/// The protocol Istio's objects call by this name, whatever its case.
pub(crate) fn protocol(name: &str) -> Option<Protocol> {
    Some(match name.to_ascii_uppercase().as_str() {
        "GRPC" => Protocol::Grpc,
        "GRPC-WEB" => Protocol::GrpcWeb,
        "HTTP" => Protocol::Http,
        "HTTP2" => Protocol::Http2,
        "HTTPS" => Protocol::Https,
        "HTTP_PROXY" => Protocol::HttpProxy,
        "MONGO" => Protocol::Mongo,
        "MYSQL" => Protocol::Mysql,
        "REDIS" => Protocol::Redis,
        "TCP" => Protocol::Tcp,
        "TLS" => Protocol::Tls,
        "UDP" => Protocol::Udp,
        _ => return None,
    })
}

/// The protocol of a port, which is found out where none is named.
pub(crate) fn port_protocol(port: &At<'_>) -> Protocol {
    let protocol = match port.text("protocol") {
        None => Protocol::Auto,
        Some(text) => protocol(text).unwrap_or_else(|| {
            port.error("wrong-value", format!("{text:?} is no protocol this mesh knows"));
            Protocol::Auto
        }),
    };
    stream_protocol(port.field("protocol").as_ref().unwrap_or(port), protocol);
    protocol
}

/// Reports a protocol that is carried without being understood, or not at all.
pub(crate) fn stream_protocol(at: &At<'_>, protocol: Protocol) {
    match protocol {
        Protocol::Mongo | Protocol::Mysql | Protocol::Redis => {
            at.warn("unsupported-field", format!("{protocol:?} is carried as TCP, without a look inside"));
        }
        Protocol::Udp => at.warn("unsupported-field", "no proxy takes datagrams: this port is left alone"),
        _ => {}
    }
}

/// Decodes standard base64 with padding.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    let body = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut bytes = Vec::with_capacity(body.len() / 4 * 3 + 2);
    for group in body.chunks(4) {
        let mut bits = 0u32;
        for byte in group {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let missing = 4 - group.len();
        let [_, whole @ ..] = (bits << (6 * missing)).to_be_bytes();
        bytes.extend(whole.into_iter().take(3 - missing));
    }
    Some(bytes)
}

/// The known word that is most like this one, if any is like it at all.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(word);
    if folded.len() > 64 {
        return None;
    }
    known
        .map(|candidate| (distance(&folded, &fold(candidate)), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .map(|(_, candidate)| candidate)
}

/// Case, dashes and underscores make no difference: `mirror_percentage` is `mirrorPercentage`.
fn fold(word: &str) -> Vec<char> {
    word.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// The number of insertions, deletions, changes and swaps of neighbours between two words.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let cell = |line: &[usize], at: usize| line.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut best = (cell(&last, j) + usize::from(x != y)).min(cell(&last, j + 1) + 1);
            best = best.min(cell(&row, j) + 1);
            let swapped = j > 0 && i > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(cell(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
