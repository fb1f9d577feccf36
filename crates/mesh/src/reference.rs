//! References between objects that lead nowhere, reported as warnings: an object may be applied before another.

use std::collections::BTreeMap;

use api::virtual_service::GatewayRef;
use api::{Gateway, ResourceSet, Spec, Valid};
use base::{Issue, Severity};

use crate::state::State;
use crate::virtual_service::Bound;

mod gate;
mod route;
mod rule;

/// Everything to be said about references.
pub(crate) fn check(state: &State, set: &ResourceSet) -> Vec<Issue> {
    let gateways: BTreeMap<(&str, &str), &Valid<Gateway>> = state
        .gateways
        .iter()
        .map(|gateway| ((&*gateway.meta().namespace, &*gateway.meta().name), &**gateway))
        .collect();
    let mut issues = Vec::new();
    for bound in &state.virtual_services {
        for (index, reference) in bound.config.gateways.iter().enumerate() {
            let GatewayRef::Named { namespace, name } = reference else { continue };
            let path = format!("gateways[{index}]");
            match gateways.get(&(&**namespace, &**name)) {
                None => {
                    let message = format!("there is no Gateway {namespace}/{name}; nothing is routed there");
                    issues.push(warning(bound, "unknown-gateway", &path, message));
                }
                Some(gateway) if gate::exposes_nothing(gateway, bound) => {
                    let message =
                        format!("{} exposes none of these hosts; nothing is routed there", gateway.key());
                    issues.push(warning(bound, "hosts-not-exposed", &path, message));
                }
                Some(_) => {}
            }
        }
    }
    issues.extend(route::check(state, set));
    issues.extend(rule::check(state, set));
    issues.extend(gate::check(state));
    issues
}

fn warning(bound: &Bound, code: &str, path: &str, message: String) -> Issue {
    warned(&bound.config, code, path, message)
}

fn warned<T: Spec>(object: &Valid<T>, code: &str, path: &str, message: String) -> Issue {
    Issue {
        severity: Severity::Warning,
        code: code.into(),
        place: object.place(path),
        object: object.key().to_string(),
        path: format!("spec.{path}"),
        message,
    }
}

#[cfg(test)]
mod tests;
