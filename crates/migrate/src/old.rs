//! What the rules of before v1alpha3 did with a request: the yardstick for what they are converted to.
//!
//! The rules of a host are looked at from the highest precedence down, equals by namespace and name; the first one
//! whose conditions all hold decides. Without one the request goes to the host itself. What a rule leaves unsaid is
//! None here, not the default some proxy had for it.

mod probe;
mod request;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::Issue;

use crate::input::{self, Item};
use crate::legacy::{AbortError, Dialect, Legacy, Old, RouteRule, Service, Target, Text, by_precedence};
use crate::read::Log;

pub use request::{Caller, Request};
use request::{fits, full};

/// RouteRules by host, in the order they are looked at.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    by_host: BTreeMap<String, Vec<Old<RouteRule>>>,
}

/// What became of a request, and by which rule.
#[derive(Clone, Debug, PartialEq)]
pub struct OldDecision {
    /// `RouteRule/default/reviews-default`; None where no rule took the request.
    pub rule: Option<String>,
    /// Where it went.
    pub action: Action,
    /// How long it was held back, and for how many of a hundred requests.
    pub delay: Option<Delay>,
    /// What it was answered instead, and for how many of a hundred requests.
    pub abort: Option<Abort>,
    /// The rule's timeout.
    pub timeout: Option<Duration>,
    /// The rule's retries.
    pub retries: Option<Retries>,
    /// Who got a copy.
    pub mirror: Option<Destination>,
    /// Headers added to the request.
    pub append_headers: BTreeMap<String, String>,
}

/// Where a request went.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// To one of these, by their shares.
    Forward {
        /// The destinations; their shares add up to 100.
        shares: Vec<Share>,
        /// The authority the destination saw.
        authority: String,
        /// The path the destination saw.
        path: String,
    },
    /// Back to the caller with status 301.
    Redirect {
        /// The authority to call instead.
        authority: String,
        /// The path to call instead.
        path: String,
    },
}

/// A destination and how many of a hundred requests it got.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The destination.
    pub destination: Destination,
    /// Its share.
    pub percent: f64,
}

/// The workloads of a service that have certain labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The full name of the service.
    pub host: String,
    /// The labels; empty means all of its workloads.
    pub labels: BTreeMap<String, String>,
}

/// A delay put in on purpose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delay {
    /// How long.
    pub duration: Duration,
    /// For how many of a hundred requests.
    pub percent: f64,
}

/// An error put in on purpose.
#[derive(Clone, Debug, PartialEq)]
pub struct Abort {
    /// What the caller got.
    pub error: Status,
    /// For how many of a hundred requests.
    pub percent: f64,
}

/// The status of an abort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// A gRPC status by name.
    Grpc(String),
    /// An HTTP status.
    Http(u16),
}

/// How often a request was tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// The most retries.
    pub attempts: u32,
    /// How long each might take.
    pub per_try: Option<Duration>,
}

impl Rules {
    /// Reads the RouteRules of files as [`crate::convert`] does; the issues are those of reading.
    pub fn read<B: AsRef<[u8]>>(files: &[(&str, B)]) -> (Self, Vec<Issue>) {
        let log = Log::default();
        let names: Vec<Arc<str>> = files.iter().map(|(name, _)| Arc::from(*name)).collect();
        let input: Vec<(Arc<str>, &[u8])> =
            names.iter().zip(files).map(|(name, (_, bytes))| (name.clone(), bytes.as_ref())).collect();
        let items = input::read(&input, Dialect::Istio, &log);
        let mut rules: Vec<&Old<RouteRule>> = items
            .iter()
            .filter_map(|item| match item {
                Item::Legacy(Legacy::Route(rule)) => Some(&**rule),
                _ => None,
            })
            .collect();
        by_precedence(&mut rules);
        let mut by_host: BTreeMap<String, Vec<Old<RouteRule>>> = BTreeMap::new();
        for rule in rules {
            by_host.entry(full(&rule.spec.destination, rule)).or_default().push(rule.clone());
        }
        (Self { by_host }, log.into_issues(&names))
    }

    /// The full names of the services the rules are about.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.by_host.keys().map(String::as_str)
    }

    /// Requests that tell the rules apart: for each rule one that satisfies its conditions as far as examples could be
    /// found, one for each condition with that one broken, and some that satisfy two.
    pub fn probes(&self) -> Vec<Request> {
        self.by_host.values().flat_map(|rules| probe::probes(rules)).collect()
    }
}

