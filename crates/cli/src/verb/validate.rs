//! `weft validate`: says what is wrong with objects, without putting them in force.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use base::{Issue, Severity};
use control::wire::{self, Document};

use super::target::Target;
use crate::exit::Exit;
use crate::input;
use crate::report::{self, Sources};
use crate::terminal;

/// The code by which the parser passes over objects that are for Kubernetes alone.
const SKIPPED: &str = "skipped-kind";

/// How findings are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON document.
    Json,
    /// One line each, as compilers write them.
    Short,
}

/// What stands below `weft validate --help`.
const EXAMPLES: &str = "\
Examples:
  weft validate -f config/ --strict        fails on warnings too
  weft validate -f reviews.yaml --with-mesh  beside what is in force
  weft validate -f config/ -o short        one line a finding, for editors";

/// Say what is wrong with objects, without putting them in force: each by itself, and what they make of each other.
/// Needs no control plane, unless asked to see them beside what is in force.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Validate {
    /// A file, a directory of them, or - for standard input; may be given several times.
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub(crate) filename: Vec<PathBuf>,
    /// The namespace of objects that name none.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// See them beside the objects in force.
    #[arg(long)]
    pub(crate) with_mesh: bool,
    /// Fail on warnings too.
    #[arg(long)]
    pub(crate) strict: bool,
    /// How to show findings; with the lines they are about unless given.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Format>,
    #[command(flatten)]
    pub(crate) target: Target,
}

impl Validate {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let documents = input::read_for(&self.filename, self.namespace.as_deref())?;
        let sources = Sources::of(&documents);
        let (objects, mut issues) = if self.with_mesh {
            let client = self.target.find().await?;
            let reply = client.validate(&wire::Validate { documents }).await?;
            (reply.results.len(), reply.issues)
        } else {
            alone(&documents)
        };
        // What is for Kubernetes alone is nothing to find fault with.
        let found = issues.len();
        issues.retain(|issue| issue.code != SKIPPED);
        let skipped = found - issues.len();
        match self.output {
            Some(Format::Json) => terminal::print(&format!("{:#}\n", json!({ "issues": issues })))?,
            Some(Format::Short) => {
                terminal::print(&issues.iter().map(|issue| format!("{issue}\n")).collect::<String>())?;
            }
            None => report::say(&issues, &sources),
        }
        let count = |severity| issues.iter().filter(|issue| issue.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        if self.output.is_none() {
            let others = match skipped {
                0 => String::new(),
                skipped => format!("; {skipped} for Kubernetes, not for the mesh"),
            };
            let counts = [counted(objects, "object"), counted(errors, "error"), counted(warnings, "warning")];
            terminal::print(&format!("{}{others}\n", counts.join(", ")))?;
        }
        let is_wrong = errors > 0 || (self.strict && warnings > 0);
        Ok(if is_wrong { Exit::Wrong } else { Exit::Done })
    }
}

/// `1 object`, `3 objects`.
fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// How many objects can be read, and what is wrong with them, each by itself and among themselves.
fn alone(documents: &[Document]) -> (usize, Vec<Issue>) {
    let mut issues = Vec::new();
    let mut set = api::ResourceSet::default();
    for document in documents {
        let parsed = api::parse(&document.file, document.text.as_bytes());
        issues.extend(parsed.issues);
        for resource in parsed.resources {
            set.insert(resource);
        }
    }
    let snapshot = mesh::Snapshot::next(None, &set, &mesh::Settings::default());
    issues.extend(snapshot.issues().iter().cloned());
    (set.iter().count(), issues)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "error")), ["0 errors", "1 error", "2 errors"]);
    }

    #[test]
    fn objects_are_judged_alone_and_together() {
        let rule = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n  \
                    hosts: [nowhere.example]\n  http:\n  - route:\n    - destination: {host: nowhere.example, subset: v1}\n";
        let broken = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: b}\nspec: {hots: []}\n";
        let document = |file: &str, text: &str| Document { file: file.into(), text: text.into() };

        let (objects, issues) = alone(&[document("a.yaml", rule), document("b.yaml", broken)]);

        assert_eq!(objects, 1);
        assert!(issues.iter().any(|issue| issue.code == "unknown-field" && &*issue.place.file == "b.yaml"));
    }
}
