#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

fn socket(message: &str, mut fields: Value) -> Value {
    fields["@type"] = message.into();
    json!({"name": "x", "typed_config": fields})
}

fn server(fields: Value) -> Result<Arc<ServerTls>, String> {
    let json = socket(&format!("{TLS}.DownstreamTlsContext"), fields);
    let socket: TransportSocket = proto::json::from_json(&json).unwrap();
    ServerTls::compile(&Some(socket)).map(Option::unwrap).map_err(|wrong| wrong.to_string())
}

fn upstream(json: &Value) -> Result<UpstreamSocket, String> {
    let socket: TransportSocket = proto::json::from_json(json).unwrap();
    UpstreamSocket::compile(&socket, 0).map_err(|wrong| wrong.to_string())
}

fn client(fields: Value) -> Result<Arc<ClientTls>, String> {
    upstream(&socket(&format!("{TLS}.UpstreamTlsContext"), fields)).map(|socket| socket.tls.unwrap())
}

fn with_params(params: Value) -> Result<Arc<ServerTls>, String> {
    let secrets = json!([{"name": "s"}]);
    server(
        json!({"common_tls_context": {"tls_params": params, "tls_certificate_sds_secret_configs": secrets}}),
    )
}

#[test]
fn a_gateways_context_is_kept_as_data() {
    let tls = server(json!({
        "require_client_certificate": true,
        "common_tls_context": {
            "alpn_protocols": ["istio-peer-exchange", "h2", "http/1.1"],
            "tls_certificate_sds_secret_configs": [{"name": "kubernetes://cred", "sds_config": {"ads": {}}}],
            "combined_validation_context": {
                "default_validation_context": {"match_typed_subject_alt_names": [
                    {"san_type": "DNS", "matcher": {"exact": "a"}},
                ]},
                "validation_context_sds_secret_config": {"name": "kubernetes://cred-cacert"},
            },
        },
    }))
    .unwrap();

    assert!(tls.requires_client_certificate && tls.resumes_by_ticket && tls.resumes_by_memory);
    assert_eq!(tls.common.versions, Versions { tls12: true, tls13: true });
    let alpn: Vec<_> = tls.common.alpn.iter().map(|name| &**name).collect();
    assert_eq!(alpn, ["h2", "http/1.1"], "a preamble that is not spoken is not agreed on");
    let names: Vec<_> = tls.common.secrets().map(|name| &**name).collect();
    assert_eq!(names, ["kubernetes://cred", "kubernetes://cred-cacert"]);
    assert_eq!(tls.common.validation.as_ref().unwrap().own.names.len(), 1);
}

#[test]
fn a_client_speaks_up_to_1_2_unless_told_otherwise() {
    let plain = client(json!({"sni": "a.example", "max_session_keys": 0})).unwrap();
    assert_eq!(plain.common.versions, Versions { tls12: true, tls13: false });
    assert_eq!((plain.server_name.as_deref(), plain.max_sessions), (Some("a.example"), 0));

    let params = json!({"tls_maximum_protocol_version": "TLSv1_3"});
    let newer = client(json!({"common_tls_context": {"tls_params": params}})).unwrap();
    assert_eq!((newer.common.versions, newer.max_sessions), (Versions { tls12: true, tls13: true }, 1));
    assert_ne!(plain.common.digest, newer.common.digest);
}

#[test]
fn of_versions_ciphers_and_curves_those_that_are_spoken_remain() {
    let params = |json| with_params(json).map(|tls| tls.common.clone());
    let only13 = params(json!({"tls_minimum_protocol_version": "TLSv1_3"})).unwrap();
    assert_eq!(only13.versions, Versions { tls12: false, tls13: true });
    let old = json!({"tls_minimum_protocol_version": "TLSv1_0", "tls_maximum_protocol_version": "TLSv1_2"});
    assert_eq!(params(old).unwrap().versions, Versions { tls12: true, tls13: false });

    let ciphers = json!({"cipher_suites": [
        "[ECDHE-ECDSA-AES256-GCM-SHA384|ECDHE-ECDSA-CHACHA20-POLY1305]", "AES256-SHA", "ECDHE-RSA-AES128-GCM-SHA256",
    ]});
    assert_eq!(
        params(ciphers).unwrap().ciphers,
        [Cipher::EcdsaAes256, Cipher::EcdsaChacha20, Cipher::RsaAes128]
    );
    let curves = json!({"ecdh_curves": ["P-521", "P-256", "X25519"]});
    assert_eq!(params(curves).unwrap().curves, [Curve::P256, Curve::X25519]);
}

#[test]
fn what_leaves_nothing_to_speak_is_refused_with_what_there_is() {
    let path = "typed_config.common_tls_context.tls_params";
    for (params, place, says) in [
        (json!({"cipher_suites": ["AES256-SHA"]}), "cipher_suites", "ECDHE-RSA-CHACHA20-POLY1305"),
        (json!({"cipher_suites": ["NO-SUCH"]}), "cipher_suites[0]", "\"NO-SUCH\" is not a cipher suite"),
        (json!({"ecdh_curves": ["P-521"]}), "ecdh_curves", "X25519"),
        (json!({"tls_maximum_protocol_version": "TLSv1_1"}), "tls_maximum_protocol_version", "1.2 and 1.3"),
        (json!({"signature_algorithms": ["x"]}), "signature_algorithms", "not supported"),
    ] {
        let error = with_params(params).unwrap_err();
        assert!(error.starts_with(&format!("{path}.{place}: ")) && error.contains(says), "{error}");
    }
}

#[test]
fn a_proxy_header_stands_before_plain_bytes_or_tls() {
    let proxied = |inner: Value, version: &str| {
        socket(
            "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
            json!({"config": {"version": version}, "transport_socket": inner}),
        )
    };
    let raw =
        socket("type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer", json!({}));
    let tls = socket(&format!("{TLS}.UpstreamTlsContext"), json!({"sni": "s"}));

    let plain = upstream(&proxied(raw.clone(), "V1")).unwrap();
    assert_eq!((plain.proxy_header, plain.tls.is_some()), (Some(ProxyHeader::V1), false));
    let secure = upstream(&proxied(tls, "V2")).unwrap();
    assert_eq!((secure.proxy_header, secure.tls.is_some()), (Some(ProxyHeader::V2), true));
    let twice = upstream(&proxied(proxied(raw, "V1"), "V1")).unwrap_err();
    assert!(twice.starts_with("typed_config.transport_socket.typed_config"), "{twice}");
}

#[test]
fn what_would_show_or_demand_other_certificates_is_refused() {
    let secrets = json!([{"name": "a"}, {"name": "b"}]);
    for (context, place) in [
        (json!({}), "typed_config.common_tls_context.tls_certificates"),
        (json!({"key_log": {"path": "/x"}}), "typed_config.common_tls_context.key_log"),
        (json!({"custom_handshaker": {"name": "x"}}), "typed_config.common_tls_context.custom_handshaker"),
        (
            json!({"combined_validation_context": {}}),
            "typed_config.common_tls_context.combined_validation_context.validation_context_sds_secret_config",
        ),
    ] {
        let error = server(json!({"common_tls_context": context})).unwrap_err();
        assert!(error.starts_with(place), "{error}");
    }
    let error = client(json!({"common_tls_context": {"tls_certificate_sds_secret_configs": secrets}}));
    assert!(error.unwrap_err().contains("one certificate"));
    let strict = json!({"ocsp_staple_policy": "MUST_STAPLE"});
    assert!(server(strict).unwrap_err().starts_with("typed_config.ocsp_staple_policy"));
}
