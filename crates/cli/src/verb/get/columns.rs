//! Which columns a kind is shown with.

use serde_json::Value;

use api::Kind;

/// One column beside the name.
pub(super) struct Column {
    /// What stands above it.
    pub(super) heading: &'static str,
    /// What stands in it, told by an object's spec and the whole object.
    pub(super) cell: fn(&Value, &Value) -> String,
}

const fn column(heading: &'static str, cell: fn(&Value, &Value) -> String) -> Column {
    Column { heading, cell }
}

/// The columns of a kind.
pub(super) fn of(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::DestinationRule => {
            const {
                &[
                    column("HOST", |spec, _| text(&spec["host"])),
                    column("SUBSETS", |spec, _| names(&spec["subsets"])),
                ]
            }
        }
        Kind::EndpointSlice => {
            const {
                &[
                    column("ADDRESSTYPE", |_, object| text(&object["addressType"])),
                    column("ENDPOINTS", |_, object| count(&object["endpoints"])),
                ]
            }
        }
        Kind::Gateway => {
            const {
                &[
                    column("SELECTOR", |spec, _| pairs(&spec["selector"])),
                    column("SERVERS", |spec, _| servers(spec)),
                ]
            }
        }
        Kind::Service => {
            const {
                &[
                    column("SELECTOR", |spec, _| pairs(&spec["selector"])),
                    column("PORTS", |spec, _| ports(spec)),
                ]
            }
        }
        Kind::ServiceEntry => {
            const {
                &[
                    column("HOSTS", |spec, _| list(&spec["hosts"])),
                    column("LOCATION", |spec, _| text(&spec["location"])),
                    column("RESOLUTION", |spec, _| text(&spec["resolution"])),
                ]
            }
        }
        Kind::VirtualService => {
            const {
                &[
                    column("GATEWAYS", |spec, _| list(&spec["gateways"])),
                    column("HOSTS", |spec, _| list(&spec["hosts"])),
                ]
            }
        }
        Kind::WorkloadEntry => {
            const {
                &[
                    column("ADDRESS", |spec, _| text(&spec["address"])),
                    column("LABELS", |spec, _| pairs(&spec["labels"])),
                ]
            }
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn list(value: &Value) -> String {
    value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(",")
}

fn names(value: &Value) -> String {
    value.as_array().into_iter().flatten().map(|item| text(&item["name"])).collect::<Vec<_>>().join(",")
}

fn pairs(value: &Value) -> String {
    let pairs = value.as_object().into_iter().flatten();
    pairs.map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(",")
}

fn count(value: &Value) -> String {
    value.as_array().map_or(0, Vec::len).to_string()
}

fn servers(spec: &Value) -> String {
    let servers = spec["servers"].as_array().into_iter().flatten().map(|server| &server["port"]);
    servers
        .map(|port| format!("{}/{}", text(&port["number"]), text(&port["protocol"])))
        .collect::<Vec<_>>()
        .join(",")
}

fn ports(spec: &Value) -> String {
    let ports = spec["ports"].as_array().into_iter().flatten();
    ports
        .map(|port| match &port["targetPort"] {
            Value::Null => text(&port["port"]),
            target if *target == port["port"] => text(&port["port"]),
            target => format!("{}:{}", text(&port["port"]), text(target)),
        })
        .collect::<Vec<_>>()
        .join(",")
}
