//! The documents of `samples/seeds`, and the cast they are played with.
//!
//! Start at [`document`], then [`cast`].
//!
//! Never: changes a document but for the folder its certificates lie in.

use std::path::PathBuf;

use tests_mesh::Cast;

/// The file of a document, by its path below `samples/seeds`.
pub fn path(name: &str) -> PathBuf {
    testkit::workspace_root().join("samples/seeds").join(name)
}

/// The text of a document.
pub fn document(name: &str) -> String {
    let path = path(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A workload that answers each path with `NAME VERSION`, on port 9080, behind the Service of its name.
pub fn site(cast: Cast, (namespace, name, version): (&str, &str, &str), paths: &[&str]) -> Cast {
    let pages: Vec<String> = paths
        .iter()
        .map(|path| format!(r#"{{"port":9080,"path":"{path}","status":200,"body":"{name} {version}"}}"#))
        .collect();
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
         selector: {{app: {name}}}\n  ports:\n  - {{name: http, port: 80, targetPort: 9080}}\n"
    );
    cast.object(&format!("service-{namespace}-{name}.yaml"), &service).sample(
        &format!("{name}-{version}"),
        "site",
        &[
            &format!("namespace: {namespace}"),
            &format!("labels: {{app: {name}, version: {version}}}"),
            "ports: [9080]",
            &format!("env: {{SITE: '[{}]'}}", pages.join(",")),
        ],
    )
}

/// The reviews in three versions, the ratings, somebody who asks, and the default ingress gateway.
pub fn cast() -> Cast {
    let mut cast = Cast::default().gateway("istio-ingressgateway", "ingressgateway");
    for version in ["v1", "v2", "v3"] {
        cast = site(cast, ("default", "reviews", version), &["/reviews", "/reviews/7"]);
    }
    site(cast, ("default", "ratings", "v1"), &["/ratings"]).sample(
        "client",
        "idle",
        &["labels: {app: client}"],
    )
}
