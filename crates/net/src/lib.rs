//! Sockets and connections: binding, accepting, recognising, framing, pooling, relaying, draining.
//!
//! Start at [`Pool`] for the way upstream and at [`Stream`] for the way in; [`framing`] decides which bytes
//! hyper may read as HTTP/1 at all. Everything here lives on one worker thread: nothing is `Send` that need not be.
//!
//! Never: a thought about routes, clusters or filters.

pub mod accept;
pub mod drain;
pub mod exec;
pub mod framing;
pub mod hello;
pub mod pool;
pub mod relay;
pub mod sniff;
pub mod socket;
pub mod stream;

pub use drain::{Connection, Connections};
pub use exec::LocalExec;
pub use pool::{ConnectError, Lease, Pool, SendError, Shelf, Target};
pub use sniff::Wire;
pub use stream::{Opaque, Stream};
