//! Streams that fall silent.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// When something last passed on a stream, either way; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Pulse(Rc<Cell<Instant>>);

impl Default for Pulse {
    fn default() -> Self {
        Self(Rc::new(Cell::new(Instant::now())))
    }
}

impl Pulse {
    /// Something has passed.
    pub(crate) fn beat(&self) {
        self.0.set(Instant::now());
    }

    /// Resolves when nothing has passed for so long.
    pub(crate) async fn silent(&self, limit: Duration) {
        loop {
            let due = self.0.get() + limit;
            if Instant::now() >= due {
                return;
            }
            sleep_until(due).await;
        }
    }
}

/// Watches a body that is polled anyway.
#[derive(Debug)]
pub(crate) struct Watch {
    pulse: Pulse,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Watch {
    /// Watches for a silence of `limit`.
    pub(crate) fn new(pulse: Pulse, limit: Duration) -> Self {
        let timer = Box::pin(sleep_until(pulse.0.get() + limit));
        Self { pulse, limit, timer }
    }

    /// Something has passed.
    pub(crate) fn beat(&self) {
        self.pulse.beat();
    }

    /// Ready when nothing has passed for the limit; else the task is woken when that could be.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let due = self.pulse.0.get() + self.limit;
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_passes_puts_the_end_off() {
        let pulse = Pulse::default();
        let limit = Duration::from_secs(5);
        let began = Instant::now();

        tokio::join!(pulse.silent(limit), async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            pulse.beat();
        });

        assert_eq!(began.elapsed(), Duration::from_secs(8));
    }
}
