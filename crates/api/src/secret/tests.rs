#![allow(clippy::unwrap_used)]

use crate::sample::{errors, found, one, parsed};
use crate::{Kind, Resource};

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";

/// The key's base64.
const CODED: &str = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCmMyVmpjbVYwCi0tLS0tRU5EIFBSSVZBVEUgS0VZLS0tLS0K";

#[test]
fn the_parts_are_found_under_either_name_and_decoded() {
    for (field, value) in [("data", CODED), ("stringData", KEY)] {
        for name in ["tls.key", "key"] {
            let body = format!("type: Opaque\n{field}: {{{name}: {value:?}, other: !!str x}}");

            let Resource::Secret(secret) = one(Kind::Secret, &body) else { panic!("a Secret") };

            assert_eq!(secret.private_key.as_deref(), Some(KEY.as_bytes()), "{field} {name}");
            assert_eq!(secret.certificate, None);
        }
    }
}

#[test]
fn a_key_is_never_shown() {
    let last = "kubectl.kubernetes.io/last-applied-configuration";
    let text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: x, annotations: {{{last}: {CODED}}}}}\ndata: {{tls.key: {CODED}}}\n"
    );
    let parsed = crate::parse("f", text.as_bytes());
    let [secret] = &parsed.resources[..] else { panic!("one Secret") };

    for shown in
        [format!("{secret:?}"), secret.to_yaml(), secret.to_json().to_string(), secret.shown().into()]
    {
        assert!(!shown.contains("c2VjcmV0") && !shown.contains(CODED), "{shown}");
    }
    assert_eq!(secret.to_json()["data"]["tls.key"], "<hidden>");
    assert!(secret.text().contains(CODED), "what is written to a file is what was read");
}

#[test]
fn what_is_wrong_with_a_value_does_not_show_it() {
    for (body, path) in [
        ("data: {tls.key: '%%secret%%'}", "data.tls.key"),
        ("data: secret", "data"),
        ("stringData: {key: [secret]}", "stringData.key"),
    ] {
        let issues = parsed(Kind::Secret, body).issues;

        assert_eq!(
            issues.iter().map(|issue| issue.path.to_string()).collect::<Vec<_>>(),
            [path],
            "{issues:?}"
        );
        assert!(issues.iter().all(|issue| !issue.message.contains("secret")), "{issues:?}");
    }
    assert_eq!(errors(Kind::Secret, "data: {key: '%'}"), [found("wrong-value", "data.key")]);
}

#[test]
fn a_secret_for_tls_has_a_certificate_and_its_key() {
    let missing = || found("missing-field", "data");

    assert_eq!(errors(Kind::Secret, "type: kubernetes.io/tls"), [missing(), missing()]);
}
