//! The domain model: what a drawing says about services and calls, short enough to read and to keep in git.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What every document of this kind begins with.
pub(crate) const API_VERSION: &str = "weft/v1alpha1";
/// The kind of the document.
pub(crate) const KIND: &str = "DomainModel";

/// The port services and programs listen on unless the drawing says otherwise.
pub(crate) const PORT: u16 = 8080;

/// What a drawing says, as a document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DomainModel {
    /// The project, as people call it.
    pub project: String,
    /// The gateway through which users come; named after the project where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Where everything lives; the namespace it is applied to where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The options the drawing was given, by their short names or their repositories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub toppings: Vec<String>,
    /// Whether anything is told by events to another context.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub broker: bool,
    /// The services.
    #[serde(default)]
    pub contexts: Vec<Context>,
    /// Who calls whom, and who listens to whom.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// What is called outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub externals: Vec<External>,
    /// Kubernetes objects the user drew or wrote by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Drawn>,
}

/// A service: what the drawing calls a bounded context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Context {
    /// Its name in Kubernetes.
    pub name: String,
    /// What people call it, where that is not its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Its element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether people call it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub user_facing: bool,
    /// The port of its service.
    #[serde(default = "port", skip_serializing_if = "is_port")]
    pub service_port: u16,
    /// The port its program listens on in a container.
    #[serde(default = "port", skip_serializing_if = "is_port")]
    pub container_port: u16,
    /// The port its program listens on beside the others on one machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_port: Option<u16>,
    /// How many of it run.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub replicas: u32,
    /// Its image, without the tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The values of the label `version`, the stable one first; `v1` and `v2` where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
    /// How requests to it are routed, where that is not all of them to the stable version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
    /// What it keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aggregates: Vec<Aggregate>,
    /// What it can be told to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Command>,
    /// What it can be asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_models: Vec<ReadModel>,
    /// What it tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// What it does when it is told something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Policy>,
}

/// How requests to a context are routed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Routing {
    /// How many of a hundred requests that no rule is for the canary gets.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub canary: u8,
    /// Requests that are routed otherwise, the first rule that is for one deciding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// How long a request may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// When it is made again, as in a VirtualService.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Value>,
    /// How a workload is chosen, as in a DestinationRule: `{simple: ROUND_ROBIN}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<Value>,
    /// How many connections and requests there may be, as in a DestinationRule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_pool: Option<Value>,
    /// When a workload is left alone, as in a DestinationRule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier_detection: Option<Value>,
}

/// Requests that are routed otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Which requests it is for, as in a VirtualService; any of the conditions will do.
    #[serde(rename = "match")]
    pub matches: Vec<Value>,
    /// How many of a hundred of them the canary gets.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub canary: u8,
}

/// What a context keeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Aggregate {
    /// Its name.
    pub name: String,
    /// Its element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where it is found.
    pub path: String,
    /// The field that tells one from another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its fields by name, each with its type.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

/// What a context can be told to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Command {
    /// Its name.
    pub name: String,
    /// Its element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The aggregate it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<String>,
    /// The method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path, with `{id}` for the key of the aggregate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The events that follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emits: Vec<String>,
    /// What it needs, beside what the aggregate has.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

/// What a context can be asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadModel {
    /// Its name.
    pub name: String,
    /// Its element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How it comes to know: `cqrs` from events, `query-for-aggregate` from an aggregate.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub projection: String,
    /// The aggregate it asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<String>,
    /// Where it is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its fields by name, each with its type.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

/// What a context tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The aggregate it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<String>,
    /// Its fields by name, each with its type.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

/// What a context does when it is told something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Its element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The events it listens to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listens_to: Vec<String>,
    /// The commands it gives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// The events that follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emits: Vec<String>,
}

/// A line between two contexts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Call {
    /// Who calls.
    pub from: String,
    /// Who is called.
    pub to: String,
    /// Whether the caller waits.
    pub kind: CallKind,
    /// The method, where it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path, where it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The two elements between which the line is drawn, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<String>,
    /// Whether a circuit breaker is drawn on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub circuit_breaker: bool,
    /// Whether the caller knows what to do without an answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fallback: bool,
}

/// Whether a caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallKind {
    /// It is told by an event.
    Async,
    /// It waits for an answer.
    Sync,
}

/// What is called outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct External {
    /// Its name.
    pub name: String,
    /// Its element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The contexts that call it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<String>,
}

/// A Kubernetes object the user drew or wrote by hand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drawn {
    /// Its element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The manifest.
    pub manifest: Value,
}

impl Drawn {
    /// Its kind.
    pub fn kind(&self) -> &str {
        self.manifest.get("kind").and_then(Value::as_str).unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        let meta = self.manifest.get("metadata");
        meta.and_then(|meta| meta.get("name")).and_then(Value::as_str).unwrap_or_default()
    }
}

impl DomainModel {
    /// The document as YAML.
    pub fn to_yaml(&self) -> String {
        api::yaml::emit_commented(&self.to_json(), &std::collections::BTreeMap::new())
    }

    /// The document as JSON.
    pub fn to_json(&self) -> Value {
        let mut document = Map::new();
        document.insert("apiVersion".into(), API_VERSION.into());
        document.insert("kind".into(), KIND.into());
        if let Ok(Value::Object(fields)) = serde_json::to_value(self) {
            document.extend(fields);
        }
        document.into()
    }

    /// The project's name as Kubernetes can have it.
    pub fn slug(&self) -> String {
        crate::name::slug(&self.project, "mesh")
    }

    /// The context of a name.
    pub fn context(&self, name: &str) -> Option<&Context> {
        self.contexts.iter().find(|context| context.name == name)
    }
}

impl Context {
    /// The paths below which a gateway sends requests here: one for each aggregate, and one for each read model that
    /// is none's.
    pub fn prefixes(&self) -> Vec<&str> {
        let aggregates = self.aggregates.iter().map(|aggregate| aggregate.path.as_str());
        let own = self.read_models.iter().filter(|read| read.projection != QUERY);
        let mut all: Vec<&str> = Vec::new();
        for path in aggregates.chain(own.filter_map(|read| read.path.as_deref())) {
            if !all.contains(&path) {
                all.push(path);
            }
        }
        all
    }

    /// The value of the label `version` of what everyone gets.
    pub fn stable(&self) -> &str {
        self.versions.first().map_or("v1", String::as_str)
    }

    /// The value of the label `version` of what is tried.
    pub fn canary(&self) -> &str {
        match self.versions.get(1) {
            Some(canary) => canary,
            None if self.stable() == "v2" => "v3",
            None => "v2",
        }
    }

    /// What people call it.
    pub fn title(&self) -> &str {
        self.display_name.as_deref().unwrap_or(&self.name)
    }
}

/// The projection of a read model that asks an aggregate.
pub(crate) const QUERY: &str = "query-for-aggregate";

impl fmt::Display for CallKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Async => "async",
            Self::Sync => "sync",
        })
    }
}

fn port() -> u16 {
    PORT
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_port(port: &u16) -> bool {
    *port == PORT
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(percent: &u8) -> bool {
    *percent == 0
}

fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_one(replicas: &u32) -> bool {
    *replicas == 1
}
