//! TLS contexts: what a connection is secured with, the certificates by their names in SDS.

use std::time::Duration;

use proto::Any;
use proto::envoy::config::core::v3 as core;
use proto::envoy::config::core::v3::transport_socket::ConfigType;
use proto::envoy::config::core::v3::{DataSource, TransportSocket, data_source::Specifier};
use proto::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use proto::envoy::extensions::transport_sockets::tls::v3 as envoy;
use proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use proto::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, UpstreamTlsContext,
};
use proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};

use api::tls::TlsVersion;
use mesh::{ClientCertificates, ClientTls, ServerTls, TlsParameters, Trust};

use crate::wire;

const TLS: &str = "envoy.transport_sockets.tls";

/// How long a listener or cluster waits for a secret that somebody has to put there first: without it the rest
/// works, and handshakes fail until it comes.
const CREDENTIAL_WAIT: Duration = Duration::from_secs(15);

/// What a gateway says it speaks inside TLS.
const HTTP_ALPN: [&str; 2] = ["h2", "http/1.1"];

/// The transport of a cluster that is secured.
pub(crate) fn client(tls: &ClientTls, is_http2: bool) -> TransportSocket {
    let common = CommonTlsContext {
        tls_params: Some(envoy::TlsParameters {
            tls_minimum_protocol_version: TlsProtocol::TlSv12.into(),
            tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
            ..parameters(&tls.parameters).unwrap_or_default()
        }),
        tls_certificate_sds_secret_configs: tls.certificate.iter().map(|name| by_name(name)).collect(),
        validation_context_type: Some(match &tls.trust {
            Some(trust) => combined(trust),
            None => ValidationContextType::ValidationContext(CertificateValidationContext::default()),
        }),
        alpn_protocols: if is_http2 { vec!["h2".into()] } else { Vec::new() },
        ..Default::default()
    };
    let context =
        UpstreamTlsContext { common_tls_context: Some(common), sni: tls.sni.clone(), ..Default::default() };
    socket(TLS, proto::any::pack(&context))
}

/// The transport of a filter chain that ends TLS.
pub(crate) fn server(tls: &ServerTls) -> TransportSocket {
    let (is_required, trust) = match &tls.clients {
        ClientCertificates::None => (false, None),
        ClientCertificates::Optional(trust) => (false, Some(trust)),
        ClientCertificates::Required(trust) => (true, Some(trust)),
    };
    let named = (!tls.subject_alt_names.is_empty())
        .then(|| ValidationContextType::ValidationContext(of_names(&tls.subject_alt_names)));
    let common = CommonTlsContext {
        tls_params: parameters(&tls.parameters),
        tls_certificate_sds_secret_configs: tls.certificates.iter().map(|name| by_name(name)).collect(),
        validation_context_type: trust.map(combined).or(named),
        alpn_protocols: HTTP_ALPN.map(str::to_owned).into(),
        ..Default::default()
    };
    let context = DownstreamTlsContext {
        common_tls_context: Some(common),
        require_client_certificate: wire::bool(is_required),
        ..Default::default()
    };
    socket(TLS, proto::any::pack(&context))
}

/// The transport of bytes as they are.
pub(crate) fn raw() -> TransportSocket {
    socket("envoy.transport_sockets.raw_buffer", proto::any::pack(&RawBuffer {}))
}

pub(crate) fn socket(name: &str, config: Any) -> TransportSocket {
    TransportSocket { name: name.into(), config_type: Some(ConfigType::TypedConfig(config)) }
}

/// A secret by its name, over the stream that brought the name.
fn by_name(name: &str) -> SdsSecretConfig {
    let source = core::ConfigSource {
        initial_fetch_timeout: wire::duration(CREDENTIAL_WAIT),
        ..wire::ads().unwrap_or_default()
    };
    SdsSecretConfig { name: name.to_owned(), sds_config: Some(source) }
}

fn combined(trust: &Trust) -> ValidationContextType {
    let file = |path: &String| DataSource {
        specifier: Some(Specifier::Filename(path.clone())),
        ..Default::default()
    };
    ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
        default_validation_context: Some(CertificateValidationContext {
            verify_certificate_spki: trust.keys.clone(),
            verify_certificate_hash: trust.hashes.clone(),
            crl: trust.revoked.as_ref().map(file),
            ..of_names(&trust.subject_alt_names)
        }),
        validation_context_sds_secret_config: Some(by_name(&trust.roots)),
        ..Default::default()
    })
}

/// Certificates for one of these names, in Istio's spelling, which Envoy reads as names of every type.
#[allow(deprecated)]
fn of_names(names: &[String]) -> CertificateValidationContext {
    let exact = |name: &String| StringMatcher {
        match_pattern: Some(MatchPattern::Exact(name.clone())),
        ..Default::default()
    };
    CertificateValidationContext {
        match_subject_alt_names: names.iter().map(exact).collect(),
        ..Default::default()
    }
}

fn parameters(parameters: &TlsParameters) -> Option<envoy::TlsParameters> {
    if *parameters == TlsParameters::default() {
        return None;
    }
    Some(envoy::TlsParameters {
        tls_minimum_protocol_version: version(parameters.oldest).into(),
        tls_maximum_protocol_version: version(parameters.newest).into(),
        cipher_suites: parameters.ciphers.clone(),
        ecdh_curves: parameters.curves.clone(),
        ..Default::default()
    })
}

fn version(version: Option<TlsVersion>) -> TlsProtocol {
    match version {
        None => TlsProtocol::TlsAuto,
        Some(TlsVersion::V1_2) => TlsProtocol::TlSv12,
        Some(TlsVersion::V1_3) => TlsProtocol::TlSv13,
    }
}
