//! From a document to a [`MeshConfig`].

use base::{Host, Issue, Severity};

use super::{
    AccessLog, DefaultTrafficPolicy, InboundMode, IngressSettings, LogEncoding, MeshConfig,
    PathNormalization, ServiceSettings, proxy,
};
use crate::read::{At, Context, Finding, Log, MAX_BYTES};
use crate::sidecar::OutboundMode;
use crate::virtual_service::{Retries, read_retries};
use crate::yaml::{Budget, Mark, Node, Value, load, pieces};
use crate::{check, connection_pool, locality, outlier, schema, tls};

/// How issues call settings that stand in a file of their own.
const OBJECT: &str = "MeshConfig";

/// Reads a file that holds nothing but these settings.
pub(super) fn read_file(file: &str, bytes: &[u8]) -> (Option<MeshConfig>, Vec<Issue>) {
    let log = Log::new(file);
    let context = Context { log: &log, object: OBJECT, namespace: "" };
    let fault = |at: Mark, code: &str, message: String| {
        log.note(Severity::Error, code, at, Finding { object: OBJECT, path: "", message });
    };
    let config = match std::str::from_utf8(bytes) {
        Err(_) => {
            fault(Mark::default(), "not-utf8", "the file is not UTF-8; save it as UTF-8".into());
            None
        }
        Ok(_) if bytes.len() > MAX_BYTES => {
            fault(Mark::default(), "too-large", format!("the most is {} bytes", MAX_BYTES));
            None
        }
        Ok(text) => {
            if let Some(second) = pieces(bytes).filter(|piece| !piece.text().trim().is_empty()).nth(1) {
                let at = Mark { line: second.line, column: 1 };
                fault(at, "ambiguous", "the settings are one document; another one begins here".into());
            }
            read_text(text, 1, context, String::new())
        }
    };
    let config = config.filter(|_| log.errors() == 0);
    (config, log.into_issues())
}

/// Reads the text of a ConfigMap's key `mesh`.
pub(crate) fn read_embedded(field: &At<'_>) -> Option<MeshConfig> {
    // The mark of a block of text is its first line; indented as there, what is found in it has its place in the file.
    let indent = field.node.at.column.saturating_sub(1) as usize;
    let lines = field.node.text()?.lines();
    let text: String = lines.map(|line| format!("{:indent$}{line}\n", "")).collect();
    read_text(&text, field.node.at.line, field.context, field.path().to_owned())
}

fn read_text(text: &str, line: u32, context: Context<'_>, path: String) -> Option<MeshConfig> {
    let mut budget = Budget::default();
    let (root, faults) = load(text, line, &mut budget);
    for fault in &faults {
        let finding = Finding { object: context.object, path: &path, message: fault.message.clone() };
        context.log.note(Severity::Error, fault.code, fault.at, finding);
    }
    if !faults.is_empty() {
        return None;
    }
    let empty =
        Node { value: Value::Map(Vec::new()), at: Mark { line, column: 1 }, span: 0..0, is_shared: false };
    let root = root.unwrap_or(empty);
    let at = At::below(&root, context, path);
    schema::walk(&at, super::FIELDS);
    Some(read(&at))
}

fn read(at: &At<'_>) -> MeshConfig {
    let defaults = MeshConfig::default();
    let (outbound_traffic_policy, outbound) = outbound(at);
    let policy = at.field("defaultTrafficPolicy");
    let part = |name| policy.as_ref().and_then(|policy| policy.field(name));
    MeshConfig {
        connect_timeout: at.duration("connectTimeout").unwrap_or(defaults.connect_timeout),
        tcp_keepalive: at.field("tcpKeepalive").map(|field| connection_pool::keepalive(&field)),
        protocol_detection_timeout: at.duration("protocolDetectionTimeout").filter(|t| !t.is_zero()),
        dns_refresh_rate: at.duration("dnsRefreshRate").unwrap_or(defaults.dns_refresh_rate),
        h2_upgrade_policy: connection_pool::h2_upgrade(at),
        outbound_traffic_policy,
        outbound_tls: outbound.map(|field| tls::read_client(&field)),
        inbound_traffic_policy: match word(at, "inboundTrafficPolicy", "mode") {
            Some("LOCALHOST") => InboundMode::Localhost,
            _ => InboundMode::Passthrough,
        },
        locality_lb_setting: at
            .field("localityLbSetting")
            .map_or(defaults.locality_lb_setting, |field| locality::read(&field, true)),
        zone_aware_lb_setting: at.field("zoneAwareLbSetting").map(|field| locality::zone_aware(&field, true)),
        default_http_retry_policy: at.field("defaultHttpRetryPolicy").map(|field| read_retries(&field)),
        default_inbound_http_retry_policy: at
            .field("defaultInboundHttpRetryPolicy")
            .map(|field| inbound_retries(&field)),
        default_traffic_policy: DefaultTrafficPolicy {
            connection_pool: part("connectionPool").map(|field| connection_pool::read(&field)),
            outlier_detection: part("outlierDetection").map(|field| outlier::read(&field)),
        },
        default_service_export_to: export_words(at, "defaultServiceExportTo"),
        default_virtual_service_export_to: export_words(at, "defaultVirtualServiceExportTo"),
        default_destination_rule_export_to: export_words(at, "defaultDestinationRuleExportTo"),
        root_namespace: root_namespace(at).unwrap_or(defaults.root_namespace),
        service_settings: at.list("serviceSettings").iter().map(service_settings).collect(),
        path_normalization: match word(at, "pathNormalization", "normalization") {
            Some("NONE") => PathNormalization::None,
            Some("MERGE_SLASHES") => PathNormalization::MergeSlashes,
            Some("DECODE_AND_MERGE_SLASHES") => PathNormalization::DecodeAndMergeSlashes,
            _ => PathNormalization::Base,
        },
        access_log: access_log(at),
        ingress: ingress(at, defaults.ingress),
        proxy_listen_port: at.port("proxyListenPort").unwrap_or(defaults.proxy_listen_port),
        proxy_inbound_listen_port: at
            .port("proxyInboundListenPort")
            .unwrap_or(defaults.proxy_inbound_listen_port),
        proxy_http_port: at.port("proxyHttpPort"),
        inbound_cluster_stat_name: at.owned("inboundClusterStatName").unwrap_or_default(),
        outbound_cluster_stat_name: at.owned("outboundClusterStatName").unwrap_or_default(),
        default_config: at.field("defaultConfig").map(|field| proxy::read(&field)).unwrap_or_default(),
    }
}

