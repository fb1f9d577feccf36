//! Requests, and what rules looked at in them.

use std::collections::BTreeMap;

use crate::legacy::{Old, RouteRule, Service, Text};
use crate::modern::Host;

/// A request as a caller's proxy saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// The full name of the service called.
    pub host: String,
    /// The method, in capitals.
    pub method: String,
    /// `http` or `https`.
    pub scheme: String,
    /// The `Host` header or `:authority`.
    pub authority: String,
    /// The path, with its query.
    pub path: String,
    /// Headers, names in any case.
    pub headers: Vec<(String, String)>,
    /// Who calls.
    pub caller: Caller,
}

/// The workload that calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Caller {
    /// The full names of the services it is part of.
    pub services: Vec<String>,
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// The full name of a service that a rule names.
pub(super) fn full(service: &Service, rule: &Old<RouteRule>) -> String {
    Host::of(service, rule.meta.namespace()).full
}

/// Regular expressions had to fit the whole text.
pub(super) fn fits(text: &Text, value: &str) -> bool {
    match text {
        Text::Exact(exact) => value == exact,
        Text::Prefix(prefix) => value.starts_with(prefix),
        Text::Regex(regex) => {
            let whole = regex::RegexBuilder::new(&format!("^(?:{regex})$")).size_limit(1 << 20).build();
            whole.is_ok_and(|regex| regex.is_match(value))
        }
    }
}
