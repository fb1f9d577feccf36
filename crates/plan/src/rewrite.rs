//! New paths and hosts: for the request that is forwarded, and for the client that is sent elsewhere.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use filter::Exchange;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, StatusCode};
use proto::envoy::config::route::v3::redirect_action::{PathRewriteSpecifier, SchemeRewriteSpecifier};
use proto::envoy::config::route::v3::route_action::HostRewriteSpecifier;
use proto::envoy::config::route::v3::{RedirectAction, RouteAction};
use proto::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;
use regex::bytes::{Regex, RegexBuilder};

use crate::read::{At, Within, Wrong, port, refuse, required};

/// What becomes of a forwarded request's path and host.
#[derive(Clone, Debug)]
pub struct Rewrite {
    path: NewPath,
    host: NewHost,
    /// Whether the host before goes into `x-forwarded-host`.
    pub append_forwarded_host: bool,
}

#[derive(Clone, Debug)]
enum NewPath {
    /// In place of what the route's path condition matched.
    Matched(Arc<str>),
    Regex(Substitution),
    Same,
}

#[derive(Clone, Debug)]
enum NewHost {
    Header(HeaderName),
    Literal(HeaderValue),
    Path(Substitution),
    Same,
    Upstream,
}

#[derive(Clone, Debug)]
struct Substitution {
    pattern: Regex,
    replacement: Vec<u8>,
}

impl Substitution {
    fn compile(message: &RegexMatchAndSubstitute) -> Result<Self, Wrong> {
        let pattern = &required(&message.pattern, "pattern")?.regex;
        let build = |unicode| RegexBuilder::new(pattern).unicode(unicode).size_limit(4 << 20).build();
        let compiled = build(false).or_else(|_| build(true));
        let pattern = compiled.map_err(|e| Wrong::new("pattern", format!("regex {pattern:?}: {e}")))?;
        let replacement = replacement(&message.substitution, pattern.captures_len()).at("substitution")?;
        Ok(Self { pattern, replacement })
    }

    fn apply(&self, text: &str) -> Option<String> {
        let new = self.pattern.replace_all(text.as_bytes(), self.replacement.as_slice());
        String::from_utf8(new.into_owned()).ok()
    }
}

/// `\1` in RE2's spelling as `${1}` in ours.
fn replacement(text: &str, groups: usize) -> Result<Vec<u8>, String> {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '$' => out.push_str("$$"),
            '\\' => match characters.next() {
                Some('\\') => out.push('\\'),
                Some(digit) if digit.to_digit(10).is_some_and(|group| (group as usize) < groups) => {
                    out.push_str(&format!("${{{digit}}}"));
                }
                _ => return Err(format!("{text:?} refers to a group that is not there")),
            },
            c => out.push(c),
        }
    }
    Ok(out.into_bytes())
}

impl Rewrite {
    pub(crate) fn compile(message: &RouteAction) -> Result<Self, Wrong> {
        refuse(message.path_rewrite_policy.is_some(), "path_rewrite_policy")?;
        refuse(!message.path_rewrite.is_empty(), "path_rewrite")?;
        let path = match (&message.regex_rewrite, message.prefix_rewrite.as_str()) {
            (Some(_), rewrite) if !rewrite.is_empty() => {
                return Err(Wrong::new("regex_rewrite", "stands beside prefix_rewrite"));
            }
            (Some(regex), _) => NewPath::Regex(Substitution::compile(regex).within("regex_rewrite")?),
            (None, "") => NewPath::Same,
            (None, rewrite) => NewPath::Matched(rewrite.into()),
        };
        let host = match &message.host_rewrite_specifier {
            Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => NewHost::Literal(literal(host)?),
            Some(HostRewriteSpecifier::AutoHostRewrite(auto)) if auto.value => NewHost::Upstream,
            Some(HostRewriteSpecifier::AutoHostRewrite(_)) | None => NewHost::Same,
            Some(HostRewriteSpecifier::HostRewriteHeader(name)) => {
                let wrong = |_| Wrong::new("host_rewrite_header", format!("{name:?} is not a header name"));
                NewHost::Header(HeaderName::try_from(name).map_err(wrong)?)
            }
            Some(HostRewriteSpecifier::HostRewritePathRegex(regex)) => {
                NewHost::Path(Substitution::compile(regex).within("host_rewrite_path_regex")?)
            }
            Some(HostRewriteSpecifier::HostRewrite(_)) => {
                return Err(Wrong::new("host_rewrite", "is not supported"));
            }
        };
        Ok(Self { path, host, append_forwarded_host: message.append_x_forwarded_host })
    }

