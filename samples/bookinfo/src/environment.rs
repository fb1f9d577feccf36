//! The environment variables Istio's sample knows, read once.

use std::collections::BTreeMap;
use std::net::{AddrParseError, IpAddr, Ipv4Addr, SocketAddr};

/// The port every service of the sample listens on unless told otherwise.
const PORT: u16 = 9080;

/// A copy of the environment, so that a test can bring its own.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process; a variable that is not UTF-8 counts as absent.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// A variable that is set to something.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a variable says `true`.
    pub fn is_true(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The name of the pod this process stands for.
    pub fn pod_name(&self) -> Option<&str> {
        self.value("POD_NAME").or_else(|| self.value("HOSTNAME"))
    }

    /// `HOST:PORT` of a service: `REVIEWS_HOSTNAME`, `SERVICES_DOMAIN` and `REVIEWS_SERVICE_PORT` for `reviews`.
    pub fn authority(&self, service: &str) -> String {
        let variable = |suffix: &str| format!("{}_{suffix}", service.to_ascii_uppercase());
        let host = self.value(&variable("HOSTNAME")).unwrap_or(service);
        let domain = self.value("SERVICES_DOMAIN").map(|domain| format!(".{domain}")).unwrap_or_default();
        let port = self.value(&variable("SERVICE_PORT")).and_then(|port| port.parse().ok()).unwrap_or(PORT);
        format!("{host}{domain}:{port}")
    }

    /// Where to listen: `BIND` (every address unless set) and `PORT`.
    ///
    /// # Errors
    /// When either is set to something else.
    pub fn listen_address(&self) -> Result<SocketAddr, AddrParseError> {
        let ip = match self.value("BIND") {
            Some(ip) => ip.parse()?,
            None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        match self.value("PORT") {
            // Parsed together with an address so that both mistakes are told in one error type.
            Some(port) => {
                format!("0.0.0.0:{port}").parse::<SocketAddr>().map(|a| SocketAddr::new(ip, a.port()))
            }
            None => Ok(SocketAddr::new(ip, PORT)),
        }
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_found_by_its_variables() {
        let environment = Environment::from([
            ("RATINGS_HOSTNAME", "stars"),
            ("RATINGS_SERVICE_PORT", "81"),
            ("SERVICES_DOMAIN", "demo.svc"),
        ]);

        assert_eq!(environment.authority("ratings"), "stars.demo.svc:81");
        assert_eq!(Environment::default().authority("ratings"), "ratings:9080");
    }

    #[test]
    fn the_listening_address_is_told_by_bind_and_port() {
        let told = Environment::from([("BIND", "127.77.3.2"), ("PORT", "8000")]);

        assert_eq!(told.listen_address(), Ok(SocketAddr::from(([127, 77, 3, 2], 8000))));
        assert_eq!(Environment::default().listen_address(), Ok(SocketAddr::from(([0, 0, 0, 0], 9080))));
        assert!(Environment::from([("PORT", "many")]).listen_address().is_err());
        assert!(Environment::from([("BIND", "here")]).listen_address().is_err());
    }
}
