//! How busy a client's connection is, and whether it is to end.

use std::cell::Cell;
use std::rc::Rc;

/// How many exchanges a connection is in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace(Rc<Cell<u32>>);

impl Pace {
    /// Begins one.
    pub(crate) fn begin(&self) -> Busy {
        self.0.set(self.0.get() + 1);
        Busy(self.clone())
    }

    /// Whether it is in any.
    pub(crate) fn is_busy(&self) -> bool {
        self.0.get() > 0
    }
}

/// One exchange under way.
#[derive(Debug)]
pub(crate) struct Busy(Pace);

impl Drop for Busy {
    fn drop(&mut self) {
        let active = &*self.0.0;
        active.set(active.get() - 1);
    }
}

/// Whether a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It goes on.
    Not,
    /// It has been idle for too long.
    Now,
    /// With the exchange it is in.
    Soon,
}
