//! What can be done with the terminal: colour, lines that are rewritten, and saying what went wrong.

use std::io::{IsTerminal, Write};

/// Whether standard error may be coloured: it is a terminal, and `NO_COLOR` does not say otherwise.
pub(crate) fn has_color() -> bool {
    std::io::stderr().is_terminal() && allows_color()
}

/// Whether standard output may be coloured, likewise.
pub(crate) fn prints_color() -> bool {
    std::io::stdout().is_terminal() && allows_color()
}

fn allows_color() -> bool {
    let says_no = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !says_no && !is_dumb
}

/// Says an error and its causes.
pub(crate) fn complain(error: &anyhow::Error) {
    let label = if has_color() { "\x1b[1;31merror\x1b[0m" } else { "error" };
    say(&format!("{label}: {error:#}"));
}

/// Writes a line to standard error. A reader that is gone is no reason to stop.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Writes text to standard output; a reader that has had enough (`| head`) is no error.
///
/// # Errors
/// When it cannot be written for another reason.
pub(crate) fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// A line on standard error that is rewritten as work goes on; nothing where that is no terminal.
pub(crate) struct Progress {
    is_shown: bool,
}

impl Progress {
    /// A line that shows nothing so far.
    pub(crate) fn new() -> Self {
        Self { is_shown: has_color() }
    }

    /// Shows where the work is.
    pub(crate) fn show(&self, text: &str) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[2K{text}");
            let _ = std::io::stderr().flush();
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        self.show("");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
