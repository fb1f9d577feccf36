//! Chooses the endpoint that takes a request.
//!
//! Start at [`Table::pick`]; [`HostState`] is what all workers know of an endpoint together. Random numbers and
//! the place in a rotation come from the caller, so that a choice can be repeated.
//!
//! Never: draws a random number of its own, or waits.

mod group;
mod health;
mod host;
mod table;

pub use health::Health;
pub use host::{ActiveRequest, Host, HostState, Hosts};
pub use table::{Avoid, Cursor, Policy, Settings, Table};
