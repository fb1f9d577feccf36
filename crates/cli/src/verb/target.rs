//! Which mesh a verb is about, and how long it waits for its proxies.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use clap::Args;

use base::NodeId;
use control::client::{self, Client};
use control::wire::{Action, Reply};

use crate::exit::Exit;
use crate::report::{self, Sources};
use crate::terminal::{self, Progress};

/// How long a wait may be before it is explained.
const FELT: Duration = Duration::from_millis(500);

/// The mesh a verb is about.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Target {
    /// The mesh's directory; the only one running for this user where absent.
    #[arg(long, value_name = "DIR", env = "WEFT_MESH")]
    pub(crate) mesh: Option<PathBuf>,
}

impl Target {
    /// Finds the mesh's control plane.
    pub(crate) async fn find(&self) -> anyhow::Result<Client> {
        Ok(client::find(self.mesh.as_deref()).await?)
    }
}

/// How a change is made.
#[derive(Args, Clone, Debug)]
pub(crate) struct Patience {
    /// How long to wait for the proxies concerned; 0 does not wait.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = base::duration::parse)]
    pub(crate) timeout: Duration,
    /// Only say what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Patience {
    /// The time to wait, as it travels.
    pub(crate) fn millis(&self) -> u64 {
        u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits for the answer to a request; a wait that is felt is explained.
    pub(crate) async fn during<T>(&self, request: impl Future<Output = T>) -> T {
        let mut request = pin!(request);
        tokio::select! {
            answer = request.as_mut() => return answer,
            () = tokio::time::sleep(FELT) => {}
        }
        let progress = Progress::new();
        progress.show("waiting for proxies to acknowledge");
        request.await
    }

    /// Says what a change came to; the exit status follows from it.
    pub(crate) fn conclude(&self, reply: &Reply, sources: &Sources) -> anyhow::Result<Exit> {
        report::say(&reply.issues, sources);
        let mut lines = String::new();
        for outcome in &reply.results {
            let suffix = if self.dry_run { " (dry run)" } else { "" };
            lines.push_str(&format!("{} {}{suffix}\n", outcome.object, word(outcome.action)));
        }
        terminal::print(&lines)?;
        let is_wrong = reply.results.iter().any(|o| matches!(o.action, Action::Missing | Action::Refused));
        if is_wrong || report::has_error(&reply.issues) {
            return Ok(Exit::Wrong);
        }
        if !reply.disconnected.is_empty() {
            let names: Vec<String> = reply.disconnected.iter().map(|node| short(node)).collect();
            terminal::say(&format!("not connected, told when they are back: {}", names.join(", ")));
        }
        if self.timeout.is_zero() || reply.pending.is_empty() {
            return Ok(Exit::Done);
        }
        terminal::say(&format!(
            "not acknowledged within {} by: {}",
            base::duration::render(self.timeout),
            reply.pending.iter().map(|node| short(node)).collect::<Vec<_>>().join(", ")
        ));
        Ok(Exit::Pending)
    }
}

/// A proxy as users call it, `reviews-v1-abc.default`; a node id that is none stays as it is.
pub(crate) fn short(node: &str) -> String {
    match node.parse::<NodeId>() {
        Ok(id) => format!("{}.{}", id.name, id.namespace),
        Err(_) => node.to_owned(),
    }
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Configured => "configured",
        Action::Created => "created",
        Action::Deleted => "deleted",
        Action::Missing => "not found",
        Action::Refused => "refused",
        Action::Unchanged => "unchanged",
        Action::Valid => "valid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(timeout: Duration) -> Patience {
        Patience { timeout, dry_run: false }
    }

    fn outcome(action: Action) -> control::wire::Outcome {
        control::wire::Outcome { object: "VirtualService/default/reviews".into(), action }
    }

    #[test]
    fn proxies_that_have_not_acknowledged_are_an_exit_status_of_their_own() {
        let node = "sidecar~127.77.3.1~reviews-v1.default~default.svc.cluster.local";
        let pending = Reply { pending: vec![node.into()], ..Reply::default() };
        let end = |timeout, reply: &Reply| patience(timeout).conclude(reply, &Sources::default()).ok();

        assert_eq!(end(Duration::from_secs(1), &pending), Some(Exit::Pending));
        assert_eq!(end(Duration::ZERO, &pending), Some(Exit::Done));
        assert_eq!(end(Duration::from_secs(1), &Reply::default()), Some(Exit::Done));
        assert_eq!(short(node), "reviews-v1.default");
    }

    #[test]
    fn what_was_refused_or_missing_is_wrong_even_where_proxies_are_pending() {
        for action in [Action::Missing, Action::Refused] {
            let reply =
                Reply { results: vec![outcome(action)], pending: vec!["x".into()], ..Reply::default() };

            let end = patience(Duration::from_secs(1)).conclude(&reply, &Sources::default());

            assert_eq!(end.ok(), Some(Exit::Wrong));
        }
    }
}
