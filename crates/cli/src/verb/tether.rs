//! The hidden verb by which a supervisor starts what must not outlive it.

use std::ffi::OsString;

use anyhow::Context;
use clap::Args;

use crate::exit::Exit;

/// Run a program that ends with the one that started it.
#[derive(Args, Debug)]
pub struct Tether {
    /// The process that starts this one.
    parent: i32,
    /// The program.
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

impl Tether {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let (program, args) = self.command.split_first().context("no program was named")?;
        let error = local::tether::exec(self.parent, program, args);
        Err(error).with_context(|| format!("executing {}", program.display()))
    }
}
