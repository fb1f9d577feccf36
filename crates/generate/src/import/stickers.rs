//! What stickers say of their contexts: what they keep, what they can be told and asked, and by which paths.

use serde_json::{Map, Value};

use super::member::Members;
use crate::file::{Element, File, Kind};
use crate::finding::{About, Findings};
use crate::loose::Loose;
use crate::model::{Aggregate, Command, DomainModel, Event, Policy, QUERY, ReadModel};
use crate::name;

/// Puts every sticker into its context, in the order of the file.
pub(super) fn fill(file: &File, members: &Members, model: &mut DomainModel, findings: &mut Findings) {
    for element in file.elements.all.iter().filter(|element| !element.name.is_empty()) {
        let Some(context) = members.context(element).and_then(|place| model.contexts.get_mut(place)) else {
            continue;
        };
        let id = Some(element.id.clone());
        let name = element.name.clone();
        match element.kind {
            Kind::Actor => context.user_facing = true,
            Kind::Aggregate => {
                let root = element.value.at("aggregateRoot");
                let descriptors = root.map(|root| root.list("fieldDescriptors")).unwrap_or_default();
                context.aggregates.push(Aggregate {
                    path: path_of(element, findings),
                    key: key(descriptors),
                    fields: fields(descriptors),
                    name,
                    id,
                });
            }
            Kind::Command => context.commands.push(command(element, file, findings)),
            Kind::Event => context.events.push(Event {
                aggregate: aggregate(element, file).map(|aggregate| aggregate.name.clone()),
                fields: fields(element.value.list("fieldDescriptors")),
                name,
                id,
            }),
            Kind::Policy => context.policies.push(Policy { name, id, ..Policy::default() }),
            Kind::View => context.read_models.push(read_model(element, file, findings)),
            Kind::Context | Kind::Drawing | Kind::External | Kind::Package | Kind::Unknown(_) => {}
        }
    }
}

/// The aggregate a sticker says it is about.
fn aggregate<'f>(element: &Element, file: &'f File) -> Option<&'f Element> {
    let aggregate = file.elements.get(element.value.reference("aggregate"))?;
    (aggregate.kind == Kind::Aggregate && !aggregate.name.is_empty()).then_some(aggregate)
}

/// `/` and the plural; what requests cannot carry as it is written is said.
fn path_of(element: &Element, findings: &mut Findings) -> String {
    let path = base_path(element);
    if !path.is_ascii() {
        let (object, at) = (element.object(), element.path());
        let message =
            format!("requests carry the path {path} as {}: routes match that", name::encoded(&path));
        findings.warn("non-ascii-path", About { object: &object, path: &at }, message);
    }
    path
}

fn base_path(element: &Element) -> String {
    format!("/{}", name::plural(&name::camel(&element.name)))
}

fn command(element: &Element, file: &File, findings: &mut Findings) -> Command {
    let aggregate = aggregate(element, file);
    let mut command = Command {
        name: element.name.clone(),
        id: Some(element.id.clone()),
        aggregate: aggregate.map(|aggregate| aggregate.name.clone()),
        fields: fields(element.value.list("fieldDescriptors")),
        ..Command::default()
    };
    let (object, at) = (element.object(), element.path());
    let about = About { object: &object, path: &at };
    let Some(aggregate) = aggregate else {
        findings.note(
            "no-aggregate",
            about,
            "the command names no aggregate: it has no path to be called by",
        );
        return command;
    };
    let base = base_path(aggregate);
    let is_repository = element.value.at("isRestRepository").and_then(Value::as_bool).unwrap_or(true);
    let method = |field: &str| {
        let written = element.value.at(field).map(|field| field.word("method")).unwrap_or_default();
        let upper = written.to_ascii_uppercase();
        let is_method = !upper.is_empty() && upper.chars().all(|c| c.is_ascii_uppercase());
        if is_method { upper } else { "POST".to_owned() }
    };
    let path;
    if is_repository {
        command.method = Some(method("restRepositoryInfo"));
        path = if command.method.as_deref() == Some("POST") { base } else { format!("{base}/{{id}}") };
    } else {
        let method = method("controllerInfo");
        let written = element.value.at("controllerInfo").map(|info| info.word("apiPath")).unwrap_or_default();
        let tail = written.trim_matches('/');
        let changes_one = matches!(method.as_str(), "DELETE" | "PUT");
        if !changes_one && !written.is_empty() && !written.starts_with('/') {
            let message = format!("the path {written:?} has no slash before it: it is read as \"/{tail}\"");
            findings.warn("api-path-slash", about, message);
        }
        let below = if tail.is_empty() { String::new() } else { format!("/{tail}") };
        path = if changes_one { format!("{base}/{{id}}{below}") } else { format!("{base}{below}") };
        command.method = Some(method);
    }
    command.path = Some(path);
    command
}

fn read_model(element: &Element, file: &File, findings: &mut Findings) -> ReadModel {
    let projection = match element.value.word("dataProjection") {
        "" => "cqrs",
        written => written,
    };
    let aggregate = aggregate(element, file);
    let path = match aggregate.filter(|_| projection == QUERY) {
        None => path_of(element, findings),
        Some(aggregate) => {
            let option = element.value.at("queryOption");
            let tail =
                option.filter(|option| !option.is("useDefaultUri")).map(|option| option.word("apiPath"));
            let is_one = option.is_some_and(|option| !option.is("multipleResult"));
            let mut path = base_path(aggregate);
            match tail.map(|tail| tail.trim_matches('/')).filter(|tail| !tail.is_empty()) {
                Some(tail) => path.extend(["/", tail]),
                None if is_one => path.push_str("/{id}"),
                None => {}
            }
            path
        }
    };
    ReadModel {
        name: element.name.clone(),
        id: Some(element.id.clone()),
        projection: projection.to_owned(),
        aggregate: aggregate.map(|aggregate| aggregate.name.clone()),
        path: Some(path),
        fields: fields(element.value.list("fieldDescriptors")),
    }
}

/// Names and types; what has no name is left out.
fn fields(descriptors: &[Value]) -> Map<String, Value> {
    let named = descriptors.iter().filter(|field| !field.word("name").is_empty());
    let entry = |field: &Value| {
        let class = match field.word("className") {
            "" => "String",
            class => class,
        };
        let class = if field.is("isList") { format!("List<{class}>") } else { class.to_owned() };
        (name::camel(field.word("name")), Value::String(class))
    };
    named.map(entry).collect()
}

fn key(descriptors: &[Value]) -> Option<String> {
    let key = descriptors.iter().find(|field| field.is("isKey") && !field.word("name").is_empty())?;
    Some(name::camel(key.word("name")))
}
