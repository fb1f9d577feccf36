//! Argo's Rollouts, which take the place of Deployments and move the weights of a VirtualService.

use serde_json::{Value, json};

use super::names::Names;
use super::workload;
use crate::model::{Context, DomainModel};

/// The shares of the canary on its way, each held for ten seconds.
const STEPS: [u8; 5] = [5, 20, 40, 60, 80];

/// As the drawing tool writes it.
pub(super) fn compat(names: &Names) -> Value {
    let image = names.image.clone().unwrap_or_else(|| format!("username/{}", names.name));
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": format!("rollout-{}", names.camel)},
        "spec": {
            "replicas": 5,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": {"app": names.name}},
            "strategy": strategy(&format!("vsvc-{}", names.camel), &format!("destrule-{}", names.camel)),
            "template": {
                "metadata": {"labels": {"app": names.name}},
                "spec": {"containers": [{
                    "name": names.camel,
                    "image": format!("{image}:latest"),
                    "ports": [{"containerPort": 8080}],
                }]},
            },
        },
    })
}

/// The workloads of a context, whose versions Argo tells apart by labels of its own.
pub(super) fn clean(model: &DomainModel, context: &Context) -> Value {
    let mut value = workload::deployment(model, context, (&context.name, None), context.replicas.max(2));
    value["apiVersion"] = "argoproj.io/v1alpha1".into();
    value["kind"] = "Rollout".into();
    value["spec"]["revisionHistoryLimit"] = 2.into();
    value["spec"]["strategy"] = strategy(&context.name, &context.name);
    value
}

fn strategy(virtual_service: &str, destination_rule: &str) -> Value {
    let steps: Vec<Value> = STEPS
        .iter()
        .flat_map(|weight| [json!({"setWeight": weight}), json!({"pause": {"duration": "10s"}})])
        .collect();
    json!({"canary": {
        "trafficRouting": {"istio": {
            "virtualService": {"name": virtual_service, "routes": ["primary"]},
            "destinationRule": {
                "name": destination_rule,
                "canarySubsetName": "canary",
                "stableSubsetName": "stable",
            },
        }},
        "steps": steps,
    }})
}
