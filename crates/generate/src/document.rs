//! Reads the document of a domain model back, and checks what a person may have changed in it.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::finding::{About, Findings, WHOLE};
use crate::model::{API_VERSION, CallKind, DomainModel, KIND};
use crate::name;

/// The largest document that is read.
const MOST_BYTES: usize = 16 << 20;

/// The document as it stands: the model with a heading.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Heading {
    api_version: Option<String>,
    kind: Option<String>,
}

/// Reads a document; none where it is none, which is said.
pub(crate) fn read(text: &str, findings: &mut Findings) -> Option<DomainModel> {
    if text.len() > MOST_BYTES {
        let message = format!("the document has {} bytes; the most is {MOST_BYTES}", text.len());
        findings.error("too-large", WHOLE, message);
        return None;
    }
    let value: Value = match serde_saphyr::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            report(&error, "this is neither the JSON of a model nor a DomainModel", "bad-yaml", findings);
            return None;
        }
    };
    let heading: Option<Heading> = serde_json::from_value(value).ok();
    match heading {
        Some(Heading { kind: Some(kind), api_version }) if kind == KIND => {
            if api_version.as_deref() != Some(API_VERSION) {
                let written = api_version.unwrap_or_default();
                let message = format!("apiVersion is {written:?}; this program reads {API_VERSION}");
                findings.error("wrong-version", About { object: "", path: "apiVersion" }, message);
                return None;
            }
        }
        _ => {
            let message = format!(
                "this is no model: a model file has `elements`, and its document begins with apiVersion: {API_VERSION}, \
                 kind: {KIND}"
            );
            findings.error("not-a-model", WHOLE, message);
            return None;
        }
    }
    let body = without_heading(text);
    let model: DomainModel = match serde_saphyr::from_str(&body) {
        Ok(model) => model,
        Err(error) => {
            report(&error, "the model says something it cannot say", "bad-model", findings);
            return None;
        }
    };
    check(&model, findings);
    if findings.has_error() { None } else { Some(model) }
}

/// The document with an empty line in the place of each line of its heading, so that places stay true.
fn without_heading(text: &str) -> String {
    let is_heading = |line: &str| line.starts_with("apiVersion:") || line.starts_with("kind:");
    text.split_inclusive('\n').map(|line| if is_heading(line) { "\n" } else { line }).collect()
}

fn report(error: &serde_saphyr::Error, what: &str, code: &str, findings: &mut Findings) {
    let place = error.location().map(|at| (at.line(), at.column()));
    let narrow = |at: u64| u32::try_from(at).unwrap_or(u32::MAX);
    let place = place.map_or((0, 0), |(line, column)| (narrow(line), narrow(column)));
    let why = error.to_string();
    let why = why.lines().next().unwrap_or_default();
    findings.error_at(code, place, format!("{what}: {why}"));
}

fn check(model: &DomainModel, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (place, context) in model.contexts.iter().enumerate() {
        let object = format!("BoundedContext/{}", context.name);
        let path = format!("contexts[{place}]");
        let at = |field: &str| format!("{path}.{field}");
        let mut error = |code: &str, field: &str, message: String| {
            findings.error(code, About { object: &object, path: &at(field) }, message);
        };
        if !name::is_legal(&context.name) {
            let message = format!(
                "{:?} cannot be the name of a Service: write lower-case letters, digits and dashes, as in {:?}, and the name \
                 for people as displayName",
                context.name,
                name::slug(&context.name, "context")
            );
            error("name-not-dns1123", "name", message);
        }
        if !seen.insert(context.name.as_str()) {
            error("name-duplicate", "name", format!("two contexts are called {:?}", context.name));
        }
        for path in context.prefixes() {
            if !path.starts_with('/') {
                error("api-path-slash", "path", format!("the path {path:?} must begin with a slash"));
            }
        }
        let routing = context.routing.as_ref();
        let shares = routing.map(|routing| {
            std::iter::once(routing.canary)
                .chain(routing.rules.iter().map(|rule| rule.canary))
                .collect::<Vec<_>>()
        });
        if shares.into_iter().flatten().any(|share| share > 100) {
            error("weights-not-100", "routing", "canary is a share of a hundred: write 0 to 100".into());
        }
    }
    for (place, call) in model.calls.iter().enumerate() {
        let path = format!("calls[{place}]");
        for name in [&call.from, &call.to] {
            if model.context(name).is_none() {
                let message = format!("there is no context {name:?}");
                findings.error("unknown-context", About { object: "", path: &path }, message);
            }
        }
        if call.kind == CallKind::Async && call.circuit_breaker {
            let message = "nobody waits for an event: a circuit breaker on it does nothing";
            findings.warn("idle-circuit-breaker", About { object: "", path: &path }, message);
        }
    }
}
