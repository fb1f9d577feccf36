//! A proxy that has left: whether it will be back, and when it is forgotten.
//!
//! A proxy of this machine is expected for as long as its process lives; of others nothing is known, and since a
//! connection that breaks is opened anew at once they are expected for a moment. Who is not expected any more is
//! still named to users for a while: it may be serving by what it was told last.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

/// How long one is expected back of whose process nothing is known.
const MOMENT: Duration = Duration::from_secs(5);

/// How long one that is not expected back is remembered.
const MEMORY: Duration = Duration::from_secs(60);

/// A proxy that has left.
#[derive(Clone, Debug)]
pub(super) struct Departed {
    at: Instant,
    whereabouts: Whereabouts,
}

/// What is known of a proxy's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whereabouts {
    /// It has ended.
    Ended,
    /// It is this one.
    Here(Process),
    /// Nothing.
    Unknown,
}

/// A process of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    /// When it began, in the kernel's count: a process that has got the same id later began later.
    began: u64,
}

impl Departed {
    /// Notes who has left.
    pub(super) fn new(pid: Option<u32>, now: Instant) -> Self {
        let whereabouts = match pid.map(Process::find) {
            None => Whereabouts::Unknown,
            Some(None) => Whereabouts::Ended,
            Some(Some(process)) => Whereabouts::Here(process),
        };
        Self { at: now, whereabouts }
    }

    /// Whether it will be back.
    pub(super) fn is_expected(&self, now: Instant) -> bool {
        match self.whereabouts {
            Whereabouts::Ended => false,
            Whereabouts::Here(process) => process.is_alive(),
            Whereabouts::Unknown => now.saturating_duration_since(self.at) < MOMENT,
        }
    }

    /// Whether it need not be spoken of any more.
    pub(super) fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= MEMORY && !self.is_expected(now)
    }
}

impl Process {
    /// The process of an id; `None` where there is none, or only what is left of one that has ended.
    fn find(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
        // The second field, the program's name, may hold anything, spaces and brackets too.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        let state = fields.next()?;
        let began = fields.nth(18)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some(Self { pid, began })
    }

    fn is_alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_is_expected_however_long_it_takes() {
        let now = Instant::now();
        let departed = Departed::new(Some(std::process::id()), now);

        assert!(departed.is_expected(now + MEMORY * 100));
        assert!(!departed.is_forgotten(now + MEMORY * 100));
    }

    #[test]
    fn who_has_no_process_here_is_expected_for_a_moment_and_remembered_for_a_while() {
        let now = Instant::now();
        let departed = Departed::new(None, now);

        assert!(departed.is_expected(now) && !departed.is_expected(now + MOMENT));
        assert!(!departed.is_forgotten(now + MOMENT) && departed.is_forgotten(now + MEMORY));
    }

    #[test]
    fn whose_process_has_ended_is_not_expected_and_still_remembered() {
        let now = Instant::now();
        let departed = Departed::new(Some(u32::MAX), now);

        assert!(!departed.is_expected(now) && !departed.is_forgotten(now));
    }

    #[test]
    fn a_process_is_found_by_its_id_and_its_beginning() {
        let own = Process::find(std::process::id()).expect("invariant: this process runs");

        assert!(own.is_alive());
        assert!(!Process { began: own.began + 1, ..own }.is_alive());
        assert_eq!(Process::find(u32::MAX), None);
    }
}
