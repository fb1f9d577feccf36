//! The fields of a Sidecar, and from a document to a [`Sidecar`].

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use base::{Host, Labels, Protocol};

use super::{
    CaptureMode, DefaultEndpoint, Egress, EgressHost, EgressNamespace, Ingress, OutboundMode,
    OutboundTrafficPolicy, Port, Sidecar,
};
use crate::bind::Bind;
use crate::read::At;
use crate::schema::{CARRIED, Field, LABELS, PORT, Shape, TEXTS, ok, partly, warned};
use crate::tls::{SIDECAR_FIELDS, read_server};
use crate::virtual_service::{DESTINATION, read_destination};
use crate::{bind, check, connection_pool};

/// Below `spec`.
pub(crate) const FIELDS: &[Field] = &[
    ok("workloadSelector", Shape::Object(&[ok("labels", LABELS)])),
    ok("ingress", Shape::List(&Shape::Object(INGRESS))),
    ok("egress", Shape::List(&Shape::Object(EGRESS))),
    ok(
        "outboundTrafficPolicy",
        Shape::Object(&[
            ok("mode", Shape::Word(&["REGISTRY_ONLY", "ALLOW_ANY"])),
            ok("egressProxy", DESTINATION),
        ]),
    ),
    ok("inboundConnectionPool", Shape::Object(connection_pool::INBOUND_FIELDS)),
];

const PORT_FIELDS: Shape = Shape::Object(&[
    ok("number", Shape::Int(0, 65535)),
    partly("protocol", Shape::Text, CARRIED),
    partly("name", Shape::Text, "taken, and nothing hangs on it: a listener is known by its address"),
    warned("targetPort", PORT, "a Sidecar's port has no other number behind it"),
]);

const CAPTURE: Shape = Shape::Word(&["DEFAULT", "IPTABLES", "NONE"]);

const INGRESS: &[Field] = &[
    ok("port", PORT_FIELDS),
    ok("bind", Shape::Text),
    ok("captureMode", CAPTURE),
    ok("defaultEndpoint", Shape::Text),
    ok("tls", Shape::Object(SIDECAR_FIELDS)),
    ok("connectionPool", Shape::Object(connection_pool::INBOUND_FIELDS)),
];

const EGRESS: &[Field] =
    &[ok("port", PORT_FIELDS), ok("bind", Shape::Text), ok("captureMode", CAPTURE), ok("hosts", TEXTS)];

/// Reads `spec`; what is wrong goes to the log.
pub(crate) fn read(spec: &At<'_>) -> Sidecar {
    let says = ["ingress", "egress"].iter().any(|name| !spec.list(name).is_empty())
        || ["outboundTrafficPolicy", "inboundConnectionPool"].iter().any(|name| spec.field(name).is_some());
    if !says {
        spec.missing("egress", "a Sidecar that says nothing is a mistake; write `egress` or `ingress`");
    }
    let ingress: Vec<Ingress> = spec.list("ingress").iter().filter_map(ingress).collect();
    let mut numbers = BTreeSet::new();
    for (item, listener) in spec.list("ingress").iter().zip(&ingress) {
        if !numbers.insert(listener.port.number) {
            item.error("duplicate-value", format!("the port {} stands twice", listener.port.number));
        }
    }
    Sidecar {
        workload_selector: workload_selector(spec),
        ingress,
        egress: egress_list(spec),
        outbound_traffic_policy: spec.field("outboundTrafficPolicy").map(|field| outbound(&field)),
        inbound_connection_pool: spec
            .field("inboundConnectionPool")
            .map(|field| connection_pool::read(&field)),
    }
}

fn workload_selector(spec: &At<'_>) -> Option<Labels> {
    let selector = spec.field("workloadSelector")?;
    if let Some(labels) = selector.field("labels") {
        check::selector(&labels);
    }
    Some(selector.labels("labels")).filter(|labels| !labels.0.is_empty())
}