/// The text of a field of a field.
fn word<'a>(at: &At<'a>, outer: &str, inner: &str) -> Option<&'a str> {
    at.field(outer)?.text(inner)
}

fn outbound<'a>(at: &At<'a>) -> (OutboundMode, Option<At<'a>>) {
    let Some(field) = at.field("outboundTrafficPolicy") else { return (OutboundMode::AllowAny, None) };
    let mode = match field.text("mode") {
        Some("ALLOW_ANY") => OutboundMode::AllowAny,
        Some("ALLOW_ANY_DYNAMIC_DNS") => OutboundMode::AllowAnyDynamicDns,
        _ => OutboundMode::RegistryOnly,
    };
    let tls = field.field("tls");
    if let Some(tls) = tls.as_ref().filter(|_| mode != OutboundMode::AllowAnyDynamicDns) {
        tls.error_at_key("conflict", "`tls` needs `mode: ALLOW_ANY_DYNAMIC_DNS`");
    }
    (mode, tls)
}

/// Retries of requests to a workload: there is one endpoint, which makes some settings idle.
fn inbound_retries(at: &At<'_>) -> Retries {
    for name in ["perTryTimeout", "retryRemoteLocalities", "retryIgnorePreviousHosts"] {
        if let Some(field) = at.field(name) {
            field.warn_at_key("no-effect", "a workload has one endpoint: this makes no difference");
        }
    }
    read_retries(at)
}

fn root_namespace(at: &At<'_>) -> Option<String> {
    check::namespace(at, "rootNamespace");
    at.owned("rootNamespace")
}

fn export_words(at: &At<'_>, name: &str) -> Vec<String> {
    for item in at.list(name) {
        let text = item.node.text().unwrap_or_default();
        if !matches!(text, "*" | "." | "~") && !check::is_label(text) {
            item.error("wrong-value", format!("{text:?} is not a namespace; write a name, `.`, `*` or `~`"));
        }
    }
    at.texts(name)
}

fn service_settings(at: &At<'_>) -> ServiceSettings {
    let mut hosts = Vec::new();
    for item in at.list("hosts") {
        let Some(text) = item.node.text() else { continue };
        match check::wildcard_host_error(text) {
            Some(message) => item.error("wrong-value", message),
            None => hosts.push(Host::new(text)),
        }
    }
    let is_cluster_local = at.field("settings").and_then(|settings| settings.bool("clusterLocal"));
    ServiceSettings { is_cluster_local: is_cluster_local.unwrap_or(false), hosts }
}

fn access_log(at: &At<'_>) -> AccessLog {
    AccessLog {
        file: at.field("accessLogFile").and_then(|field| field.node.text().map(str::to_owned)),
        format: at.owned("accessLogFormat").unwrap_or_default(),
        encoding: match at.text("accessLogEncoding") {
            Some("JSON") => LogEncoding::Json,
            _ => LogEncoding::Text,
        },
    }
}

fn ingress(at: &At<'_>, defaults: IngressSettings) -> IngressSettings {
    IngressSettings {
        class: at.owned("ingressClass").unwrap_or(defaults.class),
        service: at.owned("ingressService").unwrap_or(defaults.service),
        selector: at.owned("ingressSelector").unwrap_or(defaults.selector),
    }
}
