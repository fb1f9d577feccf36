//! `weft model`: domain models drawn in MSA-Ez as services and routing.

mod generate;
mod import;
mod run;
mod show;
mod source;

use clap::{Args, Subcommand};

use crate::exit::Exit;

/// What stands below `weft model --help`.
const AFTER_HELP: &str = "\
A model goes three steps, each of which can be looked at:
  model.json   what the drawing tool saves (\"Download model File\")
  model.yaml   the same as a short document, to be kept in git and edited
  mesh.yaml    Services, Deployments, Gateway, VirtualServices, DestinationRules

Try it:
  weft model show model.json                       who there is and who calls whom
  weft model show model.json -o mermaid            the same as a chart
  weft model import model.json                     the document, on standard output
  weft model generate model.yaml --into mesh.yaml  the objects; do it again after a
                                                   change: what you edited stays
  weft model run model.json                        every context twice, on this machine

Every step takes either file. docs/model.md says what the document may hold.";

/// Turn a domain model into services and routing.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Model {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do with a model.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Write the objects a model asks for.
    Generate(generate::Generate),
    /// Write a model file as a short document.
    Import(import::Import),
    /// Run a model as a mesh on this machine: every context twice, no cluster.
    Run(run::Run),
    /// Show who there is, what they can be asked, and who calls whom.
    Show(show::Show),
}

impl Model {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        match self.verb {
            Verb::Generate(verb) => verb.run(),
            Verb::Import(verb) => verb.run(),
            Verb::Run(verb) => verb.run().await,
            Verb::Show(verb) => verb.run(),
        }
    }
}

#[cfg(test)]
mod tests;
