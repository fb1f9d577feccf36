//! What the TLS of a client's connection told of both its ends.

use std::fmt::Write as _;
use std::sync::Arc;

use http::HeaderValue;
use net::Io;
use net::tls::{Peer, Server};
use plan::{CertificateDetails, ClientCertificate, HttpManager};
use telemetry::{TlsFacts, Workload, WorkloadFacts};

/// One connection's TLS.
#[derive(Debug)]
pub(crate) struct Secured {
    /// The client, where it showed a certificate.
    pub(crate) peer: Option<Peer>,
    /// The certificates that came with the client's own.
    chain: Vec<Vec<u8>>,
    /// What is logged of it.
    pub(crate) facts: TlsFacts,
    server: Arc<Server>,
}

impl Secured {
    /// Reads it off a connection that a server has accepted.
    pub(crate) fn of(io: &Io, server: &Arc<Server>) -> Self {
        let shown = io.peer_certificates();
        let peer = shown.first().and_then(|der| Peer::read(der));
        Self {
            facts: facts(io, peer.as_ref(), server.certificates().first()),
            peer,
            chain: shown.iter().map(|der| der.to_vec()).collect(),
            server: Arc::clone(server),
        }
    }

    /// The client as a mesh knows it, by the identity of its certificate.
    pub(crate) fn workload(&self) -> Option<Arc<Workload>> {
        let principal = self.peer.as_ref()?.uris.first()?.clone();
        let mut parts = principal.split('/').skip_while(|part| *part != "ns").skip(1);
        let namespace = parts.next().unwrap_or_default().to_owned();
        Some(Arc::new(Workload::new(WorkloadFacts { namespace, principal, ..WorkloadFacts::default() })))
    }

    /// The value `x-forwarded-client-cert` gets: none where it is to be taken away.
    pub(crate) fn certificate_header(
        &self,
        manager: &HttpManager,
        before: Option<&HeaderValue>,
    ) -> Option<HeaderValue> {
        let peer = self.peer.as_ref()?;
        let element = || self.element(peer, &manager.certificate_details);
        match manager.client_certificate {
            ClientCertificate::Sanitize => None,
            ClientCertificate::AlwaysForwardOnly | ClientCertificate::ForwardOnly => before.cloned(),
            ClientCertificate::SanitizeSet => HeaderValue::try_from(element()).ok(),
            ClientCertificate::AppendForward => match before {
                None => HeaderValue::try_from(element()).ok(),
                Some(before) => {
                    let mut all = before.as_bytes().to_vec();
                    all.push(b',');
                    all.extend_from_slice(element().as_bytes());
                    HeaderValue::try_from(all).ok()
                }
            },
        }
    }

    /// One hop's element of the header, in Envoy's order.
    fn element(&self, peer: &Peer, details: &CertificateDetails) -> String {
        let mut parts = Vec::new();
        if let Some(own) = self.server.certificates().first().and_then(|own| own.uris.first()) {
            parts.push(format!("By={own}"));
        }
        parts.push(format!("Hash={}", peer.hash));
        if details.cert {
            parts.push(format!("Cert=\"{}\"", escaped(&pem(&peer.der))));
        }
        if details.chain {
            let chain: String = self.chain.iter().map(|der| pem(der)).collect();
            parts.push(format!("Chain=\"{}\"", escaped(&chain)));
        }
        if details.subject {
            parts.push(format!("Subject=\"{}\"", peer.subject.replace('\\', "\\\\").replace('"', "\\\"")));
        }
        if details.uri {
            if peer.uris.is_empty() {
                parts.push("URI=".to_owned());
            }
            parts.extend(peer.uris.iter().map(|uri| format!("URI={uri}")));
        }
        if details.dns {
            parts.extend(peer.dns.iter().map(|dns| format!("DNS={dns}")));
        }
        parts.join(";")
    }
}

fn facts(io: &Io, peer: Option<&Peer>, own: Option<&Peer>) -> TlsFacts {
    let (version, cipher) = io.tls().unwrap_or_default();
    let text = |of: Option<&Peer>, fact: fn(&Peer) -> String| of.map(fact).unwrap_or_default();
    TlsFacts {
        version,
        cipher,
        peer_subject: text(peer, |peer| peer.subject.clone()),
        peer_issuer: text(peer, |peer| peer.issuer.clone()),
        peer_serial: text(peer, |peer| peer.serial.clone()),
        peer_fingerprint: text(peer, |peer| peer.hash.clone()),
        peer_uris: text(peer, |peer| peer.uris.join(",")),
        peer_dns: text(peer, |peer| peer.dns.join(",")),
        local_subject: text(own, |own| own.subject.clone()),
        local_uris: text(own, |own| own.uris.join(",")),
        local_dns: text(own, |own| own.dns.join(",")),
    }
}

fn pem(der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut column = 0;
    for group in der.chunks(3) {
        let bytes = [group.first(), group.get(1), group.get(2)].map(|b| b.copied().unwrap_or(0));
        let number = bytes.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        for place in 0..4 {
            let digit = usize::try_from(number >> (18 - 6 * place) & 63).unwrap_or(0);
            let is_padding = place > group.len();
            text.push(if is_padding {
                '='
            } else {
                char::from(ALPHABET.get(digit).copied().unwrap_or(b'='))
            });
        }
        column += 4;
        if column == 64 {
            text.push('\n');
            column = 0;
        }
    }
    if column > 0 {
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

/// Percent-encoded, so that a header can hold it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string never errs.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_written_as_openssl_writes_it() {
        let text = pem(&[0; 50]);

        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!((lines[1].len(), lines[2]), (64, "AAA="));
        assert_eq!(escaped("a/+=\n"), "a%2F%2B%3D%0A");
    }
}
