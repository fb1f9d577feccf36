//! Metadata: which object decided a thing, in Istio's words and in our own.

use proto::envoy::config::core::v3::Metadata;
use proto::google::protobuf::{ListValue, Struct, Value, value::Kind};

use base::Origin;

/// The key of Istio's filter metadata.
const ISTIO: &str = "istio";
/// The key of our own.
const WEFT: &str = "weft.origin";

/// Metadata that names an object; None where there is none to name.
pub(crate) fn metadata(origin: Option<&Origin>) -> Option<Metadata> {
    with(origin, Vec::new())
}

/// Metadata of what one object wrote in the name of another: Istio names the other.
pub(crate) fn delegated(origin: &Origin, root: &Origin) -> Option<Metadata> {
    let mut metadata = with(Some(origin), Vec::new())?;
    if let Some(path) = istio_path(root) {
        metadata.filter_metadata.insert(ISTIO.into(), fields(vec![("config", text(path))]));
    }
    Some(metadata)
}

/// Metadata that names an object and says more under Istio's key.
pub(crate) fn with(origin: Option<&Origin>, more: Vec<(&str, Value)>) -> Option<Metadata> {
    let mut istio = more;
    if let Some(path) = origin.and_then(istio_path) {
        istio.push(("config", text(path)));
    }
    let mut metadata = Metadata::default();
    if !istio.is_empty() {
        metadata.filter_metadata.insert(ISTIO.into(), fields(istio));
    }
    if let Some(origin) = origin {
        let mut weft = vec![("object", text(origin.object()))];
        if !origin.path.is_empty() {
            weft.push(("path", text(origin.path.clone())));
        }
        metadata.filter_metadata.insert(WEFT.into(), fields(weft));
    }
    (!metadata.filter_metadata.is_empty()).then_some(metadata)
}

pub(crate) fn fields(fields: Vec<(&str, Value)>) -> Struct {
    Struct { fields: fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect() }
}

pub(crate) fn text(text: impl Into<String>) -> Value {
    Value { kind: Some(Kind::StringValue(text.into())) }
}

pub(crate) fn flag(flag: bool) -> Value {
    Value { kind: Some(Kind::BoolValue(flag)) }
}

pub(crate) fn list(items: impl Iterator<Item = Struct>) -> Value {
    let values = items.map(|item| Value { kind: Some(Kind::StructValue(item)) }).collect();
    Value { kind: Some(Kind::ListValue(ListValue { values })) }
}

/// Istio's name of an object of its own, `/apis/networking.istio.io/v1/namespaces/NS/virtual-service/NAME`.
fn istio_path(origin: &Origin) -> Option<String> {
    let kind = match origin.kind.as_str() {
        "DestinationRule" => "destination-rule",
        "Gateway" => "gateway",
        "ServiceEntry" => "service-entry",
        "Sidecar" => "sidecar",
        "VirtualService" => "virtual-service",
        _ => return None,
    };
    Some(format!("/apis/networking.istio.io/v1/namespaces/{}/{kind}/{}", origin.namespace, origin.name))
}
