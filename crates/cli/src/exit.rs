//! What the exit status says; users' scripts depend on the numbers.

use std::process::ExitCode;

use control::client::ClientError;

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Something the user gave is wrong or missing, or something failed.
    Wrong,
    /// The command line cannot be understood.
    Usage,
    /// No control plane answers.
    Unreachable,
    /// Done, but some proxies have not acknowledged it in time.
    Pending,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Wrong => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::Pending => 4,
        })
    }
}

/// The command line cannot be understood, in a way the parser of arguments does not know.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// How a verb ended that ended in an error.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    match error.downcast_ref() {
        Some(ClientError::Refused { .. }) => Exit::Wrong,
        Some(_) => Exit::Unreachable,
        None if error.is::<UsageError>() => Exit::Usage,
        None => Exit::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_cannot_be_reached_is_told_from_what_is_wrong() {
        let nobody = ClientError::NotRunning { dir: None, others: Vec::new() };

        assert_eq!(of(&anyhow::Error::from(nobody).context("asking")), Exit::Unreachable);
        assert_eq!(of(&anyhow::anyhow!("no such file")), Exit::Wrong);
        assert_eq!(of(&UsageError("what?".into()).into()), Exit::Usage);
    }
}
