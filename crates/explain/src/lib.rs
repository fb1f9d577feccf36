//! Says what a proxy would do with a call, and why, by the same tables and filters the proxy itself runs.
//!
//! Start at [`compile`] (a snapshot and a proxy become the proxy's plan) and [`decide`] (a plan and a call become a
//! [`Decision`]); a plan that another control plane pushed will do as well.
//!
//! Never: a second opinion about configuration. What is not decided by `translate`, `plan` and the filters is not
//! decided here.

mod call;
mod compile;
mod decide;
mod decision;

pub use call::{Call, Protocol, Security};
pub use compile::{Compiled, compile};
pub use decide::{address_of, decide};
pub use decision::{Changes, Copied, Decision, Failure, Retries, Share, Tls};
