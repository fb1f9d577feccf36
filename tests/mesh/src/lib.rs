//! Bookinfo on a real mesh of real processes, driven as a user drives it.
//!
//! Start at [`Demo`]: it runs `weft demo`, speaks HTTP to its gateway and calls `weft` for the rest.
//!
//! Never: reaches into a process it tests; what a user cannot see or type is not used here.

pub mod client;
pub mod demo;
pub mod load;

pub use client::{Reply, request};
pub use demo::Demo;
pub use load::Load;
