//! Kubernetes Ingress as Istio's ingress controller of that time read it.

use crate::read::At;

/// What of an Ingress decides routing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ingress {
    pub(crate) tls: Vec<IngressTls>,
    /// What takes requests that no rule takes.
    pub(crate) backend: Option<Backend>,
    pub(crate) rules: Vec<IngressRule>,
}

#[derive(Clone, Debug)]
pub(crate) struct IngressTls {
    pub(crate) hosts: Vec<String>,
    pub(crate) secret: String,
}

/// The paths of one host; an empty host is every host.
#[derive(Clone, Debug)]
pub(crate) struct IngressRule {
    pub(crate) host: String,
    pub(crate) paths: Vec<IngressPath>,
}

#[derive(Clone, Debug)]
pub(crate) struct IngressPath {
    pub(crate) path: String,
    /// `Exact`, `Prefix`, or what Istio reads into the path itself.
    pub(crate) kind: String,
    pub(crate) backend: Backend,
}

/// A service and its port.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub(crate) service: String,
    pub(crate) port: BackendPort,
    /// Where it is written, for reports.
    pub(crate) field: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BackendPort {
    Name(String),
    Number(u16),
}

/// Reads an Ingress; what is wrong goes to the log.
pub(super) fn read(spec: &At<'_>) -> Ingress {
    spec.only(&["ingressClassName", "tls", "backend", "defaultBackend", "rules"]);
    let backend = spec.field("defaultBackend").or_else(|| spec.field("backend"));
    Ingress {
        tls: spec.list("tls").iter().map(tls).collect(),
        backend: backend.and_then(|field| self::backend(&field)),
        rules: spec.list("rules").iter().map(rule).collect(),
    }
}

fn tls(at: &At<'_>) -> IngressTls {
    at.only(&["hosts", "secretName"]);
    IngressTls { hosts: at.texts("hosts"), secret: at.text("secretName") }
}

fn rule(at: &At<'_>) -> IngressRule {
    at.only(&["host", "http"]);
    let http = at.map_field("http");
    if http.is_none() {
        at.warn("not-kept", "the rule has no paths and routes nothing");
    }
    let paths = http.map(|http| http.list("paths")).unwrap_or_default();
    IngressRule { host: at.text("host"), paths: paths.iter().filter_map(path).collect() }
}

fn path(at: &At<'_>) -> Option<IngressPath> {
    at.only(&["path", "pathType", "backend"]);
    let Some(field) = at.field("backend") else {
        at.error("missing-field", "a path needs a `backend`");
        return None;
    };
    Some(IngressPath { path: at.text("path"), kind: at.text("pathType"), backend: backend(&field)? })
}

/// `{serviceName, servicePort}`, or `{service: {name, port: {number}}}` of networking.k8s.io/v1.
fn backend(at: &At<'_>) -> Option<Backend> {
    at.only(&["serviceName", "servicePort", "service", "resource"]);
    if let Some(resource) = at.field("resource") {
        resource.error("not-converted", "a backend that is no service cannot be routed to; name a service");
        return None;
    }
    let (service, port) = match at.map_field("service") {
        Some(service) => {
            service.only(&["name", "port"]);
            let port = service.map_field("port");
            let port = port.and_then(|port| port.field("number").or_else(|| port.field("name")));
            (service.text("name"), port)
        }
        None => (at.text("serviceName"), at.field("servicePort")),
    };
    let Some(port) = port.filter(|_| !service.is_empty()) else {
        at.error("missing-field", "a backend needs the name of a service and its port");
        return None;
    };
    let text = port.own_text();
    let port = match text.parse::<u16>() {
        Ok(number) => BackendPort::Number(number),
        Err(_) => BackendPort::Name(text),
    };
    Some(Backend { service, port, field: at.path.clone() })
}
