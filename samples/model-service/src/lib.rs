//! A service of a domain model, played by one small program: it answers on the paths of its context with the fields
//! the model gives, makes the calls the model draws, and tells events through a log that all services share.
//!
//! Start at [`Service`], which answers requests; [`Journal`] is the log.

mod ask;
mod journal;
mod page;
mod server;
mod service;
mod store;

pub use ask::{Ask, Client};
pub use journal::{Entry, Journal};
pub use page::page;
pub use server::{Serving, serve};
pub use service::{Answer, Service};
pub use store::Store;
