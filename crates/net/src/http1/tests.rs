#![allow(clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Socket;

use super::decode::Decoder;
use super::encode::{self, Framing};
use super::head::{self, Limits, Lines, Rigour};
use super::*;
use crate::{Io, Stream};

mod property;

const LIMITS: Limits = Limits { bytes: 8 * 1024, headers: 16 };

/// A whole message as a reader without a socket understands it.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    line: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

/// What the head of a message says, and the reader of its body; none where the head is not whole.
type Taken = Result<Option<(Read, Decoder)>, Malformed>;

/// Reads requests that come in pieces; those read whole, and why reading stopped if it did.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Read>, Option<Malformed>) {
    read_by(pieces, take_head)
}

/// Reads messages whose heads are taken so; the connection closes behind the last piece.
fn read_by<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    take: fn(&mut BytesMut, &mut Lines) -> Taken,
) -> (Vec<Read>, Option<Malformed>) {
    let (mut all, mut input, mut lines) = (Vec::new(), BytesMut::new(), Lines::default());
    let mut current: Option<(Read, Decoder)> = None;
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let step = match &mut current {
                None => match take(&mut input, &mut lines) {
                    Ok(None) => break,
                    Ok(Some(head)) => {
                        current = Some(head);
                        Ok(())
                    }
                    Err(malformed) => Err(malformed),
                },
                Some((read, decoder)) => match decoder.decode(&mut input) {
                    Ok(Some(frame)) => {
                        match frame.into_data() {
                            Ok(data) => read.body.extend_from_slice(&data),
                            Err(frame) => read.trailers = frame.into_trailers().ok(),
                        }
                        Ok(())
                    }
                    Ok(None) if decoder.is_done() => {
                        all.extend(current.take().map(|(read, _)| read));
                        Ok(())
                    }
                    Ok(None) => break,
                    Err(malformed) => Err(malformed),
                },
            };
            if let Err(malformed) = step {
                return (all, Some(malformed));
            }
        }
    }
    if let Some((read, mut decoder)) = current
        && decoder.end()
    {
        all.push(read);
    }
    (all, None)
}

fn take_head(input: &mut BytesMut, lines: &mut Lines) -> Taken {
    let Some(length) = lines.find(input, Rigour::Strict, &LIMITS)? else { return Ok(None) };
    let block = input.split_to(length).freeze();
    let head = head::request(&block, lines)?;
    lines.clear();
    let decoder = Decoder::new(head.length, Rigour::Strict);
    let headers = fields(&head.parts.headers);
    let line = format!("{} {} {:?}", head.parts.method, head.parts.uri, head.parts.version);
    Ok(Some((Read { line, headers, body: Vec::new(), trailers: None }, decoder)))
}