    /// Whether the request's host becomes the endpoint's host name.
    pub fn takes_host_of_upstream(&self) -> bool {
        matches!(self.host, NewHost::Upstream)
    }

    /// The new path and query for an old one of which the route matched the first `matched` bytes.
    pub fn path(&self, path_and_query: &str, matched: usize) -> Option<String> {
        new_path(&self.path, path_and_query, matched)
    }

    /// The new host, where it does not come from the endpoint.
    pub fn host(&self, request: &http::request::Parts) -> Option<HeaderValue> {
        match &self.host {
            NewHost::Header(name) => request.headers.get(name).filter(|value| !value.is_empty()).cloned(),
            NewHost::Literal(host) => Some(host.clone()),
            NewHost::Path(substitution) => {
                HeaderValue::from_str(&substitution.apply(path_of(request.uri.path()))?).ok()
            }
            NewHost::Same | NewHost::Upstream => None,
        }
    }

    /// Applies both to a request about to be forwarded. `weighted` is the host its weighted cluster asks for;
    /// `upstream` the name of its endpoint, where that is to be the host; `tells` whether the old path goes into
    /// `x-envoy-original-path`.
    pub fn apply(&self, x: &mut Exchange, matched: usize, hosts: HostNames<'_>, tells: bool) {
        // The host may be made from the path that came in.
        let mut host = hosts.weighted.cloned().or_else(|| self.host(&x.request));
        if let (NewHost::Upstream, Some(name)) = (&self.host, hosts.upstream) {
            host = HeaderValue::from_str(name).ok();
        }
        let old = x.request.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        if let Some(new) = self.path(old, matched) {
            if let (true, Ok(value)) = (tells, HeaderValue::from_str(old)) {
                x.request.headers.insert("x-envoy-original-path", value);
            }
            set_path(&mut x.request, &new);
        }
        if let Some(host) = host {
            let before = authority(&x.request).and_then(|host| HeaderValue::from_bytes(host).ok());
            if let (true, Some(before)) = (self.append_forwarded_host, before.clone()) {
                x.request.headers.append("x-forwarded-host", before);
            }
            if let (true, Some(before)) = (tells, before) {
                x.request.headers.insert("x-envoy-original-host", before);
            }
            set_host(&mut x.request, host);
        }
    }
}

/// Hosts that come from what was chosen for a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostNames<'a> {
    /// The one its weighted cluster asks for.
    pub weighted: Option<&'a HeaderValue>,
    /// The name of its endpoint.
    pub upstream: Option<&'a str>,
}

fn literal(host: &str) -> Result<HeaderValue, Wrong> {
    HeaderValue::from_str(host)
        .map_err(|_| Wrong::new("host_rewrite_literal", format!("{host:?} is not a header value")))
}

/// A literal host, as a weighted cluster has one.
pub(crate) fn host_literal(host: &str) -> Result<HeaderValue, Wrong> {
    literal(host)
}

fn new_path(rule: &NewPath, path_and_query: &str, matched: usize) -> Option<String> {
    let (path, query) = split(path_and_query);
    match rule {
        NewPath::Same => None,
        NewPath::Matched(new) => {
            let rest = path.get(matched.min(path.len())..)?;
            Some(format!("{new}{rest}{query}"))
        }
        NewPath::Regex(substitution) => {
            // Like Envoy, which tells the old path even where the pattern is not in it.
            Some(format!("{}{query}", substitution.apply(path)?))
        }
    }
}

/// A path, and its query with the question mark.
fn split(path_and_query: &str) -> (&str, &str) {
    path_and_query.split_at(path_and_query.find('?').unwrap_or(path_and_query.len()))
}

