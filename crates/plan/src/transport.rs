//! Transport sockets: TLS and PROXY headers are kept as data; nothing here shakes hands.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use base::Digest;
use proto::Any;
use proto::envoy::config::cluster::v3::Cluster;
use proto::envoy::config::core::v3::{ProxyProtocolConfig, TransportSocket, transport_socket};
use proto::envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;
use proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use proto::envoy::extensions::transport_sockets::tls::v3::downstream_tls_context::SessionTicketKeysType;
use proto::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, TlsParameters, UpstreamTlsContext,
};
use proto::google::protobuf::Struct;

use crate::read::{At, Within, Wrong, each, flag, is_subset, limit, named, number, refuse, required};
use crate::secret::{Certificate, Validation};

/// What both sides of TLS have in common.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The certificates we show.
    pub certificates: Vec<CertificateSource>,
    /// What the peer must show; none where it may show anything, or nothing.
    pub validation: Option<ValidationSource>,
    /// The protocols offered or accepted, in order of preference.
    pub alpn: Vec<Arc<str>>,
    /// The versions spoken.
    pub versions: Versions,
    /// The cipher suites of TLS 1.2, in order of preference; empty for all there are.
    pub ciphers: Vec<Cipher>,
    /// The groups of the key exchange, in order of preference; empty for all there are.
    pub curves: Vec<Curve>,
    /// Equal for equal contexts, so that what is made from one can be kept.
    pub digest: Digest,
}

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// From the context itself.
    Inline(Arc<Certificate>),
    /// From the secret of this name.
    Secret(Arc<str>),
}

/// Where the conditions on a peer come from.
#[derive(Clone, Debug, Default)]
pub struct ValidationSource {
    /// What the context itself says.
    pub own: Arc<Validation>,
    /// The secret that is added to it.
    pub secret: Option<Arc<str>>,
}

/// The versions of TLS spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// Whether TLS 1.2 is.
    pub tls12: bool,
    /// Whether TLS 1.3 is.
    pub tls13: bool,
}

/// The cipher suites of TLS 1.2 there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// ECDHE-ECDSA-AES128-GCM-SHA256.
    EcdsaAes128,
    /// ECDHE-ECDSA-AES256-GCM-SHA384.
    EcdsaAes256,
    /// ECDHE-ECDSA-CHACHA20-POLY1305.
    EcdsaChacha20,
    /// ECDHE-RSA-AES128-GCM-SHA256.
    RsaAes128,
    /// ECDHE-RSA-AES256-GCM-SHA384.
    RsaAes256,
    /// ECDHE-RSA-CHACHA20-POLY1305.
    RsaChacha20,
}

/// Whoever negotiates this sends Istio's description of itself first.
const PEER_EXCHANGE: &str = "istio-peer-exchange";

/// The cipher suites' names as Envoy writes them.
const CIPHERS: [(&str, Cipher); 6] = [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", Cipher::EcdsaAes128),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", Cipher::EcdsaAes256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", Cipher::EcdsaChacha20),
    ("ECDHE-RSA-AES128-GCM-SHA256", Cipher::RsaAes128),
    ("ECDHE-RSA-AES256-GCM-SHA384", Cipher::RsaAes256),
    ("ECDHE-RSA-CHACHA20-POLY1305", Cipher::RsaChacha20),
];

/// Cipher suites that Envoy knows and we do not speak; another name is a mistake.
const UNSPOKEN: [&str; 14] = [
    "AES128-GCM-SHA256",
    "AES128-SHA",
    "AES128-SHA256",
    "AES256-GCM-SHA384",
    "AES256-SHA",
    "DES-CBC3-SHA",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-PSK-AES128-CBC-SHA",
    "ECDHE-PSK-AES256-CBC-SHA",
    "ECDHE-PSK-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-RSA-AES256-SHA",
];

/// The groups of the key exchange there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// P-256.
    P256,
    /// P-384.
    P384,
    /// X25519.
    X25519,
    /// X25519 joined with ML-KEM-768.
    X25519MlKem768,
}

