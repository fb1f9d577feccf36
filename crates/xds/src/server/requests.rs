//! The requests of a stream, out of the body they come in.
//!
//! What a request takes up is given back once it is read: the one long request of a stream is its first, and most
//! streams are silent for most of their life.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;
use hyper::body::Incoming;
use tonic::Status;

use super::dialect::Dialect;
use crate::core::Request;

/// How large one request may be: a reconnecting proxy lists every resource it holds.
const MAX_REQUEST: usize = 64 << 20;

/// The length of gRPC's prefix: whether the message is compressed, and its length.
const PREFIX: usize = 5;

/// Reads requests one by one.
pub(super) struct Requests<B = Incoming> {
    dialect: Dialect,
    body: B,
    /// What has come of the next request and those after it.
    unread: BytesMut,
}

impl<B: Body<Data = Bytes> + Unpin> Requests<B> {
    pub(super) fn new(dialect: Dialect, body: B) -> Self {
        Self { dialect, body, unread: BytesMut::new() }
    }

    /// The next request; `None` when the proxy has ended the stream or is gone. Dropped half-way it has lost
    /// nothing.
    pub(super) async fn next(&mut self) -> Result<Option<Request>, Status> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Request>, Status>> {
        loop {
            if let Some(request) = self.take()? {
                return Poll::Ready(Ok(Some(request)));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.unread.extend_from_slice(&data);
                    }
                }
                // Nobody would hear what is wrong with a connection that broke.
                Some(Err(_)) => return Poll::Ready(Ok(None)),
                None if self.unread.is_empty() => return Poll::Ready(Ok(None)),
                None => return Poll::Ready(Err(Status::internal("the stream ended within a request"))),
            }
        }
    }

    /// Reads a request out of what has come, if it is all there.
    fn take(&mut self) -> Result<Option<Request>, Status> {
        let Some((&[flag, a, b, c, d], message)) = self.unread.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        if flag != 0 {
            return Err(Status::unimplemented("compressed requests are not read"));
        }
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > MAX_REQUEST {
            return Err(Status::out_of_range(format!("a request of {length} bytes, limit {MAX_REQUEST}")));
        }
        let Some(message) = message.get(..length) else {
            return Ok(None);
        };
        let request = self.dialect.read(message)?;
        self.unread.advance(PREFIX + length);
        if self.unread.is_empty() {
            self.unread = BytesMut::new();
        }
        Ok(Some(request))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::VecDeque;
    use std::convert::Infallible;

    use http_body::Frame;
    use prost::Message;
    use proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
    use tonic::Code;

    use super::*;

    /// A body that comes in these pieces.
    struct Pieces(VecDeque<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    fn message(name: &str) -> Vec<u8> {
        let names = vec![name.to_owned()];
        let request = DeltaDiscoveryRequest { resource_names_subscribe: names, ..Default::default() };
        let bytes = request.encode_to_vec();
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&[0], &length[..], &bytes].concat()
    }

    fn requests(bytes: &[u8], piece: usize) -> Requests<Pieces> {
        let pieces = bytes.chunks(piece).map(Bytes::copy_from_slice).collect();
        Requests::new(Dialect::Delta, Pieces(pieces))
    }

    fn name(request: Option<Request>) -> Option<String> {
        match request? {
            Request::Delta(request) => request.resource_names_subscribe.into_iter().next(),
            Request::Whole(_) => None,
        }
    }

    #[tokio::test]
    async fn requests_are_read_however_they_are_cut() {
        let bytes = [message("a"), message(""), message(&"b".repeat(100))].concat();
        for piece in [1, 2, 5, 7, 64, bytes.len()] {
            let mut requests = requests(&bytes, piece);

            assert_eq!(name(requests.next().await.unwrap()), Some("a".to_owned()));
            assert_eq!(name(requests.next().await.unwrap()), Some(String::new()));
            assert_eq!(name(requests.next().await.unwrap()), Some("b".repeat(100)));
            assert_eq!(requests.unread.capacity(), 0, "nothing is held between requests");
            assert!(requests.next().await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn what_is_no_request_ends_the_stream_with_its_fault() {
        let whole = message("a");
        let mut compressed = whole.clone();
        compressed[0] = 1;
        let cases: [(&[u8], Code); 4] = [
            (&whole[..whole.len() - 1], Code::Internal),
            (&compressed, Code::Unimplemented),
            (&[0, 0xff, 0xff, 0xff, 0xff], Code::OutOfRange),
            (&[0, 0, 0, 0, 1, 0xff], Code::InvalidArgument),
        ];

        for (bytes, code) in cases {
            assert_eq!(requests(bytes, 4).next().await.unwrap_err().code(), code);
        }
    }
}
