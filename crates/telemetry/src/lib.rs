//! What is told about traffic: one account per request, its log line, its metrics, its trace headers, and the log.
//!
//! Start at [`Account`]: it is the one input of [`access_log::Format`] and of [`metrics::WorkerMetrics`].
//!
//! Never: reads a clock, rolls a die, opens a file or a socket, or takes a lock while a request is served.
//! Only [`log`] touches the process.

pub mod access_log;
pub mod account;
pub mod log;
pub mod metrics;
pub mod names;
pub mod request_id;
pub mod stats;
pub mod trace;

mod text;

pub use access_log::Format;
pub use account::{Account, Flags, Reporter, Security, Service, TlsFacts, Traffic, Workload, WorkloadFacts};
pub use metrics::{Metrics, WorkerMetrics};
pub use stats::{Counter, Gauge, Scope, Stats, WorkerStats};
