//! What holds for any bytes: they never panic, mean one thing wherever reads end, and mean the same to the next hop.

use http::header::TRANSFER_ENCODING;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// The places at which what is sent comes apart.
fn cuts() -> impl Strategy<Value = Vec<Index>> {
    vec(any::<Index>(), 0..8)
}

/// The same bytes in pieces.
fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
}

fn take_answer(input: &mut BytesMut, lines: &mut Lines) -> Taken {
    let Some(length) = lines.find(input, Rigour::Lenient, &LIMITS)? else { return Ok(None) };
    let block = input.split_to(length).freeze();
    let head = head::response(&block, lines, false)?;
    lines.clear();
    let line = head.parts.status.as_str().to_owned();
    let read = Read { line, headers: fields(&head.parts.headers), body: Vec::new(), trailers: None };
    Ok(Some((read, Decoder::new(head.length, Rigour::Lenient))))
}

/// Anything between messages and noise.
fn hostile(first_lines: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    const PARTS: [&str; 14] = [
        "host: a\r\n",
        "content-length: 3\r\n",
        "content-length: 0\r\n",
        "content-length: 3, 3\r\n",
        "transfer-encoding: chunked\r\n",
        "transfer-encoding: gzip\r\n",
        "connection: close\r\n",
        "\r\n",
        "\n",
        "3\r\nabc\r\n",
        "3;a=b\r\nabc\r\n",
        "0\r\n\r\n",
        "0\r\nt: v\r\n\r\n",
        "abc",
    ];
    let first_line = || prop::sample::select(first_lines).prop_map(|line| line.as_bytes().to_vec());
    let part = prop_oneof![
        1 => first_line(),
        9 => prop::sample::select(&PARTS[..]).prop_map(|part| part.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..6),
    ];
    let parts = (first_line(), vec(part, 0..12)).prop_map(|(first, rest)| [first, rest.concat()].concat());
    prop_oneof![9 => parts, 1 => vec(any::<u8>(), 0..200)]
}

const REQUESTS: &[&str] = &["GET / HTTP/1.1\r\n", "POST /x?y HTTP/1.1\r\n", "HEAD / HTTP/1.0\r\n"];
const RESPONSES: &[&str] =
    &["HTTP/1.1 200 OK\r\n", "HTTP/1.1 204 \r\n", "HTTP/1.0 500\r\n", "HTTP/1.1 100 C\r\n"];

/// A body and how it is framed.
#[derive(Clone, Debug)]
enum Sent {
    Chunks(Vec<(Vec<u8>, String)>, Vec<(String, String)>),
    Exact(Vec<u8>),
    None,
}

fn header() -> impl Strategy<Value = (String, String)> {
    ("x-[a-z0-9]{1,8}", "([!-~]([ -~]{0,10}[!-~])?)?")
}

fn sent() -> impl Strategy<Value = Sent> {
    let chunk = (vec(any::<u8>(), 1..40), "(;[a-z]{1,4}(=[a-z]{1,4})?)?");
    prop_oneof![
        Just(Sent::None),
        vec(any::<u8>(), 0..60).prop_map(Sent::Exact),
        (vec(chunk, 0..5), vec(header(), 0..3)).prop_map(|(chunks, trailers)| Sent::Chunks(chunks, trailers)),
    ]
}

fn lines(headers: &[(String, String)]) -> String {
    headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

/// A message as it is written, and as it must be read.
fn message((first, line): (&str, &str), headers: &[(String, String)], sent: &Sent) -> (Vec<u8>, Read) {
    let (framing, body, raw, trailers) = match sent {
        Sent::None => (String::new(), Vec::new(), Vec::new(), Vec::new()),
        Sent::Exact(body) => {
            (format!("content-length: {}\r\n", body.len()), body.clone(), body.clone(), Vec::new())
        }
        Sent::Chunks(chunks, trailers) => {
            let mut raw = Vec::new();
            for (data, extension) in chunks {
                raw.extend_from_slice(format!("{:x}{extension}\r\n", data.len()).as_bytes());
                raw.extend_from_slice(data);
                raw.extend_from_slice(b"\r\n");
            }
            raw.extend_from_slice(format!("0\r\n{}\r\n", lines(trailers)).as_bytes());
            let body = chunks.iter().flat_map(|(data, _)| data.clone()).collect();
            ("transfer-encoding: chunked\r\n".to_owned(), body, raw, trailers.clone())
        }
    };
    let bytes = [format!("{first}\r\n{}{framing}\r\n", lines(headers)).as_bytes(), &raw].concat();
    let map = |all: &[(String, String)]| -> HeaderMap {
        all.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    };
    let mut told = headers.to_vec();
    told.extend(framing.trim().split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())));
    let trailers = (!trailers.is_empty()).then(|| map(&trailers));
    (bytes, Read { line: line.to_owned(), headers: fields(&map(&told)), body, trailers })
}

