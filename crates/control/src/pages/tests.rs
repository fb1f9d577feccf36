#![allow(clippy::unwrap_used)]

use std::time::UNIX_EPOCH;

use xds::TypeStatus;

use super::*;

#[test]
fn a_row_of_syncz_has_the_keys_istiods_tools_read() {
    let status = TypeStatus { nonce_sent: "n2".into(), nonce_acked: "n1".into(), ..TypeStatus::default() };
    let connection = Connection {
        id: "7".into(),
        node: "sidecar~127.77.3.1~reviews-v1.default~default.svc.cluster.local".into(),
        peer: "127.77.3.1:5000".into(),
        since: UNIX_EPOCH,
        settled: 1,
        types: [(TypeUrl::Cluster, status)].into(),
    };
    let known = Known {
        node: connection.node.clone(),
        cluster: "Kubernetes".into(),
        version: "1.30.0".into(),
        settled: 1,
        refused: BTreeMap::new(),
    };

    let rows = syncz(&[connection], &[("7".to_owned(), known)].into());

    let expected = json!([{
        "cluster_id": "Kubernetes",
        "proxy": "reviews-v1.default",
        "proxy_type": "sidecar",
        "istio_version": "1.30.0",
        "cluster_sent": "n2",
        "cluster_acked": "n1",
        "resources": {
            "type.googleapis.com/envoy.config.cluster.v3.Cluster": { "sent": "n2", "acked": "n1" }
        }
    }]);
    assert_eq!(Value::Array(rows), expected);
}
