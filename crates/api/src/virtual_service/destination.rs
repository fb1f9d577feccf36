//! What routes name: destinations, hosts and gateways.

use super::{Destination, GatewayRef};
use crate::check;
use crate::read::At;

/// Reads a field that is a destination.
pub(crate) fn read_destination(parent: &At<'_>, name: &str) -> Option<Destination> {
    let Some(at) = parent.field(name) else {
        parent.missing(name, "a destination is missing");
        return None;
    };
    let Some(host) = at.text("host") else {
        at.missing("host", "a destination needs a host");
        return None;
    };
    if host == "*" {
        at.error("wrong-value", "the host of a destination cannot be `*`");
    } else if let Some(message) = host_error(host)
        && let Some(field) = at.field("host")
    {
        field.error("wrong-value", message);
    }
    if let Some(subset) = at.field("subset")
        && subset.node.text().is_some_and(|text| !text.is_empty() && !check::is_label(text))
    {
        subset.error("wrong-value", "a subset's name is made of lower-case letters, digits and dashes");
    }
    let port = at.field("port");
    if let Some(port) = &port
        && port.field("number").is_none()
    {
        port.missing("number", "a port is named by its number");
    }
    Some(Destination {
        host: host.into(),
        subset: at.text("subset").map(str::to_owned),
        port: port.and_then(|port| port.port("number")),
    })
}

/// What is wrong with a host a VirtualService is for; bound to gateways alone it may be a name proxies call each
/// other by.
pub(super) fn own_host_error(host: &str, is_for_mesh: bool) -> Option<String> {
    host_error(host).filter(|_| is_for_mesh || check::sni_error(host).is_some())
}

/// A host with a wildcard or an address is what routes and hosts may name.
pub(super) fn host_error(host: &str) -> Option<String> {
    check::wildcard_host_error(host).filter(|_| host.parse::<std::net::IpAddr>().is_err())
}

/// `mesh`, `name`, `namespace/name`, or the host name of a gateway's service, as older documents have it.
pub(super) fn gateway_ref(item: &At<'_>) -> Option<GatewayRef> {
    let text = item.node.text()?;
    if text == "mesh" {
        return Some(GatewayRef::Mesh);
    }
    let (namespace, name) = match text.split_once('/') {
        Some((".", name)) => (item.context.namespace, name),
        Some(pair) => pair,
        None if check::is_label(text) => (item.context.namespace, text),
        None if check::is_fqdn(text) && text.contains('.') => {
            let mut labels = text.split('.');
            let name = labels.next().unwrap_or_default();
            let namespace = labels.next().unwrap_or_default();
            item.warn("deprecated", format!("a host name names a gateway; write {namespace}/{name}"));
            (namespace, name)
        }
        None => (item.context.namespace, text),
    };
    if !check::is_label(namespace) || !check::is_subdomain(name) {
        item.error(
            "wrong-value",
            format!("{text:?} does not name a gateway; write `namespace/name` or `mesh`"),
        );
        return None;
    }
    Some(GatewayRef::Named { namespace: namespace.into(), name: name.into() })
}
