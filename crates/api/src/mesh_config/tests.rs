#![allow(clippy::unwrap_used)]

use base::Severity;

use super::*;
use crate::{Resource, parse};

fn config_map(settings: &str) -> String {
    let indented: String = settings.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |-\n{indented}"
    )
}

#[test]
fn what_is_not_written_is_istios_default() {
    let (empty, issues) = MeshConfig::parse("mesh.yaml", b"");

    assert_eq!((empty, issues), (Some(MeshConfig::default()), Vec::new()));
}

#[test]
fn settings_are_the_same_in_a_file_and_in_the_config_map() {
    let text = "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}
connectTimeout: 3s
defaultHttpRetryPolicy: {attempts: 0}
localityLbSetting: {enabled: false}
defaultServiceExportTo: [.]
pathNormalization: {normalization: MERGE_SLASHES}
accessLogFile: /dev/stdout
accessLogEncoding: JSON
proxyHttpPort: 15007
";
    let (alone, issues) = MeshConfig::parse("mesh.yaml", text.as_bytes());
    assert_eq!(issues, []);
    let alone = alone.unwrap();

    let parsed = parse("f.yaml", config_map(text).as_bytes());

    assert_eq!(parsed.issues, []);
    let [Resource::ConfigMap(map)] = &parsed.resources[..] else { panic!("one ConfigMap") };
    assert_eq!(map.mesh.as_ref(), Some(&alone));
    assert_eq!(alone.outbound_traffic_policy, OutboundMode::AllowAnyDynamicDns);
    assert_eq!(alone.default_http_retry_policy.unwrap().attempts, 0);
    assert!(!alone.locality_lb_setting.is_enabled);
    assert_eq!(alone.path_normalization, PathNormalization::MergeSlashes);
    assert_eq!(alone.access_log.encoding, LogEncoding::Json);
}

#[test]
fn a_fault_in_the_config_map_is_named_with_its_line_and_path() {
    let text = config_map("accessLogFile: /dev/stdout\ndefaultConfig:\n  # a comment\n  concurency: 2\n");

    let issues = parse("f.yaml", text.as_bytes()).issues;

    let [issue] = &issues[..] else { panic!("{issues:?}") };
    assert_eq!((issue.place.line, &*issue.code), (9, "unknown-field"));
    assert_eq!(issue.path, "data.mesh.defaultConfig.concurency");
    assert_eq!(text.lines().nth(8).unwrap().trim(), "concurency: 2");
}

#[test]
fn what_belongs_to_identity_is_warned_of() {
    let (config, issues) = MeshConfig::parse("m", b"trustDomain: x\nenableAutoMtls: true\n");

    assert!(config.is_some());
    let found: Vec<_> = issues.iter().map(|issue| (issue.severity, issue.path.as_str())).collect();
    assert_eq!(found, [(Severity::Warning, "trustDomain"), (Severity::Warning, "enableAutoMtls")]);
}

#[test]
fn one_fault_refuses_the_settings_whole() {
    for text in ["connectTimeout: soon", "a: b", "- x", "a: {", "x: 1\n---\ny: 2"] {
        let (config, issues) = MeshConfig::parse("m", text.as_bytes());

        assert!(config.is_none() && !issues.is_empty(), "{text}");
    }
    assert!(MeshConfig::parse("m", b"\xff").0.is_none());
}

#[test]
fn other_config_maps_are_not_ours() {
    let text = config_map("{}").replace("name: istio,", "name: web,");

    let parsed = parse("f.yaml", text.as_bytes());

    assert!(parsed.resources.is_empty());
    assert_eq!(parsed.issues[0].code, "skipped-kind");
}

#[test]
fn what_suits_the_edge_is_a_gateways_where_nothing_else_is_said() {
    let read = |settings: &str| {
        let text = format!("defaultConfig: {{connectionSettings: {{{settings}}}}}");
        let (config, issues) = MeshConfig::parse("mesh.yaml", text.as_bytes());
        assert_eq!(issues, []);
        config.unwrap().default_config.connection_settings
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));

    let edge = read(
        "profile: EDGE, httpMaxConcurrentStreams: 7, httpStreamIdleTimeout: 0s, httpMergeSlashes: false, \
         httpHeadersWithUnderscoresAction: HEADERS_WITH_UNDERSCORES_ALLOW",
    );

    assert_eq!((edge.http_idle_timeout, edge.http_max_concurrent_streams), (None, Some(7)));
    let gateway = edge.of_gateway();
    assert_eq!((gateway.http_idle_timeout, gateway.http_stream_idle_timeout), (seconds(3600), seconds(0)));
    assert_eq!(
        (gateway.http_request_timeout, gateway.http_request_headers_timeout),
        (seconds(300), seconds(60))
    );
    assert_eq!((gateway.http_max_concurrent_streams, gateway.http_merge_slashes), (Some(7), Some(false)));
    assert_eq!(gateway.http_headers_with_underscores_action, Some(HeadersWithUnderscores::Allow));
    assert_eq!(gateway.http_path_with_escaped_slashes_action, Some(EscapedSlashes::UnescapeAndRedirect));
    let plain =
        read("httpDrainTimeout: 2s, httpPathWithEscapedSlashesAction: PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED");
    assert_eq!(plain.clone().of_gateway(), plain);
    assert_eq!(plain, ConnectionSettings { http_drain_timeout: seconds(2), ..ConnectionSettings::default() });
}

#[test]
fn what_is_wrong_in_the_text_of_a_config_map_has_its_place_in_the_file() {
    for text in ["mesh: |\n    a: 1\n    accessLogFil: x\n", "mesh: |-\n      a: 1\n      accessLogFil: x\n"]
    {
        let file = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  {text}"
        );
        let indent = text.lines().nth(1).unwrap().find('a').unwrap() as u32;

        let issues = parse("f.yaml", file.as_bytes()).issues;

        let places: Vec<(u32, u32)> =
            issues.iter().map(|issue| (issue.place.line, issue.place.column)).collect();
        assert_eq!(places, [(6, indent + 1), (7, indent + 1)], "{issues:#?}");
    }
}
