//! The ingress gateway of a mesh that a verb casts itself, under the names Istio installs it by.

use std::net::{IpAddr, Ipv4Addr};

use base::Labels;
use local::{Role, Workload};

/// Its name, which is also its service's.
pub(super) const NAME: &str = "istio-ingressgateway";

/// Its namespace.
pub(super) const NAMESPACE: &str = "istio-system";

/// The gateway itself, listening on 127.0.0.1.
pub(super) fn workload(seed: &str) -> Workload {
    Workload {
        name: NAME.to_owned(),
        pod: Workload::pod_name(NAME, seed),
        namespace: NAMESPACE.to_owned(),
        labels: Labels::from([("app", NAME), ("istio", "ingressgateway")]),
        service_account: format!("{NAME}-service-account"),
        role: Role::Gateway(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        concurrency: Some(1),
        ..Workload::default()
    }
}