fn ingress(at: &At<'_>) -> Option<Ingress> {
    let bind = address(at);
    let Some(port_field) = at.field("port") else {
        at.missing("port", "a listener for the workload needs a port");
        return None;
    };
    let port = port(&port_field, false);
    let tls = at.field("tls").map(|field| {
        check_tls(&field, port.as_ref().map_or(Protocol::Auto, |port| port.protocol));
        read_server(&field)
    });
    let connection_pool = at.field("connectionPool").map(|field| connection_pool::read(&field));
    let port = port?;
    if let Some(http) = at.field("connectionPool").and_then(|pool| pool.field("http"))
        && !port.protocol.is_http()
        && port.protocol != Protocol::Auto
    {
        http.warn_at_key("no-effect", "these are limits of requests, and this port does not speak HTTP");
    }
    Some(Ingress {
        bind,
        capture_mode: capture_mode(at),
        default_endpoint: default_endpoint(at),
        tls: tls.filter(|tls| tls.mode.terminates()),
        connection_pool,
        port,
    })
}

/// A sidecar's own TLS ends here.
fn check_tls(at: &At<'_>, protocol: Protocol) {
    if !matches!(protocol, Protocol::Https | Protocol::Tls) {
        at.error("conflict", "TLS needs a port whose protocol is HTTPS or TLS");
    }
}

fn egress_list(spec: &At<'_>) -> Vec<Egress> {
    let items = spec.list("egress");
    let mut all: Vec<Egress> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(listener) = egress(item) else { continue };
        if listener.port.is_none() && index + 1 < items.len() {
            item.error(
                "conflict",
                "the listener without a port takes what is left: it stands last, and once",
            );
        }
        let same = |other: &Egress| match (&other.port, &listener.port) {
            (Some(a), Some(b)) => a.number == b.number && other.bind == listener.bind,
            _ => false,
        };
        if all.iter().any(same) {
            item.error("duplicate-value", "this port and bind stand twice");
        }
        all.push(listener);
    }
    all
}

fn egress(at: &At<'_>) -> Option<Egress> {
    let is_socket = bind::is_pipe(at);
    let bind = bind::read(at);
    let port_field = at.field("port");
    let port = port_field.as_ref().and_then(|field| port(field, is_socket));
    if is_socket && !matches!(at.text("captureMode"), None | Some("DEFAULT" | "NONE")) {
        at.error("conflict", "connections to a unix domain socket cannot be captured");
    }
    if port_field.is_none() && at.field("bind").is_some() {
        at.error("conflict", "`bind` needs a `port`");
    }
    let items = at.list("hosts");
    if items.is_empty() {
        at.missing("hosts", "a listener for others needs hosts; `./*` is those of its own namespace");
    }
    let (mut hosts, mut except) = (Vec::new(), Vec::new());
    for item in &items {
        match egress_host(item) {
            Some((host, true)) => except.push(host),
            Some((host, false)) => hosts.push(host),
            None => {}
        }
    }
    warn_of_shadowed(at, &hosts);
    if port_field.is_some() && port.is_none() {
        return None;
    }
    Some(Egress { port, bind, capture_mode: capture_mode(at), hosts, except })
}

/// `namespace/host`; with `~` before it, the host is not seen.
fn egress_host(item: &At<'_>) -> Option<(EgressHost, bool)> {
    let text = item.node.text()?;
    let Some((written, host)) = text.split_once('/') else {
        item.error(
            "wrong-value",
            format!("{text:?} is no host here; write `namespace/host`, `./host` or `*/host`"),
        );
        return None;
    };
    let (is_except, namespace) = match written.strip_prefix('~') {
        Some("") => (true, "*"),
        Some(namespace) => (true, namespace),
        None => (false, written),
    };
    let namespace = match namespace {
        "*" => EgressNamespace::Any,
        "." => EgressNamespace::Own,
        label if check::is_label(label) => EgressNamespace::Named(label.to_owned()),
        _ => {
            item.error(
                "wrong-value",
                format!("{written:?} is not a namespace; write a name, `.`, `*` or `~`"),
            );
            return None;
        }
    };
    if let Some(message) = check::wildcard_host_error(host) {
        item.error("wrong-value", message);
        return None;
    }
    Some((EgressHost { namespace, host: Host::new(host) }, is_except))
}

