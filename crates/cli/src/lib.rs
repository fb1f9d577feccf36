//! The program `weft`: one file per verb, below [`verb`].
//!
//! Start at [`Command`], which lists the verbs; each verb is a struct of its arguments with a `run`.
//!
//! Never: decides what configuration means. A verb reads what the user said, asks the crate that knows, and
//! says what came of it.

mod age;
mod exit;
mod input;
mod report;
mod table;
mod terminal;
mod verb;

pub use exit::Exit;
pub use verb::Command;

use std::process::ExitCode;

use clap::Parser;

/// What stands below `weft --help`.
const AFTER_HELP: &str = "\
Try it:
  weft demo                                  a mesh with Bookinfo on http://127.0.0.1:8080/productpage
  weft apply -f virtual-service-all-v1.yaml  change where its requests go
  weft get vs,dr -A                          what is in force
  weft gateway -f gateway.yaml               an ingress for one machine
  weft up -f mesh.yaml                       your own programs as a mesh

Exit status:
  0  done
  1  something the user gave is wrong or missing, or something failed
  2  the command line cannot be understood
  3  no control plane answers
  4  done, but some proxies have not acknowledged it in time";

/// Weft, a service mesh.
#[derive(Debug, Parser)]
#[command(name = "weft", version, about, after_help = AFTER_HELP, propagate_version = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Runs the program: reads its arguments, does what they say, and says how it went.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.run() {
        Ok(exit) => exit.into(),
        Err(error) => {
            terminal::complain(&error);
            exit::of(&error).into()
        }
    }
}

#[cfg(test)]
mod tests;
