//! What a port speaks, told by `appProtocol`, its name, or its number.

use serde::{Deserialize, Serialize};

/// A port's protocol (Istio's `protocol.Instance`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// Told by the first bytes of a connection.
    Auto,
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web over HTTP/1.1 or 2.
    GrpcWeb,
    /// HTTP/1.1, or HTTP/2 where the client begins it.
    Http,
    /// HTTP/2 over cleartext by prior knowledge.
    Http2,
    /// HTTP for any host, as a forward proxy takes it.
    HttpProxy,
    /// TLS that carries HTTP, passed through.
    Https,
    /// MongoDB.
    Mongo,
    /// MySQL.
    Mysql,
    /// Redis.
    Redis,
    /// Bytes.
    Tcp,
    /// TLS, passed through.
    Tls,
    /// Datagrams; no proxy takes them.
    Udp,
}

impl Protocol {
    /// The protocol of a Kubernetes Service port: transport, `appProtocol`, name, well-known number, else sniffing.
    pub fn of_port(transport: &str, app_protocol: Option<&str>, name: &str, port: u16) -> Self {
        if transport.eq_ignore_ascii_case("UDP") {
            return Self::Udp;
        }
        if let Some(app) = app_protocol.filter(|app| !app.is_empty()) {
            return match app {
                "kubernetes.io/h2c" => Self::Http2,
                "kubernetes.io/ws" => Self::Http,
                "kubernetes.io/wss" => Self::Https,
                _ => Self::of_name(app).unwrap_or(Self::Auto),
            };
        }
        match Self::of_name(name) {
            Some(protocol) => protocol,
            None if matches!(port, 25 | 53 | 3306 | 27017) => Self::Tcp,
            None => Self::Auto,
        }
    }

    /// The protocol a name begins with: `http-web` is HTTP, `grpc-web-x` is gRPC-Web. None where it says nothing.
    pub fn of_name(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        if lower.starts_with("grpc-web") {
            return Some(Self::GrpcWeb);
        }
        Some(match lower.split('-').next().unwrap_or_default() {
            "grpc" => Self::Grpc,
            "http" => Self::Http,
            "http2" => Self::Http2,
            "https" => Self::Https,
            "mongo" => Self::Mongo,
            "mysql" => Self::Mysql,
            "redis" => Self::Redis,
            "tcp" => Self::Tcp,
            "tls" => Self::Tls,
            "udp" => Self::Udp,
            _ => return None,
        })
    }

    /// Whether requests are routed one by one.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Grpc | Self::GrpcWeb | Self::Http | Self::Http2 | Self::HttpProxy)
    }

    /// Whether the upstream is spoken to in HTTP/2.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Grpc | Self::GrpcWeb | Self::Http2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_prefix_tells_the_protocol() {
        assert_eq!(Protocol::of_port("TCP", None, "http-web", 80), Protocol::Http);
        assert_eq!(Protocol::of_port("TCP", None, "GRPC-WEB", 80), Protocol::GrpcWeb);
        assert_eq!(Protocol::of_port("TCP", Some("kubernetes.io/h2c"), "tcp", 80), Protocol::Http2);
        assert_eq!(Protocol::of_port("TCP", None, "db", 3306), Protocol::Tcp);
        assert_eq!(Protocol::of_port("TCP", None, "web", 80), Protocol::Auto);
        assert_eq!(Protocol::of_port("TCP", None, "http_proxy", 80), Protocol::Auto);
        assert_eq!(Protocol::of_port("UDP", None, "http", 80), Protocol::Udp);
    }
}
