//! Small programs to try a mesh with, all in one executable.
//!
//! Start at [`Settings`], which says where one listens, and [`Site`], which says what a web server answers.
//!
//! Never: knows that a mesh is around it.

mod echo;
mod forward_proxy;
mod hello;
mod httpbin;
mod server;
mod settings;
mod site;
mod tls;

pub use echo::echo;
pub use forward_proxy::forward_proxy;
pub use hello::Hello;
pub use httpbin::{HeaderValues, Httpbin};
pub use server::{Program, Reply, serve};
pub use settings::Settings;
pub use site::Site;
pub use tls::acceptor;
