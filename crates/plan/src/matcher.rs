//! The conditions under which a route takes a request.

#[cfg(test)]
mod tests;

use filter::{HeaderMatch, Share, StringMatch};
use proto::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use proto::envoy::config::route::v3::route_match::PathSpecifier;
use proto::envoy::config::route::v3::{QueryParameterMatcher, RouteMatch};
use regex::bytes::Regex;

use crate::read::{At, Wrong, each, flag, refuse, required};
use crate::request::Request;

/// All conditions of one route.
#[derive(Clone, Debug)]
pub struct Conditions {
    pub(crate) path: PathMatch,
    headers: Vec<HeaderMatch>,
    query: Vec<QueryMatch>,
    share: Option<Share>,
    grpc: bool,
}

/// A condition on the path without its query.
#[derive(Clone, Debug)]
pub(crate) struct PathMatch {
    kind: PathKind,
    ignore_case: bool,
}

#[derive(Clone, Debug)]
enum PathKind {
    /// Any CONNECT request, which has no path.
    Connect,
    Exact(Box<str>),
    Prefix(Box<str>),
    Regex(Box<Regex>),
    /// A prefix that ends where a segment does.
    Segments(Box<str>),
}

#[derive(Clone, Debug)]
struct QueryMatch {
    name: Box<str>,
    test: QueryTest,
}

#[derive(Clone, Debug)]
enum QueryTest {
    Present(bool),
    Text(StringMatch),
}

/// The condition that a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// A gRPC call is wanted.
    Grpc,
    /// The condition on a header at this place.
    Header(usize),
    /// The path.
    Path,
    /// The condition on a query parameter at this place.
    Query(usize),
    /// The share of requests that are taken at all.
    Share,
}

impl Conditions {
    pub(crate) fn compile(message: &RouteMatch) -> Result<Self, Wrong> {
        // To ignore a condition would take requests that were not meant.
        refuse(!message.cookies.is_empty(), "cookies")?;
        refuse(message.tls_context.is_some(), "tls_context")?;
        refuse(!message.dynamic_metadata.is_empty(), "dynamic_metadata")?;
        refuse(!message.filter_state.is_empty(), "filter_state")?;
        let share =
            match message.runtime_fraction.as_ref().and_then(|fraction| fraction.default_value.as_ref()) {
                Some(share) => Some(Share::compile(share).at("runtime_fraction.default_value")?),
                None => None,
            };
        Ok(Self {
            path: PathMatch::compile(message)?,
            headers: each(&message.headers, "headers", |m| HeaderMatch::compile(m).at(&m.name))?,
            query: each(&message.query_parameters, "query_parameters", QueryMatch::compile)?,
            share: share.filter(|share| *share < Share::ALL),
            grpc: message.grpc.is_some(),
        })
    }

    /// The first condition a request does not fulfil; none where it fulfils all.
    pub fn unmet(&self, request: &Request<'_>) -> Option<Unmet> {
        let takes = match self.path.kind {
            PathKind::Connect => request.parts.method == http::Method::CONNECT,
            // Such a request has no path.
            _ => request.parts.method != http::Method::CONNECT && self.path.matches(request.path()),
        };
        if !takes {
            return Some(Unmet::Path);
        }
        if self.grpc && !is_grpc(request.parts) {
            return Some(Unmet::Grpc);
        }
        if let Some(place) = self.headers.iter().position(|condition| !condition.matches(request.parts)) {
            return Some(Unmet::Header(place));
        }
        if let Some(place) = self.query.iter().position(|condition| !condition.matches(request.query())) {
            return Some(Unmet::Query(place));
        }
        // Drawn from other bits than those that choose among weights.
        let share = self.share.filter(|share| !share.includes(request.random.rotate_left(32)));
        share.map(|_| Unmet::Share)
    }

    /// How many bytes of a path that fulfils the conditions a rewrite of the prefix replaces.
    pub fn matched(&self, path: &str) -> usize {
        match &self.path.kind {
            PathKind::Prefix(prefix) | PathKind::Segments(prefix) => prefix.len().min(path.len()),
            PathKind::Connect | PathKind::Exact(_) | PathKind::Regex(_) => path.len(),
        }
    }

    /// The condition on the path as Envoy would write it, e.g. `prefix /api`.
    pub fn path_text(&self) -> String {
        match &self.path.kind {
            PathKind::Connect => "connect".to_owned(),
            PathKind::Exact(path) => format!("path {path}"),
            PathKind::Prefix(path) => format!("prefix {path}"),
            PathKind::Regex(regex) => format!("regex {regex}"),
            PathKind::Segments(path) => format!("path_separated_prefix {path}"),
        }
    }
}

