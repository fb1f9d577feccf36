#![allow(clippy::unwrap_used)]

use std::os::unix::fs::{PermissionsExt, symlink};

use api::Kind;
use tempfile::tempdir;

use super::*;

fn service(name: &str, port: u16) -> Resource {
    let text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{name: http, port: {port}}}]}}\n"
    );
    api::parse("request", text.as_bytes()).resources.remove(0)
}

#[test]
fn names_that_would_leave_the_directory_name_no_file() {
    let store = Store::new(PathBuf::from("/mesh"));

    for (namespace, name) in
        [("default", "../a"), ("..", "a"), ("a/b", "c"), (".weft", "a"), ("", "a"), ("a", "b\0")]
    {
        let key = Key::new(Kind::Service, namespace, name);

        assert!(matches!(store.home(&key), Err(StoreError::Unnameable(_))), "{key}");
    }
}

#[test]
fn a_link_stays_a_link_and_permissions_stay() {
    let dir = tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("a.yaml"));
    fs::write(&real, service("a", 1).text()).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real", &link).unwrap();

    Store::new(dir.path().to_owned()).put(&service("a", 2), Some(&link), false).unwrap();

    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("port: 2"));
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_write_leaves_no_other_file_behind() {
    let dir = tempdir().unwrap();

    Store::new(dir.path().to_owned()).put(&service("a", 1), None, false).unwrap();

    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["service-a.yaml"]);
}

#[test]
fn a_file_of_the_same_name_with_something_else_in_it_is_added_to() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("service-a.yaml");
    fs::write(&path, service("b", 2).text()).unwrap();

    Store::new(dir.path().to_owned()).put(&service("a", 1), None, false).unwrap();

    let parsed = api::parse("both", &fs::read(&path).unwrap());
    let names: Vec<_> = parsed.resources.iter().map(|r| r.meta().name.to_string()).collect();
    assert_eq!(names, ["b", "a"]);
}
