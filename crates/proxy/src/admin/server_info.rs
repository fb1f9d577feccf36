//! `/server_info`: version, state and node, in Envoy's JSON.

use serde_json::json;

use super::server::Reply;
use crate::shared::Shared;

pub(super) fn reply(shared: &Shared) -> Reply {
    let up = format!("{}s", shared.began.0.elapsed().as_secs());
    let concurrency = shared.workers.len();
    Reply::json(&json!({
        "version": format!("weft-proxy/{}", env!("CARGO_PKG_VERSION")),
        "state": shared.state.stage().name(),
        "hot_restart_version": "disabled",
        "command_line_options": { "concurrency": concurrency, "service_cluster": shared.bootstrap.cluster },
        "node": {
            "id": shared.bootstrap.id,
            "cluster": shared.bootstrap.cluster,
            "metadata": shared.bootstrap.metadata,
            "user_agent_name": "weft-proxy",
        },
        "uptime_current_epoch": up,
        "uptime_all_epochs": up,
    }))
}
