//! Which columns a kind is shown with.

use serde_json::Value;

use api::Kind;

/// One column beside the name.
pub(super) struct Column {
    /// What stands above it.
    pub(super) heading: &'static str,
    /// What stands in it.
    pub(super) cell: Cell,
    /// Whether it is only shown where everything is.
    pub(super) is_wide: bool,
}

/// What stands in a column.
pub(super) enum Cell {
    /// How long ago the object was created.
    Age,
    /// Told by an object's spec and the whole object.
    Told(fn(&Value, &Value) -> String),
}

const AGE: Column = Column { heading: "AGE", cell: Cell::Age, is_wide: false };

const fn column(heading: &'static str, told: fn(&Value, &Value) -> String) -> Column {
    Column { heading, cell: Cell::Told(told), is_wide: false }
}

const fn wide(heading: &'static str, told: fn(&Value, &Value) -> String) -> Column {
    Column { heading, cell: Cell::Told(told), is_wide: true }
}

/// The columns of a kind: Istio's for its own kinds, in their order, and what else is worth knowing where wide.
pub(super) fn of(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::ConfigMap => CONFIG_MAP,
        Kind::DestinationRule => DESTINATION_RULE,
        Kind::EndpointSlice => ENDPOINT_SLICE,
        Kind::Gateway => GATEWAY,
        Kind::Pod => POD,
        Kind::ProxyConfig => PROXY_CONFIG,
        Kind::Secret => SECRET,
        Kind::Service => SERVICE,
        Kind::ServiceEntry => SERVICE_ENTRY,
        Kind::Sidecar => SIDECAR,
        Kind::VirtualService => VIRTUAL_SERVICE,
        Kind::WorkloadEntry => WORKLOAD_ENTRY,
        Kind::WorkloadGroup => WORKLOAD_GROUP,
    }
}

const CONFIG_MAP: &[Column] = &[column("DATA", |_, object| keys(&object["data"])), AGE];

const DESTINATION_RULE: &[Column] =
    &[column("HOST", |spec, _| text(&spec["host"])), AGE, wide("SUBSETS", |spec, _| names(&spec["subsets"]))];

const ENDPOINT_SLICE: &[Column] = &[
    column("ADDRESSTYPE", |_, object| text(&object["addressType"])),
    column("ENDPOINTS", |_, object| count(&object["endpoints"])),
    AGE,
];

const GATEWAY: &[Column] =
    &[AGE, wide("SELECTOR", |spec, _| pairs(&spec["selector"])), wide("SERVERS", |spec, _| servers(spec))];

const POD: &[Column] = &[
    AGE,
    wide("IP", |_, object| text(&object["status"]["podIP"])),
    wide("NODE", |spec, _| text(&spec["nodeName"])),
];

const PROXY_CONFIG: &[Column] = &[
    AGE,
    wide("SELECTOR", |spec, _| pairs(&spec["selector"]["matchLabels"])),
    wide("CONCURRENCY", |spec, _| text(&spec["concurrency"])),
];

const SECRET: &[Column] = &[
    column("TYPE", |_, object| text(&object["type"])),
    column("DATA", |_, object| keys(&object["data"])),
    AGE,
];

const SERVICE: &[Column] =
    &[column("PORT(S)", |spec, _| ports(spec)), AGE, wide("SELECTOR", |spec, _| pairs(&spec["selector"]))];

const SERVICE_ENTRY: &[Column] = &[
    column("HOSTS", |spec, _| list(&spec["hosts"])),
    column("LOCATION", |spec, _| text(&spec["location"])),
    column("RESOLUTION", |spec, _| text(&spec["resolution"])),
    AGE,
    wide("PORTS", |spec, _| served(&spec["ports"])),
];

const SIDECAR: &[Column] = &[AGE, wide("SELECTOR", |spec, _| pairs(&spec["workloadSelector"]["labels"]))];

const VIRTUAL_SERVICE: &[Column] = &[
    column("GATEWAYS", |spec, _| list(&spec["gateways"])),
    column("HOSTS", |spec, _| list(&spec["hosts"])),
    AGE,
];

const WORKLOAD_ENTRY: &[Column] = &[
    AGE,
    column("ADDRESS", |spec, _| text(&spec["address"])),
    wide("LABELS", |spec, _| pairs(&spec["labels"])),
];

const WORKLOAD_GROUP: &[Column] = &[
    AGE,
    wide("LABELS", |spec, _| pairs(&spec["metadata"]["labels"])),
    wide("SERVICEACCOUNT", |spec, _| text(&spec["template"]["serviceAccount"])),
];

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

fn keys(value: &Value) -> String {
    value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect::<Vec<_>>().join(",")
}

fn count(value: &Value) -> String {
    value.as_array().map_or(0, Vec::len).to_string()
}

fn servers(spec: &Value) -> String {
    let ports = spec["servers"].as_array().into_iter().flatten().map(|server| server["port"].clone());
    served(&Value::Array(ports.collect()))
}

fn served(ports: &Value) -> String {
    let ports = ports.as_array().into_iter().flatten();
    ports
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
