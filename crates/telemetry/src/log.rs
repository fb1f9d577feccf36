//! The process's own log: what `tracing` events look like and where they go.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// One JSON object per line.
    Json,
    /// One line for people; in colour on a terminal unless `NO_COLOR` is set.
    #[default]
    Plain,
}

/// Why the log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The levels are not understood.
    #[error("{0:?} is not a log level")]
    Level(String),
    /// The process has a log already.
    #[error("the log was started before")]
    Started,
}

/// Starts the log, on standard error. `levels` is a level, or levels by crate: `info,xds=debug`; empty means `info`.
///
/// # Errors
/// Tells of levels it does not understand, and of a second start.
pub fn start(levels: &str, style: Style) -> Result<(), LogError> {
    let filter = filter(levels)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match style {
        Style::Json => log.json().flatten_event(true).finish().try_init(),
        Style::Plain => log.with_ansi(is_coloured()).finish().try_init(),
    };
    started.map_err(|_| LogError::Started)
}

fn filter(levels: &str) -> Result<EnvFilter, LogError> {
    let levels = if levels.trim().is_empty() { "info" } else { levels };
    EnvFilter::builder().parse(levels).map_err(|_| LogError::Level(levels.to_owned()))
}

/// <https://no-color.org>: any value but the empty one.
fn is_coloured() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_told_apart_from_nonsense() {
        assert!(filter("").is_ok());
        assert!(filter("info,xds=debug").is_ok());
        assert!(matches!(filter("info,xds=loud"), Err(LogError::Level(_))));
    }
}
