//! Delegation: the routes of one VirtualService stand in the place of another's route, narrowed by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Valid;
use api::virtual_service::{
    Fault, HeaderOperations, HttpAction, HttpMatch, HttpRoute, StringMatch, ValueMatch, VirtualService,
};
use base::{Digest, Labels, Origin};

use crate::settings;
use crate::slice::Source;

/// The VirtualServices that others may delegate to: those without hosts, by namespace and name.
#[derive(Debug, Default)]
pub(crate) struct Delegates<'a> {
    by_name: BTreeMap<(&'a str, &'a str), &'a Arc<Valid<VirtualService>>>,
    default: &'a [String],
}

impl<'a> Delegates<'a> {
    /// Of all VirtualServices; `default` is who sees those that say nothing about it, in the words of
    /// `exportTo`.
    pub(crate) fn new(
        all: impl Iterator<Item = &'a Arc<Valid<VirtualService>>>,
        default: &'a [String],
    ) -> Self {
        let by_name = all
            .filter(|config| config.hosts.is_empty())
            .map(|config| ((&*config.meta().namespace, &*config.meta().name), config))
            .collect();
        Self { by_name, default }
    }

    /// The one that a VirtualService in `from` may delegate to under a name.
    pub(crate) fn find(
        &self,
        namespace: &str,
        name: &str,
        from: &str,
    ) -> Option<&'a Arc<Valid<VirtualService>>> {
        let found = *self.by_name.get(&(namespace, name))?;
        settings::visible(found.export_to.as_ref(), self.default, namespace).includes(from).then_some(found)
    }

    /// The HTTP routes of a VirtualService as they hold, in order. A route that delegates to nobody there is left
    /// out, and so is a delegate's route that asks for what the delegating one excludes.
    pub(crate) fn resolve(&self, config: &Valid<VirtualService>) -> Vec<Arc<Source>> {
        let mut routes = Vec::new();
        let root = config.origin();
        for (index, route) in config.http.iter().enumerate() {
            let HttpAction::Delegate(to) = &route.action else {
                routes.push(Arc::new(written(config, index, route, &root)));
                continue;
            };
            let Some(delegate) = self.find(&to.namespace, &to.name, &config.meta().namespace) else {
                continue;
            };
            for (inner, sub) in delegate.http.iter().enumerate() {
                // A delegate cannot delegate in its turn.
                if matches!(sub.action, HttpAction::Delegate(_)) {
                    continue;
                }
                let Some((route, conditions)) = merge(route, sub) else { continue };
                let origin = delegate.origin().at(format!("http[{inner}]"));
                let narrowed = root.at(format!("http[{index}]"));
                routes.push(Arc::new(Source {
                    conditions: conditions.into_iter().map(|from| from.origin(&narrowed, &origin)).collect(),
                    written: Digest::of_value(&(config.digest(), index, delegate.digest())),
                    route,
                    origin,
                    root: root.clone(),
                }));
            }
        }
        routes
    }
}

fn written(config: &Valid<VirtualService>, index: usize, route: &HttpRoute, root: &Origin) -> Source {
    let conditions = (0..route.matches.len()).map(|at| root.at(format!("http[{index}].match[{at}]")));
    Source {
        route: route.clone(),
        origin: root.at(format!("http[{index}]")),
        conditions: conditions.collect(),
        root: root.clone(),
        written: config.digest(),
    }
}

/// Which of the two wrote a condition, at which place; of a combination the delegate.
enum Written {
    Delegate(usize),
    Root(usize),
}

impl Written {
    fn origin(&self, root: &Origin, delegate: &Origin) -> Origin {
        let (of, at) = match self {
            Self::Delegate(at) => (delegate, at),
            Self::Root(at) => (root, at),
        };
        of.at(format!("{}.match[{at}]", of.path))
    }
}

/// Whether a delegate's route has a part in the one that delegates.
pub(crate) fn fits(root: &HttpRoute, delegate: &HttpRoute) -> bool {
    !matches!(delegate.action, HttpAction::Delegate(_))
        && merge_all(&root.matches, &delegate.matches).is_some()
}

/// A delegate's route completed by the one that delegates; None where their conditions exclude each other.
fn merge(root: &HttpRoute, delegate: &HttpRoute) -> Option<(HttpRoute, Vec<Written>)> {
    let (matches, written): (Vec<HttpMatch>, Vec<Written>) =
        merge_all(&root.matches, &delegate.matches)?.into_iter().unzip();
    let mut out = delegate.clone();
    out.matches = matches;
    out.name = join(&root.name, &delegate.name);
    if out.headers == HeaderOperations::default() {
        out.headers = root.headers.clone();
    }
    if out.fault == Fault::default() {
        out.fault = root.fault.clone();
    }
    if out.mirrors.is_empty() {
        out.mirrors.clone_from(&root.mirrors);
    }
    out.rewrite = out.rewrite.or_else(|| root.rewrite.clone());
    out.timeout = out.timeout.or(root.timeout);
    out.retries = out.retries.or_else(|| root.retries.clone());
    out.cors = out.cors.or_else(|| root.cors.clone());
    Some((out, written))
}