/// A host that another one of the same namespace covers says nothing.
fn warn_of_shadowed(at: &At<'_>, hosts: &[EgressHost]) {
    let all = Host::new("*");
    let wide = |host: &&EgressHost| host.host == all;
    for wide in hosts.iter().filter(wide) {
        let place = |host: &EgressHost| match &host.namespace {
            EgressNamespace::Any => "*".to_owned(),
            EgressNamespace::Named(namespace) => namespace.clone(),
            EgressNamespace::Own => at.context.namespace.to_owned(),
        };
        let here = place(wide);
        let is_more = |other: &&EgressHost| *other != wide && (here == "*" || here == place(other));
        if let Some(other) = hosts.iter().find(is_more) {
            at.warn("no-effect", format!("{here}/* is there already: {} adds nothing to it", other.host));
        }
    }
}

fn outbound(at: &At<'_>) -> OutboundTrafficPolicy {
    let mode = match at.text("mode") {
        Some("ALLOW_ANY") => OutboundMode::AllowAny,
        _ => OutboundMode::RegistryOnly,
    };
    let egress_proxy = at.field("egressProxy");
    if let Some(proxy) = &egress_proxy {
        if mode != OutboundMode::AllowAny {
            proxy.error_at_key("conflict", "`egressProxy` needs `mode: ALLOW_ANY`: else nothing goes out");
        }
        if proxy.field("port").is_none() {
            proxy.missing("port", "the proxy for what goes out needs a port");
        }
        if proxy.text("host").is_some_and(|host| !check::is_fqdn(host)) {
            proxy.error("wrong-value", "the proxy for what goes out needs a host name");
        }
    }
    let egress_proxy = egress_proxy.and_then(|_| read_destination(at, "egressProxy"));
    OutboundTrafficPolicy { mode, egress_proxy }
}

fn capture_mode(at: &At<'_>) -> CaptureMode {
    match at.text("captureMode") {
        Some("IPTABLES") => CaptureMode::Iptables,
        Some("NONE") => CaptureMode::None,
        _ => CaptureMode::Default,
    }
}

/// Reads a port; that of a socket has the number 0.
fn port(at: &At<'_>, is_socket: bool) -> Option<Port> {
    let name = at.text("name").unwrap_or_default();
    if name.is_empty() {
        at.missing("name", "a port needs a name");
    }
    let protocol = check::port_protocol(at);
    let number = at.whole::<u16>("number");
    if number.unwrap_or(0) == 0 && !is_socket {
        at.missing("number", "a port's number is between 1 and 65535");
    }
    let number = if is_socket { number.or(Some(0)) } else { number };
    Some(Port { number: number?, name: name.into(), protocol })
}

/// The address to listen on for the workload, which as in Istio is no Unix socket.
fn address(at: &At<'_>) -> Option<IpAddr> {
    let field = at.field("bind")?;
    match bind::read(at)? {
        Bind::Ip(ip) => Some(ip),
        Bind::Pipe(_) => {
            field.error("wrong-value", "a listener for the workload needs an address, not a socket");
            None
        }
    }
}

/// `127.0.0.1:PORT`, `[::1]:PORT`, `0.0.0.0:PORT`, `[::]:PORT` or `unix://PATH`.
fn default_endpoint(at: &At<'_>) -> Option<DefaultEndpoint> {
    let field = at.field("defaultEndpoint")?;
    let text = field.node.text().filter(|text| !text.is_empty())?;
    if let Some(path) = bind::pipe(text) {
        return bind::check_path(&field, path).then(|| DefaultEndpoint::Pipe(path.into()));
    }
    let Ok(address) = text.parse::<SocketAddr>() else {
        field.error(
            "wrong-value",
            format!("{text:?} is not an address with a port, for example 127.0.0.1:8080"),
        );
        return None;
    };
    let ip = address.ip();
    if address.port() == 0 {
        field.error("wrong-value", "a port's number is between 1 and 65535");
    }
    if ip.is_unspecified() {
        Some(DefaultEndpoint::Instance(address.port()))
    } else if matches!(text.split_once(':'), Some(("127.0.0.1", _))) || text.starts_with("[::1]:") {
        Some(DefaultEndpoint::Loopback(address))
    } else {
        field.error("wrong-value", "the endpoint is 127.0.0.1, [::1], 0.0.0.0 or [::] with a port");
        None
    }
}
