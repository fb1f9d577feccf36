//! The files of the demo: what is in force at its start, and the samples to try.

use std::path::{Path, PathBuf};

use anyhow::Context;

use local::Layout;

use crate::verb::ingress::{NAME, NAMESPACE};

/// The port Bookinfo's Gateway names.
const GATEWAY_PORT: u16 = 8080;

macro_rules! networking {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../../../samples/bookinfo/networking/", $name)))),*]
    };
}

/// The samples, by the names Istio's have.
const SAMPLES: [(&str, &str); 21] = networking![
    "bookinfo-gateway.yaml",
    "certmanager-gateway.yaml",
    "destination-rule-all-mtls.yaml",
    "destination-rule-all.yaml",
    "destination-rule-reviews.yaml",
    "egress-rule-google-apis.yaml",
    "fault-injection-details-v1.yaml",
    "virtual-service-all-v1.yaml",
    "virtual-service-details-v2.yaml",
    "virtual-service-ratings-db.yaml",
    "virtual-service-ratings-mysql-vm.yaml",
    "virtual-service-ratings-mysql.yaml",
    "virtual-service-ratings-test-abort.yaml",
    "virtual-service-ratings-test-delay.yaml",
    "virtual-service-reviews-50-v3.yaml",
    "virtual-service-reviews-80-20.yaml",
    "virtual-service-reviews-90-10.yaml",
    "virtual-service-reviews-jason-v2-v3.yaml",
    "virtual-service-reviews-test-v2.yaml",
    "virtual-service-reviews-v2-v3.yaml",
    "virtual-service-reviews-v3.yaml",
];

/// Bookinfo's Services.
const SERVICES: &str = include_str!("../../../../../samples/bookinfo/platform/bookinfo.yaml");

/// The sample that is in force at the start.
const OPENING: &str = "bookinfo-gateway.yaml";

/// Where the samples are written.
pub(super) fn samples(layout: &Layout) -> PathBuf {
    layout.own().join("samples")
}

/// Writes everything. In a directory that was kept, what its user has made of the files stays; only the gateway's
/// Service, which says where this run listens, and the samples are written anew.
pub(super) fn write(layout: &Layout, port: u16) -> anyhow::Result<()> {
    let samples = samples(layout);
    std::fs::create_dir_all(&samples).with_context(|| format!("making {}", samples.display()))?;
    for (name, text) in SAMPLES {
        put(&samples.join(name), text)?;
    }
    let opening = SAMPLES.iter().find(|(name, _)| *name == OPENING).map_or("", |(_, text)| text);
    for (name, text) in [("bookinfo.yaml", SERVICES), (OPENING, opening)] {
        let path = layout.dir().join(name);
        if !path.exists() {
            put(&path, text)?;
        }
    }
    put(&layout.dir().join("ingress.yaml"), &ingress(port))
}

fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// The gateway's Service: whatever port a Gateway names, this run's one is listened on.
fn ingress(port: u16) -> String {
    let mut ports = vec![("http2", 80, port), ("https", 443, 8443)];
    if port != GATEWAY_PORT {
        ports.insert(1, ("http-alt", GATEWAY_PORT, port));
    }
    let ports: String = ports
        .iter()
        .map(|(name, port, target)| format!("  - name: {name}\n    port: {port}\n    targetPort: {target}\n"))
        .collect();
    format!(
        "# Where the ingress gateway listens; written at every start.\n\
         apiVersion: v1\nkind: Service\nmetadata:\n  name: {NAME}\n  namespace: {NAMESPACE}\n  \
         labels:\n    app: {NAME}\n    istio: ingressgateway\nspec:\n  type: LoadBalancer\n  \
         selector:\n    app: {NAME}\n    istio: ingressgateway\n  ports:\n{ports}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(dir: &Path) -> Vec<String> {
        let files = crate::input::in_directory(dir).expect("the directory is there");
        let mut keys = Vec::new();
        for file in files {
            let parsed = api::parse("x", &std::fs::read(file).expect("the file is there"));
            assert_eq!(parsed.issues, []);
            keys.extend(parsed.resources.iter().map(|resource| resource.key().to_string()));
        }
        keys.sort();
        keys
    }

    #[test]
    fn the_demo_begins_with_its_services_and_its_gateway_only() {
        let dir = tempfile::tempdir().expect("a directory");

        write(&Layout::new(dir.path()), 9999).expect("the files are written");

        let expected = [
            "Gateway/default/bookinfo-gateway",
            "Service/default/details",
            "Service/default/productpage",
            "Service/default/ratings",
            "Service/default/reviews",
            "Service/istio-system/istio-ingressgateway",
            "VirtualService/default/bookinfo",
        ];
        assert_eq!(objects(dir.path()), expected);
    }

    #[test]
    fn what_a_user_made_of_a_kept_directory_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        write(&layout, 8080).expect("the files are written");
        std::fs::write(dir.path().join("bookinfo.yaml"), "# mine\n").expect("a user writes");

        write(&layout, 8081).expect("the files are written again");

        let kept = std::fs::read_to_string(dir.path().join("bookinfo.yaml")).expect("it is there");
        let ingress = std::fs::read_to_string(dir.path().join("ingress.yaml")).expect("it is there");
        assert_eq!(kept, "# mine\n");
        assert!(ingress.contains("targetPort: 8081"));
    }
}
