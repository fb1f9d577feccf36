//! Words every floor shares: hosts, addresses, labels, protocols, durations, issues, origins and digests.
//!
//! Start at [`Issue`] (what is wrong with a user's input) and [`Origin`] (which object decided something).
//!
//! Never: grows past two thousand lines, or holds a thing fewer than three crates use.

pub mod address;
pub mod bootstrap;
pub mod digest;
pub mod duration;
pub mod host;
pub mod issue;
pub mod labels;
pub mod node;
pub mod origin;
pub mod protocol;
pub mod random;

pub use address::Address;
pub use bootstrap::{Bootstrap, Discovery};
pub use digest::{Digest, Digester};
pub use host::Host;
pub use issue::{Issue, Place, Severity};
pub use labels::Labels;
pub use node::{LocalNet, NodeId};
pub use origin::Origin;
pub use protocol::Protocol;
