//! `curl`, as a user types it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

/// One request.
pub struct Curl {
    command: Command,
    /// Whether a proxy was named; then nothing goes round it.
    proxied: bool,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The answer's headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// curl's own exit status; 0 where there was an answer.
    pub exit: i32,
    /// The answer's status; 0 where there was none.
    pub status: u16,
    /// The answer's body.
    pub body: String,
}

impl Curl {
    /// A request to a URL.
    pub fn new(url: &str) -> Self {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "30", "--write-out", "\n%{http_code}\n%{header_json}", url]);
        Self { command, proxied: false }
    }

    /// Leads a host and port to an address, in place of DNS.
    pub fn at(mut self, host: &str, port: u16, to: SocketAddr) -> Self {
        self.command.arg("--connect-to").arg(format!("{host}:{port}:{}:{}", to.ip(), to.port()));
        self
    }

    /// Goes by way of an HTTP proxy.
    pub fn by(mut self, proxy: SocketAddr) -> Self {
        self.command.arg("--proxy").arg(format!("http://{proxy}"));
        self.proxied = true;
        self
    }

    /// Adds a flag, or a flag's value, of curl's own.
    pub fn flag(mut self, flag: &str) -> Self {
        self.command.arg(flag);
        self
    }

    /// Sends a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.command.arg("--header").arg(format!("{name}: {value}"));
        self
    }

    /// Uses a method, and sends a body where there is one.
    pub fn method(mut self, method: &str, body: Option<&str>) -> Self {
        match method {
            "HEAD" => self.command.arg("--head"),
            method => self.command.args(["--request", method]),
        };
        if let Some(body) = body {
            self.command.arg("--data").arg(body);
        }
        self
    }

    /// Shows this certificate.
    pub fn shows(mut self, certificate: &Path, key: &Path) -> Self {
        self.command.arg("--cert").arg(certificate).arg("--key").arg(key);
        self
    }

    /// Keeps cookies in a file, and sends those that are there.
    pub fn jar(mut self, file: &Path) -> Self {
        self.command.arg("--cookie").arg(file).arg("--cookie-jar").arg(file);
        self
    }

    /// Trusts this authority and no other.
    pub fn trusts(mut self, authority: &Path) -> Self {
        self.command.arg("--cacert").arg(authority);
        self
    }

    /// Sends it.
    pub fn send(mut self) -> Outcome {
        if !self.proxied {
            self.command.args(["--noproxy", "*"]);
        }
        let out = self.command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("curl: {e}"));
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        // The body, its status on a line of its own, then the headers as JSON.
        let (rest, headers) = text.rfind("\n{").map_or((text.as_str(), ""), |at| text.split_at(at));
        let (body, status) = rest.rsplit_once('\n').unwrap_or(("", rest));
        Outcome {
            headers: listed(headers),
            exit: out.status.code().unwrap_or(-1),
            status: status.parse().unwrap_or_default(),
            body: body.to_owned(),
        }
    }
}

impl Outcome {
    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What curl lists as `{"name": ["value"]}`.
fn listed(json: &str) -> Vec<(String, String)> {
    let headers: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
    let pairs = headers.iter().flat_map(|(name, values)| {
        values
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(move |value| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned())))
    });
    pairs.collect()
}
