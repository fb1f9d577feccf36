//! `/listeners`: the addresses listened on.

use base::Address;
use http::StatusCode;
use serde_json::{Value, json};

use super::server::{Asked, Reply};
use crate::shared::Shared;

pub(super) fn reply(shared: &Shared, asked: &Asked) -> Reply {
    let serving = shared.serving.load();
    let addresses = shared.addresses.load();
    let real = |address| addresses.get(address).unwrap_or(address);
    let mut listeners: Vec<_> = serving.listeners().filter(|listener| listener.bind_to_port).collect();
    listeners.sort_by(|a, b| a.name.cmp(&b.name));
    if asked.wants_json() {
        let statuses: Vec<Value> = listeners
            .iter()
            .map(|listener| {
                let all: Vec<Value> = listener.addresses.iter().map(|a| wire_address(real(a))).collect();
                json!({
                    "name": &*listener.name,
                    "local_address": all.first(),
                    "additional_local_addresses": all.get(1..).unwrap_or_default(),
                })
            })
            .collect();
        return Reply::json(&json!({ "listener_statuses": statuses }));
    }
    let lines = listeners.iter().flat_map(|listener| {
        listener.addresses.iter().map(|address| format!("{}::{}\n", listener.name, real(address)))
    });
    Reply::text(StatusCode::OK, lines.collect::<String>())
}

/// Envoy's JSON of an address.
pub(super) fn wire_address(address: &Address) -> Value {
    match address {
        Address::Ip(address) => {
            json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
        }
        Address::Pipe(path) => json!({ "pipe": { "path": path } }),
    }
}
