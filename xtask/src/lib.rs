//! The house rules as checks over the files of this workspace.
//!
//! Start at [`tidy::CHECKS`]; `cargo test -p xtask` runs them all, and each is shown a bad example of its own.
//!
//! Never: changes a file.

pub mod tidy;
mod workspace;

pub use workspace::{Dependency, Finding, Manifest, Workspace};
