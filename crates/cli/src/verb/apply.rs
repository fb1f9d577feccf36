//! `weft apply`: puts objects in force.

use std::path::PathBuf;

use clap::Args;

use control::wire;

use super::target::{Patience, Target};
use crate::exit::Exit;
use crate::input;
use crate::report::{self, Sources};

/// Put objects in force, and wait until every proxy concerned has acknowledged them.
#[derive(Args, Debug)]
pub struct Apply {
    /// A file, a directory of them, or - for standard input; may be given several times.
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub(crate) filename: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) patience: Patience,
    #[command(flatten)]
    pub(crate) target: Target,
}

impl Apply {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let documents = input::read(&self.filename)?;
        let sources = Sources::of(&documents);
        if !is_readable(&documents, &sources) {
            return Ok(Exit::Wrong);
        }
        let client = self.target.find().await?;
        let request =
            wire::Apply { documents, dry_run: self.patience.dry_run, timeout_ms: self.patience.millis() };
        let reply = self.patience.during(client.apply(&request)).await?;
        self.patience.conclude(&reply, &sources)
    }
}

/// Whether anything can be made of the documents; if not, why is said. No control plane is needed for that.
fn is_readable(documents: &[wire::Document], sources: &Sources) -> bool {
    let parsed: Vec<_> = documents.iter().map(|d| api::parse(&d.file, d.text.as_bytes())).collect();
    if parsed.iter().any(|parsed| !parsed.resources.is_empty()) {
        return true;
    }
    for parsed in &parsed {
        report::say(&parsed.issues, sources);
    }
    if parsed.iter().all(|parsed| parsed.issues.is_empty()) {
        crate::terminal::say("error: there is no object in what was given");
    }
    false
}
