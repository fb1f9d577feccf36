#![allow(clippy::unwrap_used)]

use super::*;

fn verdict(bytes: &[u8]) -> Result<(), Malformed> {
    Framing::default().read(bytes)
}

#[test]
fn messages_in_a_row_are_followed_to_their_ends() {
    let stream = b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n\
        POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello\
        POST /c HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nt: v\r\n\r\n\
        GET /d HTTP/1.1\r\nhost: a\r\n\r\n";

    assert_eq!(verdict(stream), Ok(()));
    let mut bytewise = Framing::default();
    assert!(stream.iter().all(|byte| bytewise.read(&[*byte]).is_ok()));
    assert!(matches!(bytewise.state, State::Head(Head { line: 0, .. })) && bytewise.carried.is_empty());
}

#[test]
fn what_two_parsers_may_read_differently_is_refused() {
    let cases: [&[u8]; 19] = [
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5, 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\nhost: a\n\n",
        b"GET / HTTP/1.1\r\nhost: a\n\r\n",
        b"\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    ];

    for case in cases {
        assert!(verdict(case).is_err(), "{}", String::from_utf8_lossy(case));
        let mut bytewise = Framing::default();
        assert!(
            case.iter().any(|byte| bytewise.read(&[*byte]).is_err()),
            "{}",
            String::from_utf8_lossy(case)
        );
    }
}

#[test]
fn a_good_message_before_a_bad_one_is_passed_on_whole() {
    let good = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
    let bad = b"GET / HTTP/1.1\r\nhost: a\n\n";

    let verdict = verdict(&[&good[..], &bad[..]].concat());

    assert_eq!(verdict, Err(Malformed { at: good.len() }));
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    assert_eq!(verdict(b"\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"), Ok(()));
}
