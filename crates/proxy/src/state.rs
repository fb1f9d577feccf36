//! How far the process is in its life, as `/ready` tells it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

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
pub(crate) struct State {
    stage: AtomicU8,
    /// Whether its listeners were closed by hand.
    is_closed: AtomicBool,
}

impl State {
    /// The stage.
    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
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
        self.stage.fetch_max(rank, Ordering::Relaxed);
    }

    /// Whether its listeners were closed by hand: it goes on, and nobody should come to it any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Notes that its listeners are closed.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}
