//! `helloworld`: says which version it is.

use std::pin::Pin;

use bytes::Bytes;
use http::Request;

use crate::server::{Program, Reply, reply};

/// The greeter.
#[derive(Clone, Debug)]
pub struct Hello {
    /// Its version.
    pub version: String,
    /// Which of its version's instances it is.
    pub instance: String,
}

impl Program for Hello {
    fn answer<'a>(
        &'a self,
        _port: u16,
        request: &'a Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Reply> + Send + 'a>> {
        let reply = match request.uri().path() {
            "/hello" => reply(
                200,
                "text/html",
                format!("Hello version: {}, instance: {}\n", self.version, self.instance),
            ),
            "/health" => reply(200, "text/plain", "Helloworld is healthy"),
            _ => reply(404, "text/plain", "not found"),
        };
        Box::pin(std::future::ready(reply))
    }
}
