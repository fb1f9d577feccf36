//! What the user drew stands in the place of what would be generated: as it is, but legal and doing what it means.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::finding::{About, Findings};
use crate::import::deployments;
use crate::loose::Loose;
use crate::model::{Context, DomainModel, Drawn};
use crate::object::Object;

/// Which parts of a model are drawn already.
pub(super) struct Covered<'m> {
    model: &'m DomainModel,
    /// Whether there is a gateway.
    pub(super) gateway: bool,
    /// Hosts that a VirtualService sends to.
    routed: BTreeSet<&'m str>,
    /// Hosts of DestinationRules.
    ruled: BTreeSet<&'m str>,
}

impl<'m> Covered<'m> {
    pub(super) fn by(model: &'m DomainModel) -> Self {
        let of = |kind: &'static str| {
            model
                .objects
                .iter()
                .filter(move |object| object.kind() == kind)
                .filter_map(|object| object.manifest.at("spec"))
        };
        Self {
            model,
            gateway: of("Gateway").next().is_some(),
            routed: of("VirtualService").flat_map(destinations).collect(),
            ruled: of("DestinationRule").map(|spec| short(spec.word("host"))).collect(),
        }
    }

    pub(super) fn service(&self, context: &Context) -> bool {
        self.model.objects.iter().any(|object| object.kind() == "Service" && object.name() == context.name)
    }

    pub(super) fn deployments(&self, context: &Context) -> bool {
        deployments(&context.name, &self.model.objects).next().is_some()
    }

    pub(super) fn routing(&self, context: &Context) -> bool {
        self.routed.contains(context.name.as_str())
    }

    pub(super) fn subsets(&self, context: &Context) -> bool {
        self.ruled.contains(context.name.as_str())
    }
}

/// The hosts a VirtualService sends to, by their first label.
fn destinations(spec: &Value) -> impl Iterator<Item = &str> {
    let routes = ["http", "tcp", "tls"].into_iter().flat_map(|kind| spec.list(kind));
    let targets = routes.flat_map(|route| route.list("route"));
    targets.filter_map(|target| target.at("destination")).map(|destination| short(destination.word("host")))
}

fn short(host: &str) -> &str {
    host.split('.').next().unwrap_or_default()
}

/// The drawn objects; those of Istio's only where it routes.
pub(super) fn objects(model: &DomainModel, has_istio: bool, findings: &mut Findings) -> Vec<Object> {
    let mut objects = Vec::new();
    for drawn in &model.objects {
        let is_istios = drawn.manifest.word("apiVersion").starts_with("networking.istio.io/");
        if is_istios && !has_istio {
            let about = About { object: drawn.name(), path: "objects" };
            findings.note(
                "left-out",
                about,
                format!("the {} is for Istio: the Ingress takes its place", drawn.kind()),
            );
            continue;
        }
        let mut value = drawn.manifest.clone();
        if is_istios {
            value["apiVersion"] = "networking.istio.io/v1".into();
        }
        match drawn.kind() {
            "DestinationRule" => modernise(&mut value),
            "Service" => name_port(&mut value),
            "VirtualService" => put_catch_all_last(&mut value, drawn, findings),
            _ => {}
        }
        let in_mesh = if drawn.kind() == "VirtualService" { mesh(&value) } else { None };
        objects.push(Object::new(value).said(&format!(
            "{} {}, as it was drawn.",
            drawn.kind(),
            drawn.name()
        )));
        objects.extend(in_mesh.map(|value| Object::new(value).said("The same for calls between services.")));
    }
    objects
}

/// Says what is not looked at any more in today's words.
fn modernise(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(modernise),
        Value::Object(map) => {
            if let Some(Value::Object(outlier)) = map.get_mut("outlierDetection")
                && let Some(count) = outlier.remove("consecutiveErrors")
            {
                outlier.entry("consecutive5xxErrors").or_insert(count);
            }
            map.values_mut().for_each(modernise);
        }
        _ => {}
    }
}

/// Gives the only port of a service a name, which tells its protocol.
fn name_port(value: &mut Value) {
    let ports = value.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
    if let Some([Value::Object(port)]) = ports.map(Vec::as_mut_slice)
        && !port.contains_key("name")
        && !port.contains_key("appProtocol")
        && port.get("protocol").is_none_or(|protocol| protocol == "TCP")
    {
        port.insert("name".into(), "http".into());
    }
}

/// Puts rules that take everything behind the others, which would never be reached otherwise.
fn put_catch_all_last(value: &mut Value, drawn: &Drawn, findings: &mut Findings) {
    let Some(rules) = value.pointer_mut("/spec/http").and_then(Value::as_array_mut) else { return };
    let (specific, open): (Vec<Value>, Vec<Value>) =
        rules.iter().cloned().partition(|rule| !takes_everything(rule));
    let sorted: Vec<Value> = specific.into_iter().chain(open).collect();
    if sorted != *rules {
        let about = About { object: drawn.name(), path: "spec.http" };
        let message =
            "a rule that takes everything stood before others, which were never reached: it comes last now";
        findings.note("unreachable-rule", about, message);
        *rules = sorted;
    }
}

fn takes_everything(rule: &Value) -> bool {
    let conditions = rule.list("match");
    let is_open = |condition: &Value| {
        let mut fields = condition.as_object().into_iter().flatten();
        fields.all(|(field, value)| match field.as_str() {
            "uri" => value.word("prefix") == "/",
            "name" => true,
            _ => false,
        })
    };
    conditions.is_empty() || conditions.iter().any(is_open)
}

/// The rules of a VirtualService that only a gateway has, for the services it sends to.
fn mesh(value: &Value) -> Option<Value> {
    let spec = value.at("spec")?;
    let is_bound = |gateway: &Value| gateway.as_str() == Some("mesh");
    let hosts: BTreeSet<&str> = destinations(spec).collect();
    let is_gateways_only = !spec.list("gateways").is_empty() && !spec.list("gateways").iter().any(is_bound);
    // With several services it cannot be told which of them a call is for.
    let (Some(host), 1, true) = (hosts.first(), hosts.len(), is_gateways_only) else { return None };
    if spec.list("http").is_empty() {
        return None;
    }
    let mut copy = value.clone();
    let name = format!("{}-mesh", value.at("metadata")?.word("name"));
    copy["metadata"]["name"] = name.into();
    copy["spec"]["hosts"] = json!([host]);
    copy["spec"]["gateways"] = json!(["mesh"]);
    Some(copy)
}
