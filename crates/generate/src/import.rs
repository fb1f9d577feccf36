//! From a model file to a domain model.

mod canvas;
mod lines;
mod member;
mod stickers;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::file::{Element, File, Kind};
use crate::finding::{About, Findings, WHOLE};
use crate::loose::Loose;
use crate::model::{Context, DomainModel, PORT};
use crate::name;

pub(crate) use canvas::deployments;
use member::Members;

/// Where the programs of a project listen beside each other on one machine: the first of them.
const FIRST_LOCAL_PORT: usize = 8082;

/// Options the drawing tool offers, by their short names.
const TOPPINGS: [&str; 8] = [
    "apollo-graphql",
    "argo",
    "ingress",
    "isVanillaK8s",
    "istio",
    "java-graphql",
    "keycloak-security",
    "spring-security",
];

/// Makes a domain model of a file, and says what it had to guess.
pub(crate) fn import(file: &File, findings: &mut Findings) -> DomainModel {
    let mut model = DomainModel { project: project(file), ..DomainModel::default() };
    report_stickers(file, findings);
    model.toppings = toppings(&file.toppings, findings);
    let contexts: Vec<&Element> = file
        .elements
        .all
        .iter()
        .filter(|element| element.kind == Kind::Context && !element.name.is_empty())
        .collect();
    let members = Members::of(file, &contexts, findings);
    model.contexts = named(&contexts, findings);
    stickers::fill(file, &members, &mut model, findings);
    lines::fill(file, &members, &mut model, findings);
    canvas::fill(file, &mut model, findings);
    images(file, &mut model, findings);
    if model.gateway.is_none() {
        model.gateway = Some(gateway(&model)).filter(|gateway| *gateway != model.slug());
    }
    if model.contexts.is_empty() && model.objects.is_empty() {
        findings.warn(
            "empty-model",
            WHOLE,
            "the model has no bounded context with a name and no object: there is nothing to generate",
        );
    }
    model
}

fn project(file: &File) -> String {
    let named = [&file.project, &file.scm.repo].into_iter().find(|name| !name.is_empty());
    named.cloned().unwrap_or_else(|| "untitled".into())
}

/// The letters of the project's name, as the drawing tool calls the gateway, where that is a name.
fn gateway(model: &DomainModel) -> String {
    let letters: String =
        model.project.to_lowercase().chars().filter(|c| c.is_ascii_lowercase() || *c == ' ').collect();
    match letters.trim() {
        "" => model.slug(),
        letters => name::slug(letters, "mesh"),
    }
}

fn report_stickers(file: &File, findings: &mut Findings) {
    for element in &file.elements.all {
        let (object, path) = (element.object(), element.path());
        let about = About { object: &object, path: &path };
        match &element.kind {
            Kind::Unknown(name) => {
                let name = if name.is_empty() { "no type at all" } else { name };
                findings.warn(
                    "unknown-type",
                    about,
                    format!("an element of this type is not known ({name}): it is left out"),
                );
            }
            kind if kind.needs_name() && element.name.is_empty() => {
                let message =
                    "the element has no name, and is left out as the drawing tool does; give it one";
                findings.warn("name-empty", about, message);
            }
            _ => {}
        }
    }
}

fn toppings(written: &[Value], findings: &mut Findings) -> Vec<String> {
    let mut toppings = Vec::new();
    for (place, topping) in written.iter().enumerate() {
        let Some(topping) = topping.as_str() else { continue };
        let short = topping.rsplit('/').next().unwrap_or_default();
        let short = short.strip_prefix("topping-").unwrap_or(short);
        if !TOPPINGS.contains(&short) {
            let path = format!("toppingPlatforms[{place}]");
            let message = format!(
                "{topping} is not known: its templates are never run, and nothing is generated for it; there are {}",
                TOPPINGS.join(", ")
            );
            findings.warn("unknown-topping", About { object: "", path: &path }, message);
        }
        if !toppings.iter().any(|known| known == topping) {
            toppings.push(topping.to_owned());
        }
    }
    toppings
}

/// The contexts with names of their own.
fn named(contexts: &[&Element], findings: &mut Findings) -> Vec<Context> {
    let mut taken = BTreeSet::new();
    let mut seen: Vec<&str> = Vec::new();
    let mut all = Vec::new();
    for (place, element) in contexts.iter().enumerate() {
        let (object, path) = (element.object(), element.path());
        let about = About { object: &object, path: &path };
        let slug = name::free(&name::slug(&element.name, "context"), &mut taken);
        if !name::is_legal(&element.name) {
            let message = format!(
                "{:?} cannot be the name of a Service: it is called {slug:?}, and keeps its name for people",
                element.name
            );
            findings.warn("name-not-dns1123", about, message);
        }
        if seen.contains(&element.name.as_str()) {
            let message = format!("another context is called {:?} too: this one is {slug:?}", element.name);
            findings.warn("name-duplicate", about, message);
        }
        seen.push(&element.name);
        let shown = element.display().unwrap_or(&element.name);
        let port = u16::try_from(FIRST_LOCAL_PORT.saturating_add(place)).ok();
        all.push(Context {
            display_name: Some(shown.to_owned()).filter(|shown| *shown != slug),
            id: Some(element.id.clone()),
            local_port: element.value.port("portNumForCodeGen").or(port),
            ..Context::named(&slug)
        });
    }
    all
}

impl Context {
    /// A context of this name with nothing in it.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            display_name: None,
            id: None,
            user_facing: false,
            service_port: PORT,
            container_port: PORT,
            local_port: None,
            replicas: 1,
            image: None,
            versions: Vec::new(),
            routing: None,
            aggregates: Vec::new(),
            commands: Vec::new(),
            read_models: Vec::new(),
            events: Vec::new(),
            policies: Vec::new(),
        }
    }
}

/// Images of contexts for which none was drawn.
fn images(file: &File, model: &mut DomainModel, findings: &mut Findings) {
    let scm = &file.scm;
    let is_known = !scm.org.is_empty() && !scm.repo.is_empty();
    let is_label = |tag: &str| {
        tag.len() <= 63
            && tag.starts_with(|c: char| c.is_ascii_alphanumeric())
            && tag.ends_with(|c: char| c.is_ascii_alphanumeric())
            && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    let mut is_unset = false;
    for context in model.contexts.iter_mut().filter(|context| context.image.is_none()) {
        if is_known {
            let image = format!("ghcr.io/{}/{}/{}", scm.org, scm.repo, context.name);
            context.image = Some(image.to_lowercase());
            let is_told = !matches!(scm.tag.as_str(), "" | "latest" | "v1") && is_label(&scm.tag);
            if is_told && context.versions.is_empty() {
                context.versions.push(scm.tag.clone());
            }
        } else {
            is_unset = true;
        }
    }
    if is_unset {
        let message = "the model does not say where its code is kept (`scm`): images are called after their services; write \
                       `image` for each context";
        findings.warn("unset-image", About { object: "", path: "scm" }, message);
    }
}
