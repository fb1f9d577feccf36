//! How a test waits: for a condition, never for a time.

use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const PACE: Duration = Duration::from_millis(5);

/// Looks at a condition until it holds, and returns what it found.
///
/// # Panics
/// When the deadline passes: with what was waited for and what the last look said.
pub fn wait_until<T>(what: &str, within: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + within;
    loop {
        match look() {
            Ok(found) => return found,
            Err(last) if Instant::now() >= deadline => panic!("{what}: not within {within:?}: {last}"),
            Err(_) => thread::sleep(PACE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_looked_at_until_it_holds() {
        let mut looks = 0;
        let found = wait_until("three looks", Duration::from_secs(30), || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err(format!("{looks}")) }
        });

        assert_eq!(found, 3);
    }

    #[test]
    #[should_panic(expected = "the moon: not within 0ns: still new")]
    fn a_deadline_tells_what_was_seen_last() {
        wait_until("the moon", Duration::ZERO, || Err::<(), _>("still new".to_owned()));
    }
}
