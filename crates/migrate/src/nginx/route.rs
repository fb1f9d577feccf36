//! One location as routes: its redirect, its canary's, its own.

use base::duration;
use serde_json::{Map, Value, json};

use super::location::Location;
use super::pattern;
use super::settings::{Canary, Redirect, Settings};
use crate::legacy::{Backend, BackendPort};
use crate::modern::World;
use crate::read::Log;

/// The routes of a location, in the order in which they are looked at.
pub(super) fn routes(location: &Location<'_>, namespace: &str, (world, log): (&World, &Log)) -> Vec<Value> {
    let settings = &location.read.settings;
    if let Some(redirect) = &settings.redirect {
        return vec![route(location, &[], redirected(redirect))];
    }
    let target = |backend: &Backend| destination(location, backend, namespace, (world, log));
    let main = target(location.backend);
    let Some((backend, read)) = location.canary else {
        return vec![route(location, &[], forwarded(location, json!([{"destination": main}]), log))];
    };
    let canary = target(backend);
    let settings = read.settings.canary.clone().unwrap_or_default();
    let mut routes = Vec::new();
    for (conditions, is_canary) in decided(&settings) {
        let chosen = if is_canary { &canary } else { &main };
        routes.push(route(
            location,
            &[conditions],
            forwarded(location, json!([{"destination": chosen}]), log),
        ));
    }
    let rest = settings.total.saturating_sub(settings.weight);
    let shares = json!([
        {"destination": main, "weight": rest},
        {"destination": canary, "weight": settings.weight},
    ]);
    let shares = if settings.weight == 0 { json!([{"destination": main}]) } else { shares };
    routes.push(route(location, &[], forwarded(location, shares, log)));
    routes
}

/// Requests that a header or a cookie decides about, and whether the canary gets them.
fn decided(canary: &Canary) -> Vec<(Value, bool)> {
    let mut all = Vec::new();
    if let Some(name) = &canary.header {
        match &canary.value {
            Some(value) => all.push((json!({"headers": {name.as_str(): value}}), true)),
            None => {
                for (word, is_canary) in [("always", true), ("never", false)] {
                    all.push((json!({"headers": {name.as_str(): {"exact": word}}}), is_canary));
                }
            }
        }
    }
    if let Some(name) = &canary.cookie {
        for (word, is_canary) in [("always", true), ("never", false)] {
            all.push((json!({"headers": {"cookie": {"regex": pattern::cookie(name, word)}}}), is_canary));
        }
    }
    all
}

/// A route for a location's paths, further conditions holding too.
pub(super) fn route(location: &Location<'_>, further: &[Value], action: Map<String, Value>) -> Value {
    let mut conditions: Vec<Map<String, Value>> = if location.uris.is_empty() {
        vec![Map::new()]
    } else {
        location.uris.iter().map(|uri| Map::from_iter([("uri".to_owned(), uri.clone())])).collect()
    };
    for condition in &mut conditions {
        for more in further.iter().filter_map(Value::as_object) {
            condition.extend(more.clone());
        }
    }
    let mut route = Map::new();
    if conditions.iter().all(|condition| !condition.is_empty()) {
        route.insert("match".into(), json!(conditions));
    }
    route.extend(action);
    route.into()
}

/// What is done with requests that are forwarded.
fn forwarded(location: &Location<'_>, targets: Value, log: &Log) -> Map<String, Value> {
    let settings = &location.read.settings;
    let mut action = Map::new();
    action.extend(rewrite(location, settings, log).map(|rewrite| ("rewrite".to_owned(), rewrite)));
    action.insert("route".into(), targets);
    if let Some(timeout) = settings.timeout {
        action.insert("timeout".into(), duration::render(timeout).into());
    }
    action.extend(settings.retries.clone().map(|retries| ("retries".to_owned(), retries)));
    action.extend(settings.cors.clone().map(|cors| ("corsPolicy".to_owned(), cors)));
    if let Some(prefix) = settings.forwarded_prefix.as_ref().filter(|_| settings.rewrite.is_some()) {
        action.insert("headers".into(), json!({"request": {"set": {"x-forwarded-prefix": prefix}}}));
    }
    action
}

fn rewrite(location: &Location<'_>, settings: &Settings, log: &Log) -> Option<Value> {
    let mut rewrite = Map::new();
    if let Some(target) = &settings.rewrite {
        let path = if location.path.is_empty() { "/" } else { location.path };
        match pattern::rewrite(path, target) {
            Ok((regex, replacement)) => {
                rewrite.insert("uriRegexRewrite".into(), json!({"match": regex, "rewrite": replacement}));
            }
            Err(why) => {
                let message = format!("rewrite-target: {why}");
                location.read.old.source.error(log, "refused-annotation", &location.backend.field, message);
            }
        }
    }
    rewrite.extend(settings.authority.clone().map(|name| ("authority".to_owned(), name.into())));
    (!rewrite.is_empty()).then(|| rewrite.into())
}

fn redirected(redirect: &Redirect) -> Map<String, Value> {
    let mut to = Map::new();
    let (url, keeps_path) = match redirect.url.strip_suffix("$request_uri") {
        Some(bare) => (bare, true),
        None => (redirect.url.as_str(), false),
    };
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    let path = rest.find('/').filter(|_| scheme.is_some());
    let (authority, path) = match (scheme, path) {
        (None, _) => ("", rest),
        (Some(_), Some(at)) => rest.split_at(at),
        (Some(_), None) => (rest, "/"),
    };
    to.extend(scheme.map(|scheme| ("scheme".to_owned(), scheme.into())));
    if !authority.is_empty() {
        to.insert("authority".into(), authority.into());
    }
    if !keeps_path {
        to.insert("uri".into(), path.into());
    }
    to.insert("redirectCode".into(), redirect.code.into());
    Map::from_iter([("redirect".to_owned(), to.into())])
}

fn destination(
    location: &Location<'_>,
    backend: &Backend,
    namespace: &str,
    (world, log): (&World, &Log),
) -> Value {
    let mut destination = json!({"host": backend.service});
    let number = match &backend.port {
        BackendPort::Number(number) => Some(*number),
        BackendPort::Name(name) => {
            let number = world.port(namespace, &backend.service, name);
            if number.is_none() {
                let message = format!(
                    "ports are named by number: {name:?} is left out, which will do if the service has one port; give its \
                     Service among the files"
                );
                location.read.old.source.warn(log, "assumed", &backend.field, message);
            }
            number
        }
    };
    if let Some(number) = number {
        destination["port"] = json!({"number": number});
    }
    destination
}
