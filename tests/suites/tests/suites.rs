//! Peers' suites must not get worse: what fails is listed, and the list may only shrink.

use std::path::Path;

fn check(name: &str) {
    let Some(dir) = testkit::suites() else { return };
    let cases = suites::run(&dir, name).unwrap_or_else(|e| panic!("{name}: {e:#}"));
    assert!(!cases.is_empty(), "{name} has no case");

    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("known-failures/{name}.txt"));
    if let Err(wrong) = suites::known::compare(&cases, &list) {
        panic!("{name}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn simulation_does_not_get_worse() {
    check("simulation");
}

#[test]
fn istiod_does_not_get_worse() {
    check("istiod");
}
