#![allow(clippy::unwrap_used)]

use std::io::Read;

use filter::{Chain, Limits, Step};
use proto::google::protobuf::{BoolValue, UInt32Value};

use super::*;
use crate::tests_support::{exchange, made, respond};

fn message() -> Message {
    let library =
        TypedExtensionConfig { name: "gzip".into(), typed_config: Some(proto::any::pack(&Gzip::default())) };
    Message { compressor_library: Some(library), ..Message::default() }
}

fn chain(message: &Message, route: Option<&CompressorPerRoute>) -> Result<Chain, String> {
    made(make, &proto::any::pack(message), route.map(proto::any::pack).as_ref())
}

const GZIP: (&str, &str) = ("accept-encoding", "br, gzip");
const TEXT: (&str, &str) = ("content-type", "text/plain; charset=utf-8");

/// The response's headers, and the chunks that came of the body's.
fn run(
    request: (&str, &[(&'static str, &'static str)]),
    response: (u16, &[(&'static str, &'static str)]),
    body: &[&'static str],
) -> (HeaderMap, Vec<Bytes>) {
    let mut x = exchange(request.0, request.1);
    let mut run = chain(&message(), None).unwrap().open(Limits::default());
    assert!(matches!(run.request_head(&mut x), Step::Continue));
    respond(&mut x, response.0, response.1);
    assert!(matches!(run.response_head(&mut x), Step::Continue));
    let mut sent = Vec::new();
    for (i, chunk) in body.iter().enumerate() {
        let step = run.response_body(&mut x, Bytes::from_static(chunk.as_bytes()), i + 1 == body.len());
        let Step::Body(bytes) = step else { panic!("{step:?}") };
        sent.push(bytes);
    }
    (x.response.unwrap().headers, sent)
}

fn plain(compressed: &[u8]) -> String {
    let mut text = String::new();
    // A stream that is still going on ends before its end.
    let _ = flate2::read::GzDecoder::new(compressed).read_to_string(&mut text);
    text
}

#[test]
fn a_stream_is_compressed_chunk_by_chunk() {
    let (headers, sent) = run(("GET", &[GZIP]), (200, &[TEXT]), &["one ", "two ", "three", ""]);

    assert_eq!(headers[CONTENT_ENCODING], "gzip");
    assert_eq!(headers[VARY], "Accept-Encoding");
    assert!(sent.iter().all(|chunk| !chunk.is_empty()));
    assert_eq!(plain(&sent[..1].concat()), "one ");
    assert_eq!(plain(&sent[..2].concat()), "one two ");
    let mut whole = String::new();
    flate2::read::GzDecoder::new(sent.concat().as_slice()).read_to_string(&mut whole).unwrap();
    assert_eq!(whole, "one two three");
}

#[test]
fn lengths_and_strong_tags_do_not_outlive_compression() {
    let headers: &[_] = &[TEXT, ("content-length", "4000"), ("etag", "\"strong\"")];

    let (headers, _) = run(("GET", &[GZIP]), (200, headers), &["x"]);

    assert!(!headers.contains_key(CONTENT_LENGTH));
    assert!(!headers.contains_key(ETAG));
}

#[test]
fn caches_are_told_even_where_this_client_takes_no_gzip() {
    for accepts in ["", "br", "gzip;q=0", "gzip;q=0.5, identity", "*;q=0"] {
        let (headers, sent) = run(("GET", &[("accept-encoding", accepts)]), (200, &[TEXT]), &["plain"]);

        assert_eq!(headers[VARY], "Accept-Encoding", "{accepts}");
        assert!(!headers.contains_key(CONTENT_ENCODING), "{accepts}");
        assert_eq!(sent, ["plain"], "{accepts}");
    }
}

#[test]
fn what_is_not_to_be_compressed_is_left_alone() {
    let cases: [(u16, &[(&str, &str)]); 7] = [
        (200, &[("content-type", "image/png")]),
        (200, &[]),
        (200, &[TEXT, ("content-encoding", "br")]),
        (200, &[TEXT, ("content-length", "29")]),
        (200, &[TEXT, ("cache-control", "public, No-Transform")]),
        (206, &[TEXT]),
        (304, &[TEXT]),
    ];
    for (status, headers) in cases {
        let (after, sent) = run(("GET", &[GZIP]), (status, headers), &["x"]);

        assert!(!after.contains_key(VARY) && sent == ["x"], "{status} {headers:?}");
    }
    let (after, _) = run(("HEAD", &[GZIP]), (200, &[TEXT]), &[""]);
    assert!(!after.contains_key(CONTENT_ENCODING));
}

#[test]
fn a_route_can_switch_it_off_or_hide_the_clients_wish() {
    let off = CompressorPerRoute { r#override: Some(Override::Disabled(true)) };
    assert!(chain(&message(), Some(&off)).unwrap().is_empty());

    let hidden = Message {
        response_direction_config: Some(ResponseDirectionConfig {
            remove_accept_encoding_header: true,
            ..ResponseDirectionConfig::default()
        }),
        ..message()
    };
    let mut x = exchange("GET", &[GZIP]);
    chain(&hidden, None).unwrap().open(Limits::default()).request_head(&mut x);
    assert!(x.request.headers.is_empty());
}

#[test]
fn what_cannot_be_done_is_refused() {
    let brotli = TypedExtensionConfig {
        name: "brotli".into(),
        typed_config: Some(proto::Any { type_url: "type.googleapis.com/x.Brotli".into(), value: Vec::new() }),
    };
    assert!(chain(&Message { compressor_library: Some(brotli), ..Message::default() }, None).is_err());
    assert!(chain(&Message::default(), None).is_err());

    let off = CommonDirectionConfig {
        enabled: Some(proto::envoy::config::core::v3::RuntimeFeatureFlag {
            default_value: Some(BoolValue { value: false }),
            runtime_key: String::new(),
        }),
        min_content_length: Some(UInt32Value { value: 1 }),
        ..CommonDirectionConfig::default()
    };
    let response = ResponseDirectionConfig { common_config: Some(off), ..ResponseDirectionConfig::default() };
    let message = Message { response_direction_config: Some(response), ..message() };
    assert!(chain(&message, None).unwrap().is_empty());
}
