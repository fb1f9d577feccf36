//! The configuration in force: objects and settings.

use api::MeshConfig;
use api::mesh_config::{InboundMode, LogEncoding, PathNormalization};
use api::sidecar::OutboundMode;
use base::duration::render;
use serde_json::{Map, Value, json};

use crate::desk::Desk;

/// The group of the objects that configure a mesh; what the platform says of itself is not configuration.
const GROUP: &str = "networking.istio.io";

/// Every object that configures the mesh, in the order of kinds.
pub(super) fn configz(desk: &Desk) -> Value {
    let standing = desk.built.standing();
    standing.set.iter().filter(|resource| resource.kind().group() == GROUP).map(object).collect()
}

/// An object as a server would keep it.
fn object(resource: &api::Resource) -> Value {
    let mut json = resource.to_json();
    let mut object = Map::new();
    for key in ["kind", "apiVersion", "metadata", "spec"] {
        if let Some(value) = json.get_mut(key) {
            object.insert(key.to_owned(), value.take());
        }
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        let version = resource.digest().to_string();
        metadata.entry("resourceVersion").or_insert(version.into());
    }
    Value::Object(object)
}

/// The mesh's settings, as a MeshConfig says them.
pub(super) fn mesh(desk: &Desk) -> Value {
    let config = desk.built.standing().mesh;
    let mut json = settings(&config);
    json["defaultConfig"]["discoveryAddress"] = desk.discovery.clone().into();
    json
}

fn settings(config: &MeshConfig) -> Value {
    let everybody = |words: &[String]| match words {
        [] => json!(["*"]),
        words => json!(words),
    };
    json!({
        "proxyListenPort": config.proxy_listen_port,
        "proxyInboundListenPort": config.proxy_inbound_listen_port,
        "proxyHttpPort": config.proxy_http_port.unwrap_or_default(),
        "connectTimeout": render(config.connect_timeout),
        "protocolDetectionTimeout": render(config.protocol_detection_timeout.unwrap_or_default()),
        "ingressClass": config.ingress.class,
        "ingressService": config.ingress.service,
        "ingressSelector": config.ingress.selector,
        "accessLogFile": config.access_log.file.as_deref().unwrap_or_default(),
        "accessLogFormat": config.access_log.format,
        "accessLogEncoding": match config.access_log.encoding {
            LogEncoding::Json => "JSON",
            LogEncoding::Text => "TEXT",
        },
        "defaultConfig": {
            "proxyAdminPort": 15000,
            "statusPort": 15021,
            "drainDuration": render(config.default_config.drain_duration),
            "terminationDrainDuration": render(config.default_config.termination_drain_duration),
        },
        "outboundTrafficPolicy": {
            "mode": match config.outbound_traffic_policy {
                OutboundMode::AllowAny => "ALLOW_ANY",
                OutboundMode::AllowAnyDynamicDns => "ALLOW_ANY_DYNAMIC_DNS",
                OutboundMode::RegistryOnly => "REGISTRY_ONLY",
            },
        },
        "inboundTrafficPolicy": {
            "mode": match config.inbound_traffic_policy {
                InboundMode::Localhost => "LOCALHOST",
                InboundMode::Passthrough => "PASSTHROUGH",
            },
        },
        "defaultServiceExportTo": everybody(&config.default_service_export_to),
        "defaultVirtualServiceExportTo": everybody(&config.default_virtual_service_export_to),
        "defaultDestinationRuleExportTo": everybody(&config.default_destination_rule_export_to),
        "rootNamespace": config.root_namespace,
        "localityLbSetting": { "enabled": config.locality_lb_setting.is_enabled },
        "dnsRefreshRate": render(config.dns_refresh_rate),
        "pathNormalization": {
            "normalization": match config.path_normalization {
                PathNormalization::Base => "BASE",
                PathNormalization::DecodeAndMergeSlashes => "DECODE_AND_MERGE_SLASHES",
                PathNormalization::MergeSlashes => "MERGE_SLASHES",
                PathNormalization::None => "NONE",
            },
        },
    })
}