/// The groups' names as Envoy writes them.
const CURVES: [(&str, Curve); 4] = [
    ("P-256", Curve::P256),
    ("P-384", Curve::P384),
    ("X25519", Curve::X25519),
    ("X25519MLKEM768", Curve::X25519MlKem768),
];

/// TLS towards clients.
#[derive(Clone, Debug, Default)]
pub struct ServerTls {
    /// What both sides have in common.
    pub common: Tls,
    /// Whether a client must show a certificate; without it one that shows none is served all the same.
    pub requires_client_certificate: bool,
    /// Whether a client must name a server.
    pub requires_server_name: bool,
    /// Whether sessions are resumed by tickets.
    pub resumes_by_ticket: bool,
    /// Whether sessions are resumed by what the server remembers.
    pub resumes_by_memory: bool,
    /// How long a session may be resumed.
    pub session_timeout: Option<Duration>,
}

/// TLS towards an endpoint.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// What both sides have in common.
    pub common: Tls,
    /// The server name to send, where the request does not decide it ([`crate::AutoSni`]).
    pub server_name: Option<Arc<str>>,
    /// Whether the endpoint's own host name is sent, where it has one.
    pub sends_hostname: bool,
    /// Whether the certificate must name the server name that was sent.
    pub checks_server_name: bool,
    /// How many sessions are kept to be resumed; 0 for none.
    pub max_sessions: u32,
}

/// The versions of the PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyHeader {
    /// In text.
    V1,
    /// In binary.
    V2,
}

/// How an endpoint is spoken to below HTTP: in plain bytes, or with either of these.
#[derive(Clone, Debug, Default)]
pub struct UpstreamSocket {
    /// The PROXY header that goes first, before any TLS.
    pub proxy_header: Option<ProxyHeader>,
    /// The TLS that must be spoken.
    pub tls: Option<Arc<ClientTls>>,
}

impl Tls {
    /// The names of the secrets it refers to.
    pub fn secrets(&self) -> impl Iterator<Item = &Arc<str>> {
        let certificates = self.certificates.iter().filter_map(|source| match source {
            CertificateSource::Secret(name) => Some(name),
            CertificateSource::Inline(_) => None,
        });
        certificates.chain(self.validation.as_ref().and_then(|validation| validation.secret.as_ref()))
    }

    fn compile(message: &CommonTlsContext, default: Versions) -> Result<Self, Wrong> {
        refuse_context(message)?;
        let params = message.tls_params.clone().unwrap_or_default();
        let mut certificates = each(&message.tls_certificates, "tls_certificates", |certificate| {
            Ok(CertificateSource::Inline(Arc::new(Certificate::compile(certificate)?)))
        })?;
        certificates.extend(each(
            &message.tls_certificate_sds_secret_configs,
            "tls_certificate_sds_secret_configs",
            |secret| sds(secret).map(CertificateSource::Secret),
        )?);
        Ok(Self {
            certificates,
            validation: validation(message.validation_context_type.as_ref())?,
            alpn: alpn(message)?,
            versions: Versions::compile(&params, default).within("tls_params")?,
            ciphers: ciphers(&params).within("tls_params")?,
            curves: curves(&params).within("tls_params")?,
            digest: Digest::default(),
        })
    }
}

/// What would show, or demand, other certificates than were asked for.
#[allow(deprecated, reason = "old control planes still write the old spellings")]
fn refuse_context(message: &CommonTlsContext) -> Result<(), Wrong> {
    refuse(message.tls_certificate_provider_instance.is_some(), "tls_certificate_provider_instance")?;
    refuse(message.custom_tls_certificate_selector.is_some(), "custom_tls_certificate_selector")?;
    refuse(message.tls_certificate_certificate_provider.is_some(), "tls_certificate_certificate_provider")?;
    refuse(
        message.tls_certificate_certificate_provider_instance.is_some(),
        "tls_certificate_certificate_provider_instance",
    )?;
    refuse(message.custom_handshaker.is_some(), "custom_handshaker")?;
    refuse(message.key_log.is_some(), "key_log")
}