fn path_of(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

fn authority(request: &http::request::Parts) -> Option<&[u8]> {
    match request.uri.authority() {
        Some(authority) => Some(authority.as_str().as_bytes()),
        None => request.headers.get(http::header::HOST).map(HeaderValue::as_bytes),
    }
}

/// Puts a path into a request; one that no URI can carry changes nothing.
fn set_path(request: &mut http::request::Parts, path: &str) {
    // A path without its slash would be read as an authority.
    let rooted = if path.starts_with('/') { Cow::Borrowed(path) } else { Cow::Owned(format!("/{path}")) };
    let mut parts = request.uri.clone().into_parts();
    if let Ok(path) = PathAndQuery::try_from(&*rooted) {
        parts.path_and_query = Some(path);
        if let Ok(uri) = http::Uri::from_parts(parts) {
            request.uri = uri;
        }
    }
}

/// Puts a host into a request, wherever it had one.
fn set_host(request: &mut http::request::Parts, host: HeaderValue) {
    if request.uri.authority().is_some() {
        let mut parts = request.uri.clone().into_parts();
        if let Ok(authority) = Authority::try_from(host.as_bytes()) {
            parts.authority = Some(authority);
            if let Ok(uri) = http::Uri::from_parts(parts) {
                request.uri = uri;
            }
        }
        if !request.headers.contains_key(http::header::HOST) {
            return;
        }
    }
    request.headers.insert(http::header::HOST, host);
}

/// Sends the client elsewhere.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// With this status.
    pub status: StatusCode,
    scheme: Option<Arc<str>>,
    host: Option<Arc<str>>,
    port: Option<u16>,
    path: RedirectPath,
    strip_query: bool,
}

#[derive(Clone, Debug)]
enum RedirectPath {
    Rewritten(NewPath),
    /// A path of its own; its own query, where it has one, takes the place of the request's.
    Whole(Arc<str>),
}

impl Redirect {
    pub(crate) fn compile(message: &RedirectAction) -> Result<Self, Wrong> {
        let some = |text: &str| Some(text).filter(|text| !text.is_empty()).map(Arc::from);
        Ok(Self {
            status: match message.response_code {
                0 => StatusCode::MOVED_PERMANENTLY,
                1 => StatusCode::FOUND,
                2 => StatusCode::SEE_OTHER,
                3 => StatusCode::TEMPORARY_REDIRECT,
                4 => StatusCode::PERMANENT_REDIRECT,
                other => return Err(Wrong::new("response_code", format!("{other} is not known"))),
            },
            scheme: match &message.scheme_rewrite_specifier {
                Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => Some("https".into()),
                Some(SchemeRewriteSpecifier::HttpsRedirect(false)) | None => None,
                Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => some(scheme),
            },
            host: some(&message.host_redirect),
            port: Some(port(message.port_redirect, "port_redirect")?).filter(|port| *port != 0),
            path: match &message.path_rewrite_specifier {
                Some(PathRewriteSpecifier::PathRedirect(path)) if !path.is_empty() => {
                    RedirectPath::Whole(path.as_str().into())
                }
                Some(PathRewriteSpecifier::PrefixRewrite(prefix)) if !prefix.is_empty() => {
                    RedirectPath::Rewritten(NewPath::Matched(prefix.as_str().into()))
                }
                Some(PathRewriteSpecifier::RegexRewrite(regex)) => RedirectPath::Rewritten(NewPath::Regex(
                    Substitution::compile(regex).within("regex_rewrite")?,
                )),
                Some(PathRewriteSpecifier::PathRewrite(_)) => {
                    return Err(Wrong::new("path_rewrite", "is not supported"));
                }
                Some(PathRewriteSpecifier::PathRedirect(_) | PathRewriteSpecifier::PrefixRewrite(_))
                | None => RedirectPath::Rewritten(NewPath::Same),
            },
            strip_query: message.strip_query,
        })
    }

    /// Where the client is sent, for a request that came by `scheme` to `authority`.
    pub fn location(&self, scheme: &str, authority: &str, path_and_query: &str, matched: usize) -> String {
        let new_scheme = self.scheme.as_deref().unwrap_or(scheme);
        let host = match &self.host {
            Some(host) => host,
            None => self.old_host(scheme, new_scheme, authority),
        };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let (_, query) = split(path_and_query);
        let path: Cow<'_, str> = match &self.path {
            RedirectPath::Whole(path) if path.contains('?') => {
                return format!("{new_scheme}://{host}{port}{path}");
            }
            RedirectPath::Whole(path) => format!("{path}{query}").into(),
            RedirectPath::Rewritten(rule) => match new_path(rule, path_and_query, matched) {
                Some(path) => path.into(),
                None => path_and_query.into(),
            },
        };
        let path = if self.strip_query { split(&path).0 } else { &path };
        format!("{new_scheme}://{host}{port}{path}")
    }

    /// The request's own host: without its port where a new one is set, or where it was the old scheme's own.
    fn old_host<'a>(&self, scheme: &str, new_scheme: &str, authority: &'a str) -> &'a str {
        let host = crate::hosts::without_port(authority);
        let had = authority.get(host.len()..).unwrap_or_default();
        let was_default = matches!((scheme, had), ("https", ":443") | ("http", ":80"));
        if self.port.is_some() || (new_scheme != scheme && was_default) { host } else { authority }
    }
}
