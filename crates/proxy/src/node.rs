//! What the proxy says of itself to its control plane.

use base::{Bootstrap, NodeId};
use proto::envoy::config::core::v3::node::UserAgentVersionType;
use proto::envoy::config::core::v3::{Extension, Node};
use proto::google::protobuf::value::Kind;
use proto::google::protobuf::{ListValue, Struct, Value};

/// The extension by which a control plane knows that more than a stock Envoy is listening.
pub(crate) const EXTENSION: &str = "weft";

/// The node of a bootstrap.
pub(crate) fn announce(bootstrap: &Bootstrap, registry: &filter::Registry) -> Node {
    let mut extensions =
        vec![Extension { name: EXTENSION.into(), category: "weft.proxy".into(), ..Extension::default() }];
    extensions.extend(registry.messages().map(|message| Extension {
        name: message.into(),
        category: "envoy.filters.http".into(),
        type_urls: vec![message.into()],
        ..Extension::default()
    }));
    extensions.sort_by(|a, b| (a.name != EXTENSION, &a.name).cmp(&(b.name != EXTENSION, &b.name)));
    Node {
        id: bootstrap.id.clone(),
        cluster: bootstrap.cluster.clone(),
        metadata: Some(Struct {
            fields: bootstrap.metadata.iter().map(|(name, v)| (name.clone(), value(v))).collect(),
        }),
        user_agent_name: "weft-proxy".into(),
        user_agent_version_type: Some(UserAgentVersionType::UserAgentVersion(
            env!("CARGO_PKG_VERSION").into(),
        )),
        extensions,
        ..Node::default()
    }
}

/// Whether the proxy is known to others by an address of IPv6.
pub(crate) fn is_v6(bootstrap: &Bootstrap) -> bool {
    bootstrap.id.parse().is_ok_and(|id: NodeId| id.ip.is_ipv6())
}

fn value(json: &serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(bool) => Kind::BoolValue(*bool),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        serde_json::Value::String(text) => Kind::StringValue(text.clone()),
        serde_json::Value::Array(list) => {
            Kind::ListValue(ListValue { values: list.iter().map(value).collect() })
        }
        serde_json::Value::Object(fields) => {
            Kind::StructValue(Struct { fields: fields.iter().map(|(n, v)| (n.clone(), value(v))).collect() })
        }
    };
    Value { kind: Some(kind) }
}
