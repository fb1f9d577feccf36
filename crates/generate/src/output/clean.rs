//! Our own objects: legal, with stable names, and routing that keeps the path.
//!
//! A context's routing stands in one VirtualService of its name without hosts, to which both the gateway's and the
//! mesh's VirtualService delegate: a weight is changed in one place and holds for users and for other services.

use serde_json::{Map, Value, json};

use super::option::Topping;
use super::{drawn, rollout, workload};
use crate::finding::{About, Findings};
use crate::model::{CallKind, Context, DomainModel, External, Routing};
use crate::name;
use crate::object::{Object, metadata};

const API_VERSION: &str = "networking.istio.io/v1";

/// All of them.
pub(super) fn objects(model: &DomainModel, topping: Topping, findings: &mut Findings) -> Vec<Object> {
    let covered = drawn::Covered::by(model);
    let mut objects = Vec::new();
    let has_istio = topping != Topping::Ingress;
    let routed: Vec<&Context> = model.contexts.iter().filter(|context| !covered.routing(context)).collect();
    if has_istio && !covered.gateway && !routed.is_empty() {
        objects.push(Object::new(gateway(model)).said("Where users come in."));
    }
    let (front, ends) = front(model, &routed);
    if has_istio && !ends.is_empty() {
        objects.push(Object::new(front).said("Which paths belong to whom."));
    }
    if topping == Topping::Ingress && !model.contexts.is_empty() {
        objects
            .push(Object::new(ingress(model)).said("Where users come in, and which paths belong to whom."));
    }
    for context in &model.contexts {
        let mut own = Vec::new();
        if !covered.service(context) {
            own.push(Object::new(workload::service(model, context)));
        }
        if !covered.deployments(context) {
            own.extend(workloads(model, context, topping));
        }
        if has_istio {
            routing(model, context, topping, &covered, &mut own);
        }
        if let Some(first) = own.first_mut() {
            let called = first.clone().said(&title(context));
            *first = called;
        }
        objects.extend(own);
    }
    for external in &model.externals {
        match service_entry(model, external) {
            Some(entry) => objects.push(Object::new(entry).said(&format!("{}, outside.", external.name))),
            None => {
                let path = external.id.as_deref().map(|id| format!("elements[{id}]")).unwrap_or_default();
                let about = About { object: &external.name, path: &path };
                let message = "nothing is generated for what is outside without an address: give it a URL, as \
                               https://pay.example/v1";
                findings.note("external-without-url", about, message);
            }
        }
    }
    objects.extend(drawn::objects(model, has_istio, findings));
    objects
}

fn title(context: &Context) -> String {
    match context.display_name.as_deref() {
        Some(display) => format!("{} ({display})", context.name),
        None => context.name.clone(),
    }
}

fn workloads(model: &DomainModel, context: &Context, topping: Topping) -> Vec<Object> {
    if topping == Topping::ArgoRollouts {
        return vec![Object::new(rollout::clean(model, context))];
    }
    let of = |version: &str, replicas| {
        let name = format!("{}-{version}", context.name);
        Object::new(workload::deployment(model, context, (&name, Some(version)), replicas))
    };
    let stable = of(context.stable(), context.replicas);
    if topping == Topping::Ingress {
        return vec![stable];
    }
    let is_tried = context
        .routing
        .as_ref()
        .is_some_and(|routing| routing.canary > 0 || routing.rules.iter().any(|rule| rule.canary > 0));
    let canary = of(context.canary(), if is_tried { context.replicas } else { 0 });
    let canary = if is_tried { canary } else { canary.said("Scale it up before it gets a weight.") };
    vec![stable, canary]
}

fn gateway(model: &DomainModel) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "Gateway",
        "metadata": metadata(model, &gateway_name(model)),
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
        },
    })
}

fn gateway_name(model: &DomainModel) -> String {
    model.gateway.clone().unwrap_or_else(|| model.slug())
}

/// The VirtualService that parts paths among contexts, and its routes.
fn front(model: &DomainModel, routed: &[&Context]) -> (Value, Vec<Value>) {
    let mut routes: Vec<Value> = Vec::new();
    for context in routed {
        let conditions: Vec<Value> = context.prefixes().into_iter().flat_map(below).collect();
        if !conditions.is_empty() {
            let delegate = reference(model, &context.name);
            routes.push(json!({"name": context.name, "match": conditions, "delegate": delegate}));
        }
    }
    let value = json!({
        "apiVersion": API_VERSION,
        "kind": "VirtualService",
        "metadata": metadata(model, &format!("{}-paths", gateway_name(model))),
        "spec": {"hosts": ["*"], "gateways": [gateway_name(model)], "http": routes},
    });
    (value, routes)
}

/// A path and everything below it, and nothing that only begins alike.
fn below(path: &str) -> Vec<Value> {
    let path = name::encoded(path.trim_end_matches('/'));
    let below = json!({"uri": {"prefix": format!("{path}/")}});
    if path.is_empty() { vec![below] } else { vec![json!({"uri": {"exact": path}}), below] }
}

fn reference(model: &DomainModel, name: &str) -> Value {
    metadata(model, name).into()
}

/// What routes requests to a context.
fn routing(
    model: &DomainModel,
    context: &Context,
    topping: Topping,
    covered: &drawn::Covered<'_>,
    own: &mut Vec<Object>,
) {
    if !covered.subsets(context) {
        own.push(Object::new(destination_rule(model, context, topping)));
    }
    if covered.routing(context) {
        return;
    }
    own.push(
        Object::new(virtual_service(model, context))
            .said("Weights and conditions: for users and services alike."),
    );
    own.push(Object::new(json!({
        "apiVersion": API_VERSION,
        "kind": "VirtualService",
        "metadata": metadata(model, &format!("{}-mesh", context.name)),
        "spec": {
            "hosts": [context.name],
            "gateways": ["mesh"],
            "http": [{"delegate": reference(model, &context.name)}],
        },
    })));
}

