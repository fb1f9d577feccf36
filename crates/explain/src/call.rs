//! A call as a proxy sees it arrive.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// One call: a connection, and the request on it where it speaks HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The address it was made to.
    pub address: IpAddr,
    /// The port it was made to.
    pub port: u16,
    /// Whether it was captured on its way into the workload; otherwise it is made to `address:port`.
    pub inbound: bool,
    /// What is spoken.
    pub protocol: Protocol,
    /// How the connection is secured.
    pub security: Security,
    /// The application protocols a TLS client offers.
    pub alpn: Vec<String>,
    /// The server name a TLS client asks for.
    pub sni: Option<String>,
    /// The name of the secret whose chain a mutual TLS client expects; `default` where absent.
    pub secret: Option<String>,
    /// The method.
    pub method: String,
    /// The host, with its port where the client writes one.
    pub host: String,
    /// The path and query.
    pub path: String,
    /// The other headers.
    pub headers: Vec<(String, String)>,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Bytes of no protocol that is recognised.
    Tcp,
}

/// How a connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// By TLS with a certificate on both sides.
    Mutual,
    /// Not at all.
    Plaintext,
    /// By TLS with the server's certificate.
    Tls,
}

impl Call {
    /// A plain `GET /` to a host, over HTTP/1.1.
    pub fn http(port: u16, host: &str) -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port,
            inbound: false,
            protocol: Protocol::Http1,
            security: Security::Plaintext,
            alpn: Vec::new(),
            sni: None,
            secret: None,
            method: "GET".into(),
            host: host.into(),
            path: "/".into(),
            headers: Vec::new(),
        }
    }

    /// The same connection with bytes on it that are no HTTP.
    pub fn raw(self) -> Self {
        Self { protocol: Protocol::Tcp, ..self }
    }
}
