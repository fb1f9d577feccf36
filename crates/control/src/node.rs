//! From the node a proxy announces to the [`Proxy`] its configuration is made for.

use mesh::Proxy;
use proto::google::protobuf::value::Kind;
use proto::google::protobuf::{Struct, Value as ProtoValue};
use serde_json::{Map, Number, Value};
use xds::Node;

/// Who is asking, with what is shown of it but decides nothing.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    pub(crate) proxy: Proxy,
    /// `CLUSTER_ID`, as `/debug/syncz` shows it.
    pub(crate) cluster: String,
    /// `ISTIO_VERSION`, where it is announced.
    pub(crate) version: String,
}

impl Visitor {
    /// Reads a node.
    ///
    /// # Errors
    /// Says which part of it makes no sense.
    pub(crate) fn new(node: &Node) -> Result<Self, String> {
        let metadata = metadata(node);
        let extensions: Vec<String> = node.extensions.iter().map(|e| e.name.clone()).collect();
        let mut proxy = Proxy::new(&node.id, &metadata, &extensions)?;
        if let Some(place) = &node.locality {
            proxy = proxy.at(&place.region, &place.zone, &place.sub_zone);
        }
        let text = |key: &str| metadata.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self { proxy, cluster: text("CLUSTER_ID"), version: text("ISTIO_VERSION") })
    }
}

/// What a node says of itself beyond its name, as JSON.
pub(crate) fn metadata(node: &Node) -> Value {
    node.metadata.as_ref().map_or_else(|| Value::Object(Map::new()), object)
}

fn object(fields: &Struct) -> Value {
    // A Struct has no order of its own; sorted, the same node is always read alike.
    let mut entries: Vec<_> = fields.fields.iter().collect();
    entries.sort_by(|a, b| a.0.cmp(b.0));
    Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), json(value))).collect())
}

fn json(value: &ProtoValue) -> Value {
    match &value.kind {
        Some(Kind::BoolValue(bool)) => Value::Bool(*bool),
        Some(Kind::ListValue(list)) => Value::Array(list.values.iter().map(json).collect()),
        Some(Kind::NumberValue(number)) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        Some(Kind::StringValue(text)) => Value::String(text.clone()),
        Some(Kind::StructValue(fields)) => object(fields),
        Some(Kind::NullValue(_)) | None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proto::envoy::config::core::v3::{Extension, Locality};

    use super::*;

    fn text(text: &str) -> ProtoValue {
        ProtoValue { kind: Some(Kind::StringValue(text.into())) }
    }

    #[test]
    fn a_node_is_read_with_its_metadata_and_dialect() {
        let labels = Struct { fields: [("app".to_owned(), text("reviews"))].into() };
        let metadata = Struct {
            fields: [
                ("LABELS".to_owned(), ProtoValue { kind: Some(Kind::StructValue(labels)) }),
                ("CLUSTER_ID".to_owned(), text("Kubernetes")),
            ]
            .into(),
        };
        let node = Node {
            id: "sidecar~10.0.0.1~reviews-v1.demo~demo.svc.cluster.local".into(),
            metadata: Some(metadata),
            extensions: vec![Extension { name: "weft".into(), ..Extension::default() }],
            locality: Some(Locality { region: "eu".into(), zone: "eu-1".into(), ..Locality::default() }),
            ..Node::default()
        };

        let visitor = Visitor::new(&node).unwrap();

        assert_eq!(visitor.proxy.labels.value("app"), Some("reviews"));
        assert_eq!(visitor.proxy.dialect, mesh::Dialect::Weft);
        assert_eq!(visitor.cluster, "Kubernetes");
        assert_eq!(visitor.proxy.locality, "eu/eu-1");
    }

    #[test]
    fn a_node_without_a_proper_id_is_refused_with_its_fault() {
        let node = Node { id: "ztunnel~10.0.0.1~x.y~z".into(), ..Node::default() };

        assert!(Visitor::new(&node).unwrap_err().contains("ztunnel"));
    }

    #[test]
    fn numbers_that_json_cannot_say_are_null() {
        let value = ProtoValue { kind: Some(Kind::NumberValue(f64::NAN)) };

        assert_eq!(json(&value), Value::Null);
    }
}
