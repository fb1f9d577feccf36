#![allow(clippy::unwrap_used)]

use super::*;

const MODEL: &str =
    "apiVersion: weft/v1alpha1\nkind: DomainModel\nproject: shop\ncontexts: [{name: order}]\n";

fn fresh(timeout: &str) -> String {
    let text = MODEL.replace("{name: order}", &format!("{{name: order, routing: {{timeout: {timeout}}}}}"));
    let model = ::generate::read("model.yaml", text.as_bytes()).model.unwrap();
    generate(&model, Options::default()).to_yaml()
}

#[test]
fn what_a_person_changed_stays_when_it_is_generated_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mesh.yaml");

    assert_eq!(again(&path, &fresh("1s")).unwrap(), Exit::Done);
    let first = fs::read_to_string(&path).unwrap();
    fs::write(&path, first.replace("weight: 100", "weight: 80 # a try")).unwrap();
    assert_eq!(again(&path, &fresh("2s")).unwrap(), Exit::Done);
    let second = fs::read_to_string(&path).unwrap();

    assert_eq!(first, fresh("1s"));
    for kept in ["weight: 80", "# a try", "timeout: 2s"] {
        assert!(second.contains(kept), "{kept}:\n{second}");
    }
    assert_eq!(fs::read_to_string(dir.path().join(".weft/generated/mesh.yaml")).unwrap(), fresh("2s"));
}

#[test]
fn the_same_field_changed_on_both_sides_is_a_conflict_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mesh.yaml");
    again(&path, &fresh("1s")).unwrap();
    fs::write(&path, fresh("1s").replace("timeout: 1s", "timeout: 9s")).unwrap();

    assert_eq!(again(&path, &fresh("2s")).unwrap(), Exit::Wrong);
    assert_eq!(again(&path, &fresh("2s")).unwrap(), Exit::Done);

    assert!(fs::read_to_string(&path).unwrap().contains("timeout: 9s"));
}

#[test]
fn a_file_that_cannot_be_read_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mesh.yaml");
    fs::write(&path, "kind: [\n").unwrap();

    let error = format!("{:#}", again(&path, &fresh("1s")).unwrap_err());

    assert!(error.contains("nothing is written") && error.contains("line 2"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "kind: [\n");
    assert!(!dir.path().join(".weft").exists());
}
