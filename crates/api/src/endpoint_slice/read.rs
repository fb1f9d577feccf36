//! The fields of an EndpointSlice, and from a document to an [`EndpointSlice`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base::Protocol;

use super::{AddressType, Endpoint, EndpointPort, EndpointSlice, Target};
use crate::check;
use crate::read::At;
use crate::schema::{Field, PORT, Shape, TEXTS, ok, partly, warned, warned_unless};

const EVERY_ZONE: &str = "endpoints of every zone are used";

/// Below the object itself: this kind has no `spec`.
pub(crate) const FIELDS: &[Field] = &[
    warned_unless(
        "addressType",
        ADDRESSES,
        &["IPv4", "IPv6"],
        "endpoints that are known by name are left out",
    ),
    ok("endpoints", Shape::List(&Shape::Object(ENDPOINT))),
    ok("ports", Shape::List(&Shape::Object(PORTS))),
];

const ADDRESSES: Shape = Shape::Word(&["IPv4", "IPv6", "FQDN"]);

const ENDPOINT: &[Field] = &[
    ok("addresses", TEXTS),
    ok(
        "conditions",
        Shape::Object(&[
            ok("ready", Shape::Bool),
            ok("serving", Shape::Bool),
            ok("terminating", Shape::Bool),
        ]),
    ),
    ok("nodeName", Shape::Text),
    ok("zone", Shape::Text),
    ok("targetRef", Shape::Object(TARGET)),
    warned("hostname", Shape::Text, "the endpoint gets no name of its own"),
    warned("hints", Shape::Any, EVERY_ZONE),
    warned("deprecatedTopology", Shape::Any, EVERY_ZONE),
];

const BY_NAME: &str = "taken, and nothing hangs on it: a Pod is known by its name and namespace";

const BY_SERVICE: &str = "taken, and nothing hangs on it: the port of the Service says what is spoken";

const TARGET: &[Field] = &[
    ok("kind", Shape::Text),
    ok("namespace", Shape::Text),
    ok("name", Shape::Text),
    partly("uid", Shape::Text, BY_NAME),
    partly("apiVersion", Shape::Text, BY_NAME),
    partly("resourceVersion", Shape::Text, BY_NAME),
    partly("fieldPath", Shape::Text, BY_NAME),
];

const PORTS: &[Field] = &[
    ok("name", Shape::Text),
    ok("port", PORT),
    partly("protocol", Shape::Word(&["TCP", "UDP", "SCTP"]), BY_SERVICE),
    partly("appProtocol", Shape::Text, BY_SERVICE),
];

/// Reads the object; what is wrong goes to the log.
pub(crate) fn read(root: &At<'_>) -> EndpointSlice {
    let address_type = match root.text("addressType") {
        Some("FQDN") => AddressType::Fqdn,
        Some("IPv6") => AddressType::Ipv6,
        Some(_) => AddressType::Ipv4,
        None => inferred(root),
    };
    let labels = root.field("metadata").map(|meta| meta.labels("labels")).unwrap_or_default();
    EndpointSlice {
        service: labels.value("kubernetes.io/service-name").map(str::to_owned),
        address_type,
        endpoints: root.list("endpoints").iter().map(|item| endpoint(item, address_type)).collect(),
        ports: root.list("ports").iter().map(port).collect(),
    }
}

/// What the first address is, where nobody says it.
fn inferred(root: &At<'_>) -> AddressType {
    let first = root.list("endpoints").iter().flat_map(|endpoint| endpoint.texts("addresses")).next();
    match first.as_deref().map(str::parse::<IpAddr>) {
        Some(Ok(IpAddr::V4(_))) => AddressType::Ipv4,
        Some(Ok(IpAddr::V6(_))) => AddressType::Ipv6,
        Some(Err(_)) | None => {
            root.missing("addressType", "write IPv4, IPv6 or FQDN");
            AddressType::Fqdn
        }
    }
}

fn endpoint(at: &At<'_>, address_type: AddressType) -> Endpoint {
    let items = at.list("addresses");
    if items.is_empty() {
        at.missing("addresses", "an endpoint needs an address");
    }
    for item in items {
        let text = item.node.text().unwrap_or_default();
        let fits = match address_type {
            AddressType::Fqdn => check::is_fqdn(text),
            AddressType::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            AddressType::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
        };
        if !fits {
            item.error("wrong-value", format!("{text:?} is not what `addressType` says"));
        }
    }
    let condition = |name| at.field("conditions").and_then(|conditions| conditions.bool(name));
    let ready = condition("ready").unwrap_or(true);
    Endpoint {
        addresses: at.texts("addresses"),
        ready,
        serving: condition("serving").unwrap_or(ready),
        terminating: condition("terminating").unwrap_or(false),
        node_name: at.text("nodeName").map(str::to_owned),
        zone: at.text("zone").map(str::to_owned),
        target: at.field("targetRef").map(|target| Target {
            kind: target.text("kind").unwrap_or_default().into(),
            namespace: target.text("namespace").unwrap_or_default().into(),
            name: target.text("name").unwrap_or_default().into(),
        }),
    }
}

fn port(at: &At<'_>) -> EndpointPort {
    let name = at.text("name").unwrap_or_default();
    let number = at.port("port");
    let transport = at.text("protocol").unwrap_or("TCP");
    EndpointPort {
        name: name.into(),
        number,
        protocol: Protocol::of_port(transport, at.text("appProtocol"), name, number.unwrap_or(0)),
    }
}