fn virtual_service(model: &DomainModel, context: &Context) -> Value {
    let routing = context.routing.clone().unwrap_or_default();
    let mut http: Vec<Value> = Vec::new();
    for rule in &routing.rules {
        let mut route = Map::new();
        route.insert("name".into(), rule.name.as_str().into());
        route.insert("match".into(), rule.matches.clone().into());
        route.insert("route".into(), shares(context, rule.canary));
        bounds(model, context, &routing, &mut route);
        http.push(route.into());
    }
    let mut route = Map::new();
    route.insert("name".into(), "primary".into());
    route.insert("route".into(), shares(context, routing.canary));
    bounds(model, context, &routing, &mut route);
    http.push(route.into());
    json!({
        "apiVersion": API_VERSION,
        "kind": "VirtualService",
        "metadata": metadata(model, &context.name),
        "spec": {"http": http},
    })
}

fn shares(context: &Context, canary: u8) -> Value {
    let target = |subset: &str, weight: u8| {
        json!({
            "destination": {"host": context.name, "subset": subset, "port": {"number": context.service_port}},
            "weight": weight,
        })
    };
    let canary = canary.min(100);
    json!([target("stable", 100 - canary), target("canary", canary)])
}

/// How long a request may take and when it is made again: as told, or where a circuit breaker is drawn.
fn bounds(model: &DomainModel, context: &Context, routing: &Routing, route: &mut Map<String, Value>) {
    let is_guarded = guarded(model, context);
    let timeout = routing.timeout.clone().or_else(|| is_guarded.then(|| "3s".to_owned()));
    // Only what never reached the service is made again: it may have had an effect otherwise.
    let careful =
        || json!({"attempts": 2, "perTryTimeout": "1s", "retryOn": "connect-failure,refused-stream"});
    let retries = routing.retries.clone().or_else(|| is_guarded.then(careful));
    route.extend(timeout.map(|timeout| ("timeout".to_owned(), Value::from(timeout))));
    route.extend(retries.map(|retries| ("retries".to_owned(), retries)));
}

/// Whether a circuit breaker is drawn on a call to this context.
fn guarded(model: &DomainModel, context: &Context) -> bool {
    let mut calls = model.calls.iter().filter(|call| call.kind == CallKind::Sync && call.to == context.name);
    calls.any(|call| call.circuit_breaker)
}

fn destination_rule(model: &DomainModel, context: &Context, topping: Topping) -> Value {
    let routing = context.routing.clone().unwrap_or_default();
    let is_guarded = guarded(model, context);
    let mut policy = Map::new();
    policy.insert(
        "loadBalancer".into(),
        routing.load_balancer.unwrap_or_else(|| json!({"simple": "LEAST_REQUEST"})),
    );
    let pool = || json!({"tcp": {"maxConnections": 100}, "http": {"http1MaxPendingRequests": 100}});
    let pool = routing.connection_pool.or_else(|| is_guarded.then(pool));
    policy.extend(pool.map(|pool| ("connectionPool".to_owned(), pool)));
    let outlier = || json!({"consecutive5xxErrors": 5, "interval": "10s", "baseEjectionTime": "30s", "maxEjectionPercent": 50});
    let outlier = routing.outlier_detection.or_else(|| is_guarded.then(outlier));
    policy.extend(outlier.map(|outlier| ("outlierDetection".to_owned(), outlier)));
    let subset = |name: &str, version: &str| {
        // Argo adds a label of its own to each.
        let labels = match topping {
            Topping::ArgoRollouts => json!({"app": context.name}),
            _ => json!({"version": version}),
        };
        json!({"name": name, "labels": labels})
    };
    json!({
        "apiVersion": API_VERSION,
        "kind": "DestinationRule",
        "metadata": metadata(model, &context.name),
        "spec": {
            "host": context.name,
            "trafficPolicy": policy,
            "subsets": [subset("stable", context.stable()), subset("canary", context.canary())],
        },
    })
}

fn service_entry(model: &DomainModel, external: &External) -> Option<Value> {
    let url = external.url.as_deref()?;
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, if scheme == "https" { 443_u16 } else { 80 }),
    };
    let is_host = host.contains('.')
        && host.split('.').all(|label| !label.is_empty() && label.len() <= 63)
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    let protocol = match scheme {
        "http" => "HTTP",
        "https" => "HTTPS",
        _ => return None,
    };
    is_host.then(|| {
        json!({
            "apiVersion": API_VERSION,
            "kind": "ServiceEntry",
            "metadata": metadata(model, &name::slug(&external.name, "external")),
            "spec": {
                "hosts": [host.to_ascii_lowercase()],
                "location": "MESH_EXTERNAL",
                "resolution": "DNS",
                "ports": [{"number": port, "name": scheme, "protocol": protocol}],
            },
        })
    })
}

fn ingress(model: &DomainModel) -> Value {
    let backend = |context: &Context| json!({"service": {"name": context.name, "port": {"name": "http"}}});
    let paths = model.contexts.iter().flat_map(|context| {
        let prefixes = context.prefixes().into_iter();
        prefixes.map(
            |path| json!({"path": name::encoded(path), "pathType": "Prefix", "backend": backend(context)}),
        )
    });
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(model, &gateway_name(model)),
        "spec": {
            "ingressClassName": "nginx",
            "rules": [{"http": {"paths": paths.collect::<Vec<Value>>()}}],
        },
    })
}