fn join(root: &str, delegate: &str) -> String {
    match (root, delegate) {
        ("", name) | (name, "") => name.to_owned(),
        (root, delegate) => format!("{root}-{delegate}"),
    }
}

/// Every pair of conditions that can hold together. None where a condition of the delegate's has no partner.
fn merge_all(root: &[HttpMatch], delegate: &[HttpMatch]) -> Option<Vec<(HttpMatch, Written)>> {
    if root.is_empty() {
        return Some(
            delegate.iter().cloned().enumerate().map(|(at, m)| (m, Written::Delegate(at))).collect(),
        );
    }
    if delegate.is_empty() {
        return Some(root.iter().cloned().enumerate().map(|(at, m)| (m, Written::Root(at))).collect());
    }
    let mut merged = Vec::new();
    for (at, narrow) in delegate.iter().enumerate() {
        let before = merged.len();
        let wide = root.iter().filter(|wide| admits(wide, narrow));
        merged.extend(wide.map(|wide| (combine(wide, narrow), Written::Delegate(at))));
        if merged.len() == before {
            return None;
        }
    }
    Some(merged)
}

/// Whether whatever the narrow condition asks for is within the wide one.
fn admits(wide: &HttpMatch, narrow: &HttpMatch) -> bool {
    let texts = [
        (&wide.uri, &narrow.uri),
        (&wide.scheme, &narrow.scheme),
        (&wide.method, &narrow.method),
        (&wide.authority, &narrow.authority),
    ];
    let values = [
        (&wide.headers, &narrow.headers),
        (&wide.without_headers, &narrow.without_headers),
        (&wide.query_params, &narrow.query_params),
    ];
    texts.into_iter().all(|(wide, narrow)| match (wide, narrow) {
        (Some(wide), Some(narrow)) => contains(wide, narrow),
        _ => true,
    }) && values.into_iter().all(|(wide, narrow)| {
        narrow.iter().all(|(name, value)| wide.get(name).is_none_or(|w| contains_value(w, value)))
    }) && wide.ignore_uri_case == narrow.ignore_uri_case
        && agree(wide.port, narrow.port)
        && agree(wide.source_namespace.as_ref(), narrow.source_namespace.as_ref())
        && narrow.source_labels.0.iter().all(|(key, value)| agree(wide.source_labels.value(key), Some(value)))
        && (wide.gateways.is_empty() || narrow.gateways.iter().all(|gateway| wide.gateways.contains(gateway)))
}

fn agree<T: PartialEq>(wide: Option<T>, narrow: Option<T>) -> bool {
    wide.is_none() || narrow.is_none() || wide == narrow
}

/// Two regular expressions cannot be compared, so one beside anything else is never within it.
fn contains(wide: &StringMatch, narrow: &StringMatch) -> bool {
    match (wide, narrow) {
        (StringMatch::Exact(wide), StringMatch::Exact(narrow)) => wide == narrow,
        (StringMatch::Prefix(wide), StringMatch::Exact(narrow) | StringMatch::Prefix(narrow)) => {
            narrow.starts_with(wide.as_str())
        }
        (StringMatch::Exact(_), StringMatch::Prefix(_))
        | (StringMatch::Regex(_), _)
        | (_, StringMatch::Regex(_)) => false,
    }
}

fn contains_value(wide: &ValueMatch, narrow: &ValueMatch) -> bool {
    match (wide, narrow) {
        (ValueMatch::Value(wide), ValueMatch::Value(narrow)) => contains(wide, narrow),
        (ValueMatch::Present, _) | (_, ValueMatch::Present) => false,
    }
}

fn combine(wide: &HttpMatch, narrow: &HttpMatch) -> HttpMatch {
    let mut out = narrow.clone();
    out.name = join(&wide.name, &narrow.name);
    out.uri = out.uri.or_else(|| wide.uri.clone());
    out.scheme = out.scheme.or_else(|| wide.scheme.clone());
    out.method = out.method.or_else(|| wide.method.clone());
    out.authority = out.authority.or_else(|| wide.authority.clone());
    fill(&mut out.headers, &wide.headers);
    fill(&mut out.without_headers, &wide.without_headers);
    fill(&mut out.query_params, &wide.query_params);
    let Labels(labels) = &mut out.source_labels;
    fill(labels, &wide.source_labels.0);
    out.port = out.port.or(wide.port);
    out.source_namespace = out.source_namespace.or_else(|| wide.source_namespace.clone());
    if out.gateways.is_empty() {
        out.gateways.clone_from(&wide.gateways);
    }
    out.stat_prefix = out.stat_prefix.or_else(|| wide.stat_prefix.clone());
    out
}

fn fill<V: Clone>(out: &mut BTreeMap<String, V>, from: &BTreeMap<String, V>) {
    for (key, value) in from {
        out.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

#[cfg(test)]
mod tests;