/// The protocols in their order, but for the one behind which a preamble stands that is not spoken.
fn alpn(message: &CommonTlsContext) -> Result<Vec<Arc<str>>, Wrong> {
    let mut all = each(&message.alpn_protocols, "alpn_protocols", |name| named(name, ""))?;
    all.retain(|name| **name != *PEER_EXCHANGE);
    Ok(all)
}

fn sds(message: &SdsSecretConfig) -> Result<Arc<str>, Wrong> {
    named(&message.name, "name")
}

#[allow(deprecated, reason = "old control planes still write the old spellings")]
fn validation(message: Option<&ValidationContextType>) -> Result<Option<ValidationSource>, Wrong> {
    let inline = |own, secret| Ok(Some(ValidationSource { own: Arc::new(own), secret }));
    match message {
        None => Ok(None),
        Some(ValidationContextType::ValidationContext(own)) => {
            let own = Validation::compile(own)
                .and_then(|own| own.sound().map_err(|why| Wrong::new("trusted_ca", why)))
                .within("validation_context")?;
            inline(own, None)
        }
        Some(ValidationContextType::ValidationContextSdsSecretConfig(secret)) => {
            inline(Validation::default(), Some(sds(secret).within("validation_context_sds_secret_config")?))
        }
        Some(ValidationContextType::CombinedValidationContext(combined)) => {
            let path = "combined_validation_context";
            refuse(
                combined.validation_context_certificate_provider.is_some()
                    || combined.validation_context_certificate_provider_instance.is_some(),
                "validation_context_certificate_provider",
            )
            .within(path)?;
            let own = match &combined.default_validation_context {
                Some(own) => Validation::compile(own).within("default_validation_context").within(path)?,
                None => Validation::default(),
            };
            let secret = required(
                &combined.validation_context_sds_secret_config,
                "validation_context_sds_secret_config",
            );
            inline(own, Some(secret.and_then(sds).within(path)?))
        }
        Some(
            ValidationContextType::ValidationContextCertificateProvider(_)
            | ValidationContextType::ValidationContextCertificateProviderInstance(_),
        ) => Err(Wrong::new("validation_context_certificate_provider", "is not supported")),
    }
}

impl Versions {
    /// What servers speak where nothing is said.
    const SERVER: Self = Self { tls12: true, tls13: true };
    /// What clients speak where nothing is said.
    const CLIENT: Self = Self { tls12: true, tls13: false };

    fn compile(params: &TlsParameters, default: Self) -> Result<Self, Wrong> {
        // Envoy's numbers ascend with the versions; 0 stands for its own choice.
        let least =
            if params.tls_minimum_protocol_version == 0 { 3 } else { params.tls_minimum_protocol_version };
        let most = match params.tls_maximum_protocol_version {
            0 if default.tls13 => 4,
            0 => 3,
            other => other,
        };
        let versions = Self { tls12: least <= 3 && most >= 3, tls13: least <= 4 && most >= 4 };
        match versions.tls12 || versions.tls13 {
            true => Ok(versions),
            false => Err(Wrong::new(
                "tls_maximum_protocol_version",
                "leaves no version that is spoken: there are TLS 1.2 and 1.3",
            )),
        }
    }
}

fn ciphers(params: &TlsParameters) -> Result<Vec<Cipher>, Wrong> {
    let mut ciphers = Vec::new();
    for (i, text) in params.cipher_suites.iter().enumerate() {
        // Suites between brackets are equally good: the peer chooses, and so their order does no harm.
        for name in text.trim_start_matches('[').trim_end_matches(']').split('|') {
            match CIPHERS.iter().find(|(known, _)| *known == name) {
                Some((_, cipher)) => ciphers.push(*cipher),
                None if UNSPOKEN.contains(&name) => {}
                None => {
                    return Err(Wrong::new(
                        format!("cipher_suites[{i}]"),
                        format!("{name:?} is not a cipher suite"),
                    ));
                }
            }
        }
    }
    match ciphers.is_empty() && !params.cipher_suites.is_empty() {
        false => Ok(ciphers),
        true => {
            let known: Vec<&str> = CIPHERS.iter().map(|(name, _)| *name).collect();
            Err(Wrong::new(
                "cipher_suites",
                format!("has none that is spoken: there are {}", known.join(", ")),
            ))
        }
    }
}

