//! The process's own log: what `tracing` events look like and where they go.

use std::io::IsTerminal;
use std::sync::OnceLock;

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
    let (started, change): (_, Change) = match style {
        Style::Json => {
            let log = log.json().flatten_event(true).with_filter_reloading();
            let handle = log.reload_handle();
            (log.finish().try_init(), Box::new(move |filter| handle.reload(filter).is_ok()))
        }
        Style::Plain => {
            let log = log.with_ansi(is_coloured()).with_filter_reloading();
            let handle = log.reload_handle();
            (log.finish().try_init(), Box::new(move |filter| handle.reload(filter).is_ok()))
        }
    };
    started.map_err(|_| LogError::Started)?;
    // Whoever has started the log is the only one to come by here.
    let _ = CHANGE.set(change);
    Ok(())
}

type Change = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// Changes what is logged, once the log has been started.
static CHANGE: OnceLock<Change> = OnceLock::new();

/// Logs by other levels from now on; a process without a log of ours goes on as it was.
///
/// # Errors
/// Tells of levels it does not understand.
pub fn change(levels: &str) -> Result<(), LogError> {
    let filter = filter(levels)?;
    if let Some(change) = CHANGE.get()
        && !change(filter)
    {
        tracing::warn!("what is logged cannot be changed any more");
    }
    Ok(())
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
