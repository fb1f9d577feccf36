//! Kubernetes' ConfigMap that holds the mesh's settings: the one called `istio`, under its key `mesh`.

use crate::mesh_config::{self, MeshConfig};
use crate::read::At;
use crate::schema::{ANY_WRITER, Field, LABELS, Shape, partly, warned};

/// The ConfigMap `istio`, or one of a revision (`istio-REVISION`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigMap {
    /// The mesh's settings; None where the key `mesh` is not written.
    pub mesh: Option<MeshConfig>,
}

/// The fields of the object itself: this kind has no `spec`.
pub(crate) const FIELDS: &[Field] = &[
    partly("data", LABELS, "its key `mesh` is read"),
    warned("binaryData", LABELS, "it is not read"),
    partly("immutable", Shape::Bool, ANY_WRITER),
];

/// Reads the object; what is wrong goes to the log.
pub(crate) fn read(root: &At<'_>) -> ConfigMap {
    let mesh = root.field("data").and_then(|data| data.field("mesh"));
    if let Some(data) = root.field("data")
        && let Some(networks) = data.field("meshNetworks")
        && networks.node.text().is_some_and(|text| !matches!(text.trim(), "" | "networks: {}"))
    {
        networks.warn_at_key("unsupported-field", "this has no effect: every network is reached directly");
    }
    ConfigMap { mesh: mesh.and_then(|field| mesh_config::read_embedded(&field)) }
}
