//! The objects the drawing tool's own options make of a model, object for object.
//!
//! What is known to be weak about them is kept: they are here for those whose pipelines count on it.

use serde_json::{Value, json};

use super::names::Names;
use super::option::Topping;
use super::rollout;
use crate::model::{Context, DomainModel};
use crate::object::Object;

/// All of them, in the tool's order.
pub(super) fn objects(model: &DomainModel, topping: Topping) -> Vec<Object> {
    if topping == Topping::Ingress {
        return vec![Object::new(ingress(model))];
    }
    let gateway = project(&model.project);
    let mut objects = vec![Object::new(json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "Gateway",
        "metadata": {"name": gateway},
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
        },
    }))];
    for context in &model.contexts {
        let names = Names::of(context);
        objects.push(Object::new(virtual_service(&names, &gateway)));
        objects.push(Object::new(destination_rule(&names)));
        if topping == Topping::ArgoRollouts {
            objects.push(Object::new(rollout::compat(&names)));
        }
    }
    objects
}

/// The project's name without whatever is neither a Latin letter nor a blank.
fn project(name: &str) -> String {
    let letters: String =
        name.to_lowercase().chars().filter(|c| c.is_ascii_lowercase() || *c == ' ').collect();
    if letters.trim().is_empty() { "untitled".into() } else { letters }
}

fn virtual_service(names: &Names, gateway: &str) -> Value {
    let target = |subset: &str, weight: u8| json!({"destination": {"host": names.camel, "subset": subset}, "weight": weight});
    json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "VirtualService",
        "metadata": {"name": format!("vsvc-{}", names.camel)},
        "spec": {
            "gateways": [gateway],
            "hosts": ["*"],
            "http": [{
                "name": "primary",
                "match": [{"uri": {"exact": format!("/{}", names.plural)}}],
                "rewrite": {"uri": "/"},
                "route": [target("stable", 100), target("canary", 0)],
            }],
        },
    })
}

fn destination_rule(names: &Names) -> Value {
    let subset = |name: &str| json!({"name": name, "labels": {"app": names.name}});
    json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "DestinationRule",
        "metadata": {"name": format!("destrule-{}", names.camel)},
        "spec": {"host": names.camel, "subsets": [subset("canary"), subset("stable")]},
    })
}

fn ingress(model: &DomainModel) -> Value {
    let path = |context: &Context| {
        let names = Names::of(context);
        json!({
            "path": format!("/{}", names.plural),
            "pathType": "Prefix",
            "backend": {"serviceName": names.name, "servicePort": 8080},
        })
    };
    let paths: Vec<Value> = model.contexts.iter().map(path).collect();
    json!({
        "apiVersion": "extensions/v1beta1",
        "kind": "Ingress",
        "metadata": {
            "name": format!("{}-ingress", project(&model.project)),
            "annotations": {"kubernetes.io/ingress.class": "nginx"},
        },
        "spec": {"rules": [{"host": "", "http": {"paths": paths}}]},
    })
}
