//! `weft version`.

use clap::Args;

use crate::exit::Exit;
use crate::terminal;

/// Show the version.
#[derive(Args, Debug)]
pub struct Version {}

impl Version {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        terminal::print(concat!("weft ", env!("CARGO_PKG_VERSION"), "\n"))?;
        Ok(Exit::Done)
    }
}
