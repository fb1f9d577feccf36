//! What the workers count of each endpoint's answers, by which outliers are found.

use std::sync::atomic::{AtomicU32, Ordering};

use smallvec::SmallVec;

/// After so many of one kind in a row an endpoint is suspicious; 0 for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streaks {
    /// Of 5xx.
    pub server_errors: u32,
    /// Of 502, 503 and 504.
    pub gateway_errors: u32,
    /// Of failures before an answer, where these are counted by themselves.
    pub local_failures: u32,
    /// Whether failures before an answer are counted by themselves instead of as 5xx.
    pub splits_local: bool,
}

/// How an attempt at an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer with this status.
    Answer(u16),
    /// A connection was made, and what is spoken on it will tell how it went.
    Connected,
    /// A connection was made, and nothing more will be known of it, as with bytes that are only passed on.
    ConnectedFinally,
    /// No connection could be made.
    ConnectFailed,
    /// It took too long.
    TimedOut,
    /// The connection was made, and broke before an answer.
    Broken,
}

/// Why an endpoint is suspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// Too many 5xx in a row.
    ServerErrors,
    /// Too many 502, 503 and 504 in a row.
    GatewayErrors,
    /// Too many failures before an answer in a row.
    LocalFailures,
    /// Its share of good answers is far below the others'.
    SuccessRate,
    /// Its share of good connections is far below the others'.
    LocalSuccessRate,
    /// Too large a share of its answers is bad.
    FailurePercentage,
    /// Too large a share of its connections failed.
    LocalFailurePercentage,
}

/// What one outcome makes suspicious: nothing most of the time, two things at most.
pub type Suspicions = SmallVec<[Suspicion; 2]>;

/// The counts of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Monitor {
    server_errors: AtomicU32,
    gateway_errors: AtomicU32,
    local_failures: AtomicU32,
    external: Rate,
    local: Rate,
}

/// The attempts of the present interval.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    total: AtomicU32,
    good: AtomicU32,
}

/// What a whole interval came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) volume: u32,
    /// In percent.
    pub(crate) success: f64,
}

impl Rate {
    fn put(&self, is_good: bool) {
        self.total.fetch_add(1, Ordering::Relaxed);
        if is_good {
            self.good.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends the interval; none where nothing happened in it.
    fn end(&self) -> Option<Interval> {
        let good = self.good.swap(0, Ordering::Relaxed);
        let volume = self.total.swap(0, Ordering::Relaxed);
        // Two counters are read one after the other: a request between must not make more good ones than all.
        let success = f64::from(good.min(volume)) * 100.0 / f64::from(volume.max(1));
        (volume > 0).then_some(Interval { volume, success })
    }
}

impl Monitor {
    /// Takes one outcome; says what it makes suspicious, at the very moment a streak is full.
    pub(crate) fn put(&self, outcome: Outcome, streaks: &Streaks) -> Suspicions {
        if streaks.splits_local {
            return match outcome {
                Outcome::Answer(status) => self.answer(status, streaks),
                Outcome::Broken => self.answer(503, streaks),
                Outcome::Connected | Outcome::ConnectedFinally => self.local(true, streaks),
                Outcome::ConnectFailed | Outcome::TimedOut => self.local(false, streaks),
            };
        }
        match outcome {
            Outcome::Answer(status) => self.answer(status, streaks),
            Outcome::Broken => self.answer(500, streaks),
            // What is spoken on it decides.
            Outcome::Connected => Suspicions::new(),
            Outcome::ConnectedFinally => self.answer(200, streaks),
            Outcome::ConnectFailed => self.answer(503, streaks),
            Outcome::TimedOut => self.answer(504, streaks),
        }
    }

    fn answer(&self, status: u16, streaks: &Streaks) -> Suspicions {
        let mut found = Suspicions::new();
        let is_error = (500..600).contains(&status);
        self.external.put(!is_error);
        if !is_error {
            self.server_errors.store(0, Ordering::Relaxed);
            self.gateway_errors.store(0, Ordering::Relaxed);
            return found;
        }
        if !(502..=504).contains(&status) {
            self.gateway_errors.store(0, Ordering::Relaxed);
        } else if grew(&self.gateway_errors) == streaks.gateway_errors {
            found.push(Suspicion::GatewayErrors);
        }
        if grew(&self.server_errors) == streaks.server_errors {
            found.push(Suspicion::ServerErrors);
        }
        found
    }

    fn local(&self, is_good: bool, streaks: &Streaks) -> Suspicions {
        let mut found = Suspicions::new();
        self.local.put(is_good);
        if is_good {
            self.local_failures.store(0, Ordering::Relaxed);
        } else if grew(&self.local_failures) == streaks.local_failures {
            found.push(Suspicion::LocalFailures);
        }
        found
    }

    /// Begins one streak, or all of them, anew.
    pub(crate) fn forget(&self, suspicion: Option<Suspicion>) {
        let all = suspicion.is_none();
        if all || suspicion == Some(Suspicion::ServerErrors) {
            self.server_errors.store(0, Ordering::Relaxed);
        }
        if all || suspicion == Some(Suspicion::GatewayErrors) {
            self.gateway_errors.store(0, Ordering::Relaxed);
        }
        if all || suspicion == Some(Suspicion::LocalFailures) {
            self.local_failures.store(0, Ordering::Relaxed);
        }
    }

    /// Ends the interval of answers.
    pub(crate) fn external(&self) -> Option<Interval> {
        self.external.end()
    }

    /// Ends the interval of connections.
    pub(crate) fn local_origin(&self) -> Option<Interval> {
        self.local.end()
    }
}

fn grew(streak: &AtomicU32) -> u32 {
    streak.fetch_add(1, Ordering::Relaxed).saturating_add(1)
}
