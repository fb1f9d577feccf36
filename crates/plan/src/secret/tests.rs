#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn validation(json: &Value) -> Result<Validation, String> {
    Validation::compile(&proto::json::from_json(json).unwrap()).map_err(|wrong| wrong.to_string())
}

fn secret(fields: Value) -> Result<Secret, String> {
    let mut json = json!({"name": "s"});
    fields.as_object().unwrap().iter().for_each(|(key, value)| json[key] = value.clone());
    Secret::compile(&proto::json::from_json(&json).unwrap()).map_err(|wrong| wrong.to_string())
}

#[test]
fn a_certificate_is_bytes_or_a_file() {
    let inline = json!({"tls_certificate": {
        "certificate_chain": {"inline_string": "CERT"}, "private_key": {"inline_bytes": "S0VZ"},
    }});
    let Secret::Certificate(certificate) = secret(inline).unwrap() else { panic!() };
    assert_eq!(certificate.key, Pem::Bytes("KEY".into()));
    assert_eq!(format!("{:?}", certificate.key), "Bytes(3)", "no key is ever printed");

    let files = json!({"tls_certificate": {
        "certificate_chain": {"filename": "/c"}, "private_key": {"filename": "/k"}, "ocsp_staple": {"filename": "/o"},
    }});
    let Secret::Certificate(certificate) = secret(files).unwrap() else { panic!() };
    assert_eq!(certificate.chain, Pem::File("/c".into()));
    assert_eq!(certificate.ocsp, Some(Pem::File("/o".into())));
}

#[test]
fn names_are_judged_by_kind_and_condition() {
    let all = validation(&json!({"match_typed_subject_alt_names": [
        {"san_type": "URI", "matcher": {"prefix": "spiffe://td/"}},
        {"san_type": "DNS", "matcher": {"exact": "a.example"}},
        {"san_type": "DNS", "matcher": {"safe_regex": {"regex": "b-\\d+"}}},
        {"san_type": "IP_ADDRESS", "matcher": {"exact": "10.0.0.1"}},
        {"san_type": "EMAIL", "matcher": {"suffix": "@example.org"}},
        {"san_type": "OTHER_NAME", "oid": "1.2.3", "matcher": {"contains": "x"}},
    ]}))
    .unwrap();
    for (kind, name, expected) in [
        (SanKind::Uri, "spiffe://td/ns/a", true),
        (SanKind::Uri, "spiffe://other/ns/a", false),
        (SanKind::Dns, "spiffe://td/ns/a", false),
        (SanKind::Dns, "A.example", true),
        (SanKind::Dns, "*.example", true),
        (SanKind::Dns, "*.a.example", false),
        (SanKind::Dns, "*", false),
        (SanKind::Dns, "b-12", true),
        (SanKind::Dns, "b-", false),
        (SanKind::Ip, "10.0.0.1", true),
        (SanKind::Email, "me@example.org", true),
        (SanKind::Other("1.2.3".into()), "axb", true),
        (SanKind::Other("1.2.4".into()), "axb", false),
    ] {
        assert_eq!(all.accepts_names([(kind.clone(), name)]), expected, "{kind:?} {name}");
    }
    assert!(all.is_picky() && !all.accepts_names([]));
    assert!(Validation::default().accepts_names([]));

    let old = validation(&json!({"match_subject_alt_names": [{"exact": "x"}]})).unwrap();
    assert!(old.accepts_names([(SanKind::Uri, "x")]) && old.accepts_names([(SanKind::Dns, "X")]));
}

#[test]
fn a_pin_in_either_list_suffices() {
    let hash = "aa".repeat(32);
    let colons = ["BB"; 32].join(":");
    let key = format!("{}=", "A".repeat(43));
    let pins =
        validation(&json!({"verify_certificate_hash": [hash, colons], "verify_certificate_spki": [key]}))
            .unwrap();

    for (certificate, key, expected) in [(0xaa, 9, true), (0xbb, 9, true), (1, 0, true), (1, 9, false)] {
        assert_eq!(pins.accepts_digests(&[certificate; 32], &[key; 32]), expected);
    }
    assert!(Validation::default().accepts_digests(&[1; 32], &[2; 32]));
}

#[test]
fn a_secret_adds_to_what_a_context_says() {
    let own = validation(&json!({
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "a"}}],
        "trust_chain_verification": "ACCEPT_UNTRUSTED",
    }))
    .unwrap();
    let theirs =
        validation(&json!({"trusted_ca": {"filename": "/ca"}, "crl": {"filename": "/crl"}})).unwrap();

    let both = own.with(&theirs);

    assert_eq!((both.names.len(), both.roots, both.crl), (1, theirs.roots, theirs.crl));
    assert!(both.accepts_untrusted);
}

#[test]
fn a_list_of_what_is_revoked_may_wait_for_the_authorities_of_a_secret() {
    let own = validation(&json!({"crl": {"filename": "/crl"}})).unwrap();
    let theirs = validation(&json!({"trusted_ca": {"filename": "/ca"}})).unwrap();

    let both = own.with(&theirs).sound();

    assert!(both.is_ok_and(|both| both.crl == own.crl));
    assert!(own.sound().is_err_and(|why| why.contains("revoked")));
}

#[test]
fn what_is_not_supported_is_refused_with_its_path() {
    for (fields, place) in [
        (json!({}), "type"),
        (json!({"generic_secret": {}}), "generic_secret"),
        (json!({"session_ticket_keys": {}}), "session_ticket_keys"),
        (json!({"tls_certificate": {}}), "tls_certificate.certificate_chain"),
        (json!({"tls_certificate": {"pkcs12": {"filename": "/p"}}}), "tls_certificate.pkcs12"),
        (
            json!({"tls_certificate": {"certificate_chain": {"environment_variable": "X"}}}),
            "tls_certificate.certificate_chain.environment_variable",
        ),
        (
            json!({"validation_context": {"match_typed_subject_alt_names": [{"matcher": {"exact": "a"}}]}}),
            "validation_context.match_typed_subject_alt_names[0].san_type",
        ),
        (
            json!({"validation_context": {"verify_certificate_hash": ["aa"]}}),
            "validation_context.verify_certificate_hash[0]",
        ),
        (
            json!({"validation_context": {"verify_certificate_spki": ["a b="]}}),
            "validation_context.verify_certificate_spki[0]",
        ),
        (json!({"validation_context": {"crl": {"filename": "/c"}}}), "validation_context.crl"),
    ] {
        let error = secret(fields.clone()).unwrap_err();
        assert!(error.starts_with(place), "{fields}: {error}");
    }
}
