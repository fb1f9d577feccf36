#![allow(clippy::unwrap_used)]

use super::*;
use crate::workload::Program;

const NET: LocalNet = LocalNet { mesh: 77, workload: 3 };

fn workload(env: &[(&str, &str)]) -> Workload {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Workload {
        name: "productpage-v1".into(),
        pod: "productpage-v1-abc".into(),
        namespace: "default".into(),
        ports: vec![9080, 9090],
        role: Role::Sidecar(Program { env, ..Program::default() }),
        ..Workload::default()
    }
}

#[test]
fn a_program_is_told_where_to_listen_and_how_to_go_out() {
    let dir = tempfile::tempdir().unwrap();

    let variables = variables(&workload(&[("STAR_COLOR", "red")]), NET, &Layout::new(dir.path()));

    assert_eq!(variables["BIND"], "127.77.3.2");
    assert_eq!(variables["PORT"], "9080");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"] {
        assert_eq!(variables[name], "http://127.77.3.3:15007");
    }
    assert_eq!(variables["POD_NAME"], "productpage-v1-abc");
    assert_eq!(variables["STAR_COLOR"], "red");
}

#[test]
fn services_with_an_address_are_named_as_kubernetes_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    std::fs::create_dir_all(layout.own()).unwrap();
    std::fs::write(
        layout.addresses(),
        r#"{"book-shop.default.svc.cluster.local":5,"gone.default.svc.cluster.local":6}"#,
    )
    .unwrap();
    let service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: book-shop\nspec:\n  ports:\n  - port: 81\n    name: http\n";
    std::fs::write(dir.path().join("services.yaml"), service).unwrap();

    let variables = variables(&workload(&[]), NET, &layout);

    assert_eq!(variables["BOOK_SHOP_SERVICE_HOST"], "127.78.3.5");
    assert_eq!(variables["BOOK_SHOP_SERVICE_PORT"], "81");
    assert!(!variables.contains_key("GONE_SERVICE_HOST"));
}

#[test]
fn addresses_that_cannot_be_read_leave_the_program_without_them() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    std::fs::create_dir_all(layout.own()).unwrap();
    std::fs::write(layout.addresses(), "{\"x\": 999").unwrap();

    assert!(variables(&workload(&[]), NET, &layout).contains_key("PORT"));
}

#[test]
fn a_program_outside_the_mesh_goes_its_own_way() {
    let dir = tempfile::tempdir().unwrap();
    let outside = Workload { sidecar: Sidecar::None, ..workload(&[]) };

    let variables = variables(&outside, NET, &Layout::new(dir.path()));

    assert_eq!(variables["BIND"], "127.77.3.2");
    assert!(!variables.keys().any(|name| name.to_ascii_lowercase().contains("proxy")));
}
