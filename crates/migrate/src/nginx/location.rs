//! The paths of each host, in the order nginx looks at them, each with its canary.

use serde_json::{Value, json};

use super::pattern;
use super::settings::Read;
use crate::legacy::{Backend, IngressPath};
use crate::read::Log;

/// One host of a namespace; an empty host is every host.
pub(super) struct Site<'i> {
    pub(super) namespace: &'i str,
    pub(super) host: &'i str,
    pub(super) locations: Vec<Location<'i>>,
}

/// One path of a host.
pub(super) struct Location<'i> {
    /// As written.
    pub(super) path: &'i str,
    kind: &'i str,
    pub(super) backend: &'i Backend,
    pub(super) read: &'i Read<'i>,
    pub(super) canary: Option<(&'i Backend, &'i Read<'i>)>,
    /// Whether the path is a regular expression, for one of the host's is.
    pub(super) is_regex: bool,
    /// Conditions on the path, any of which will do; none is every path.
    pub(super) uris: Vec<Value>,
}

/// All hosts, in the order they are named.
pub(super) fn sites<'i>(mains: &'i [Read<'i>], canaries: &'i [Read<'i>], log: &Log) -> Vec<Site<'i>> {
    let mut sites: Vec<Site<'i>> = Vec::new();
    for read in mains {
        for (host, path, kind, backend) in paths(read) {
            let location =
                Location { path, kind, backend, read, canary: None, is_regex: false, uris: Vec::new() };
            let namespace = read.old.meta.namespace();
            match sites.iter_mut().find(|site| site.namespace == namespace && site.host == host) {
                Some(site) => site.locations.push(location),
                None => sites.push(Site { namespace, host, locations: vec![location] }),
            }
        }
    }
    for canary in canaries {
        join(&mut sites, canary, log);
    }
    sites.iter_mut().for_each(|site| site.settle(log));
    sites
}

/// Host, path, kind and backend of everything an Ingress routes.
fn paths<'i>(read: &'i Read<'i>) -> Vec<(&'i str, &'i str, &'i str, &'i Backend)> {
    let rules = &read.old.spec.rules;
    let of = |path: &'i IngressPath| (path.path.as_str(), path.kind.as_str(), &path.backend);
    let mut all: Vec<(&str, &str, &str, &Backend)> = rules
        .iter()
        .flat_map(|rule| rule.paths.iter().map(|path| (rule.host.as_str(), of(path))))
        .map(|(host, (path, kind, backend))| (host, path, kind, backend))
        .collect();
    if let Some(backend) = &read.old.spec.backend {
        let hosts: Vec<&str> =
            if rules.is_empty() { vec![""] } else { rules.iter().map(|rule| rule.host.as_str()).collect() };
        for host in hosts {
            let is_whole = |path: &str, kind: &str| matches!(path, "" | "/") && kind != "Exact";
            if !all.iter().any(|(other, path, kind, _)| *other == host && is_whole(path, kind)) {
                all.push((host, "/", "", backend));
            }
        }
    }
    all
}

/// Joins a canary with the location of its host and path.
fn join<'i>(sites: &mut [Site<'i>], canary: &'i Read<'i>, log: &Log) {
    for (host, path, _, backend) in paths(canary) {
        let namespace = canary.old.meta.namespace();
        let mut locations = sites
            .iter_mut()
            .filter(|site| site.namespace == namespace && site.host == host)
            .flat_map(|site| &mut site.locations);
        let source = &canary.old.source;
        match locations.find(|location| location.path == path) {
            None => {
                let message = format!(
                    "no other Ingress routes {path:?} of {host:?}: there is nothing to be a canary of"
                );
                source.warn(log, "not-kept", &backend.field, message);
            }
            Some(location) if location.canary.is_some() => {
                let message = format!("{path:?} of {host:?} has a canary already: nginx takes one");
                source.warn(log, "not-kept", &backend.field, message);
            }
            Some(location) => location.canary = Some((backend, canary)),
        }
    }
}

impl Site<'_> {
    /// Makes conditions of the paths and puts them in order.
    fn settle(&mut self, log: &Log) {
        let wants_regex = |location: &Location<'_>| {
            location.read.settings.uses_regex || location.read.settings.rewrite.is_some()
        };
        let is_regex = self.locations.iter().any(wants_regex);
        self.locations.retain_mut(|location| {
            location.is_regex = is_regex;
            match location.conditions() {
                Ok(uris) => {
                    location.uris = uris;
                    true
                }
                Err(why) => {
                    let source = &location.read.old.source;
                    source.error(log, "not-converted", &location.backend.field, why);
                    false
                }
            }
        });
        // A stable sort: paths of one rank stay in the user's order.
        self.locations.sort_by_key(|location| {
            let is_exact = location.kind == "Exact" && !is_regex;
            std::cmp::Reverse((is_exact, location.path.trim_end_matches('/').len()))
        });
        let mut seen: Vec<(String, bool)> = Vec::new();
        self.locations.retain(|location| {
            let key = (location.path.to_owned(), location.kind == "Exact");
            let is_new = !seen.contains(&key);
            if is_new {
                seen.push(key);
            } else {
                let message =
                    format!("{:?} is routed by an Ingress before this one, which counts", location.path);
                location.read.old.source.warn(log, "never-reached", &location.backend.field, message);
            }
            is_new
        });
    }
}

impl Location<'_> {
    fn conditions(&self) -> Result<Vec<Value>, String> {
        let path = if self.path.is_empty() { "/" } else { self.path };
        if self.is_regex {
            return Ok(vec![json!({"regex": pattern::location(path)?})]);
        }
        Ok(match self.kind {
            "Exact" => vec![json!({"exact": path})],
            _ if path == "/" => Vec::new(),
            "Prefix" => {
                let bare = path.trim_end_matches('/');
                vec![json!({"exact": bare}), json!({"prefix": format!("{bare}/")})]
            }
            _ => vec![json!({"prefix": path})],
        })
    }
}
