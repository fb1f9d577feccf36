//! How far the process is in its life, as `/ready` tells it.

use std::sync::atomic::{AtomicU8, Ordering};

/// The stages of a proxy's life, by Envoy's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It ends when its connections have ended.
    Draining,
    /// The control plane has said something, but not all that is needed.
    Initializing,
    /// It serves.
    Live,
    /// The control plane has said nothing yet.
    PreInitializing,
}

impl Stage {
    /// Envoy's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Draining => "DRAINING",
            Self::Initializing => "INITIALIZING",
            Self::Live => "LIVE",
            Self::PreInitializing => "PRE_INITIALIZING",
        }
    }
}

/// The stage, readable from any thread.
#[derive(Debug, Default)]
pub(crate) struct State(AtomicU8);

impl State {
    /// The stage.
    pub(crate) fn stage(&self) -> Stage {
        match self.0.load(Ordering::Relaxed) {
            0 => Stage::PreInitializing,
            1 => Stage::Initializing,
            2 => Stage::Live,
            _ => Stage::Draining,
        }
    }

    /// Enters a stage; nothing leads back.
    pub(crate) fn enter(&self, stage: Stage) {
        let rank = match stage {
            Stage::PreInitializing => 0,
            Stage::Initializing => 1,
            Stage::Live => 2,
            Stage::Draining => 3,
        };
        self.0.fetch_max(rank, Ordering::Relaxed);
    }
}
