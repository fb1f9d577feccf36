//! Transport sockets: TLS is kept as data; nothing here shakes hands.

use std::sync::Arc;

use proto::envoy::config::core::v3::{TransportSocket, transport_socket};
use proto::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext, common_tls_context::ValidationContextType,
};
use proto::google::protobuf::Struct;

use crate::read::{At, Wrong, flag, is_subset, required};

/// What a TLS transport socket names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The secrets that hold our certificates.
    pub certificates: Vec<Arc<str>>,
    /// The secret that holds the roots the peer must chain to.
    pub roots: Option<Arc<str>>,
    /// The protocols offered or accepted.
    pub alpn: Vec<Arc<str>>,
    /// Client side: the server name to send.
    pub server_name: Option<Arc<str>>,
    /// Server side: whether the client must show a certificate.
    pub requires_client_certificate: bool,
}

impl Tls {
    pub(crate) fn downstream(socket: &Option<TransportSocket>) -> Result<Option<Self>, Wrong> {
        let Some(socket) = socket else { return Ok(None) };
        let Some(any) = typed(socket)? else { return Ok(None) };
        let message: DownstreamTlsContext = proto::any::unpack(any).at("typed_config")?;
        Ok(Some(Self {
            requires_client_certificate: flag(&message.require_client_certificate, false),
            ..Self::common(&message.common_tls_context)
        }))
    }

    pub(crate) fn upstream(socket: &TransportSocket) -> Result<Option<Self>, Wrong> {
        let Some(any) = typed(socket)? else { return Ok(None) };
        let message: UpstreamTlsContext = proto::any::unpack(any).at("typed_config")?;
        let server_name = Some(message.sni.as_str()).filter(|name| !name.is_empty()).map(Into::into);
        Ok(Some(Self { server_name, ..Self::common(&message.common_tls_context) }))
    }

    fn common(message: &Option<CommonTlsContext>) -> Self {
        let Some(message) = message else { return Self::default() };
        let roots = match &message.validation_context_type {
            Some(ValidationContextType::ValidationContextSdsSecretConfig(secret)) => {
                Some(secret.name.as_str())
            }
            Some(ValidationContextType::CombinedValidationContext(combined)) => {
                combined.validation_context_sds_secret_config.as_ref().map(|secret| secret.name.as_str())
            }
            _ => None,
        };
        Self {
            certificates: message
                .tls_certificate_sds_secret_configs
                .iter()
                .map(|secret| secret.name.as_str().into())
                .collect(),
            roots: roots.map(Into::into),
            alpn: message.alpn_protocols.iter().map(|name| name.as_str().into()).collect(),
            server_name: None,
            requires_client_certificate: false,
        }
    }
}

/// The configuration of a TLS socket; none for a plain one.
fn typed(socket: &TransportSocket) -> Result<Option<&proto::Any>, Wrong> {
    let Some(transport_socket::ConfigType::TypedConfig(any)) = &socket.config_type else {
        return match socket.name.as_str() {
            "envoy.transport_sockets.raw_buffer" => Ok(None),
            _ => Err(Wrong::new("typed_config", "is missing")),
        };
    };
    match proto::any::type_name(&any.type_url) {
        "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" => Ok(None),
        name if name.starts_with("envoy.extensions.transport_sockets.tls.v3.") => Ok(Some(any)),
        other => Err(Wrong::new("typed_config", format!("transport socket {other} is not supported"))),
    }
}

/// Which endpoints of a cluster are spoken to over TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsChoice {
    /// In order: the first whose condition the endpoint's metadata fulfils decides.
    matches: Vec<(Struct, Option<Arc<Tls>>)>,
    /// Where none decides.
    otherwise: Option<Arc<Tls>>,
}

impl TlsChoice {
    pub(crate) fn compile(cluster: &proto::envoy::config::cluster::v3::Cluster) -> Result<Self, Wrong> {
        let matches =
            crate::read::each(&cluster.transport_socket_matches, "transport_socket_matches", |m| {
                let socket = required(&m.transport_socket, "transport_socket")?;
                let tls = Tls::upstream(socket).map_err(|e| e.within("transport_socket"))?;
                Ok((m.r#match.clone().unwrap_or_default(), tls.map(Arc::new)))
            })?;
        let otherwise = match &cluster.transport_socket {
            Some(socket) => Tls::upstream(socket).map_err(|e| e.within("transport_socket"))?.map(Arc::new),
            None => None,
        };
        Ok(Self { matches, otherwise })
    }

    /// What TLS an endpoint with this `envoy.transport_socket_match` metadata is to be spoken to with.
    pub fn of(&self, metadata: Option<&Struct>) -> Option<&Arc<Tls>> {
        match self.matches.iter().find(|(condition, _)| is_subset(condition, metadata)) {
            Some((_, tls)) => tls.as_ref(),
            None => self.otherwise.as_ref(),
        }
    }

    /// Whether any endpoint could need TLS.
    pub fn is_possible(&self) -> bool {
        self.otherwise.is_some() || self.matches.iter().any(|(_, tls)| tls.is_some())
    }
}
