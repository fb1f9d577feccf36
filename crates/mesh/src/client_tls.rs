//! TLS towards hosts, as DestinationRules ask for it.

use api::tls::{ClientTls as Written, ClientTlsMode};

use crate::destination_rule::Policy;
use crate::proxy::Proxy;
use crate::secret;
use crate::service::Service;
use crate::slice::{ClientTls, Discovery, TlsParameters, Trust};
use crate::state::State;

/// What a cluster is spoken to in.
pub(crate) enum Wanted {
    /// Plain text.
    Plain,
    /// TLS.
    Secured(Box<ClientTls>),
    /// TLS, with certificates that are not there.
    Unknown,
}

/// What a rule wants towards a service.
pub(crate) fn of(
    state: &State,
    proxy: &Proxy,
    policy: &Policy,
    service: &Service,
    discovery: &Discovery,
) -> Wanted {
    let Some(tls) = policy.tls.as_ref().filter(|tls| tls.mode != ClientTlsMode::Disable) else {
        return Wanted::Plain;
    };
    if let Some(name) = &tls.credential_name
        && !proxy.is_gateway()
        && !policy.is_selective
        && !state.secrets.has(&proxy.namespace, name)
    {
        // A sidecar that waited for a credential it cannot have would not begin to work at all.
        return Wanted::Unknown;
    }
    let resolves_client_names = matches!(discovery, Discovery::DynamicForward(_));
    Wanted::Secured(Box::new(written(tls, &service.subject_alt_names, resolves_client_names)))
}

/// TLS towards hosts that nobody declared and that are resolved by name; None where it is plain text.
pub(crate) fn of_unknown(tls: &Written) -> Option<ClientTls> {
    (tls.mode != ClientTlsMode::Disable).then(|| written(tls, &[], true))
}

fn written(tls: &Written, names: &[String], resolves_client_names: bool) -> ClientTls {
    let takes_sni = tls.sni.is_none() && tls.subject_alt_names.is_empty() || resolves_client_names;
    ClientTls {
        sni: tls.sni.clone().unwrap_or_default(),
        certificate: certificate(tls),
        trust: trust(tls, names),
        checks_sni: takes_sni && !tls.insecure_skip_verify,
        parameters: TlsParameters::default(),
    }
}

fn certificate(tls: &Written) -> Option<String> {
    if tls.mode != ClientTlsMode::Mutual {
        return None;
    }
    match (&tls.credential_name, &tls.client_certificate, &tls.private_key) {
        (Some(name), ..) => Some(secret::credential(name)),
        (None, Some(chain), Some(key)) => Some(secret::certificate_file(chain, key)),
        _ => None,
    }
}

fn trust(tls: &Written, names: &[String]) -> Option<Trust> {
    if tls.insecure_skip_verify {
        return None;
    }
    let roots = match &tls.credential_name {
        Some(name) => secret::authority(name),
        None => secret::authority_file(tls.ca_certificates.as_deref()),
    };
    let names = match tls.subject_alt_names.is_empty() {
        true => names.to_vec(),
        false => tls.subject_alt_names.clone(),
    };
    let revoked = tls.ca_crl.clone().filter(|_| tls.credential_name.is_none());
    Some(Trust { roots, subject_alt_names: names, revoked, ..Trust::default() })
}