fn curves(params: &TlsParameters) -> Result<Vec<Curve>, Wrong> {
    refuse(!params.signature_algorithms.is_empty(), "signature_algorithms")?;
    refuse(!params.compliance_policies.is_empty(), "compliance_policies")?;
    let known = |name: &String| CURVES.iter().find(|(known, _)| known == name).map(|(_, curve)| *curve);
    let curves: Vec<Curve> = params.ecdh_curves.iter().filter_map(known).collect();
    match curves.is_empty() && !params.ecdh_curves.is_empty() {
        false => Ok(curves),
        true => {
            let known: Vec<&str> = CURVES.iter().map(|(name, _)| *name).collect();
            Err(Wrong::new("ecdh_curves", format!("has none that is spoken: there are {}", known.join(", "))))
        }
    }
}

impl ServerTls {
    pub(crate) fn compile(socket: &Option<TransportSocket>) -> Result<Option<Arc<Self>>, Wrong> {
        let Some(socket) = socket else { return Ok(None) };
        let Some(any) = typed(socket)? else { return Ok(None) };
        match proto::any::type_name(&any.type_url) {
            "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" => return Ok(None),
            "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext" => {}
            other => return Err(unsupported(other)),
        }
        let message: DownstreamTlsContext = proto::any::unpack(any).at("typed_config")?;
        let common = message.common_tls_context.clone().unwrap_or_default();
        refuse(message.ocsp_staple_policy != 0, "ocsp_staple_policy").within("typed_config")?;
        let resumes_by_ticket = match &message.session_ticket_keys_type {
            None | Some(SessionTicketKeysType::DisableStatelessSessionResumption(false)) => true,
            Some(SessionTicketKeysType::DisableStatelessSessionResumption(true)) => false,
            Some(_) => return Err(Wrong::new("typed_config.session_ticket_keys", "is not supported")),
        };
        let mut tls =
            Tls::compile(&common, Versions::SERVER).within("common_tls_context").within("typed_config")?;
        tls.digest = Digest::of_value(&any.value);
        if tls.certificates.is_empty() {
            return Err(Wrong::new("typed_config.common_tls_context.tls_certificates", "is missing"));
        }
        let requires_client_certificate = flag(&message.require_client_certificate, false);
        Ok(Some(Arc::new(Self {
            requires_client_certificate,
            requires_server_name: flag(&message.require_sni, false),
            resumes_by_ticket,
            resumes_by_memory: !message.disable_stateful_session_resumption,
            session_timeout: limit(&message.session_timeout, "typed_config.session_timeout")?,
            common: tls,
        })))
    }
}

impl ClientTls {
    fn compile(any: &Any) -> Result<Self, Wrong> {
        let message: UpstreamTlsContext = proto::any::unpack(any).at("typed_config")?;
        let common = message.common_tls_context.clone().unwrap_or_default();
        refuse(message.allow_renegotiation, "allow_renegotiation")?;
        refuse(
            common.alpn_protocols.iter().any(|name| name.len() > 255),
            "common_tls_context.alpn_protocols",
        )?;
        let mut tls = Tls::compile(&common, Versions::CLIENT).within("common_tls_context")?;
        tls.digest = Digest::of_value(&any.value);
        if message.auto_sni_san_validation && tls.validation.is_none() {
            return Err(Wrong::new("auto_sni_san_validation", "needs a validation context"));
        }
        if tls.certificates.len() > 1 {
            return Err(Wrong::new("common_tls_context.tls_certificates", "a client shows one certificate"));
        }
        Ok(Self {
            common: tls,
            server_name: Some(message.sni.as_str()).filter(|name| !name.is_empty()).map(Into::into),
            sends_hostname: message.auto_host_sni,
            checks_server_name: message.auto_sni_san_validation,
            max_sessions: number(&message.max_session_keys).unwrap_or(1),
        })
    }
}

