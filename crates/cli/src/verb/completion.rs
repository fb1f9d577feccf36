//! `weft completion`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::exit::Exit;
use crate::terminal;

/// Write a shell's completions: `source <(weft completion bash)`.
#[derive(Args, Debug)]
pub struct Completion {
    /// The shell.
    pub(crate) shell: Shell,
}

impl Completion {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Cli::command(), "weft", &mut script);
        terminal::print(&String::from_utf8(script)?)?;
        Ok(Exit::Done)
    }
}
