//! The library's errors in the words Envoy prints for BoringSSL's, which users search for.

use rustls::{AlertDescription, CertificateError, Error};

/// An error of a handshake in Envoy's words.
pub(super) fn of(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => of_tls(error),
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "TLS_error:|connection closed during the handshake:TLS_error_end".to_owned()
        }
        None => format!("TLS_error:|{}:TLS_error_end", plain(error)),
    }
}

/// The kernel's words without the number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn of_tls(error: &Error) -> String {
    let (number, name) = match error {
        Error::InvalidCertificate(why) => {
            return reason(125, &format!("CERTIFICATE_VERIFY_FAILED:verify cert failed: {}", verified(why)));
        }
        Error::NoCertificatesPresented => (199, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        Error::InvalidMessage(_) => (247, "WRONG_VERSION_NUMBER"),
        Error::PeerIncompatible(_) => (240, "UNSUPPORTED_PROTOCOL"),
        Error::NoApplicationProtocol => (307, "NO_APPLICATION_PROTOCOL"),
        Error::AlertReceived(alert) => alerted(*alert),
        other => return format!("TLS_error:|{other}:TLS_error_end"),
    };
    reason(number, name)
}

/// Why a certificate is not taken, in Envoy's and BoringSSL's words.
fn verified(why: &CertificateError) -> String {
    let of_chain = match why {
        CertificateError::UnknownIssuer => "unable to get local issuer certificate",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate is not yet valid"
        }
        CertificateError::Revoked => "certificate revoked",
        CertificateError::UnknownRevocationStatus => "unable to get certificate CRL",
        CertificateError::BadSignature => "certificate signature failure",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "unsuitable certificate purpose"
        }
        CertificateError::Other(other) => return other.to_string(),
        other => return other.to_string(),
    };
    format!("X509_verify_cert: certificate verification error at depth 0: {of_chain}")
}

/// BoringSSL packs the library (16, SSL) and the reason into one number.
fn reason(number: u32, name: &str) -> String {
    format!("TLS_error:|{}:SSL routines:OPENSSL_internal:{name}:TLS_error_end", (16_u32 << 24) | number)
}

fn alerted(alert: AlertDescription) -> (u32, &'static str) {
    // Alerts are numbered from 1000 on.
    match alert {
        AlertDescription::HandshakeFailure => (1040, "SSLV3_ALERT_HANDSHAKE_FAILURE"),
        AlertDescription::BadCertificate => (1042, "SSLV3_ALERT_BAD_CERTIFICATE"),
        AlertDescription::UnsupportedCertificate => (1043, "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"),
        AlertDescription::CertificateRevoked => (1044, "SSLV3_ALERT_CERTIFICATE_REVOKED"),
        AlertDescription::CertificateExpired => (1045, "SSLV3_ALERT_CERTIFICATE_EXPIRED"),
        AlertDescription::CertificateUnknown => (1046, "SSLV3_ALERT_CERTIFICATE_UNKNOWN"),
        AlertDescription::IllegalParameter => (1047, "SSLV3_ALERT_ILLEGAL_PARAMETER"),
        AlertDescription::UnknownCA => (1048, "TLSV1_ALERT_UNKNOWN_CA"),
        AlertDescription::AccessDenied => (1049, "TLSV1_ALERT_ACCESS_DENIED"),
        AlertDescription::DecodeError => (1050, "TLSV1_ALERT_DECODE_ERROR"),
        AlertDescription::DecryptError => (1051, "TLSV1_ALERT_DECRYPT_ERROR"),
        AlertDescription::ProtocolVersion => (1070, "TLSV1_ALERT_PROTOCOL_VERSION"),
        AlertDescription::InternalError => (1080, "TLSV1_ALERT_INTERNAL_ERROR"),
        AlertDescription::UnrecognisedName => (1112, "TLSV1_UNRECOGNIZED_NAME"),
        AlertDescription::CertificateRequired => (1116, "TLSV1_CERTIFICATE_REQUIRED"),
        AlertDescription::NoApplicationProtocol => (1120, "TLSV1_ALERT_NO_APPLICATION_PROTOCOL"),
        _ => (1040, "SSLV3_ALERT_HANDSHAKE_FAILURE"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_search_for_is_said() {
        assert_eq!(
            of_tls(&Error::AlertReceived(AlertDescription::CertificateRequired)),
            "TLS_error:|268436572:SSL routines:OPENSSL_internal:TLSV1_CERTIFICATE_REQUIRED:TLS_error_end"
        );
        assert_eq!(
            of_tls(&Error::InvalidCertificate(CertificateError::UnknownIssuer)),
            "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: \
             X509_verify_cert: certificate verification error at depth 0: unable to get local issuer \
             certificate:TLS_error_end"
        );
    }
}