impl UpstreamSocket {
    fn compile(socket: &TransportSocket, depth: u32) -> Result<Self, Wrong> {
        let Some(any) = typed(socket)? else { return Ok(Self::default()) };
        match proto::any::type_name(&any.type_url) {
            "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" => Ok(Self::default()),
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext" => {
                let tls = ClientTls::compile(any).within("typed_config")?;
                Ok(Self { proxy_header: None, tls: Some(Arc::new(tls)) })
            }
            "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
                if depth == 0 =>
            {
                let message: ProxyProtocolUpstreamTransport = proto::any::unpack(any).at("typed_config")?;
                let inner = required(&message.transport_socket, "transport_socket")
                    .and_then(|inner| Self::compile(inner, depth + 1).within("transport_socket"))
                    .within("typed_config")?;
                let header = ProxyHeader::compile(message.config.as_ref()).within("typed_config.config")?;
                Ok(Self { proxy_header: Some(header), ..inner })
            }
            other => Err(unsupported(other)),
        }
    }
}

impl ProxyHeader {
    /// The version a message asks for; v1 where it asks for none.
    pub(crate) fn compile(message: Option<&ProxyProtocolConfig>) -> Result<Self, Wrong> {
        let Some(message) = message else { return Ok(Self::V1) };
        refuse(message.pass_through_tlvs.is_some(), "pass_through_tlvs")?;
        refuse(!message.added_tlvs.is_empty(), "added_tlvs")?;
        match message.version {
            0 => Ok(Self::V1),
            1 => Ok(Self::V2),
            other => Err(Wrong::new("version", format!("{other} is not known"))),
        }
    }
}

/// The configuration of a socket; none for a plain one.
fn typed(socket: &TransportSocket) -> Result<Option<&Any>, Wrong> {
    match &socket.config_type {
        Some(transport_socket::ConfigType::TypedConfig(any)) => Ok(Some(any)),
        None if socket.name == "envoy.transport_sockets.raw_buffer" => Ok(None),
        None => Err(Wrong::new("typed_config", "is missing")),
    }
}

fn unsupported(name: &str) -> Wrong {
    Wrong::new("typed_config", format!("transport socket {name} is not supported"))
}

/// How the endpoints of a cluster are spoken to below HTTP.
#[derive(Clone, Debug, Default)]
pub struct SocketChoice {
    /// In order: the first whose condition the endpoint's metadata fulfils decides.
    matches: Vec<(Struct, Arc<UpstreamSocket>)>,
    /// Where none decides.
    otherwise: Arc<UpstreamSocket>,
}

impl SocketChoice {
    pub(crate) fn compile(cluster: &Cluster) -> Result<Self, Wrong> {
        let matches = each(&cluster.transport_socket_matches, "transport_socket_matches", |m| {
            let socket = required(&m.transport_socket, "transport_socket")?;
            let socket = UpstreamSocket::compile(socket, 0).within("transport_socket")?;
            Ok((m.r#match.clone().unwrap_or_default(), Arc::new(socket)))
        })?;
        let otherwise = match &cluster.transport_socket {
            Some(socket) => UpstreamSocket::compile(socket, 0).within("transport_socket")?,
            None => UpstreamSocket::default(),
        };
        Ok(Self { matches, otherwise: Arc::new(otherwise) })
    }

    /// How an endpoint with this `envoy.transport_socket_match` metadata is to be spoken to.
    pub fn of(&self, metadata: Option<&Struct>) -> &Arc<UpstreamSocket> {
        let found = self.matches.iter().find(|(condition, _)| is_subset(condition, metadata));
        found.map_or(&self.otherwise, |(_, socket)| socket)
    }

    /// Every way endpoints can be spoken to.
    pub fn all(&self) -> impl Iterator<Item = &Arc<UpstreamSocket>> {
        // What fits any endpoint leaves nothing for those after it.
        let last = self.matches.iter().position(|(condition, _)| condition.fields.is_empty());
        let matches = self.matches.iter().take(last.map_or(usize::MAX, |last| last + 1));
        matches.map(|(_, socket)| socket).chain(last.is_none().then_some(&self.otherwise))
    }
}
