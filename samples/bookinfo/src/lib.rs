//! Istio's Bookinfo sample as one small program: productpage, details, reviews and ratings.
//!
//! Start at [`Role`], which is what a process of this program plays.
//!
//! Never: knows that a mesh is there. It speaks plain HTTP to host names, by way of `HTTP_PROXY` where one is set.

pub mod client;
pub mod details;
pub mod environment;
pub mod forward;
pub mod productpage;
pub mod ratings;
pub mod reply;
pub mod reviews;
pub mod role;
pub mod server;

pub use environment::Environment;
pub use role::Role;
