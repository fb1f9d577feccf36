//! Who a proxy is, and which loopback addresses are its own.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A proxy's role, the first part of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// Stands alone and takes the traffic of Gateways.
    Router,
    /// Stands beside one workload.
    Sidecar,
}

/// Istio's node id: `TYPE~IP~NAME.NAMESPACE~DOMAIN`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeId {
    /// The role.
    pub kind: NodeKind,
    /// The workload's address.
    pub ip: IpAddr,
    /// The workload's name.
    pub name: String,
    /// The workload's namespace.
    pub namespace: String,
    /// The DNS domain, `NAMESPACE.svc.cluster.local`.
    pub domain: String,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            NodeKind::Router => "router",
            NodeKind::Sidecar => "sidecar",
        };
        write!(f, "{kind}~{}~{}.{}~{}", self.ip, self.name, self.namespace, self.domain)
    }
}

impl FromStr for NodeId {
    type Err = String;

    fn from_str(id: &str) -> Result<Self, String> {
        let parts: Vec<&str> = id.split('~').collect();
        let [kind, ip, workload, domain] = parts[..] else {
            return Err(format!("node id {id:?} does not have the four parts TYPE~IP~NAME.NAMESPACE~DOMAIN"));
        };
        let kind = match kind {
            "router" => NodeKind::Router,
            "sidecar" => NodeKind::Sidecar,
            other => return Err(format!("node id {id:?}: type {other:?} is neither sidecar nor router")),
        };
        let ip = ip.parse().map_err(|_| format!("node id {id:?}: {ip:?} is not an IP address"))?;
        let (name, namespace) = workload
            .rsplit_once('.')
            .ok_or_else(|| format!("node id {id:?}: {workload:?} is not NAME.NAMESPACE"))?;
        Ok(Self { kind, ip, name: name.into(), namespace: namespace.into(), domain: domain.into() })
    }
}

/// The loopback addresses of one local workload, announced as node metadata `WEFT_LOCAL` (`docs/local-mode.md`).
///
/// A mesh owns `127.M.0.0/16` and `127.(M+1).0.0/16`; workload *w* owns `127.M.w.0/24` and, for the
/// services as it sees them, `127.(M+1).w.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LocalNet {
    /// The mesh's number, odd, 77 to 125.
    pub mesh: u8,
    /// The workload's number, 1 to 250.
    pub workload: u8,
}

impl LocalNet {
    /// The control plane's address, `127.M.0.1`.
    pub fn control(mesh: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, mesh, 0, 1)
    }

    /// The sidecar's own address and inbound side, `127.M.w.1`.
    pub fn sidecar(self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.mesh, self.workload, 1)
    }

    /// The program's address, `127.M.w.2`.
    pub fn program(self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.mesh, self.workload, 2)
    }

    /// The sidecar's outbound side, `127.M.w.3`.
    pub fn outbound(self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.mesh, self.workload, 3)
    }

    /// A service as this workload sees it, `127.(M+1).w.SLOT`; slots count from 1.
    pub fn service(self, slot: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.mesh + 1, self.workload, slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_survives_its_text() {
        let text = "sidecar~127.77.3.1~reviews-v1.default~default.svc.cluster.local";

        let id: NodeId = text.parse().expect("invariant: the id is well formed");

        assert_eq!(id.to_string(), text);
        assert_eq!((id.name.as_str(), id.namespace.as_str()), ("reviews-v1", "default"));
    }

    #[test]
    fn a_node_id_of_three_parts_is_refused() {
        assert!("sidecar~1.1.1.1~x.y".parse::<NodeId>().is_err());
    }
}
