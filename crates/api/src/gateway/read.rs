//! The fields of a Gateway, and from a document to a [`Gateway`].

use std::collections::BTreeSet;

use base::{Host, Protocol};

use super::{Gateway, Port, Server, ServerHost};
use crate::read::At;
use crate::schema::{CARRIED, Field, LABELS, PORT, Shape, TEXTS, ok, partly, warned};
use crate::tls::{SERVER_FIELDS, ServerTls, ServerTlsMode, read_server};
use crate::{bind, check};

/// Below `spec`.
pub(crate) const FIELDS: &[Field] =
    &[ok("selector", LABELS), ok("servers", Shape::List(&Shape::Object(SERVER)))];

const SERVER: &[Field] = &[
    partly("name", Shape::Text, "taken, and nothing hangs on it: a server is known by the name of its port"),
    ok(
        "port",
        Shape::Object(&[
            ok("number", Shape::Int(0, 65535)),
            ok("name", Shape::Text),
            partly("protocol", Shape::Text, CARRIED),
            ok("targetPort", PORT),
        ]),
    ),
    ok("bind", Shape::Text),
    ok("hosts", TEXTS),
    ok("tls", Shape::Object(SERVER_FIELDS)),
    warned("defaultEndpoint", Shape::Text, "requests no route matches are answered with 404"),
];

/// Reads `spec`; what is wrong goes to the log.
pub(crate) fn read(spec: &At<'_>) -> Gateway {
    let items = spec.list("servers");
    if items.is_empty() {
        spec.missing("servers", "a Gateway needs at least one server");
    }
    if let Some(selector) = spec.field("selector") {
        check::labels(&selector);
    }
    let mut seen = BTreeSet::new();
    let mut servers = Vec::new();
    for item in &items {
        let Some(server) = server(item) else { continue };
        if !seen.insert(server.port.name.clone()) {
            item.error("duplicate-value", format!("the port names are not unique: {:?}", server.port.name));
        }
        servers.push(server);
    }
    Gateway { selector: spec.labels("selector"), servers }
}

fn server(at: &At<'_>) -> Option<Server> {
    let (hosts, bind, port) = (hosts(at), bind::read(at), port(at));
    let (tls, redirects) = tls(at, port.as_ref().map_or(Protocol::Http, |port| port.protocol));
    let name = at.text("name").unwrap_or_default().into();
    Some(Server { name, port: port?, bind, hosts, tls, redirects })
}

/// TLS as a protocol needs it or forbids it, and whether clients without it are sent elsewhere.
fn tls(at: &At<'_>, protocol: Protocol) -> (Option<ServerTls>, bool) {
    let speaks_tls = matches!(protocol, Protocol::Https | Protocol::Tls);
    let Some(field) = at.field("tls") else {
        if speaks_tls {
            at.missing("tls", "a server of this protocol must have TLS settings");
        }
        return (None, false);
    };
    let settings = read_server(&field);
    let redirects = field.bool("httpsRedirect") == Some(true);
    if protocol.is_http() {
        let says_more = settings != ServerTls::default();
        if says_more || field.text("mode").is_some_and(|mode| mode != "PASSTHROUGH") {
            field.error("conflict", "a server without TLS cannot have TLS settings; write HTTPS or TLS");
        }
        return (None, redirects);
    }
    if redirects && let Some(redirect) = field.field("httpsRedirect") {
        redirect.warn_at_key("no-effect", "only clients of a server without TLS are sent to it");
    }
    if !speaks_tls && settings.mode == ServerTlsMode::AutoPassthrough {
        field.error("conflict", "AUTO_PASSTHROUGH is for the protocol TLS");
    }
    (Some(settings), false)
}

fn hosts(at: &At<'_>) -> Vec<ServerHost> {
    let items = at.list("hosts");
    if items.is_empty() {
        at.missing("hosts", "a server needs at least one host");
    }
    items.iter().filter_map(server_host).collect()
}

/// `host`, `namespace/host`, `./host` or `*/host`.
fn server_host(item: &At<'_>) -> Option<ServerHost> {
    let text = item.node.text()?;
    let (namespace, host) = text.split_once('/').unwrap_or(("*", text));
    let namespace = match namespace {
        "*" => None,
        "." => Some(item.context.namespace.to_owned()),
        label if check::is_label(label) => Some(label.to_owned()),
        _ => {
            item.error(
                "wrong-value",
                format!("invalid namespace value {namespace:?}; write a name, `.` or `*`"),
            );
            return None;
        }
    };
    let fault = check::wildcard_host_error(host).or_else(|| {
        let is_partial = host.len() > 1 && host.starts_with('*') && !host.starts_with("*.");
        if is_partial {
            return Some(format!("partial wildcard {host:?} not allowed; write `*.` and a domain"));
        }
        (host != "*" && !host.contains('.'))
            .then(|| format!("short names such as {host:?} are not allowed here"))
    });
    if let Some(message) = fault {
        item.error("wrong-value", message);
        return None;
    }
    Some(ServerHost { namespace, host: Host::new(host) })
}

fn port(at: &At<'_>) -> Option<Port> {
    let Some(port) = at.field("port") else {
        at.missing("port", "a server needs a port");
        return None;
    };
    let name = port.text("name").unwrap_or_default();
    if name.is_empty() {
        port.missing("name", "a port needs a port name");
    }
    let protocol = match port.field("protocol") {
        None => {
            port.missing("protocol", "a port needs a protocol, for example HTTP");
            None
        }
        Some(field) => {
            let protocol = field.node.text().and_then(check::protocol);
            if let Some(protocol) = protocol {
                check::stream_protocol(&field, protocol);
            }
            if protocol.is_none() {
                field.error("wrong-value", "invalid protocol; write HTTP, HTTPS, HTTP2, GRPC, TLS or TCP");
            }
            protocol
        }
    };
    let number = match port.port("number") {
        None if bind::is_pipe(at) => Some(0),
        number => number,
    };
    if number.is_none() {
        port.missing("number", "a port number is between 1 and 65535");
    }
    Some(Port {
        number: number?,
        name: name.into(),
        protocol: protocol.unwrap_or(Protocol::Http),
        target_port: port.port("targetPort"),
    })
}
