//! `weft model import`: a model file as a short document.

use clap::Args;

use super::source::{Format, Source};
use crate::exit::Exit;
use crate::terminal;

/// What stands below `weft model import --help`.
const AFTER_HELP: &str = "\
What is not clear in a drawing is decided and told on standard error: a sticker
on two contexts, a name Kubernetes cannot have, a line that leads to nothing.

Exit status:
  0  the document is on standard output
  1  the file is no model
  2  the command line cannot be understood";

/// Write a model file as a short document.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Import {
    #[command(flatten)]
    source: Source,
    /// How the document is written.
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    output: Format,
}

impl Import {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Some(model) = self.source.model()? else { return Ok(Exit::Wrong) };
        terminal::print(&match self.output {
            Format::Json => format!("{:#}\n", model.to_json()),
            Format::Yaml => model.to_yaml(),
        })?;
        Ok(Exit::Done)
    }
}
