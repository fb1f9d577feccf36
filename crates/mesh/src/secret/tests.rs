#![allow(clippy::unwrap_used)]

use super::*;

fn credentials(text: &str) -> Credentials {
    let parsed = api::parse("secrets.yaml", text.as_bytes());
    assert!(parsed.refused.is_empty(), "{:#?}", parsed.issues);
    let set = parsed.resources.into_iter().collect();
    Credentials::new(&Arc::new(Secrets::gather(&set)), "edge", "/etc/roots.pem")
}

fn pem(label: &str, body: &str) -> String {
    format!("-----BEGIN {label}-----\n    {body}\n    -----END {label}-----\n")
}

fn secret(name: &str, namespace: &str, parts: &[(&str, String)]) -> String {
    let parts: String = parts.iter().map(|(key, pem)| format!("  {key}: |\n    {pem}")).collect();
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\nstringData:\n{parts}"
    )
}

fn bytes(material: &Material) -> String {
    match material {
        Material::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Material::File(path) => panic!("{path}"),
    }
}

#[test]
fn a_secret_is_found_by_its_name_in_the_namespace_of_the_proxy_alone() {
    let parts = [("tls.crt", pem("CERTIFICATE", "AAAA")), ("tls.key", pem("PRIVATE KEY", "BBBB"))];
    let credentials = credentials(&[secret("web", "edge", &parts), secret("far", "other", &parts)].concat());

    let slice = credentials.slice("kubernetes://web").unwrap();

    assert_eq!(slice.name, "kubernetes://web");
    assert!(slice.is_private());
    let SecretContent::Certificate { chain, key } = &slice.content else { panic!("{slice:?}") };
    assert!(bytes(chain).contains("AAAA") && bytes(key).contains("BBBB"));
    assert_eq!(credentials.slice("kubernetes://web-cacert"), None, "it holds no authorities");
    assert_eq!(credentials.slice("kubernetes://far"), None);
    assert_eq!(credentials.slice("kubernetes://other/far"), None);
    assert_eq!(credentials.slice("default"), None);
}

#[test]
fn authorities_come_from_a_secret_of_their_own_before_the_one_they_belong_to() {
    let own = |body: &str| [("ca.crt", pem("CERTIFICATE", body))];
    let both = [secret("web", "edge", &own("AAAA")), secret("web-cacert", "edge", &own("CCCC"))].concat();

    let roots = |text: &str| {
        let slice = credentials(text).slice("kubernetes://web-cacert").unwrap();
        let SecretContent::Roots { authorities, .. } = &slice.content else { panic!("{slice:?}") };
        bytes(authorities)
    };

    assert!(roots(&secret("web", "edge", &own("AAAA"))).contains("AAAA"));
    assert!(roots(&both).contains("CCCC"));
}

#[test]
fn files_are_named_and_never_read() {
    let credentials = credentials("---\n");

    let files = credentials.slice("file-cert:/a.pem~/a.key").unwrap();
    let roots = credentials.slice("file-root:system").unwrap();

    let file = |path: &str| Material::File(path.to_owned());
    assert_eq!(files.content, SecretContent::Certificate { chain: file("/a.pem"), key: file("/a.key") });
    assert_eq!(roots.content, SecretContent::Roots { authorities: file("/etc/roots.pem"), revoked: None });
    assert!(!files.is_private() && !roots.is_private());
}
