//! One stream of the server in either dialect.

use std::collections::BTreeMap;

use super::ledger::Library;
use super::message::{Request, Response};
use super::server::{Session, Unfit};
use super::whole::Whole;
use crate::{Feed, TypeStatus, TypeUrl};

/// A session, and what is remembered where the whole is told each time.
#[derive(Debug)]
pub(crate) struct Talk {
    session: Session,
    whole: Option<Whole>,
}

impl Talk {
    /// Begins a stream at a generation; the first request decides its dialect.
    pub(crate) fn new(generation: u64, library: Library) -> Talk {
        Talk { session: Session::new(generation, library), whole: None }
    }

    /// Takes in a request.
    ///
    /// # Errors
    /// The stream must end.
    pub(crate) fn request(&mut self, request: &Request, feed: &mut dyn Feed) -> Result<(), Unfit> {
        match request {
            Request::Delta(request) => self.session.request(request, feed),
            Request::Whole(request) => {
                let whole = self.whole.get_or_insert_default();
                match whole.differs(request, &self.session) {
                    Some(request) => self.session.request(&request, feed),
                    None => Ok(()),
                }
            }
        }
    }

    /// Everything that may be sent now, in order.
    pub(crate) fn responses(&mut self, feed: &mut dyn Feed) -> Vec<Response> {
        match &mut self.whole {
            None => self.session.responses(feed),
            Some(whole) => whole.responses(&mut self.session, feed),
        }
    }

    /// Takes notice that the feed has moved to another generation.
    pub(crate) fn refreshed(&mut self, generation: u64, feed: &dyn Feed) {
        self.session.refreshed(generation, feed);
    }

    /// Whether something is due that waits for other types.
    pub(crate) fn is_held(&self) -> bool {
        self.session.is_held()
    }

    /// Lets pass what waits, until the next generation.
    pub(crate) fn release(&mut self) {
        self.session.release();
    }

    /// The generation that has just been settled, told once.
    pub(crate) fn settle(&mut self) -> Option<u64> {
        self.session.settle()
    }

    /// What was sent and answered, per type.
    pub(crate) fn status(&self) -> BTreeMap<TypeUrl, TypeStatus> {
        self.session.status()
    }
}
