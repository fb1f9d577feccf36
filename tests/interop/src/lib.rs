//! `weft-proxy`, as a process, under a control plane that is not ours.
//!
//! Start at [`Proxy`], the process, and at what tells it what to do: [`Desk`], whose word a test changes as it
//! goes, or a recording of an istiod (`suites::replay`), either served by a [`ControlPlane`]. What needs addresses
//! of its own on the whole machine runs in a [`namespace`]. A [`pair::Pair`] is both proxies at once, ours and a stock
//! Envoy, under configurations that are [`generated`].
//!
//! Never: lets the proxy and what it talks to share more than sockets.

pub mod chance;
pub mod client;
pub mod control_plane;
pub mod desk;
pub mod envoy;
pub mod exchange;
pub mod generated;
pub mod keys;
pub mod namespace;
pub mod pair;
pub mod plane;
pub mod proxy;
pub mod recording;
pub mod site;
pub mod small;
pub mod town;

pub use client::{Asking, Reply, get, get_with};
pub use control_plane::ControlPlane;
pub use desk::{Desk, Refusal};
pub use envoy::Envoy;
pub use plane::Plane;
pub use proxy::Proxy;
pub use recording::Recording;
pub use site::Site;
pub use testkit::Home;

/// How long anything here may take before a test fails; never an expectation of speed.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
