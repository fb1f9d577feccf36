//! `/certs`: the certificates in use, in Envoy's JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use net::tls::Peer;
use serde_json::{Value, json};

use super::config_dump::time;
use super::server::Reply;
use crate::shared::Shared;

const DAY: i64 = 24 * 60 * 60;

pub(super) fn reply(shared: &Shared) -> Reply {
    let serving = shared.serving.load();
    let contexts = &serving.contexts;
    let servers = contexts.servers().map(|server| (server.roots(), server.certificates()));
    let clients = contexts.clients().map(|client| (client.roots(), client.certificates()));
    let mut all: Vec<Value> = servers
        .chain(clients)
        .map(|(roots, own)| {
            json!({
                "ca_cert": roots.iter().map(certificate).collect::<Vec<_>>(),
                "cert_chain": own.iter().map(certificate).collect::<Vec<_>>(),
            })
        })
        .collect();
    all.sort_by_key(ToString::to_string);
    all.dedup();
    Reply::json(&json!({ "certificates": all }))
}

fn time_of(seconds: i64) -> String {
    time(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

fn certificate(peer: &Peer) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let names = peer.dns.iter().map(|name| json!({ "dns": name }));
    let names = names.chain(peer.uris.iter().map(|uri| json!({ "uri": uri })));
    let names = names.chain(peer.ips.iter().map(|ip| json!({ "ip_address": ip.to_string() })));
    json!({
        "path": "<inline>",
        "serial_number": peer.serial,
        "subject_alt_names": names.collect::<Vec<_>>(),
        "days_until_expiration": ((peer.not_after - now) / DAY).max(0).to_string(),
        "valid_from": time_of(peer.not_before),
        "expiration_time": time_of(peer.not_after),
    })
}
