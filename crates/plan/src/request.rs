//! A request, as routing sees it.

/// A request, as routing sees it; its path has been through [`crate::normalise`] already.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its head.
    pub parts: &'a http::request::Parts,
    /// A random number, by which weights and shares are drawn.
    pub random: u64,
    /// Whether it came by TLS.
    pub is_secure: bool,
    /// Whether it came from inside the mesh.
    pub is_internal: bool,
}

impl<'a> Request<'a> {
    /// A plain request from outside, of the head of an exchange.
    pub fn new(parts: &'a http::request::Parts, random: u64) -> Self {
        Self { parts, random, is_secure: false, is_internal: false }
    }

    /// The authority: of the URI, else of the `host` header.
    pub fn authority(&self) -> &'a str {
        match self.parts.uri.authority() {
            Some(authority) => authority.as_str(),
            None => {
                self.parts.headers.get(http::header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default()
            }
        }
    }

    /// The path without its query.
    pub fn path(&self) -> &'a str {
        self.parts.uri.path()
    }

    /// The query without its question mark.
    pub fn query(&self) -> &'a str {
        self.parts.uri.query().unwrap_or_default()
    }
}
