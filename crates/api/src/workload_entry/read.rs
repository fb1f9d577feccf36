//! The fields of a WorkloadEntry, and from a document to a [`WorkloadEntry`].

use std::net::IpAddr;

use super::WorkloadEntry;
use crate::read::At;
use crate::schema::{Field, LABELS, PORT, Shape, U32, ok, warned};
use crate::{bind, check};

/// Below `spec`.
pub(crate) const FIELDS: &[Field] = ENDPOINT_FIELDS;

/// The same as an endpoint of a ServiceEntry.
pub(crate) const ENDPOINT_FIELDS: &[Field] = &[
    ok("address", Shape::Text),
    ok("ports", Shape::Map(&PORT)),
    ok("labels", LABELS),
    warned("network", Shape::Text, "workloads of every network are reached directly"),
    ok("locality", Shape::Text),
    ok("weight", U32),
    ok("serviceAccount", Shape::Text),
];

/// Reads `spec`; what is wrong goes to the log.
pub(crate) fn read(spec: &At<'_>) -> WorkloadEntry {
    let entry = read_endpoint(spec);
    let is_host = check::is_fqdn(&entry.address) || entry.address.parse::<IpAddr>().is_ok();
    if let Some(field) = spec.field("address")
        && !is_host
        && !entry.address.is_empty()
        && !is_socket(&entry.address)
    {
        field.error("wrong-value", format!("{:?} is neither an address nor a host name", entry.address));
    }
    entry
}

/// Reads what a WorkloadEntry and an endpoint of a ServiceEntry have in common; what kind of address it must be
/// is for the caller to say.
pub(crate) fn read_endpoint(at: &At<'_>) -> WorkloadEntry {
    let address = at.text("address").unwrap_or_default();
    let network = at.text("network").unwrap_or_default();
    if address.is_empty() && network.is_empty() {
        at.missing("address", "the address is missing");
    } else if address.is_empty() {
        at.warn("no-effect", "without an address there is nothing to connect to");
    }
    read_template(at)
}

/// Reads the same for a WorkloadGroup, whose members each have an address of their own.
pub(crate) fn read_template(at: &At<'_>) -> WorkloadEntry {
    let address = at.text("address").unwrap_or_default();
    if let (Some(path), Some(field)) = (bind::pipe(address), at.field("address")) {
        bind::check_path(&field, path);
        if at.field("ports").is_some() {
            at.error("conflict", "a unix domain socket has no ports");
        }
    }
    if let Some(ports) = at.field("ports") {
        for entry in ports.entries().filter(|entry| !check::is_label(&entry.name().to_ascii_lowercase())) {
            entry.error_at_key("wrong-value", format!("{:?} does not name a port", entry.name()));
        }
    }
    if let Some(labels) = at.field("labels") {
        check::labels(&labels);
    }
    let ports = at.field("ports").map(|ports| {
        ports
            .entries()
            .filter_map(|entry| Some((entry.name().to_owned(), u16::try_from(entry.int()?).ok()?)))
            .collect()
    });
    WorkloadEntry {
        address: address.into(),
        ports: ports.unwrap_or_default(),
        labels: at.labels("labels"),
        network: at.text("network").unwrap_or_default().into(),
        locality: at.text("locality").unwrap_or_default().into(),
        weight: at.whole("weight").filter(|weight| *weight > 0).unwrap_or(1),
        service_account: at.text("serviceAccount").unwrap_or_default().into(),
    }
}

/// Whether an address is a unix domain socket's.
pub(crate) fn is_socket(address: &str) -> bool {
    bind::pipe(address).is_some()
}
