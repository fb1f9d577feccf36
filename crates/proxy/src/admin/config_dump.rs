//! `/config_dump`: what the control plane said, in Envoy's JSON, and what of it does nothing here.

use std::time::{SystemTime, UNIX_EPOCH};

use proto::Any;
use serde_json::{Value, json};
use xds::TypeUrl;

use super::server::{Asked, Reply};
use crate::journal::{Accepted, Entry, REDACTED, Refused};
use crate::shared::Shared;

pub(super) fn reply(shared: &Shared, asked: &Asked) -> Reply {
    let mut configs = vec![bootstrap(shared), clusters(shared)];
    if asked.parameter("include_eds").is_some() {
        configs.push(endpoints(shared));
    }
    configs.push(listeners(shared));
    configs.push(routes(shared));
    configs.push(secrets(shared));
    configs.push(inert(shared));
    match asked.parameter("resource") {
        None => Reply::json(&json!({ "configs": configs })),
        Some(field) => {
            let found = configs.iter().filter_map(|config| config.get(field)?.as_array());
            let found: Vec<&Value> = found.flatten().collect();
            Reply::json(&json!({ "configs": found }))
        }
    }
}

fn kind(name: &str) -> String {
    format!("type.googleapis.com/envoy.admin.v3.{name}")
}

fn bootstrap(shared: &Shared) -> Value {
    let node = crate::node::announce(&shared.bootstrap, &shared.registry);
    json!({
        "@type": kind("BootstrapConfigDump"),
        "bootstrap": { "node": proto::json::to_json(&node) },
        "last_updated": time(shared.began.1),
    })
}

fn clusters(shared: &Shared) -> Value {
    let all = dump(
        shared,
        TypeUrl::Cluster,
        |_, accepted| json!({ "version_info": accepted.version, "cluster": message(&accepted.any), "last_updated": time(accepted.at) }),
    );
    json!({ "@type": kind("ClustersConfigDump"), "dynamic_active_clusters": all })
}

fn endpoints(shared: &Shared) -> Value {
    let all = dump(
        shared,
        TypeUrl::Endpoint,
        |_, accepted| json!({ "version_info": accepted.version, "endpoint_config": message(&accepted.any), "last_updated": time(accepted.at) }),
    );
    json!({ "@type": kind("EndpointsConfigDump"), "dynamic_endpoint_configs": all })
}

fn routes(shared: &Shared) -> Value {
    let all = dump(
        shared,
        TypeUrl::Route,
        |_, accepted| json!({ "version_info": accepted.version, "route_config": message(&accepted.any), "last_updated": time(accepted.at) }),
    );
    json!({ "@type": kind("RoutesConfigDump"), "dynamic_route_configs": all })
}

fn secrets(shared: &Shared) -> Value {
    let all = dump(
        shared,
        TypeUrl::Secret,
        |name, accepted| json!({ "name": name, "version_info": accepted.version, "secret": message(&accepted.any), "last_updated": time(accepted.at) }),
    );
    json!({ "@type": kind("SecretsConfigDump"), "dynamic_active_secrets": all })
}

fn listeners(shared: &Shared) -> Value {
    let all: Vec<Value> = shared
        .journal
        .entries(TypeUrl::Listener)
        .into_iter()
        .map(|(name, entry)| {
            let Entry { accepted, refused } = &entry;
            let mut dump = json!({ "name": name });
            if let Some(accepted) = accepted {
                dump["active_state"] = json!({
                    "version_info": accepted.version,
                    "listener": message(&accepted.any),
                    "last_updated": time(accepted.at),
                });
            }
            if let Some(refused) = refused {
                dump["error_state"] = error(refused);
            }
            dump
        })
        .collect();
    json!({ "@type": kind("ListenersConfigDump"), "dynamic_listeners": all })
}

/// Filters that are accepted and knowingly do nothing, with the reason; Envoy has no such page.
fn inert(shared: &Shared) -> Value {
    let serving = shared.serving.load();
    let mut all = Vec::new();
    for listener in serving.listeners() {
        for degraded in &listener.degraded {
            all.push(json!({
                "listener": &*listener.name,
                "field": degraded.path,
                "instead": degraded.instead,
            }));
        }
        for chain in &listener.chains {
            let http = match &chain.terminal {
                plan::Terminal::Http(manager) => manager.filters.inert.as_slice(),
                plan::Terminal::Tcp(_) => &[],
            };
            for filter in chain.inert.iter().chain(http) {
                all.push(json!({
                    "listener": &*listener.name,
                    "filter_chain": &*chain.name,
                    "filter": &*filter.name,
                    "message": &*filter.message,
                    "reason": filter.reason,
                }));
            }
        }
    }
    all.sort_by_key(ToString::to_string);
    json!({ "@type": "type.googleapis.com/weft.admin.InertFiltersDump", "inert_filters": all })
}

fn dump(shared: &Shared, ty: TypeUrl, accepted: impl Fn(&str, &Accepted) -> Value) -> Vec<Value> {
    let entries = shared.journal.entries(ty);
    let one = |(name, entry): (String, Entry)| {
        let mut value =
            entry.accepted.as_ref().map_or_else(|| json!({ "name": name }), |a| accepted(&name, a));
        if let Some(refused) = &entry.refused {
            value["error_state"] = error(refused);
        }
        value
    };
    entries.into_iter().map(one).collect()
}

fn error(refused: &Refused) -> Value {
    json!({
        "failed_configuration": message(&refused.any),
        "last_update_attempt": time(refused.at),
        "details": refused.why,
    })
}

fn message(any: &Any) -> Value {
    let mut value = proto::json::to_json(any);
    redact(&mut value);
    value
}

/// Takes away what Envoy's API marks as sensitive and a TLS context may hold itself.
fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "private_key" | "password" | "session_ticket_keys" if !value.is_null() => {
                        *value = json!({ "inline_string": REDACTED });
                    }
                    _ => redact(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(redact),
        _ => {}
    }
}

/// RFC 3339 to the second, as the calendar counts.
pub(super) fn time(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, so that the leap day is a year's last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year_of_era + era * 400 + carry;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_told_as_the_calendar_counts() {
        let at = |seconds| time(UNIX_EPOCH + Duration::from_secs(seconds));

        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(at(1_795_269_595), "2026-11-21T13:59:55Z");
    }
}
