//! The data plane: takes connections, decides by the plan, and carries requests to where they belong.
//!
//! Start at [`Machine`], which runs it all; one request's life is in `exchange`, one attempt's in `upstream`,
//! and what the control plane says comes in by [`Control`].
//!
//! Never: a decision that `plan`, `balance` or a filter could make, or a lock on the way of a request.

mod account;
mod admin;
mod alpn;
mod body;
mod client;
mod codec;
pub mod config;
mod connect;
mod control;
mod counters;
mod cut;
mod deadline;
mod dns;
mod downstream;
mod exchange;
mod forwarded;
mod journal;
mod judge;
mod keyring;
mod ledger;
mod lines;
mod machine;
mod names;
mod node;
mod pace;
mod pick;
pub mod process;
mod reply;
mod secured;
mod serving;
mod shared;
mod silence;
mod state;
mod tcp;
mod upgrade;
mod upload;
mod upstream;
mod view;
mod worker;

pub use control::Control;
pub use machine::Machine;
