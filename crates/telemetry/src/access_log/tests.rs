//! Lines as they must stand in a log, and what no header may do to one.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use base::Address;
use http::{HeaderMap, HeaderValue, Version};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::account::Flags;

fn at(text: &str) -> Option<&'static Address> {
    Some(Box::leak(Box::new(text.parse().unwrap())))
}

fn account() -> Account<'static> {
    Account {
        start: Duration::from_millis(1_732_193_866_042),
        duration: Duration::from_micros(12_900),
        upstream_service_time: Some(Duration::from_millis(11)),
        protocol: Some(Version::HTTP_11),
        method: Some("GET"),
        path: Some("/reviews/0"),
        authority: Some("reviews:9080"),
        request_id: Some(b"01234567-89ab-4def-bedc-ba9876543210"),
        user_agent: Some(b"curl/8.5.0"),
        response_code: 200,
        code_details: Some("via_upstream"),
        bytes_sent: 295,
        attempts: 1,
        upstream_host: at("127.77.4.1:9080"),
        upstream_cluster: Some("outbound|9080|v1|reviews.default.svc.cluster.local"),
        upstream_local: at("127.77.3.1:41022"),
        downstream_local: at("127.77.3.3:9080"),
        downstream_remote: at("127.77.3.2:50312"),
        route_name: Some("default"),
        origin: Some("VirtualService/default/reviews http[0].route[0]"),
        ..Account::default()
    }
}

fn text(format: &str, account: &Account<'_>) -> String {
    line(&Format::text(format).unwrap(), account)
}

