//! The protocols a TLS client offers.

use std::sync::Arc;

use net::Http;

/// The protocols offered where a context names none.
#[derive(Debug)]
pub(crate) struct Alpn([Arc<[Vec<u8>]>; 3]);

impl Default for Alpn {
    fn default() -> Self {
        let [one, two] = [b"http/1.1".to_vec(), b"h2".to_vec()];
        Self([[one.clone()].into(), [two.clone()].into(), [two, one].into()])
    }
}

impl Alpn {
    /// Those for this kind of HTTP.
    pub(crate) fn of(&self, http: Http) -> Arc<[Vec<u8>]> {
        let [one, two, both] = &self.0;
        Arc::clone(match http {
            Http::V1 => one,
            Http::V2 => two,
            Http::Agreed => both,
        })
    }
}