fn fields(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

fn verdict(bytes: &[u8]) -> Option<Malformed> {
    let whole = read([bytes]).1;
    let bytewise = read(bytes.chunks(1)).1;
    assert_eq!(whole, bytewise, "{}", String::from_utf8_lossy(bytes));
    whole
}

const MESSAGES: &[u8] = b"\r\nGET /a?b=c HTTP/1.1\r\nHost: a\r\nx-empty:\r\nX-Text: \t a \xe4 b \t\r\n\r\n\
    POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello\
    POST /c HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\n00A\r\n0123456789\r\n0\r\nt: v\r\nu: w\r\n\r\n\
    OPTIONS * HTTP/1.0\r\nhost: a\r\n\r\n";

#[test]
fn messages_in_a_row_are_read_to_their_ends() {
    let (read, malformed) = read([MESSAGES]);

    assert_eq!(malformed, None);
    let lines: Vec<&str> = read.iter().map(|read| read.line.as_str()).collect();
    assert_eq!(lines, ["GET /a?b=c HTTP/1.1", "POST /b HTTP/1.1", "POST /c HTTP/1.1", "OPTIONS * HTTP/1.0"]);
    assert_eq!(read[0].headers[1..], [("x-empty".into(), vec![]), ("x-text".into(), b"a \xe4 b".to_vec())]);
    assert_eq!((&*read[1].body, &*read[2].body), (&b"hello"[..], &b"hello0123456789"[..]));
    assert_eq!(read[2].trailers.as_ref().unwrap()["u"], "w");
}

#[test]
fn a_split_at_any_byte_reads_the_same() {
    let whole = read([MESSAGES]);

    for at in 0..=MESSAGES.len() {
        assert_eq!(read([&MESSAGES[..at], &MESSAGES[at..]]), whole, "split at {at}");
    }
}

#[test]
fn what_two_parsers_may_read_differently_is_refused() {
    let cases: [(&str, &[u8]); 34] = [
        (
            "length, chunked",
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        ),
        (
            "chunked, length",
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
        ),
        ("two lengths", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n"),
        ("list of lengths", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5, 5\r\n\r\n"),
        ("signed length", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\n"),
        ("no length", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\n"),
        ("huge length", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999999\r\n\r\n"),
        ("spaced length", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5 5\r\n\r\n"),
        ("coding beneath", b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n"),
        ("unknown coding", b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n"),
        ("quoted coding", b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \"chunked\"\r\n\r\n"),
        ("chunked by a tabulator", b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \x0bchunked\r\n\r\n"),
        (
            "coding twice",
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        ),
        ("coding in 1.0", b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("folded line", b"GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n folded\r\n\r\n"),
        ("folded first header", b"GET / HTTP/1.1\r\n host: a\r\n\r\n"),
        ("bare line feeds", b"GET / HTTP/1.1\nhost: a\n\n"),
        ("bare line feed at the end", b"GET / HTTP/1.1\r\nhost: a\n\r\n"),
        ("bare line feed first", b"\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("bare carriage return", b"GET / HTTP/1.1\r\nhost: a\rx: y\r\n\r\n"),
        ("two carriage returns", b"GET / HTTP/1.1\r\nhost: a\r\r\n\r\n"),
        ("space before the colon", b"GET / HTTP/1.1\r\nhost : a\r\n\r\n"),
        ("no name", b"GET / HTTP/1.1\r\n: a\r\n\r\n"),
        ("no colon", b"GET / HTTP/1.1\r\nhost\r\n\r\n"),
        ("NUL in a value", b"GET / HTTP/1.1\r\nhost: a\0\r\n\r\n"),
        ("NUL in a name", b"GET / HTTP/1.1\r\nho\0st: a\r\n\r\n"),
        ("NUL in the target", b"GET /\0 HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("two spaces", b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("tabulator", b"GET\t/ HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("space in the target", b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("no version", b"GET /\r\nhost: a\r\n\r\n"),
        ("version 2", b"GET / HTTP/2.0\r\nhost: a\r\n\r\n"),
        ("version 1.2", b"GET / HTTP/1.2\r\nhost: a\r\n\r\n"),
        ("lower case version", b"GET / http/1.1\r\nhost: a\r\n\r\n"),
    ];

    for (name, case) in cases {
        assert!(verdict(case).is_some(), "{name}");
    }
}

#[test]
fn a_chunk_that_could_be_read_otherwise_is_refused() {
    let tails: [&[u8]; 15] = [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"5;x\ny\r\nhello\r\n0\r\n\r\n",
        b"5;\0\r\nhello\r\n0\r\n\r\n",
        b"0\r\nx: y\n\r\n",
        b"0\r\nx: y\r\n z\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n\n",
    ];

    for tail in tails {
        let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(verdict(&[head, tail].concat()).is_some(), "{:?}", String::from_utf8_lossy(tail));
    }
}

#[test]
fn equal_lengths_are_one() {
    let (read, _) = read([&b"POST / HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nhi"[..]]);

    assert_eq!((read[0].headers.len(), &*read[0].body), (1, &b"hi"[..]));
}

#[test]
fn a_name_is_the_same_however_it_is_written_and_whoever_came_before() {
    let names = ["X-Trace", "x-trace", "Host", "x-trace", "host", "X-TRACE", "y-trace"];

    let read: Vec<String> = names
        .iter()
        .map(|name| {
            let bytes = format!("GET / HTTP/1.1\r\n{name}: a\r\n\r\n");
            read([bytes.as_bytes()]).0[0].headers[0].0.clone()
        })
        .collect();

    assert_eq!(read, ["x-trace", "x-trace", "host", "x-trace", "host", "x-trace", "y-trace"]);
    assert!(verdict(b"GET / HTTP/1.1\r\nx-tr ce: a\r\n\r\n").is_some());
}

#[test]
fn a_head_beyond_the_limits_is_refused_before_it_ends() {
    let long = [&b"GET / HTTP/1.1\r\nx: "[..], &[b'y'; 9000]].concat();
    let many = [&b"GET / HTTP/1.1\r\n"[..], &b"x: y\r\n".repeat(17)].concat();

    assert_eq!(
        (verdict(&long), verdict(&many)),
        (Some(Malformed::HeadTooLarge), Some(Malformed::HeadTooLarge))
    );
}

#[test]
fn trailers_have_a_limit() {
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n";
    let endless = [&head[..], &b"t: v\r\n".repeat(4000)].concat();

    assert_eq!(verdict(&endless), Some(Malformed::Chunk));
}

#[test]
fn what_is_no_http_is_known_by_its_first_bytes() {
    let lines = Lines::default();

    assert!(lines.is_plausible(b"GE") && lines.is_plausible(b"\r") && lines.is_plausible(b"M-SEARCH * HT"));
    assert!(!lines.is_plausible(b"\x16\x03\x01") && !lines.is_plausible(b"\0"));
}

fn answer(bytes: &[u8]) -> Result<head::ResponseHead, Malformed> {
    let mut lines = Lines::default();
    let length = lines.find(bytes, Rigour::Lenient, &LIMITS)?.expect("a whole head");
    head::response(&Bytes::copy_from_slice(&bytes[..length]), &lines, false)
}

#[test]
fn a_response_ends_where_its_head_says() {
    use head::Length::{Chunked, Close, Exact};
    let cases: [(&[u8], head::Length, bool); 8] = [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", Exact(3), true),
        (b"HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n", Chunked, true),
        (b"HTTP/1.1 200 OK\r\n\r\n", Close, false),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Exact(0), true),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\n", Exact(0), true),
        (b"HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 0\r\n\r\n", Exact(0), false),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", Exact(0), false),
        (b"HTTP/1.0 200 OK\nconnection: keep-alive\ncontent-length: 0\n\n", Exact(0), true),
    ];

    for (bytes, length, keep_alive) in cases {
        let head = answer(bytes).unwrap();
        assert_eq!(
            (head.length, head.keep_alive),
            (length, keep_alive),
            "{}",
            String::from_utf8_lossy(bytes)
        );
    }
}

#[test]
fn a_response_that_breaks_the_rules_is_refused() {
    let cases: [&[u8]; 7] = [
        b"HTTP/1.1 what\r\n\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: y\r\n folded\r\n\r\n",
    ];

    for bytes in cases {
        assert!(answer(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
    }
}

fn encoded(head: Request<()>, body: Option<http_body::SizeHint>) -> (String, Framing) {
    let mut out = Vec::new();
    let framing = encode::request(&mut out, &head.into_parts().0, &[], body);
    (String::from_utf8(out).unwrap(), framing)
}

#[test]
fn a_request_is_framed_by_its_body_and_not_by_its_headers() {
    let head = || Request::post("/p?q").header("host", "a").header("content-length", "99");
    let with = http_body::SizeHint::with_exact;

    let known = encoded(head().body(()).unwrap(), Some(with(5)));
    let unknown =
        encoded(head().header("transfer-encoding", "gzip").body(()).unwrap(), Some(Default::default()));
    let none = encoded(Request::get("/").body(()).unwrap(), None);

    assert_eq!(known.0, "POST /p?q HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n");
    assert_eq!(unknown.0, "POST /p?q HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_eq!(none, ("GET / HTTP/1.1\r\n\r\n".into(), Framing::Ended));
}

fn answered(head: Response<()>, answering: Answering, body: Option<http_body::SizeHint>) -> String {
    let mut out = Vec::new();
    let (mut head, ()) = head.into_parts();
    head.headers.insert("date", http::HeaderValue::from_static("d"));
    encode::response(&mut out, &head, answering, body);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_response_is_framed_as_its_client_understands() {
    let usual = Answering {
        version: Version::HTTP_11,
        to_head: false,
        takes_trailers: false,
        closes: false,
        switches: false,
    };
    let ok = || Response::new(());
    let sized = || Response::builder().header("content-length", "7").body(()).unwrap();
    let unknown = Some(http_body::SizeHint::default());

    let cases = [
        (answered(ok(), usual, None), "HTTP/1.1 200 OK\r\ndate: d\r\ncontent-length: 0\r\n\r\n"),
        (answered(ok(), usual, unknown), "HTTP/1.1 200 OK\r\ndate: d\r\ntransfer-encoding: chunked\r\n\r\n"),
        (
            answered(ok(), Answering { version: Version::HTTP_10, ..usual }, unknown),
            "HTTP/1.0 200 OK\r\ndate: d\r\nconnection: close\r\n\r\n",
        ),
        (
            answered(sized(), Answering { to_head: true, closes: true, ..usual }, None),
            "HTTP/1.1 200 OK\r\ndate: d\r\ncontent-length: 7\r\nconnection: close\r\n\r\n",
        ),
        (
            answered(Response::builder().status(204).body(()).unwrap(), usual, None),
            "HTTP/1.1 204 No Content\r\ndate: d\r\n\r\n",
        ),
    ];

    for (got, wanted) in cases {
        assert_eq!(got, wanted);
    }
}

/// Both ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

async fn answer_of<B>(client: &mut Client<B>) -> Result<(u16, Bytes), Error>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let head = std::future::poll_fn(|cx| client.poll_head(cx)).await?;
    let mut body = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| client.poll_frame(cx)).await {
        body.extend_from_slice(&frame?.into_data().unwrap_or_default());
    }
    Ok((head.status.as_u16(), body.into()))
}

#[tokio::test]
async fn a_client_goes_on_with_a_connection_after_a_whole_exchange() {
    let (near, mut far) = pair().await;
    let mut client: Client<Full<Bytes>> = Client::new(Io::from(near));
    let (head, ()) = Request::post("/").header(HOST, "a").body(()).unwrap().into_parts();

    for reply in [
        &b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2 \r\nhi\r\n0\r\n\r\n",
    ] {
        client.start(&head, &[Number { name: CONTENT_LENGTH, value: 1 }], Full::from("ab"));
        far.write_all(reply).await.unwrap();

        assert_eq!(answer_of(&mut client).await.unwrap(), (200, "hi".into()));
        assert!(client.finish() && client.is_alive());
    }
    drop(far);
    let Socket::Tcp(socket) = client.io().socket() else { panic!() };
    socket.readable().await.unwrap();

    assert!(!client.is_alive());
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_is_sent() {
    let (near, mut far) = pair().await;
    let (sender, frames) = tokio::sync::mpsc::channel::<Result<http_body::Frame<Bytes>, BoxError>>(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(frames);
    let mut client = Client::new(Io::from(near));
    let (head, ()) = Request::post("/").header(HOST, "a").body(()).unwrap().into_parts();

    client.start(&head, &[], StreamBody::new(stream));
    far.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno").await.unwrap();

    assert_eq!(answer_of(&mut client).await.unwrap(), (413, "no".into()));
    assert!(!client.finish());
    drop(sender);
}

#[tokio::test]
async fn a_response_cut_short_is_no_response() {
    for reply in
        [&b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi"[..], b"HTTP/1.1 200 OK\r\ncontent-le", b""]
    {
        let (near, mut far) = pair().await;
        let mut client: Client<Empty<Bytes>> = Client::new(Io::from(near));
        let (head, ()) = Request::get("/").header(HOST, "a").body(()).unwrap().into_parts();

        client.start(&head, &[], Empty::new());
        let mut sent = [0; 27];
        let (answer, _) = tokio::join!(answer_of(&mut client), async {
            far.read_exact(&mut sent).await.unwrap();
            far.write_all(reply).await.unwrap();
            drop(far);
        });

        assert!(matches!(answer, Err(Error::Closed)), "{answer:?}");
        assert!(!client.finish());
    }
}

#[tokio::test]
async fn a_server_answers_requests_in_a_row() {
    let (mut near, far) = pair().await;
    let server = Server::new(Stream::new(far), LIMITS);
    near.write_all(b"POST /1 HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await.unwrap();

    let first = std::future::poll_fn(|cx| server.poll_request(cx)).await.unwrap().unwrap();
    let (body, _) = tokio::join!(server.body().unwrap().collect(), async {
        let mut go_on = [0; 25];
        near.read_exact(&mut go_on).await.unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        near.write_all(b"hiGET /2 HTTP/1.1\r\n\r\n").await.unwrap();
    });
    let answering = Answering {
        version: first.parts.version,
        to_head: false,
        takes_trailers: false,
        closes: false,
        switches: false,
    };
    server.start(&Response::new(()).into_parts().0, answering, None);
    std::future::poll_fn(|cx| server.poll_send::<Empty<Bytes>>(&mut None, cx)).await.unwrap();
    let goes_on = server.finish();
    let second = std::future::poll_fn(|cx| server.poll_request(cx)).await.unwrap().unwrap();

    assert_eq!(body.unwrap().to_bytes(), "hi");
    assert!(goes_on && server.body().is_none());
    assert_eq!((first.parts.uri.path(), second.parts.uri.path()), ("/1", "/2"));
}

#[tokio::test]
async fn a_connection_whose_request_was_not_read_is_not_used_again() {
    let (mut near, far) = pair().await;
    let server = Server::new(Stream::new(far), LIMITS);
    near.write_all(b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nGET / HT").await.unwrap();
    std::future::poll_fn(|cx| server.poll_request(cx)).await.unwrap();
    let body = server.body();

    let answering = Answering {
        version: Version::HTTP_11,
        to_head: false,
        takes_trailers: false,
        closes: false,
        switches: false,
    };
    server.start(&Response::new(()).into_parts().0, answering, Some(http_body::SizeHint::with_exact(2)));
    let mut reply = Some(Full::<Bytes>::from("no"));
    std::future::poll_fn(|cx| server.poll_send(&mut reply, cx)).await.unwrap();

    assert!(!server.finish());
    assert!(body.unwrap().collect().await.is_err(), "the body belongs to an exchange that is over");
    drop(near);
}
