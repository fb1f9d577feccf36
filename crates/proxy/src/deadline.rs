//! When a request must have been answered.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::client::Client;

/// The end of the time one request has.
///
/// Nearly all requests are answered long before it. So the timer is the connection's: armed for one request, it stays
/// armed for the next, and is set anew only when it rings too early.
pub(crate) struct Deadline {
    at: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    client: Rc<Client>,
}

impl Deadline {
    /// A request of this client must have been answered by then.
    pub(crate) fn new(client: &Rc<Client>, at: Instant) -> Self {
        let mut timer = client.take_timer().unwrap_or_else(|| Box::pin(sleep_until(at)));
        if timer.is_elapsed() || timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        Self { at, timer: Some(timer), client: Rc::clone(client) }
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.at;
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            self.client.keep_timer(timer);
        }
    }
}
