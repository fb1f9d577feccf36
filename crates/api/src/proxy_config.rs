//! Istio's ProxyConfig: how the proxies of some workloads are run.

use std::collections::BTreeMap;

use base::Labels;

use crate::check;
use crate::read::At;
use crate::schema::{COUNT, Field, LABELS, Shape, ok, partly, warned};

/// How the proxies of some workloads of a namespace are run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProxyConfig {
    /// The labels of the workloads; None means all of the namespace, or of the mesh in its root namespace.
    pub selector: Option<Labels>,
    /// How many threads serve; zero is one for each core, None means the mesh's default.
    pub concurrency: Option<u32>,
    /// Environment variables of the proxy.
    pub environment_variables: BTreeMap<String, String>,
}

const LOCAL: &str = "of the proxies that `weft up` starts; any other is told so where it is started";

/// Below `spec`.
pub(crate) const FIELDS: &[Field] = &[
    ok("selector", Shape::Object(&[ok("matchLabels", LABELS)])),
    partly("concurrency", COUNT, LOCAL),
    partly("environmentVariables", LABELS, LOCAL),
    warned("image", Shape::Object(&[ok("imageType", Shape::Text)]), "proxies are not started from images"),
];

/// Reads `spec`; what is wrong goes to the log.
pub(crate) fn read(spec: &At<'_>) -> ProxyConfig {
    let selector = spec.field("selector");
    if let Some(labels) = selector.as_ref().and_then(|selector| selector.field("matchLabels")) {
        check::selector(&labels);
    }
    ProxyConfig {
        selector: selector
            .map(|selector| selector.labels("matchLabels"))
            .filter(|labels| !labels.0.is_empty()),
        concurrency: spec.whole("concurrency"),
        environment_variables: spec.map("environmentVariables"),
    }
}
