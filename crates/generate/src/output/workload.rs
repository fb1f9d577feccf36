//! Services and Deployments.

use serde_json::{Map, Value, json};

use crate::model::{Context, DomainModel};
use crate::object::metadata;

/// The name people know, and the element of the drawing.
pub(super) const DISPLAY_NAME: &str = "weft/display-name";
pub(super) const ELEMENT: &str = "weft/element";

/// The Service of a context.
pub(super) fn service(model: &DomainModel, context: &Context) -> Value {
    let mut meta = metadata(model, &context.name);
    meta.insert("labels".into(), json!({"app": context.name}));
    annotate(&mut meta, context);
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {
            "selector": {"app": context.name},
            "ports": [{"name": "http", "port": context.service_port, "targetPort": context.container_port}],
        },
    })
}

/// The workloads of one version of a context, or of all of them.
pub(super) fn deployment(
    model: &DomainModel,
    context: &Context,
    (name, version): (&str, Option<&str>),
    replicas: u32,
) -> Value {
    let mut labels = Map::new();
    labels.insert("app".into(), context.name.as_str().into());
    labels.extend(version.map(|version| ("version".to_owned(), Value::from(version))));
    let mut meta = metadata(model, name);
    meta.insert("labels".into(), labels.clone().into());
    annotate(&mut meta, context);
    let image = context.image.clone().unwrap_or_else(|| context.name.clone());
    let tag = version.unwrap_or_else(|| context.stable());
    let probe = |delay: u32, failures: u32| {
        json!({
            "httpGet": {"path": "/actuator/health", "port": context.container_port},
            "initialDelaySeconds": delay,
            "periodSeconds": 5,
            "failureThreshold": failures,
        })
    };
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{
                    "name": context.name,
                    "image": format!("{image}:{tag}"),
                    "ports": [{"name": "http", "containerPort": context.container_port}],
                    "readinessProbe": probe(10, 10),
                    "livenessProbe": probe(120, 5),
                }]},
            },
        },
    })
}

fn annotate(meta: &mut Map<String, Value>, context: &Context) {
    let all: Map<String, Value> = [(DISPLAY_NAME, &context.display_name), (ELEMENT, &context.id)]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?.into())))
        .collect();
    if !all.is_empty() {
        meta.insert("annotations".into(), all.into());
    }
}
