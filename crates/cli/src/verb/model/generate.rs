//! `weft model generate`: the objects a model asks for.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};

use ::generate::{Merged, Mode, Options, Topping, generate, merge};

use super::source::{Format, Source};
use crate::exit::Exit;
use crate::report::{self, Sources};
use crate::terminal;

/// What stands below `weft model generate --help`.
const AFTER_HELP: &str = "\
For each context a Service, a Deployment of its stable version and one of its
canary (asleep until it is tried), a DestinationRule with both as subsets, and a
VirtualService of its name with the weights; a Gateway, and a VirtualService that
tells which paths belong to whom. A circuit breaker that is drawn becomes a
timeout, careful retries, limits and outlier detection.

Again: with --into the last output is kept in .weft/generated/ beside the file.
What you changed in the file since then stays, what the model changed is put in;
where both changed the same field yours stays, and both are told.

Try it:
  weft model generate model.json                        on standard output
  weft model generate model.yaml --into mesh.yaml     into a file, again and again
  weft model generate model.json --compat msaez         what MSA-Ez's Istio topping writes
  weft model generate model.json --topping argo-rollouts

Exit status:
  0  the objects are written
  1  the file is no model, or you and the model changed the same field
  2  the command line cannot be understood";

/// Whose objects are reproduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compat {
    /// Those of MSA-Ez's toppings, object for object.
    Msaez,
}

/// What routes the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Routing {
    /// Istio's objects, and a Rollout in the place of each Deployment, whose steps move the weights.
    ArgoRollouts,
    /// An Ingress.
    Ingress,
    /// Gateway, VirtualServices, DestinationRules.
    Istio,
}

/// Write the objects a model asks for.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Generate {
    #[command(flatten)]
    source: Source,
    /// Write what another generator would, its weaknesses included.
    #[arg(long, value_enum)]
    compat: Option<Compat>,
    /// What routes the requests.
    #[arg(long, value_enum, default_value_t = Routing::Istio)]
    topping: Routing,
    /// How the objects are written.
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    output: Format,
    /// Write into this file; what a person changed in it stays.
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
}

impl Generate {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Some(model) = self.source.model()? else { return Ok(Exit::Wrong) };
        let options = Options {
            mode: match self.compat {
                Some(Compat::Msaez) => Mode::Msaez,
                None => Mode::Clean,
            },
            topping: match self.topping {
                Routing::ArgoRollouts => Topping::ArgoRollouts,
                Routing::Ingress => Topping::Ingress,
                Routing::Istio => Topping::Istio,
            },
        };
        let generated = generate(&model, options);
        report::say(&generated.issues, &Sources::default());
        for note in &generated.notes {
            terminal::say(&format!("note: {}: {}", note.object, note.message));
        }
        if generated.objects.is_empty() {
            terminal::say("error: there is nothing to generate: the model has no context");
            return Ok(Exit::Wrong);
        }
        match (&self.into, self.output) {
            (Some(path), Format::Yaml) => again(path, &generated.to_yaml()),
            (Some(_), Format::Json) => anyhow::bail!(crate::exit::UsageError(
                "a file that is generated again is YAML: leave -o json out, or send it to standard output"
                    .into()
            )),
            (None, Format::Yaml) => printed(&generated.to_yaml()),
            (None, Format::Json) => printed(&format!("{:#}\n", generated.to_json())),
        }
    }
}

fn printed(text: &str) -> anyhow::Result<Exit> {
    terminal::print(text)?;
    Ok(Exit::Done)
}

/// Puts what is generated into a file that a person may have changed since the last time.
pub(super) fn again(path: &Path, fresh: &str) -> anyhow::Result<Exit> {
    let base = base(path)?;
    let merged = match text(path)? {
        None => Merged { text: fresh.to_owned(), conflicts: Vec::new() },
        Some(mine) => merge(&text(&base)?.unwrap_or_default(), &mine, fresh).with_context(|| {
            format!("nothing is written: {} cannot be joined with what is generated", path.display())
        })?,
    };
    put(path, &merged.text)?;
    put(&base, fresh)?;
    for conflict in &merged.conflicts {
        terminal::say(&format!("conflict: {conflict}"));
    }
    terminal::say(&format!("{} is written", path.display()));
    Ok(if merged.conflicts.is_empty() { Exit::Done } else { Exit::Wrong })
}

/// Where the last output for a file is kept.
fn base(path: &Path) -> anyhow::Result<PathBuf> {
    let name = path.file_name().with_context(|| format!("{} names no file", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new("")).join(".weft").join("generated");
    Ok(folder.join(name))
}

/// A file's text; none where there is no file.
fn text(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Writes a file whole or not at all.
fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    let writing = || format!("writing {}", path.display());
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).with_context(writing)?;
    let mut draft = tempfile::Builder::new()
        .prefix(".weft-")
        .suffix(".tmp")
        .make_in(folder, |path| fs::OpenOptions::new().write(true).create_new(true).open(path))
        .with_context(writing)?;
    draft.write_all(text.as_bytes()).and_then(|()| draft.as_file().sync_all()).with_context(writing)?;
    draft.persist(path).map_err(|refused| refused.error).with_context(writing)?;
    Ok(())
}

#[cfg(test)]
mod tests;
