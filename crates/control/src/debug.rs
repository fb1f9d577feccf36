//! The debug pages of 15014, in the shapes in which a real istiod answers them.
//!
//! Secrets are on none of them: who may read these pages is not asked.

mod config_dump;
mod connections;
mod mesh;
mod moment;
mod services;

#[cfg(test)]
mod tests;

use http::StatusCode;
use serde_json::Value;

use crate::desk::Desk;
use crate::server::{Reply, json, text};

/// Every page, with what it shows.
const PAGES: [(&str, &str); 9] = [
    ("adsz", "each connected proxy, with its labels, metadata and the resources it watches"),
    ("config_dump", "what one proxy is to be told, ?proxyID=NAME.NAMESPACE, as Envoy's own dump"),
    ("configz", "the configuration objects in force"),
    ("connections", "each connected proxy, and since when"),
    ("endpointz", "the workloads behind each service"),
    ("instancesz", "the services each connected proxy stands behind"),
    ("mesh", "the mesh's settings in force"),
    ("registryz", "every service that is known"),
    ("syncz", "what each connected proxy was sent and has acknowledged"),
];

/// Answers a page below `/debug`.
pub(crate) async fn page(desk: &Desk, name: &str, query: &str) -> Reply {
    let found: Value = match name {
        "" => return text(StatusCode::OK, index()),
        "adsz" => connections::adsz(desk).await,
        "config_dump" => return config_dump::page(desk, query).await,
        "configz" => mesh::configz(desk),
        "connections" => connections::connections(desk),
        "endpointz" => services::endpointz(desk),
        "instancesz" => services::instancesz(desk),
        "mesh" => mesh::mesh(desk),
        "registryz" => services::registryz(desk),
        "syncz" => connections::syncz(desk),
        name => return text(StatusCode::NOT_FOUND, format!("there is no /debug/{name}\n\n{}", index())),
    };
    json(StatusCode::OK, &found)
}

fn index() -> String {
    PAGES.iter().map(|(name, shows)| format!("/debug/{name:<12} {shows}\n")).collect()
}
