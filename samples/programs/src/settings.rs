//! What a program is told by its environment.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context;

/// Where a program listens, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `BIND`: the address; every one unless set.
    pub bind: IpAddr,
    /// `PORTS`, separated by commas, or else `PORT`; 8080 unless set.
    pub ports: Vec<u16>,
    /// `TLS_CERT` and `TLS_KEY`: the files of a certificate's chain and key, where TLS is spoken.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// `TLS_PORTS`, separated by commas: those of the ports at which TLS is spoken; all unless set.
    pub tls_ports: Option<Vec<u16>>,
    /// `TLS_CLIENT_CA`: the file of the authority every client must have a certificate of.
    pub client_authority: Option<PathBuf>,
}

impl Settings {
    /// Reads variables as `variable` gives them.
    ///
    /// # Errors
    /// Names the variable that makes no sense.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let bind = match set("BIND") {
            Some(ip) => ip.parse().with_context(|| format!("BIND is {ip:?}"))?,
            None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        let ports = listed(&set("PORTS").or_else(|| set("PORT")).unwrap_or_else(|| "8080".to_owned()))?;
        let tls_ports = set("TLS_PORTS").map(|ports| listed(&ports)).transpose()?;
        let certificate = match (set("TLS_CERT"), set("TLS_KEY")) {
            (Some(chain), Some(key)) => Some((chain.into(), key.into())),
            (None, None) => None,
            _ => anyhow::bail!("TLS_CERT and TLS_KEY belong together"),
        };
        let client_authority = set("TLS_CLIENT_CA").map(PathBuf::from);
        Ok(Self { bind, ports, certificate, tls_ports, client_authority })
    }

    /// Whether TLS is spoken at a port, where it is spoken at all.
    pub fn speaks_tls(&self, port: u16) -> bool {
        self.tls_ports.as_ref().is_none_or(|ports| ports.contains(&port))
    }

    /// The addresses to listen on.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.ports.iter().map(|port| SocketAddr::new(self.bind, *port))
    }
}

fn listed(ports: &str) -> anyhow::Result<Vec<u16>> {
    ports.split(',').map(|port| port.trim().parse().with_context(|| format!("{port:?} is no port"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> anyhow::Result<Settings> {
        Settings::read(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_program_listens_where_it_is_told() {
        let settings = read(&[("BIND", "127.77.3.2"), ("PORTS", "80, 443")]).expect("settings");

        let addresses: Vec<String> = settings.addresses().map(|a| a.to_string()).collect();
        assert_eq!(addresses, ["127.77.3.2:80", "127.77.3.2:443"]);
        assert_eq!(read(&[("PORT", "1")]).expect("settings").ports, [1]);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert!(read(&[("PORT", "many")]).is_err());
        assert!(read(&[("BIND", "here")]).is_err());
        assert!(read(&[("TLS_CERT", "a.pem")]).is_err());
    }
}