impl PathMatch {
    fn compile(message: &RouteMatch) -> Result<Self, Wrong> {
        let ignore_case = !flag(&message.case_sensitive, true);
        let fold = |text: &str| {
            if ignore_case { text.to_ascii_lowercase() } else { text.to_owned() }.into_boxed_str()
        };
        let kind = match required(&message.path_specifier, "path_specifier")? {
            PathSpecifier::Path(path) => PathKind::Exact(fold(path)),
            PathSpecifier::Prefix(prefix) => PathKind::Prefix(fold(prefix)),
            PathSpecifier::PathSeparatedPrefix(prefix) => {
                if !prefix.starts_with('/')
                    || prefix.len() < 2
                    || prefix.ends_with('/')
                    || prefix.contains(['?', '#'])
                {
                    return Err(Wrong::new(
                        "path_separated_prefix",
                        format!("{prefix:?} is no path of whole segments"),
                    ));
                }
                PathKind::Segments(fold(prefix))
            }
            PathSpecifier::SafeRegex(regex) => {
                PathKind::Regex(Box::new(filter::full_regex(&regex.regex).at("safe_regex")?))
            }
            PathSpecifier::ConnectMatcher(_) => PathKind::Connect,
            PathSpecifier::PathMatchPolicy(_) => {
                return Err(Wrong::new("path_match_policy", "is not supported"));
            }
        };
        // A regular expression says itself what letters it takes.
        let ignore_case = ignore_case && !matches!(kind, PathKind::Regex(_));
        Ok(Self { kind, ignore_case })
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        let starts = |prefix: &str| match (path.as_bytes().get(..prefix.len()), self.ignore_case) {
            (Some(start), true) => start.eq_ignore_ascii_case(prefix.as_bytes()),
            (Some(start), false) => start == prefix.as_bytes(),
            (None, _) => false,
        };
        match &self.kind {
            PathKind::Connect => false,
            PathKind::Exact(whole) => whole.len() == path.len() && starts(whole),
            PathKind::Prefix(prefix) => starts(prefix),
            PathKind::Regex(regex) => regex.is_match(path.as_bytes()),
            PathKind::Segments(prefix) => {
                starts(prefix) && matches!(path.as_bytes().get(prefix.len()), None | Some(b'/'))
            }
        }
    }

    /// The first segment of every path that can match, where there is one such.
    pub(crate) fn first_segment(&self) -> Option<&str> {
        let whole = match &self.kind {
            _ if self.ignore_case => return None,
            PathKind::Exact(path) | PathKind::Segments(path) => path,
            // Only a segment that the prefix itself ends is sure to be whole.
            PathKind::Prefix(prefix) => prefix.get(..=prefix.get(1..)?.find('/')? + 1)?,
            PathKind::Connect | PathKind::Regex(_) => return None,
        };
        first_segment(whole)
    }
}

/// The first segment of a rooted path.
pub(crate) fn first_segment(path: &str) -> Option<&str> {
    path.strip_prefix('/')?.split('/').next()
}

impl QueryMatch {
    fn compile(message: &QueryParameterMatcher) -> Result<Self, Wrong> {
        refuse(message.name.is_empty(), "name")?;
        let test = match &message.query_parameter_match_specifier {
            Some(QueryParameterMatchSpecifier::StringMatch(text)) => {
                QueryTest::Text(StringMatch::compile(text).at("string_match")?)
            }
            Some(QueryParameterMatchSpecifier::PresentMatch(present)) => QueryTest::Present(*present),
            None => QueryTest::Present(true),
        };
        Ok(Self { name: message.name.as_str().into(), test })
    }

    /// The first parameter of the name counts, as it was written.
    fn matches(&self, query: &str) -> bool {
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let value = pairs.into_iter().find(|(name, _)| *name == &*self.name).map(|(_, value)| value);
        match (&self.test, value) {
            (QueryTest::Present(present), value) => value.is_some() == *present,
            (QueryTest::Text(text), Some(value)) => text.matches(value.as_bytes()),
            (QueryTest::Text(_), None) => false,
        }
    }
}

/// Whether a request is a gRPC call.
pub(crate) fn is_grpc(request: &http::request::Parts) -> bool {
    let kind = request.headers.get(http::header::CONTENT_TYPE).map(|value| value.as_bytes());
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}
