//! `weft get`: objects in force.

mod columns;

use std::time::SystemTime;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use api::Kind;
use control::wire::Object;

use self::columns::{Cell, Column};
use super::target::Target;
use crate::age;
use crate::exit::{Exit, UsageError};
use crate::table::Table;
use crate::terminal;

/// The word for every kind.
const ALL: &str = "all";

/// Every kind, in the order they are shown.
const KINDS: [Kind; 13] = [
    Kind::Gateway,
    Kind::VirtualService,
    Kind::DestinationRule,
    Kind::ServiceEntry,
    Kind::Sidecar,
    Kind::WorkloadEntry,
    Kind::WorkloadGroup,
    Kind::ProxyConfig,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Pod,
    Kind::Secret,
    Kind::ConfigMap,
];

/// How objects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON document; a List for several objects.
    Json,
    /// One line each, KIND.GROUP/NAME.
    Name,
    /// More columns, and where each object stands.
    Wide,
    /// The documents as their authors wrote them.
    Yaml,
}

/// What stands below `weft get --help`.
const EXAMPLES: &str = "\
Examples:
  weft get vs                      those of a kind
  weft get vs,dr -A -o wide        of two kinds and every namespace, with more columns and their files
  weft get all -o name             KIND.GROUP/NAME, one a line
  weft get vs/reviews -o yaml      one, as its author wrote it";

/// Show objects in force: `weft get vs`, `weft get vs,dr -A`, `weft get vs/reviews -o yaml`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Get {
    /// Kinds with commas between them, or `all`; then names. Or KIND/NAME.
    #[arg(value_name = "KIND NAME", required = true)]
    pub(crate) words: Vec<String>,
    /// The objects' namespace.
    #[arg(short, long, default_value = "default", conflicts_with = "all_namespaces")]
    pub(crate) namespace: String,
    /// Objects of every namespace.
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// How to show them; columns unless given.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Format>,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// One part of a command line that names objects.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// Kinds, as the user calls them.
    pub(crate) kinds: Vec<String>,
    /// Names; none stands for all.
    pub(crate) names: Vec<String>,
}

impl Names {
    /// Reads `vs,dr`, `vs reviews ratings`, or `vs/reviews dr/ratings`.
    pub(crate) fn of(words: &[String]) -> Result<Vec<Self>, UsageError> {
        let pair = |word: &String| {
            let (kind, name) = word.split_once('/')?;
            Some(Self { kinds: vec![kind.to_owned()], names: vec![name.to_owned()] })
        };
        let Some((kinds, names)) = words.split_first() else { return Ok(Vec::new()) };
        if words.iter().any(|word| word.contains('/')) {
            let pairs: Option<Vec<Self>> = words.iter().map(pair).collect();
            return pairs.ok_or_else(|| UsageError("write KIND NAME… or KIND/NAME…, not both".into()));
        }
        let kinds = kinds.split(',').map(str::to_owned).collect();
        Ok(vec![Self { kinds, names: names.to_vec() }])
    }
}

/// The kind a user's word means.
pub(crate) fn kind(word: &str) -> Result<Kind, UsageError> {
    Kind::named(word).ok_or_else(|| {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.plural()).collect();
        UsageError(format!("there is no kind {word:?}; known are {}", known.join(", ")))
    })
}

