//! Sockets and connections: binding, accepting, recognising, framing, pooling, relaying, draining.
//!
//! Start at [`Pool`] for the way upstream and at [`Stream`] for the way in; [`http1`] is what is spoken on most of
//! them. Everything here lives on one worker thread: nothing is `Send` that need not be.
//!
//! Never: a thought about routes, clusters or filters.

pub mod accept;
pub mod dial;
pub mod drain;
pub mod exec;
pub mod hello;
pub mod http1;
pub mod interface;
mod io;
mod pipe;
pub mod pool;
pub mod proxy_protocol;
pub mod relay;
mod replay;
pub mod sniff;
pub mod socket;
pub mod stream;
pub mod tls;

pub use dial::{DialError, Secure, Way, dial};
pub use drain::{Connection, Connections};
pub use exec::LocalExec;
pub use io::{Io, TlsStream};
pub use pool::{ConnectError, Http, Keep, Lease, Opening, Pool, Raw, SendError, SendFailure, Shelf, Target};
pub use replay::Replay;
pub use sniff::Wire;
pub use socket::Socket;
pub use stream::Stream;
