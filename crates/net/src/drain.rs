//! The connections of one worker, so that they can be asked to finish and waited for.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use tokio::sync::Notify;

/// The open connections of one group; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Connections(Rc<Group>);

#[derive(Debug, Default)]
struct Group {
    open: RefCell<Vec<Option<Rc<Slot>>>>,
    free: RefCell<Vec<usize>>,
    count: Cell<usize>,
    draining: Cell<bool>,
    empty: Notify,
}

#[derive(Debug, Default)]
struct Slot {
    draining: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// One connection's place in its group, given up when dropped.
#[derive(Debug)]
pub struct Connection {
    group: Rc<Group>,
    slot: Rc<Slot>,
    index: usize,
}

impl Connections {
    /// Enters one connection.
    pub fn enter(&self) -> Connection {
        let group = Rc::clone(&self.0);
        let slot = Rc::new(Slot { draining: Cell::new(group.draining.get()), ..Slot::default() });
        let mut open = group.open.borrow_mut();
        let index = group.free.borrow_mut().pop().unwrap_or(open.len());
        match open.get_mut(index) {
            Some(place) => *place = Some(Rc::clone(&slot)),
            None => open.push(Some(Rc::clone(&slot))),
        }
        drop(open);
        group.count.set(group.count.get() + 1);
        Connection { group, slot, index }
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.0.count.get()
    }

    /// Asks every connection, and those that enter later, to end with the exchange it is in.
    pub fn drain(&self) {
        self.0.draining.set(true);
        for slot in self.0.open.borrow().iter().flatten() {
            slot.draining.set(true);
            if let Some(waker) = slot.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Waits until none is open.
    pub async fn closed(&self) {
        loop {
            let empty = self.0.empty.notified();
            if self.count() == 0 {
                return;
            }
            empty.await;
        }
    }
}

impl Connection {
    /// Whether the connection should end with the exchange it is in.
    pub fn is_draining(&self) -> bool {
        self.slot.draining.get()
    }

    /// Names the task to wake when draining begins.
    pub fn wake_with(&self, waker: &Waker) {
        let mut place = self.slot.waker.borrow_mut();
        if !place.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *place = Some(waker.clone());
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(place) = self.group.open.borrow_mut().get_mut(self.index) {
            *place = None;
        }
        self.group.free.borrow_mut().push(self.index);
        self.group.count.set(self.group.count.get() - 1);
        if self.group.count.get() == 0 {
            self.group.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn draining_reaches_connections_of_before_and_after() {
        let connections = Connections::default();
        let before = connections.enter();

        connections.drain();
        let after = connections.enter();

        assert!(before.is_draining() && after.is_draining());
        assert_eq!(connections.count(), 2);
    }

    #[tokio::test]
    async fn the_last_to_leave_ends_the_wait() {
        let connections = Connections::default();
        let (first, second) = (connections.enter(), connections.enter());

        let (_, ()) = tokio::join!(connections.closed(), async {
            drop(first);
            tokio::task::yield_now().await;
            drop(second);
        });

        assert_eq!(connections.count(), 0);
    }
}
