//! Requests that tell rules apart.

use std::collections::{BTreeMap, BTreeSet};

use super::request::{Caller, Request, fits, full};
use crate::legacy::{Old, RouteRule, Text};
use crate::modern::Host;

/// Values no condition is likely to be about.
const OTHER: &str = "something-else";

/// Methods and paths no rule need be about.
const OTHERS: [(&str, &str); 4] =
    [("DELETE", "/"), ("GET", "/some/path?query=1"), ("POST", "/Some/Path"), ("PUT", "/a;b=c")];

/// The most requests of a host that satisfy two of its rules.
const PAIRS: usize = 500;

/// Requests for every rule of a host: as it asks for, with each condition broken in turn, and as another asks for too.
pub(super) fn probes(rules: &[Old<RouteRule>]) -> Vec<Request> {
    let (mut probes, mut seen) = (Vec::new(), BTreeSet::new());
    let mut add = |request: Request| {
        if seen.insert(request.clone()) {
            probes.push(request);
        }
    };
    let pairs = rules.iter().flat_map(|one| rules.iter().map(move |other| (one, other)));
    for (one, other) in pairs.filter(|(one, other)| !std::ptr::eq(*one, *other)).take(PAIRS) {
        let mut both = satisfying(one);
        for (name, text) in &other.spec.matching.headers {
            if let Some(example) = example(text) {
                set(&mut both, name, &example);
            }
        }
        add(both);
    }
    for rule in rules {
        let whole = satisfying(rule);
        let asks = |name: &str| rule.spec.matching.headers.iter().any(|(other, _)| other == name);
        for (method, path) in OTHERS {
            for mut request in [plain(rule), whole.clone()] {
                if !asks("method") {
                    set(&mut request, "method", method);
                }
                if !asks("uri") {
                    set(&mut request, "uri", path);
                }
                add(request);
            }
        }
        add(Request { caller: Caller::default(), ..plain(rule) });
        for (name, _) in &rule.spec.matching.headers {
            let mut broken = whole.clone();
            set(&mut broken, name, if name == "uri" { "/something-else" } else { OTHER });
            add(broken);
        }
        if rule.spec.matching.source.is_some() {
            add(Request { caller: Caller::default(), ..whole.clone() });
            let labels = BTreeMap::new();
            add(Request { caller: Caller { labels, ..whole.caller.clone() }, ..whole.clone() });
        }
        if let Some((_, Text::Prefix(prefix))) =
            rule.spec.matching.headers.iter().find(|(name, _)| name == "uri")
        {
            add(Request { path: format!("{prefix}/below?query=1"), ..whole.clone() });
        }
        add(whole);
    }
    probes
}

fn plain(rule: &Old<RouteRule>) -> Request {
    let host = full(&rule.spec.destination, rule);
    Request {
        authority: rule.spec.destination.short().to_owned(),
        host,
        method: "GET".into(),
        scheme: "http".into(),
        path: "/".into(),
        ..Request::default()
    }
}

fn satisfying(rule: &Old<RouteRule>) -> Request {
    let mut request = plain(rule);
    if let Some(source) = &rule.spec.matching.source {
        let near = if source.namespace.is_empty() { rule.meta.namespace() } else { &source.namespace };
        let namespace = Host::of(source, rule.meta.namespace()).namespace.unwrap_or_else(|| near.to_owned());
        request.caller = Caller {
            services: if source.is_nameless() { Vec::new() } else { vec![full(source, rule)] },
            namespace,
            labels: source.labels.clone(),
        };
    }
    for (name, text) in &rule.spec.matching.headers {
        if let Some(example) = example(text) {
            set(&mut request, name, &example);
        }
    }
    request
}

fn set(request: &mut Request, name: &str, value: &str) {
    match name {
        "authority" => request.authority = value.to_owned(),
        "method" => request.method = value.to_owned(),
        "scheme" => request.scheme = value.to_owned(),
        "uri" => request.path = value.to_owned(),
        _ => {
            request.headers.retain(|(header, _)| header != name);
            request.headers.push((name.to_owned(), value.to_owned()));
        }
    }
}

/// A text that satisfies a condition; none where none was found.
fn example(text: &Text) -> Option<String> {
    match text {
        Text::Exact(text) | Text::Prefix(text) => Some(text.clone()),
        Text::Regex(regex) => {
            // Without what has a meaning of its own a regular expression often is a text it fits.
            let literal =
                |keep: &dyn Fn(char) -> bool| regex.chars().filter(|c| keep(*c)).collect::<String>();
            let no_signs = literal(&|c| !"^$()*+?\\|[]{}.".contains(c));
            let dots = literal(&|c| !"^$()*+?\\|[]{}".contains(c));
            let inner = regex.split(['(', ')', '|']).map(|part| part.trim_matches(['^', '$']).to_owned());
            let tries = [no_signs, dots, "1".into(), "a".into(), "/".into(), "/a".into(), String::new()];
            inner.chain(tries).find(|candidate| fits(text, candidate))
        }
    }
}