fn line(format: &Format, account: &Account<'_>) -> String {
    let mut out = Vec::new();
    format.write(account, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_unix_socket_is_written_as_its_path_and_has_no_port() {
    let account = Account {
        upstream_host: at("/run/app.sock"),
        upstream_local: None,
        downstream_local: at("@gateway"),
        downstream_remote: at("@gateway"),
        ..account()
    };

    let format = "%UPSTREAM_HOST% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% \
                  %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% <%DOWNSTREAM_LOCAL_PORT%>";
    assert_eq!(text(format, &account), "/run/app.sock - @gateway @gateway <>");
}

#[test]
fn an_answered_request_reads_as_istio_writes_it() {
    assert_eq!(
        line(&Format::istio_default(), &account()),
        "[2024-11-21T12:57:46.042Z] \"GET /reviews/0 HTTP/1.1\" 200 - via_upstream - \"-\" 0 295 12 11 \"-\" \
         \"curl/8.5.0\" \"01234567-89ab-4def-bedc-ba9876543210\" \"reviews:9080\" \"127.77.4.1:9080\" \
         outbound|9080|v1|reviews.default.svc.cluster.local 127.77.3.1:41022 127.77.3.3:9080 127.77.3.2:50312 \
         - default\n"
    );
}

#[test]
fn a_failed_request_says_what_failed() {
    let failed = Account {
        response_code: 503,
        flags: Flags::default().with("URX").with("UF"),
        code_details: Some("upstream_reset_before_response_started{connection refused}"),
        upstream_failure: Some("connection refused"),
        upstream_service_time: None,
        original_path: Some("/v1/reviews/0"),
        ..account()
    };

    assert_eq!(
        line(&Format::istio_default(), &failed),
        "[2024-11-21T12:57:46.042Z] \"GET /v1/reviews/0 HTTP/1.1\" 503 UF,URX \
         upstream_reset_before_response_started{connection_refused} - \"connection_refused\" 0 295 12 - \"-\" \
         \"curl/8.5.0\" \"01234567-89ab-4def-bedc-ba9876543210\" \"reviews:9080\" \"127.77.4.1:9080\" \
         outbound|9080|v1|reviews.default.svc.cluster.local 127.77.3.1:41022 127.77.3.3:9080 127.77.3.2:50312 \
         - default\n"
    );
}

#[test]
fn a_connection_that_never_became_a_request_is_dashes() {
    assert_eq!(
        line(&Format::istio_default(), &Account::default()),
        "[1970-01-01T00:00:00.000Z] \"- - -\" 0 - - - \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" - - - - - -\n"
    );
}

#[test]
fn operators_take_arguments() {
    let mut headers = HeaderMap::new();
    headers.insert("end-user", HeaderValue::from_static("jason"));
    let account = Account { request_headers: Some(&headers), path: Some("/a?b=c"), ..account() };

    assert_eq!(text("%REQ(End-User)% %REQ(X?end-user):3% %REQ(x)%", &account), "jason jas -");
    assert_eq!(text("%REQ_WITHOUT_QUERY(:PATH)%%%", &account), "/a%");
    assert_eq!(
        text("%START_TIME(%Y/%m/%dT%T.%3f%z %s)%", &account),
        "2024/11/21T12:57:46.042+0000 1732193866"
    );
    assert_eq!(text("%METADATA(ROUTE:weft.origin)%", &account), account.origin.unwrap());
    assert_eq!(text("%FILTER_STATE(a.b:PLAIN):9%", &account), "-");
    assert_eq!(
        text("%UPSTREAM_REMOTE_PORT% %UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", &account),
        "9080 127.77.3.1"
    );
}

#[test]
fn a_format_says_which_headers_it_needs() {
    assert!(!Format::istio_default().reads_request_headers());
    assert!(!Format::istio_default().reads_response_headers());
    assert!(Format::text("%REQ(:PATH?cookie)%").unwrap().reads_request_headers());
    assert!(Format::text("%RESP(server)%").unwrap().reads_response_headers());
}

#[test]
fn a_wrong_format_is_refused_by_its_operator() {
    for (format, message) in [
        ("%STARTTIME%", "no operator %STARTTIME%"),
        ("%TRAILER(x)%", "no operator %TRAILER(x)%"),
        ("%REQ%", "no operator %REQ%"),
        ("%DURATION(ms)%", "%DURATION% cannot take \"ms\""),
        ("%REQ(a b)%", "%REQ% cannot take \"a b\""),
        ("%START_TIME(%Q)%", "%START_TIME% cannot take \"%Q\""),
        ("%REQ(a):x%", "%REQ(a)% cannot take \"x\""),
        ("50% of %DURATION%", "no operator % of %"),
        ("%DURATION", "\"%DURATION\" is not closed by a percent sign"),
    ] {
        assert_eq!(Format::text(format).unwrap_err().to_string(), message, "{format}");
    }
}

#[test]
fn json_keeps_types_and_order() {
    let template = json!({
        "start": "%START_TIME%",
        "bytes": "%BYTES_SENT%",
        "user": "%REQ(USER-AGENT)%",
        "flags": "%RESPONSE_FLAGS%",
        "request \"line\"": "%REQ(:METHOD)% %REQ(:PATH)% %REQ(x)%",
        "tags": [1, true, null, "plain"],
    });
    let account = Account { path: Some("/\"x\"\n"), ..account() };

    assert_eq!(
        line(&Format::json(&template).unwrap(), &account),
        "{\"start\":\"2024-11-21T12:57:46.042Z\",\"bytes\":295,\"user\":\"curl/8.5.0\",\"flags\":null,\
         \"request \\\"line\\\"\":\"GET /\\\"x\\\"\\u000a -\",\"tags\":[1,true,null,\"plain\"]}\n"
    );
}

#[test]
fn a_json_template_has_a_bottom() {
    let mut deep = json!("%DURATION%");
    for _ in 0..100 {
        deep = json!([deep]);
    }

    assert_eq!(Format::json(&deep).unwrap_err(), FormatError::Depth);
}

/// How many fields a line has when read as the shell reads it: split at spaces outside quotes.
fn fields(line: &[u8]) -> usize {
    let mut quoted = false;
    let mut count = 1;
    for byte in line {
        match byte {
            b'"' => quoted = !quoted,
            b' ' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}

proptest! {
    #[test]
    fn no_header_breaks_a_line_in_two_or_forges_a_field(
        agent in proptest::collection::vec(any::<u8>(), 0..64),
        forwarded in proptest::collection::vec(any::<u8>(), 0..64),
        path in ".*",
        details in ".*",
    ) {
        let tamed = Account {
            user_agent: Some(&agent),
            forwarded_for: Some(&forwarded),
            path: Some(&path),
            code_details: Some(&details),
            ..account()
        };
        let format = Format::istio_default();

        let written = line(&format, &tamed);

        prop_assert_eq!(written.matches('\n').count(), 1);
        prop_assert!(written.ends_with('\n'));
        prop_assert_eq!(written.lines().count(), 1);
        prop_assert_eq!(fields(written.as_bytes()), fields(line(&format, &account()).as_bytes()));
    }

    #[test]
    fn a_json_line_is_json_whatever_the_headers(
        agent in proptest::collection::vec(any::<u8>(), 0..64),
        path in ".*",
    ) {
        let format = Format::json(&json!({"a": "%REQ(USER-AGENT)%", "b": "p%REQ(:PATH)%"})).unwrap();
        let account = Account { user_agent: Some(&agent), path: Some(&path), ..account() };

        let written = line(&format, &account);

        prop_assert_eq!(written.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&written).unwrap();
        prop_assert_eq!(&read["b"], &json!(format!("p{path}")));
    }

    #[test]
    fn no_format_string_is_a_panic(format in ".*") {
        let _ = Format::text(&format);
        let _ = Format::text(&format!("%REQ({format})%"));
        let _ = Format::text(&format!("%START_TIME({format})%"));
    }
}
