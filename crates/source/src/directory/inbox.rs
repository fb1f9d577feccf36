//! What the thread is woken by: notifications, orders to write, and the end.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::Receipt;
use crate::pace::{Pace, Touch};
use crate::store::Edit;

/// A request to write and the place its receipt goes to.
pub(super) struct Order {
    pub(super) edits: Vec<Edit>,
    reply: oneshot::Sender<Receipt>,
}

impl Order {
    pub(super) fn new(edits: Vec<Edit>) -> (Order, oneshot::Receiver<Receipt>) {
        let (reply, receipt) = oneshot::channel();
        (Order { edits, reply }, receipt)
    }

    pub(super) fn reply(self, receipt: Receipt) {
        // Whoever asked may have gone; what was written is written.
        let _ = self.reply.send(receipt);
    }
}

/// What to do next.
pub(super) enum Job {
    Look,
    Stop,
    Write(Order),
}

/// Everything that waits for the thread; touches are merged, so that a storm of them takes no memory.
#[derive(Default)]
pub(super) struct Inbox {
    mail: Mutex<Mail>,
    woken: Condvar,
}

#[derive(Default)]
struct Mail {
    pace: Pace,
    /// One for each caller that waits for its receipt.
    orders: VecDeque<Order>,
    is_stopped: bool,
}

impl Inbox {
    pub(super) fn touch(&self, touch: Touch<'_>) {
        self.lock().pace.touch(touch, Instant::now());
        self.woken.notify_one();
    }

    pub(super) fn look_again(&self) {
        self.touch(Touch::Whole);
    }

    pub(super) fn order(&self, order: Order) {
        self.lock().orders.push_back(order);
        self.woken.notify_one();
    }

    /// Ends the thread; orders it has not begun are dropped, which tells those who wait.
    pub(super) fn stop(&self) {
        let mut mail = self.lock();
        mail.is_stopped = true;
        mail.orders.clear();
        drop(mail);
        self.woken.notify_one();
    }

    /// Waits for something to do; after `idle` that is to look.
    pub(super) fn wait(&self, idle: Instant) -> Job {
        let mut mail = self.lock();
        loop {
            if mail.is_stopped {
                return Job::Stop;
            }
            if let Some(order) = mail.orders.pop_front() {
                return Job::Write(order);
            }
            let due = mail.pace.due().map_or(idle, |due| due.min(idle));
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                mail.pace.reset();
                return Job::Look;
            }
            let (woken, _) = self.woken.wait_timeout(mail, left).unwrap_or_else(PoisonError::into_inner);
            mail = woken;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
