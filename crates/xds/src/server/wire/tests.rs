#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use http_body::Body as _;
use proto::Message;
use proto::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};

use super::*;
use crate::Served;
use crate::TypeUrl;
use crate::server::dialect::IDENTIFIER;

fn served(name: &str, value: Vec<u8>) -> Arc<Served> {
    Arc::new(Served::new(name, "v", proto::Any { type_url: String::new(), value }))
}

fn response() -> Response {
    Response {
        type_url: TypeUrl::Cluster.as_str().to_owned(),
        nonce: "a".to_owned(),
        generation: 7,
        added: vec![served("reviews", b"content".to_vec()), served("empty", Vec::new())],
        removed: vec!["ratings".into()],
    }
}

/// The pieces of a response, and its message without the prefix.
fn written(dialect: Dialect, response: Response) -> (Vec<usize>, Vec<u8>) {
    let mut writing = Writing::new(dialect, response, Press::default()).unwrap();
    let pieces: Vec<Bytes> = std::iter::from_fn(|| writing.piece()).collect();
    let whole = pieces.concat();
    let length = u32::from_be_bytes(whole[1..5].try_into().unwrap());
    assert_eq!((whole[0], usize::try_from(length).unwrap()), (0, whole.len() - 5));
    (pieces.iter().map(Bytes::len).collect(), whole[5..].to_vec())
}

#[test]
fn a_delta_response_is_what_its_message_says() {
    let (_, bytes) = written(Dialect::Delta, response());
    let read = DeltaDiscoveryResponse::decode(bytes.as_slice()).unwrap();

    let names: Vec<&str> = read.resources.iter().map(|resource| resource.name.as_str()).collect();
    let any = read.resources[0].resource.as_ref().unwrap();
    assert_eq!((read.system_version_info.as_str(), read.nonce.as_str()), ("7", "a"));
    assert_eq!(
        (read.type_url.as_str(), read.removed_resources),
        (TypeUrl::Cluster.as_str(), vec!["ratings".to_owned()])
    );
    assert_eq!((names, read.resources[0].version.as_str()), (vec!["reviews", "empty"], "v"));
    assert_eq!((any.type_url.as_str(), any.value.as_slice()), (TypeUrl::Cluster.as_str(), &b"content"[..]));
    assert_eq!(read.control_plane.unwrap().identifier, IDENTIFIER);
}

#[test]
fn a_response_of_the_whole_is_what_its_message_says() {
    let (_, bytes) = written(Dialect::Whole, response());
    let read = DiscoveryResponse::decode(bytes.as_slice()).unwrap();

    assert_eq!((read.version_info.as_str(), read.nonce.as_str()), ("7", "a"));
    assert_eq!(read.type_url, TypeUrl::Cluster.as_str());
    assert_eq!((read.resources[0].value.as_slice(), read.resources.len()), (&b"content"[..], 2));
    assert_eq!(read.control_plane.unwrap().identifier, IDENTIFIER);
}

#[test]
fn a_long_response_is_written_in_pieces() {
    let short = (0..100).map(|n| served(&n.to_string(), vec![0; 1000]));
    let added: Vec<Arc<Served>> = short.chain([served("long", vec![1; 3 * PIECE])]).collect();

    for dialect in [Dialect::Delta, Dialect::Whole] {
        let (pieces, bytes) = written(dialect, Response { added: added.clone(), ..response() });

        assert!(pieces.len() > 3 && pieces[..2].iter().all(|piece| *piece < PIECE + 2000), "{pieces:?}");
        let count = match dialect {
            Dialect::Delta => DeltaDiscoveryResponse::decode(bytes.as_slice()).unwrap().resources.len(),
            Dialect::Whole => DiscoveryResponse::decode(bytes.as_slice()).unwrap().resources.len(),
        };
        assert_eq!(count, 101);
    }
}

#[test]
fn long_content_is_sent_from_where_every_other_response_has_it() {
    let long = served("long", vec![1; LONG]);
    let response = Response { added: vec![long.clone(), served("short", vec![2])], ..response() };

    let mut writing = Writing::new(Dialect::Delta, response, Press::default()).unwrap();
    let pieces: Vec<Bytes> = std::iter::from_fn(|| writing.piece()).collect();

    assert_eq!(pieces.len(), 3);
    assert_eq!(pieces[1].as_ptr(), long.value.as_ptr());
    let whole = DeltaDiscoveryResponse::decode(&pieces.concat()[5..]).unwrap();
    assert_eq!(whole.resources[0].resource.as_ref().unwrap().value, long.value);
}

#[test]
fn streams_that_send_the_same_at_a_time_send_the_same_bytes() {
    let added: Vec<Arc<Served>> = (0..100).map(|n| served(&n.to_string(), vec![0; 1000])).collect();
    let response = |added: &[Arc<Served>]| Response { added: added.to_vec(), ..response() };
    let press = Press::default();
    let begin = |dialect, added: &[Arc<Served>]| {
        let mut writing = Writing::new(dialect, response(added), press.clone()).unwrap();
        std::iter::from_fn(|| writing.piece()).collect::<Vec<Bytes>>()
    };
    let address = |piece: &Bytes| piece.as_ptr().addr();

    let (one, other) = (begin(Dialect::Delta, &added), begin(Dialect::Delta, &added));
    let (whole, fewer) = (begin(Dialect::Whole, &added), begin(Dialect::Delta, &added[1..]));

    assert!(one.len() > 3 && one[1..].iter().map(address).eq(other[1..].iter().map(address)));
    assert!(
        one[1..]
            .iter()
            .chain(&other[1..])
            .all(|piece| whole[1..].iter().all(|w| address(w) != address(piece)))
    );
    let read = DeltaDiscoveryResponse::decode(&fewer.concat()[5..]).unwrap();
    assert_eq!(read.resources.len(), 99);
}

#[tokio::test]
async fn a_body_ends_with_the_status_and_with_nothing_after_it() {
    let responses = [Ok(Response::default()), Err(Status::unavailable("closing"))];
    let mut body =
        Box::pin(Body::new(Dialect::Delta, Press::default(), futures_util::stream::iter(responses)));
    let mut next = async || std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await;

    let message = next().await.unwrap().unwrap();
    let trailers = next().await.unwrap().unwrap().into_trailers().unwrap();

    assert!(message.is_data());
    assert!(trailers["grpc-status"] == "14" && trailers["grpc-message"] == "closing", "{trailers:?}");
    assert!(next().await.is_none());
}