/// A request that was read, as the next hop gets it.
fn written_anew(read: &Read) -> Vec<u8> {
    let mut words = read.line.split(' ');
    let mut request = Request::builder().method(words.next().unwrap()).uri(words.next().unwrap());
    for (name, value) in &read.headers {
        request = request.header(name, value.as_slice());
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let hint = (!read.body.is_empty()).then(|| http_body::SizeHint::with_exact(read.body.len() as u64));
    let mut out = Vec::new();
    encode::request(&mut out, &head, &[], hint);
    out.extend_from_slice(&read.body);
    out
}

/// What a request says to whoever answers it: nothing of its framing and of the hop.
fn gist(read: &Read) -> Read {
    let of_hop = [CONTENT_LENGTH.as_str(), TRANSFER_ENCODING.as_str(), "connection"];
    let kept = read.headers.iter().filter(|(name, _)| !of_hop.contains(&name.as_str()));
    Read {
        line: read.line.split(' ').take(2).collect(),
        headers: kept.cloned().collect(),
        body: read.body.clone(),
        trailers: None,
    }
}

proptest! {
    #[test]
    fn hostile_requests_neither_panic_nor_depend_on_where_reads_end(
        bytes in hostile(REQUESTS), cuts in cuts(), size in 1usize..9,
    ) {
        let whole = read([&*bytes]);

        prop_assert_eq!(&read(pieces(&bytes, &cuts)), &whole);
        prop_assert_eq!(&read(bytes.chunks(size)), &whole);
    }

    #[test]
    fn hostile_responses_neither_panic_nor_depend_on_where_reads_end(
        bytes in hostile(RESPONSES), cuts in cuts(), size in 1usize..9,
    ) {
        let whole = read_by([&*bytes], take_answer);

        prop_assert_eq!(&read_by(pieces(&bytes, &cuts), take_answer), &whole);
        prop_assert_eq!(&read_by(bytes.chunks(size), take_answer), &whole);
    }

    #[test]
    fn whatever_is_taken_for_a_request_is_the_same_request_to_the_next_hop(bytes in hostile(REQUESTS)) {
        for request in read([&*bytes]).0 {
            let (again, malformed) = read([&*written_anew(&request)]);

            prop_assert_eq!(malformed, None);
            prop_assert_eq!(again.len(), 1);
            prop_assert_eq!(gist(&again[0]), gist(&request));
        }
    }

    #[test]
    fn requests_are_read_as_they_were_written_wherever_they_come_apart(
        all in vec((vec(header(), 0..4), sent()), 1..4), cuts in cuts(),
    ) {
        let (bytes, wanted): (Vec<_>, Vec<_>) = all
            .iter()
            .map(|(headers, sent)| message(("POST /a?b HTTP/1.1", "POST /a?b HTTP/1.1"), headers, sent))
            .unzip();

        prop_assert_eq!(read(pieces(&bytes.concat(), &cuts)), (wanted, None));
    }

    #[test]
    fn responses_are_read_as_they_were_written_wherever_they_come_apart(
        all in vec((vec(header(), 0..4), sent()), 0..4), rest in vec(any::<u8>(), 0..60), cuts in cuts(),
    ) {
        let first = ("HTTP/1.1 200 OK", "200");
        let framed = all.iter().filter(|(_, sent)| !matches!(sent, Sent::None));
        let (mut bytes, mut wanted): (Vec<_>, Vec<_>) =
            framed.map(|(headers, sent)| message(first, headers, sent)).unzip();
        // The last one ends with the connection.
        let (head, last) = message(first, &[], &Sent::None);
        bytes.push([head, rest.clone()].concat());
        wanted.push(Read { body: rest, ..last });

        prop_assert_eq!(read_by(pieces(&bytes.concat(), &cuts), take_answer), (wanted, None));
    }

    #[test]
    fn a_body_sent_in_chunks_is_read_as_it_was(
        sent in vec(vec(any::<u8>(), 1..20), 0..6), cuts in cuts(),
    ) {
        let (mut framing, mut output) = (Framing::Chunked { trailers: false }, output::Output::default());
        for piece in &sent {
            framing.put(http_body::Frame::data(piece.clone().into()), &mut output).unwrap();
        }
        framing.end(&mut output).unwrap();
        let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let bytes = [&head[..], output.tail()].concat();

        let (read, malformed) = read(pieces(&bytes, &cuts));

        prop_assert_eq!(malformed, None);
        prop_assert_eq!(&read[0].body, &sent.concat());
    }
}
