//! Real meshes of real processes, driven as a user drives them.
//!
//! Start at [`Demo`]: it runs `weft demo`, speaks HTTP to its gateway and calls `weft` for the rest; [`Up`] does the
//! same for programs of one's own.
//!
//! Never: reaches into a process it tests; what a user cannot see or type is not used here.

pub mod authority;
pub mod client;
pub mod curl;
pub mod demo;
pub mod load;
pub mod model;
pub mod up;

pub use authority::Authority;
pub use client::{Reply, request, request_to};
pub use curl::{Curl, Outcome};
pub use demo::Demo;
pub use load::Load;
pub use model::Model;
pub use up::{Cast, Up};
