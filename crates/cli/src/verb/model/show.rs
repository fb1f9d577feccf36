//! `weft model show`: who there is, what they can be asked, and who calls whom.

use clap::{Args, ValueEnum};

use ::generate::{Context, DomainModel, mermaid};

use super::source::Source;
use crate::exit::Exit;
use crate::table::Table;
use crate::terminal;

/// How a model is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON document.
    Json,
    /// A chart that Mermaid draws, as do pages that show Markdown.
    Mermaid,
    /// Tables for people.
    Table,
    /// One YAML document.
    Yaml,
}

/// Show who there is, what they can be asked, and who calls whom.
#[derive(Args, Debug)]
pub(crate) struct Show {
    #[command(flatten)]
    source: Source,
    /// How it is shown.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Some(model) = self.source.model()? else { return Ok(Exit::Wrong) };
        terminal::print(&match self.output {
            Format::Json => format!("{:#}\n", model.to_json()),
            Format::Mermaid => mermaid(&model),
            Format::Table => tables(&model),
            Format::Yaml => model.to_yaml(),
        })?;
        Ok(Exit::Done)
    }
}

fn tables(model: &DomainModel) -> String {
    let mut parts = vec![contexts(model), apis(model), calls(model), externals(model), drawn(model)];
    parts.retain(|part| !part.is_empty());
    parts.join("\n")
}

fn contexts(model: &DomainModel) -> String {
    let mut table = Table::new(["CONTEXT", "NAME", "PORT", "LOCAL", "USERS", "PATHS", "IMAGE"]);
    for context in &model.contexts {
        table.row(vec![
            context.name.clone(),
            context.title().to_owned(),
            context.service_port.to_string(),
            context.local_port.map(|port| port.to_string()).unwrap_or_default(),
            if context.user_facing { "yes" } else { "" }.to_owned(),
            context.prefixes().join(" "),
            context.image.clone().unwrap_or_default(),
        ]);
    }
    rendered(&table, model.contexts.is_empty())
}

fn apis(model: &DomainModel) -> String {
    let mut table = Table::new(["CONTEXT", "ASKED BY", "METHOD", "PATH", "THEN"]);
    let mut is_empty = true;
    for context in &model.contexts {
        for row in apis_of(context) {
            is_empty = false;
            table.row(row);
        }
    }
    rendered(&table, is_empty)
}

fn apis_of(context: &Context) -> Vec<Vec<String>> {
    let commands = context.commands.iter().filter(|command| command.path.is_some()).map(|command| {
        vec![
            context.name.clone(),
            command.name.clone(),
            command.method.clone().unwrap_or_default(),
            command.path.clone().unwrap_or_default(),
            command.emits.join(", "),
        ]
    });
    let reads = context.read_models.iter().map(|read| {
        let path = read.path.clone().unwrap_or_default();
        vec![context.name.clone(), read.name.clone(), "GET".to_owned(), path, String::new()]
    });
    commands.chain(reads).collect()
}

fn calls(model: &DomainModel) -> String {
    let mut table = Table::new(["FROM", "TO", "KIND", "WHAT", "BETWEEN", "GUARDED"]);
    for call in &model.calls {
        let what: Vec<String> = [call.method.clone(), call.path.clone()].into_iter().flatten().collect();
        let guards = [(call.circuit_breaker, "circuit breaker"), (call.fallback, "fallback")];
        let guards: Vec<&str> =
            guards.into_iter().filter(|(is_drawn, _)| *is_drawn).map(|(_, name)| name).collect();
        table.row(vec![
            call.from.clone(),
            call.to.clone(),
            call.kind.to_string(),
            what.join(" "),
            call.via.join(" → "),
            guards.join(", "),
        ]);
    }
    rendered(&table, model.calls.is_empty())
}

fn externals(model: &DomainModel) -> String {
    let mut table = Table::new(["OUTSIDE", "CALLED BY", "METHOD", "URL"]);
    for external in &model.externals {
        table.row(vec![
            external.name.clone(),
            external.callers.join(", "),
            external.method.clone().unwrap_or_default(),
            external.url.clone().unwrap_or_default(),
        ]);
    }
    rendered(&table, model.externals.is_empty())
}

fn drawn(model: &DomainModel) -> String {
    let mut table = Table::new(["DRAWN", "NAME"]);
    for object in &model.objects {
        table.row(vec![object.kind().to_owned(), object.name().to_owned()]);
    }
    rendered(&table, model.objects.is_empty())
}

fn rendered(table: &Table, is_empty: bool) -> String {
    if is_empty { String::new() } else { table.render() }
}
