//! Where objects come from: a directory of YAML, read again as it changes and written by `weft apply`.
//!
//! Start at [`Directory`], which watches and writes; what counts as a change is decided in [`files`], which
//! touches no file and no clock.
//!
//! Never: lets one bad file hide the good ones, or takes an object out of force because its file cannot be
//! read or understood any more.

mod change;
mod directory;
pub mod files;
mod pace;
mod scan;
mod store;

pub use change::{Change, Changes};
pub use directory::{Directory, Options, Receipt};
pub use scan::MAX_FILE_BYTES;
pub use store::{Edit, StoreError, Verb, Written};