impl Get {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let wanted = self.wanted()?;
        let client = self.target.find().await?;
        let namespace = (!self.all_namespaces).then_some(self.namespace.as_str());
        let mut found = Vec::new();
        let mut is_missing = false;
        for (kind, name) in wanted {
            let objects = client.resources(Some(kind.name()), namespace, name.as_deref()).await?.objects;
            if let (true, Some(name)) = (objects.is_empty(), &name) {
                let place = namespace.map_or(String::new(), |namespace| format!(" in namespace {namespace}"));
                terminal::say(&format!("there is no {} {name:?}{place}", kind.name()));
                is_missing = true;
            }
            found.extend(objects);
        }
        if found.is_empty() && !is_missing {
            terminal::say("no objects found");
        }
        terminal::print(&self.render(&found)?)?;
        Ok(if is_missing { Exit::Wrong } else { Exit::Done })
    }

    /// Kinds and names to ask for, one by one.
    fn wanted(&self) -> Result<Vec<(Kind, Option<String>)>, UsageError> {
        let mut wanted = Vec::new();
        for Names { kinds, names } in Names::of(&self.words)? {
            for word in kinds {
                let kinds = if word == ALL { KINDS.to_vec() } else { vec![kind(&word)?] };
                for kind in kinds {
                    if names.is_empty() {
                        wanted.push((kind, None));
                    }
                    wanted.extend(names.iter().map(|name| (kind, Some(name.clone()))));
                }
            }
        }
        Ok(wanted)
    }

    fn render(&self, objects: &[Object]) -> anyhow::Result<String> {
        Ok(match self.output {
            Some(Format::Json) => self.json(objects)?,
            Some(Format::Name) => {
                objects.iter().map(|object| format!("{}/{}\n", named(object), object.name)).collect()
            }
            Some(Format::Yaml) => yaml(objects),
            None | Some(Format::Wide) => self.tables(objects),
        })
    }

    /// The object where one was asked for by name, else a List.
    fn json(&self, objects: &[Object]) -> anyhow::Result<String> {
        let is_single = self.wanted()?.len() == 1 && self.words.iter().any(|word| word.contains('/'))
            || self.words.len() == 2;
        let document = match objects {
            [only] if is_single => only.json.clone(),
            [] if is_single => return Ok(String::new()),
            _ => {
                let items: Vec<&Value> = objects.iter().map(|object| &object.json).collect();
                json!({ "apiVersion": "v1", "kind": "List", "items": items })
            }
        };
        Ok(format!("{document:#}\n"))
    }

    fn tables(&self, objects: &[Object]) -> String {
        let mut out = String::new();
        let kinds: Vec<Kind> = KINDS
            .into_iter()
            .filter(|kind| objects.iter().any(|object| object.kind == kind.name()))
            .collect();
        for kind in &kinds {
            let of_kind: Vec<&Object> = objects.iter().filter(|object| object.kind == kind.name()).collect();
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&self.table(*kind, &of_kind, kinds.len() > 1).render());
        }
        out
    }

    fn table(&self, kind: Kind, objects: &[&Object], names_kind: bool) -> Table {
        let is_wide = self.output == Some(Format::Wide);
        let columns: Vec<&Column> =
            columns::of(kind).iter().filter(|column| is_wide || !column.is_wide).collect();
        let now = SystemTime::now();
        let mut heading: Vec<String> = Vec::new();
        if self.all_namespaces {
            heading.push("NAMESPACE".into());
        }
        heading.push("NAME".into());
        heading.extend(columns.iter().map(|column| column.heading.to_owned()));
        if is_wide {
            heading.push("FILE".into());
        }
        let mut table = Table::with_heading(heading);
        for object in objects {
            let mut row = Vec::new();
            if self.all_namespaces {
                row.push(object.namespace.clone());
            }
            row.push(match names_kind {
                true => format!("{}/{}", named(object), object.name),
                false => object.name.clone(),
            });
            row.extend(columns.iter().map(|column| match column.cell {
                Cell::Age => age::since(object.created.as_deref(), object.written, now),
                Cell::Told(told) => told(&object.json["spec"], &object.json),
            }));
            if is_wide {
                row.push(format!("{}:{}", object.file, object.line));
            }
            table.row(row);
        }
        table
    }
}

/// A kind as kubectl names it before a name: `virtualservice.networking.istio.io`, or `service`.
fn named(object: &Object) -> String {
    let kind = object.kind.to_ascii_lowercase();
    let version = object.json["apiVersion"].as_str().and_then(|version| version.split_once('/'));
    version.map_or_else(|| kind.clone(), |(group, _)| format!("{kind}.{group}"))
}

/// As their authors wrote them, comments and all, unless that was JSON.
fn yaml(objects: &[Object]) -> String {
    let document = |object: &Object| {
        let is_json = object.text.trim_start().starts_with('{');
        format!("{}\n", if is_json { &object.yaml } else { &object.text }.trim_end())
    };
    objects.iter().map(document).collect::<Vec<_>>().join("---\n")
}

#[cfg(test)]
mod tests;
