//! `/stats` and `/stats/prometheus`.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde_json::json;
use xds::TypeUrl;

use super::server::{Asked, Reply};
use crate::shared::Shared;
use crate::state::Stage;

pub(super) fn reply(shared: &Shared, asked: &Asked) -> Reply {
    if asked.parameter("format") == Some("prometheus") {
        return prometheus(shared);
    }
    let filter = asked.parameter("filter").unwrap_or_default().to_owned();
    let used_only = asked.parameter("usedonly").is_some();
    let values = values(shared)
        .into_iter()
        .filter(|(name, value)| name.contains(&filter) && (!used_only || *value != 0));
    if asked.wants_json() {
        let stats: Vec<_> = values.map(|(name, value)| json!({ "name": name, "value": value })).collect();
        return Reply::json(&json!({ "stats": stats }));
    }
    let text: String = values.map(|(name, value)| format!("{name}: {value}\n")).collect();
    Reply::text(http::StatusCode::OK, text)
}

pub(super) fn prometheus(shared: &Shared) -> Reply {
    let mut out = String::new();
    shared.reporter.metrics.render_prometheus(&mut out);
    shared.reporter.stats.render_prometheus(&mut out);
    for (name, value) in process(shared) {
        let name = format!("envoy_{}", name.replace('.', "_"));
        out.push_str(&format!("# TYPE {name} gauge\n{name} {value}\n"));
    }
    Reply::prometheus(out)
}

/// Every statistic: the workers' and the process's own.
fn values(shared: &Shared) -> BTreeMap<String, i64> {
    let mut values = shared.reporter.stats.values();
    values.extend(process(shared));
    values
}

fn process(shared: &Shared) -> BTreeMap<String, i64> {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let serving = shared.serving.load();
    let mut values = BTreeMap::from([
        ("control_plane.connected_state".to_owned(), i64::from(shared.connected.load(Ordering::Relaxed))),
        ("server.live".to_owned(), i64::from(shared.state.stage() == Stage::Live)),
        ("server.concurrency".to_owned(), number(shared.workers.len() as u64)),
        ("server.uptime".to_owned(), number(shared.began.0.elapsed().as_secs())),
        ("listener_manager.total_listeners_active".to_owned(), number(serving.listeners().count() as u64)),
        ("cluster_manager.active_clusters".to_owned(), number(serving.plan.clusters().count() as u64)),
    ]);
    let types = [
        ("cluster_manager.cds", TypeUrl::Cluster),
        ("listener_manager.lds", TypeUrl::Listener),
        ("rds", TypeUrl::Route),
        ("eds", TypeUrl::Endpoint),
        ("sds", TypeUrl::Secret),
    ];
    for (prefix, ty) in types {
        let tally = shared.journal.tally(ty);
        values.insert(format!("{prefix}.update_success"), number(tally.accepted));
        values.insert(format!("{prefix}.update_rejected"), number(tally.refused));
    }
    values
}
