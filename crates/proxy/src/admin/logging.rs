//! `/logging`: what is logged, read and changed while the process runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::StatusCode;

use super::server::{Asked, Reply};

/// Envoy's loggers that have a counterpart here, each with the part of the program it stands for.
const LOGGERS: [(&str, &str); 18] = [
    ("admin", "proxy::admin"),
    ("client", "proxy::upstream"),
    ("config", "xds"),
    ("conn_handler", "proxy::downstream"),
    ("connection", "net"),
    ("dns", "proxy::dns"),
    ("filter", "filters"),
    ("forward_proxy", "proxy::names"),
    ("grpc", "tonic"),
    ("hc", "proxy::judge"),
    ("http", "proxy::exchange"),
    ("http2", "h2"),
    ("main", "proxy"),
    ("pool", "net::pool"),
    ("router", "proxy::forward"),
    ("secret", "proxy::keyring"),
    ("tcp_proxy", "proxy::tcp"),
    ("upstream", "proxy::connect"),
];

/// Envoy's levels, each with ours.
const LEVELS: [(&str, &str); 7] = [
    ("trace", "trace"),
    ("debug", "debug"),
    ("info", "info"),
    ("warning", "warn"),
    ("error", "error"),
    ("critical", "error"),
    ("off", "off"),
];

/// The level of every logger, and of those that have their own.
struct Levels {
    all: &'static str,
    own: BTreeMap<&'static str, &'static str>,
}

static LEVELS_NOW: Mutex<Levels> = Mutex::new(Levels { all: "info", own: BTreeMap::new() });

pub(super) fn reply(asked: &Asked) -> Reply {
    let mut levels = LEVELS_NOW.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(why) = asked.parameters().try_for_each(|(name, value)| levels.change(name, value)) {
        return Reply::text(StatusCode::BAD_REQUEST, format!("{why}\n"));
    }
    if asked.parameters().next().is_some()
        && let Err(error) = telemetry::log::change(&levels.text())
    {
        return Reply::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"));
    }
    let lines = LOGGERS.iter().map(|(name, _)| {
        let level = levels.own.get(name).copied().unwrap_or(levels.all);
        format!("  {name}: {}\n", envoys(level))
    });
    Reply::text(StatusCode::OK, format!("active loggers:\n{}", lines.collect::<String>()))
}

impl Levels {
    fn change(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "level" => {
                self.all = level(value)?;
                self.own.clear();
                Ok(())
            }
            "paths" => value.split(',').filter(|pair| !pair.is_empty()).try_for_each(|pair| {
                let (name, value) = pair.split_once(':').ok_or(format!("{pair:?} is not NAME:LEVEL"))?;
                self.change_one(name, value)
            }),
            name => self.change_one(name, value),
        }
    }

    fn change_one(&mut self, name: &str, value: &str) -> Result<(), String> {
        let level = level(value)?;
        let known = LOGGERS.iter().map(|(known, _)| *known).find(|known| *known == name);
        let known = known.ok_or_else(|| format!("unknown logger name: {name}"))?;
        self.own.insert(known, level);
        Ok(())
    }

    /// The levels as the log reads them.
    fn text(&self) -> String {
        let own = LOGGERS.iter().filter_map(|(name, part)| Some(format!(",{part}={}", self.own.get(name)?)));
        format!("{}{}", self.all, own.collect::<String>())
    }
}

fn level(name: &str) -> Result<&'static str, String> {
    let found = LEVELS.iter().find(|(envoys, ours)| *envoys == name || *ours == name);
    found.map(|(_, ours)| *ours).ok_or_else(|| format!("unknown logger level: {name}"))
}

fn envoys(level: &str) -> &'static str {
    LEVELS.iter().find(|(_, ours)| *ours == level).map_or("info", |(envoys, _)| envoys)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn levels_are_changed_for_all_and_for_one() {
        let mut levels = Levels { all: "info", own: BTreeMap::new() };

        levels.change("level", "warning").unwrap();
        levels.change("paths", "http:debug,pool:trace").unwrap();
        assert_eq!(levels.text(), "warn,proxy::exchange=debug,net::pool=trace");

        levels.change("level", "error").unwrap();
        assert_eq!(levels.text(), "error");
        assert!(levels.change("http", "loud").is_err() && levels.change("nobody", "info").is_err());
    }
}
