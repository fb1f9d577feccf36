//! What tests of several crates need: golden files, addresses, backends, names, processes, patience, tools of the machine.
//!
//! Start at [`wait_until`], which is how a test waits, and [`Echo`], which is what a proxy is put in front of.
//!
//! Never: is part of a program, uses a fixed port, or lets a wait or a process outlive its test.

mod dns;
mod echo;
mod golden;
mod home;
mod machine;
mod patience;
mod port;
mod process;
mod recorder;

pub use dns::Dns;
pub use echo::Echo;
pub use golden::{Difference, golden};
pub use home::Home;
pub use machine::{envoy, skip_without_envoy, suites, workspace_root};
pub use patience::wait_until;
pub use port::free_port;
pub use process::Process;
pub use recorder::Recorder;
