//! `weft apply`, `weft create`, `weft replace`: put objects in force.

use std::path::PathBuf;

use clap::Args;

use control::wire::{self, Mode};

use super::target::{Patience, Target};
use crate::exit::Exit;
use crate::input;
use crate::report::{self, Sources};

/// What stands below the help of these verbs.
const EXAMPLES: &str = "\
Examples:
  weft apply -f virtual-service.yaml          put it in force, whatever was there
  weft create -f config/ -n shop              every file of a directory; shop is for objects that name no namespace
  weft replace -f - < virtual-service.yaml    a new version of what is there
  weft apply -f config/ --dry-run             only say what would be done";

/// The objects to put in force.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Apply {
    /// A file, a directory of them, or - for standard input; may be given several times.
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub(crate) filename: Vec<PathBuf>,
    /// The namespace of objects that name none.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) patience: Patience,
    #[command(flatten)]
    pub(crate) target: Target,
}

impl Apply {
    /// Puts them in force; `mode` says what may be there before.
    pub(crate) async fn run(self, mode: Mode) -> anyhow::Result<Exit> {
        let documents = input::read_for(&self.filename, self.namespace.as_deref())?;
        let sources = Sources::of(&documents);
        if let Some(exit) = unreadable(&documents, &sources) {
            return Ok(exit);
        }
        let client = self.target.find().await?;
        let request = wire::Apply {
            documents,
            mode,
            dry_run: self.patience.dry_run,
            timeout_ms: self.patience.millis(),
        };
        let reply = self.patience.during(client.apply(&request)).await?;
        self.patience.conclude(&reply, &sources)
    }
}

/// The end of it, where nothing can be made of the documents; why is said. No control plane is needed for that.
///
/// Objects that are not the mesh's, as a Namespace or a Deployment, are passed over: nothing else is asked of it.
fn unreadable(documents: &[wire::Document], sources: &Sources) -> Option<Exit> {
    let parsed: Vec<_> = documents.iter().map(|d| api::parse(&d.file, d.text.as_bytes())).collect();
    if parsed.iter().any(|parsed| !parsed.resources.is_empty()) {
        return None;
    }
    for parsed in &parsed {
        report::say(&parsed.issues, sources);
    }
    if parsed.iter().all(|parsed| parsed.issues.is_empty()) {
        crate::terminal::say("error: there is no object in what was given");
        return Some(Exit::Wrong);
    }
    let is_wrong = parsed.iter().any(|parsed| report::has_error(&parsed.issues));
    Some(if is_wrong { Exit::Wrong } else { Exit::Done })
}
