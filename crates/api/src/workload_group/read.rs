//! The fields of a WorkloadGroup, and from a document to a [`WorkloadGroup`].

use super::WorkloadGroup;
use crate::check;
use crate::read::At;
use crate::schema::{COUNT, Field, LABELS, PORT, Shape, TEXTS, U32, ok, warned};
use crate::workload_entry::{ENDPOINT_FIELDS, read_template};

/// Below `spec`.
pub(crate) const FIELDS: &[Field] = &[
    warned("metadata", Shape::Object(&[ok("labels", LABELS), ok("annotations", LABELS)]), NO_MEMBERS),
    warned("template", Shape::Object(ENDPOINT_FIELDS), NO_MEMBERS),
    warned("probe", Shape::Object(PROBE), NO_MEMBERS),
];

const NO_MEMBERS: &str = "no workload registers itself: write a WorkloadEntry for each";

const PROBE: &[Field] = &[
    ok("initialDelaySeconds", COUNT),
    ok("timeoutSeconds", COUNT),
    ok("periodSeconds", COUNT),
    ok("successThreshold", COUNT),
    ok("failureThreshold", COUNT),
    ok("httpGet", Shape::Object(HTTP_GET)),
    ok("tcpSocket", Shape::Object(&[ok("host", Shape::Text), ok("port", PORT)])),
    ok("exec", Shape::Object(&[ok("command", TEXTS)])),
    ok("grpc", Shape::Object(&[ok("port", U32), ok("service", Shape::Text)])),
];

const HTTP_GET: &[Field] = &[
    ok("path", Shape::Text),
    ok("port", PORT),
    ok("host", Shape::Text),
    ok("scheme", Shape::Word(&["", "HTTP", "HTTPS"])),
    ok("httpHeaders", Shape::List(&Shape::Object(&[ok("name", Shape::Text), ok("value", Shape::Text)]))),
];

/// Reads `spec`; what is wrong goes to the log.
pub(crate) fn read(spec: &At<'_>) -> WorkloadGroup {
    let metadata = spec.field("metadata");
    if let Some(labels) = metadata.as_ref().and_then(|metadata| metadata.field("labels")) {
        check::labels(&labels);
    }
    if spec.field("template").is_none() {
        spec.missing("template", "a WorkloadGroup needs the template of its workloads");
    }
    if let Some(probe) = spec.field("probe") {
        check_probe(&probe);
    }
    WorkloadGroup {
        labels: metadata.as_ref().map(|metadata| metadata.labels("labels")).unwrap_or_default(),
        annotations: metadata.map(|metadata| metadata.map("annotations")).unwrap_or_default(),
        template: spec.field("template").map(|field| read_template(&field)).unwrap_or_default(),
    }
}

/// A probe asks in exactly one way.
fn check_probe(at: &At<'_>) {
    let ways = ["httpGet", "tcpSocket", "exec", "grpc"];
    let written: Vec<At<'_>> = ways.iter().filter_map(|way| at.field(way)).collect();
    match written.as_slice() {
        [] => at.missing("httpGet", "a probe needs one of `httpGet`, `tcpSocket`, `exec` and `grpc`"),
        [_] => {}
        _ => at.error("conflict", "`httpGet`, `tcpSocket`, `exec` and `grpc` exclude each other"),
    }
    for way in &written {
        let needed = match way.name() {
            "exec" => "command",
            "grpc" => continue,
            _ => "port",
        };
        if way.field(needed).is_none() {
            way.missing(needed, format!("`{}` needs a `{needed}`", way.name()));
        }
        for header in way.list("httpHeaders") {
            let name = header.text("name").unwrap_or_default();
            let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            if let Some(field) =
                header.field("name").filter(|_| name.is_empty() || !name.bytes().all(is_name))
            {
                field.error("wrong-value", format!("{name:?} does not name a header"));
            }
        }
        for item in way.list("command").iter().filter(|item| item.node.text() == Some("")) {
            item.error("wrong-value", "a word of the command is empty");
        }
    }
}
