//! The data plane: takes connections, decides by the plan, and carries requests to where they belong.
//!
//! Start at [`Machine`], which runs it all; one request's life is in `exchange`, one attempt's in `upstream`,
//! and what the control plane says comes in by [`Control`].
//!
//! Never: a decision that `plan`, `balance` or a filter could make, or a lock on the way of a request.

mod account;
mod admin;
mod body;
mod codec;
pub mod config;
mod control;
mod counters;
mod dns;
mod downstream;
mod exchange;
mod forward;
mod forwarded;

mod journal;
mod lines;
mod machine;
mod names;
mod node;
mod pick;
pub mod process;
mod reply;
mod serving;
mod state;
mod tcp;
mod upload;
mod upstream;
mod view;
mod worker;

pub use control::Control;
pub use machine::Machine;
