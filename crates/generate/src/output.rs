//! From a domain model to objects.

mod clean;
mod compat;
mod drawn;
mod names;
mod option;
mod rollout;
mod workload;

use base::Issue;
use serde_json::{Value, json};

pub use option::{Mode, Options, Topping};

use crate::finding::Findings;
use crate::model::DomainModel;
use crate::object::Object;

/// What is generated.
#[derive(Clone, Debug, Default)]
pub struct Generated {
    /// The objects, in the order of the model.
    pub objects: Vec<Object>,
    /// What could not be generated as it is drawn.
    pub issues: Vec<Issue>,
    /// What was decided without anyone having to care.
    pub notes: Vec<Issue>,
}

/// Generates the objects of a model.
pub fn generate(model: &DomainModel, options: Options) -> Generated {
    let mut findings = Findings::default();
    let objects = match options.mode {
        Mode::Clean => clean::objects(model, options.topping, &mut findings),
        Mode::Msaez => compat::objects(model, options.topping),
    };
    let (issues, notes) = findings.into_lists();
    Generated { objects, issues, notes }
}

impl Generated {
    /// All objects as one YAML stream.
    pub fn to_yaml(&self) -> String {
        let texts: Vec<String> = self.objects.iter().map(Object::to_yaml).collect();
        texts.join("---\n")
    }

    /// All objects as one `List`.
    pub fn to_json(&self) -> Value {
        let items: Vec<&Value> = self.objects.iter().map(|object| &object.value).collect();
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    }
}
