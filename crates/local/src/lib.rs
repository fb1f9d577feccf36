//! A mesh of processes on one machine: the control plane, gateways, and workloads each behind its own sidecar.
//!
//! Start at [`Mesh`], which starts them, tells what becomes of them and stops them; [`claim()`] says which
//! loopback addresses are theirs.
//!
//! Never: speaks xDS or carries a request. Programs, sidecars and the control plane find each other by address,
//! as they would on machines of their own.

pub mod bootstrap;
pub mod claim;
pub mod entry;
pub mod environment;
pub mod file;
pub mod layout;
pub mod mesh;
mod objects;
pub mod process;
mod proxy_config;
pub mod ready;
mod running;
pub mod tether;
pub mod tools;
pub mod workload;

pub use claim::{Claim, ClaimError, claim};
pub use file::MeshFile;
pub use layout::Layout;
pub use mesh::{Event, Mesh, Options};
pub use process::Death;
pub use tools::{MissingTool, Tools};
pub use workload::{Program, Readiness, Restart, Role, Sidecar, Workload};