/// Says what the rules did with a request.
///
/// ```
/// use migrate::old::{Action, Request, Rules, decide};
///
/// let (rules, _) = Rules::read(&[("rule.yaml", "
/// kind: RouteRule
/// metadata: {name: half}
/// spec:
///   destination: {name: reviews}
///   route: [{labels: {version: v1}, weight: 50}, {labels: {version: v2}, weight: 50}]
/// ")]);
/// let host = "reviews.default.svc.cluster.local".to_owned();
/// let decision = decide(&rules, &Request { host, ..Request::default() });
/// assert_eq!(decision.rule.as_deref(), Some("RouteRule/default/half"));
/// assert!(matches!(decision.action, Action::Forward { shares, .. } if shares[1].percent == 50.0));
/// ```
pub fn decide(rules: &Rules, request: &Request) -> OldDecision {
    let rule =
        rules.by_host.get(&request.host).and_then(|rules| rules.iter().find(|rule| holds(rule, request)));
    let Some(rule) = rule else {
        let destination = Destination { host: request.host.clone(), labels: BTreeMap::new() };
        return OldDecision {
            rule: None,
            action: Action::Forward {
                shares: vec![Share { destination, percent: 100.0 }],
                authority: request.authority.clone(),
                path: request.path.clone(),
            },
            delay: None,
            abort: None,
            timeout: None,
            retries: None,
            mirror: None,
            append_headers: BTreeMap::new(),
        };
    };
    let spec = &rule.spec;
    let abort = |abort: &crate::legacy::Abort| {
        let error = match abort.error.as_ref()? {
            AbortError::Grpc(status) => Status::Grpc(status.clone()),
            AbortError::Http(status) => Status::Http(*status),
            // No proxy did anything with it.
            AbortError::Http2(_) => return None,
        };
        Some(Abort { error, percent: abort.percent })
    };
    OldDecision {
        rule: Some(rule.source.object.clone()),
        action: action(rule, request),
        delay: spec.delay.and_then(|delay| Some(Delay { duration: delay.fixed?, percent: delay.percent })),
        abort: spec.abort.as_ref().and_then(abort),
        timeout: spec.timeout,
        retries: spec.retries.map(|r| Retries { attempts: r.attempts, per_try: r.per_try }),
        mirror: spec
            .mirror
            .as_ref()
            .map(|mirror| Destination { host: full(mirror, rule), labels: mirror.labels.clone() }),
        append_headers: spec.append_headers.clone(),
    }
}

/// Whether all of a rule's conditions hold. Conditions on connections hold for no request.
fn holds(rule: &Old<RouteRule>, request: &Request) -> bool {
    let matching = &rule.spec.matching;
    matching.tcp.is_none()
        && !matching.udp
        && matching.source.as_ref().is_none_or(|source| comes_from(source, rule, &request.caller))
        && matching
            .headers
            .iter()
            .all(|(name, text)| value(request, name).is_some_and(|value| fits(text, value)))
}

fn comes_from(source: &Service, rule: &Old<RouteRule>, caller: &Caller) -> bool {
    let is_named = match source.is_nameless() {
        true => source.namespace.is_empty() || source.namespace == caller.namespace,
        false => caller.services.contains(&full(source, rule)),
    };
    is_named && source.labels.iter().all(|(key, value)| caller.labels.get(key) == Some(value))
}

/// What a condition of this name looks at.
fn value<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    match name {
        "authority" => Some(&request.authority),
        "method" => Some(&request.method),
        "scheme" => Some(&request.scheme),
        "uri" => request.path.split('?').next(),
        _ => {
            let header = request.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
            header.map(|(_, value)| value.as_str())
        }
    }
}

fn action(rule: &Old<RouteRule>, request: &Request) -> Action {
    let replaced = |new: &str, old: &str| if new.is_empty() { old.to_owned() } else { new.to_owned() };
    if let Some(Target { uri, authority }) = &rule.spec.redirect {
        return Action::Redirect {
            authority: replaced(authority, &request.authority),
            path: replaced(uri, &request.path),
        };
    }
    let empty = Target::default();
    let Target { uri, authority } = rule.spec.rewrite.as_ref().unwrap_or(&empty);
    let path = if uri.is_empty() { request.path.clone() } else { rewritten(rule, uri, &request.path) };
    Action::Forward { shares: shares(rule), authority: replaced(authority, &request.authority), path }
}

/// The path with the part that was matched put in another's place; the query stays.
fn rewritten(rule: &Old<RouteRule>, uri: &str, path: &str) -> String {
    let (bare, query) = path.find('?').map_or((path, ""), |at| path.split_at(at));
    let condition = rule.spec.matching.headers.iter().find(|(name, _)| name == "uri");
    let rest = match condition.map(|(_, text)| text) {
        // Without a condition every path began with `/`.
        None => bare.strip_prefix('/').unwrap_or(bare),
        Some(Text::Prefix(prefix)) => bare.strip_prefix(prefix.as_str()).unwrap_or_default(),
        Some(Text::Exact(_) | Text::Regex(_)) => "",
    };
    format!("{uri}{rest}{query}")
}

fn shares(rule: &Old<RouteRule>) -> Vec<Share> {
    let spec = &rule.spec;
    if spec.routes.is_empty() {
        let destination = Destination { host: full(&spec.destination, rule), labels: BTreeMap::new() };
        return vec![Share { destination, percent: 100.0 }];
    }
    let sum: f64 = spec.routes.iter().map(|route| f64::from(route.weight)).sum();
    let is_single = spec.routes.len() == 1;
    let share = |route: &crate::legacy::Route| {
        let service = route.destination.as_ref().unwrap_or(&spec.destination);
        let destination = Destination { host: full(service, rule), labels: route.labels.clone() };
        let percent = if is_single { 100.0 } else { f64::from(route.weight) * 100.0 / sum };
        Share { destination, percent }
    };
    spec.routes.iter().map(share).collect()
}

#[cfg(test)]
mod tests;
