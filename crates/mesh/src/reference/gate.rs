//! What Gateways say that does not hold: Secrets that are not there, ports and hosts that an older Gateway has.

use std::collections::{BTreeMap, BTreeSet};

use api::{Bind, Gateway, Valid};
use base::{Issue, Labels};

use super::warned;
use crate::server::{self, Kind, Place, Served};
use crate::state::State;
use crate::virtual_service::Bound;
use crate::{secret, server_tls, slice::ClientCertificates};

/// Everything to be said about the servers of Gateways.
pub(super) fn check(state: &State) -> Vec<Issue> {
    let mut issues = Vec::new();
    let mut taken: BTreeMap<(&Labels, Place), Vec<Served<'_>>> = BTreeMap::new();
    // Many Gateways select the same workloads.
    let mut known = BTreeMap::new();
    for gateway in &state.gateways {
        let namespaces: &BTreeSet<&str> =
            known.entry(&gateway.selector).or_insert_with(|| namespaces(state, &gateway.selector));
        for (index, server) in gateway.servers.iter().enumerate() {
            let served = Served { gateway, index, server };
            secrets(state, &served, namespaces, &mut issues);
            let listens = server.port.target_port.unwrap_or(server.port.number);
            if server::is_reserved(listens) {
                let message =
                    format!("every gateway has the port {listens} for itself; this server has no effect");
                issues.push(warned(gateway, "reserved-port", &format!("servers[{index}].port"), message));
                continue;
            }
            let place = Place { port: server.port.number, bind: server.bind.clone() };
            let here = taken.entry((&gateway.selector, place)).or_default();
            if server::is_compatible(here, &served) {
                shadowed(here, &served, &mut issues);
                here.push(served);
            } else {
                issues.push(conflict(here, &served));
            }
        }
    }
    issues
}

/// Whether a Gateway exposes none of the hosts of a VirtualService.
pub(super) fn exposes_nothing(gateway: &Valid<Gateway>, bound: &Bound) -> bool {
    let mut servers = gateway.servers.iter().enumerate();
    servers.all(|(index, server)| Served { gateway, index, server }.shared_hosts(bound).is_empty())
}

/// The namespaces where the workloads that a Gateway selects are known to be.
fn namespaces<'a>(state: &'a State, selector: &Labels) -> BTreeSet<&'a str> {
    if selector.0.is_empty() {
        return BTreeSet::new();
    }
    let services = state.services.by_host.values().filter(|service| {
        service.selector.is_some()
            && service.instances.iter().any(|instance| selector.selects(&instance.labels))
    });
    services.map(|service| &*service.name.namespace).collect()
}

/// The Secrets that a server needs: each where its workloads are, or, where that is not known, anywhere.
fn secrets(state: &State, served: &Served<'_>, namespaces: &BTreeSet<&str>, issues: &mut Vec<Issue>) {
    let Some(tls) = server_tls::of(served.server) else { return };
    let trust = match &tls.clients {
        ClientCertificates::Required(trust) | ClientCertificates::Optional(trust) => Some(&trust.roots),
        ClientCertificates::None => None,
    };
    for name in tls.certificates.iter().chain(trust).filter(|name| secret::is_credential(name)) {
        let is_there = |namespace: &str| state.secrets.is_complete(namespace, name);
        let is_known = match namespaces.is_empty() {
            true => state.secrets.namespaces().any(is_there),
            false => namespaces.iter().all(|namespace| is_there(namespace)),
        };
        if !is_known {
            let place = match namespaces.is_empty() {
                true => String::new(),
                false => format!(" in {}", namespaces.iter().copied().collect::<Vec<_>>().join(" and ")),
            };
            let message = format!(
                "there is no complete Secret for {name}{place}, where the gateway runs; TLS clients are refused"
            );
            let path = format!("servers[{}].tls", served.index);
            issues.push(warned(served.gateway, "unknown-secret", &path, message));
        }
    }
}

/// Server names that an older server of the port has.
fn shadowed(here: &[Served<'_>], served: &Served<'_>, issues: &mut Vec<Issue>) {
    if served.kind() != Kind::Tls || !served.ends_https() {
        return;
    }
    for (index, exposed) in served.server.hosts.iter().enumerate() {
        let has = |other: &&Served<'_>| {
            other.ends_https() && other.server.hosts.iter().any(|host| host.host == exposed.host)
        };
        if let Some(older) = here.iter().find(has) {
            let message = format!(
                "{} {} offers {} in TLS already; this server has no effect there",
                older.gateway.key(),
                place(older),
                exposed.host
            );
            let path = format!("servers[{}].hosts[{index}]", served.index);
            issues.push(warned(served.gateway, "shadowed-host", &path, message));
        }
    }
}

/// Where a server listens, in words.
fn place(served: &Served<'_>) -> String {
    match &served.server.bind {
        Some(bind @ Bind::Pipe(_)) => format!("socket {bind}"),
        Some(Bind::Ip(_)) | None => format!("port {}", served.server.port.number),
    }
}

/// A server that cannot share its port with the older ones there.
fn conflict(here: &[Served<'_>], served: &Served<'_>) -> Issue {
    let older = here.first().map(|older| older.gateway.key().to_string()).unwrap_or_default();
    let message = format!("{older} has the {} for something else; this server has no effect", place(served));
    warned(served.gateway, "conflicting-server", &format!("servers[{}].port", served.index), message)
}
