//! Certificates made for a test.

use std::sync::Arc;

use net::tls::{Certificate, Client, ClientSettings, Roots, Server, ServerSettings, Trust};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName,
    DnType, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use serde_json::{Value, json};

/// Somebody who issues certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "test root");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// The root in PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// For a host.
    pub(crate) fn host(&self, name: &str) -> Issued {
        self.issue(SanType::DnsName(name.try_into().unwrap()), 7)
    }

    /// For a SPIFFE id.
    pub(crate) fn spiffe(&self, id: &str, serial: u64) -> Issued {
        self.issue(SanType::URI(id.try_into().unwrap()), serial)
    }

    fn issue(&self, name: SanType, serial: u64) -> Issued {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![name];
        params.serial_number = Some(SerialNumber::from(serial));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "weft");
        params.distinguished_name.push(DnType::CommonName, "leaf");
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// A list that revokes one certificate, in PEM.
    pub(crate) fn revoking(&self, serial: u64) -> String {
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: rcgen::date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }

    /// A client that trusts this authority.
    pub(crate) fn client(&self, certificate: Option<&Issued>, alpn: &[&str]) -> Arc<Client> {
        let settings = ClientSettings {
            certificate: certificate.map(Issued::certificate),
            trust: Trust { roots: Roots::Pem(self.pem().into_bytes()), ..Trust::default() },
            alpn: alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
            ..ClientSettings::default()
        };
        Arc::new(Client::new(settings).unwrap())
    }

    /// A server that asks clients for certificates of this authority, or not.
    pub(crate) fn server(&self, certificate: &Issued, asks: bool, alpn: &[&str]) -> Arc<Server> {
        let trust = || Trust { roots: Roots::Pem(self.pem().into_bytes()), ..Trust::default() };
        let settings = ServerSettings {
            certificates: vec![certificate.certificate()],
            trust: asks.then(trust),
            requires_certificate: asks,
            alpn: alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
            ..ServerSettings::default()
        };
        Arc::new(Server::new(settings).unwrap())
    }
}

impl Issued {
    fn certificate(&self) -> Certificate {
        Certificate {
            chain: self.chain.clone().into_bytes(),
            key: self.key.clone().into_bytes().into(),
            ..Certificate::default()
        }
    }

    /// As a TLS context writes it.
    pub(crate) fn inline(&self) -> Value {
        json!({
            "certificate_chain": { "inline_string": self.chain },
            "private_key": { "inline_string": self.key },
        })
    }
}

/// The transport socket of a filter chain.
pub(crate) fn downstream(common: Value, requires_certificate: bool) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": common,
            "require_client_certificate": requires_certificate,
        },
    })
}

/// The transport socket of a cluster.
pub(crate) fn upstream(common: Value, more: Value) -> Value {
    let mut typed = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": common,
    });
    for (name, value) in more.as_object().unwrap() {
        typed[name] = value.clone();
    }
    json!({ "name": "envoy.transport_sockets.tls", "typed_config": typed })
}

/// The listener filter that looks for TLS.
pub(crate) fn tls_inspector() -> Value {
    json!({ "name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
    } })
}
