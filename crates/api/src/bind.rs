//! Where a listener is bound, and Unix sockets as users write them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::read::At;

/// Where a listener is bound: an IP address, to which a port belongs, or a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bind {
    /// An address.
    Ip(IpAddr),
    /// A Unix socket by its path, or by `@` and the name of an abstract one.
    Pipe(Arc<str>),
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Pipe(path) => write!(f, "{PIPE}{path}"),
        }
    }
}

impl From<IpAddr> for Bind {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

/// How the address of a Unix socket begins.
const PIPE: &str = "unix://";

/// The kernel takes no longer path.
const LONGEST_PATH: usize = 107;

/// The path of a Unix socket; none of another address.
pub(crate) fn pipe(address: &str) -> Option<&str> {
    address.strip_prefix(PIPE)
}

/// What is wrong with the path of a Unix socket.
fn path_error(path: &str) -> Option<&'static str> {
    if !path.starts_with(['/', '@']) {
        Some("the path of a unix domain socket must be absolute")
    } else if path.len() == 1 || (path.starts_with('/') && path.ends_with('/')) {
        Some("the path of a unix domain socket must name a file, or after an `@` a name")
    } else if path.len() > LONGEST_PATH {
        Some("the path of a unix domain socket has 107 bytes at most")
    } else if path.contains('\0') {
        Some("the path of a unix domain socket cannot have a zero byte")
    } else {
        None
    }
}

/// Says what is wrong with the path of a Unix socket; whether nothing is.
pub(crate) fn check_path(field: &At<'_>, path: &str) -> bool {
    let error = path_error(path);
    if let Some(why) = error {
        field.error("wrong-value", why);
    }
    error.is_none()
}

/// Reads `bind`. The port of a Unix socket has the number 0, or none.
pub(crate) fn read(at: &At<'_>) -> Option<Bind> {
    let field = at.field("bind")?;
    let text = field.node.text().filter(|text| !text.is_empty())?;
    if let Some(path) = pipe(text) {
        if at.field("port").and_then(|port| port.port("number")).is_some() {
            field.error("wrong-value", "the port number must be 0 for a unix domain socket");
        }
        return check_path(&field, path).then(|| Bind::Pipe(path.into()));
    }
    let parsed = text.parse().ok().map(Bind::Ip);
    if parsed.is_none() {
        field.error("wrong-value", format!("{text:?} is neither an IP address nor `unix://` and a path"));
    }
    parsed
}

/// Whether `bind` names a Unix socket.
pub(crate) fn is_pipe(at: &At<'_>) -> bool {
    at.text("bind").and_then(pipe).is_some()
}
