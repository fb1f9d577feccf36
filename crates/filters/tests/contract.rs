//! The contract of filters, held up by three that need all of it: a fault, an ask with the request's body held,
//! and gzip of a response's stream, in one chain.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filter::{
    Answer, Ask, BodyVerdict, Built, Chain, ChainRun, Exchange, Facts, Filter, FilterConfig, Limits,
    LocalReply, Moment, Peer, Phases, ReasonFlag, Registry, Session, Side, Step, Verdict,
};
use http::{HeaderValue, StatusCode};
use proto::Any;
use serde_json::{Value, json};

/// Holds the whole request, asks a cluster about it, and lets pass what the answer says.
#[derive(Debug)]
struct Judge;

impl Filter for Judge {
    fn name(&self) -> &str {
        "judge"
    }

    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD.and(Phases::REQUEST_BODY)
    }

    fn open(&self) -> Option<Box<dyn Session>> {
        Some(Box::new(Judged(Vec::new())))
    }
}

struct Judged(Vec<u8>);

impl Session for Judged {
    fn request_head(&mut self, _x: &mut Exchange) -> Verdict {
        Verdict::Hold
    }

    fn request_body(&mut self, _x: &mut Exchange, chunk: &Bytes, end: bool) -> BodyVerdict {
        self.0.extend_from_slice(chunk);
        if !end {
            return BodyVerdict::Hold;
        }
        BodyVerdict::Ask(Ask::Call {
            cluster: "judge".into(),
            head: Box::new(http::Request::post("/judge").body(()).unwrap().into_parts().0),
            body: std::mem::take(&mut self.0).into(),
            timeout: Duration::from_secs(1),
        })
    }

    fn body_answered(&mut self, x: &mut Exchange, answer: Answer) -> BodyVerdict {
        match answer {
            Answer::Response(head, body) if head.status == StatusCode::OK => {
                x.request.headers.insert("x-judged", HeaderValue::from_static("yes"));
                BodyVerdict::Replace(body)
            }
            _ => BodyVerdict::Reply(LocalReply::text(StatusCode::FORBIDDEN, "denied", "judge_denied")),
        }
    }
}

fn any(message: &str, mut fields: Value) -> Any {
    fields["@type"] = format!("type.googleapis.com/{message}").into();
    proto::json::from_json(&fields).unwrap()
}

fn built(message: &str, fields: Value) -> Arc<dyn Filter> {
    let mut registry = Registry::default();
    filters::register(&mut registry);
    let config = FilterConfig { name: message, listener: &any(message, fields), route: None };
    match registry.make(config) {
        Ok(Built::Filter(filter)) => filter,
        other => panic!("{other:?}"),
    }
}

/// Fault, judge, gzip: the fault delays every request and aborts those of *jason*.
fn chain() -> Chain {
    let all = json!({"numerator": 100});
    let fault = |fields| built("envoy.extensions.filters.http.fault.v3.HTTPFault", fields);
    let gzip = any("envoy.extensions.compression.gzip.compressor.v3.Gzip", json!({}));
    let compressor =
        json!({"compressor_library": {"name": "gzip", "typed_config": proto::json::to_json(&gzip)}});
    Chain::new([
        fault(json!({"delay": {"fixed_delay": "7s", "percentage": all}})),
        fault(json!({
            "abort": {"http_status": 555, "percentage": all},
            "headers": [{"name": "end-user", "string_match": {"exact": "jason"}}],
        })),
        Arc::new(Judge),
        built("envoy.extensions.filters.http.compressor.v3.Compressor", compressor),
    ])
}

fn exchange(user: &'static str) -> Exchange {
    let request = http::Request::post("/").header("end-user", user).header("accept-encoding", "gzip");
    let address: base::Address = "127.0.0.1:1".parse().unwrap();
    Exchange {
        request: request.body(()).unwrap().into_parts().0,
        response: None,
        facts: Facts::new(Moment::default(), Peer { remote: address.clone(), local: address }, 7),
    }
}

/// Does what a run asks, with the answers prepared, and notes what it asked.
struct World {
    answers: VecDeque<Answer>,
    asked: Vec<String>,
}

impl World {
    fn new(status: u16, body: &'static str) -> Self {
        let head = http::Response::builder().status(status).body(()).unwrap().into_parts().0;
        let call = Answer::Response(Box::new(head), Bytes::from_static(body.as_bytes()));
        Self { answers: [Answer::Slept, call].into(), asked: Vec::new() }
    }

    fn settle(&mut self, run: &mut ChainRun, x: &mut Exchange, side: Side, mut step: Step) -> Step {
        while let Step::Ask(ask) = step {
            self.asked.push(match ask {
                Ask::Call { cluster, body, .. } => {
                    format!("call {cluster} {}", String::from_utf8_lossy(&body))
                }
                Ask::Sleep(time) => format!("sleep {time:?}"),
            });
            step = run.answered(side, x, self.answers.pop_front().unwrap());
        }
        step
    }
}

#[test]
fn a_request_is_delayed_judged_whole_and_its_answer_compressed_as_it_streams() {
    let (mut x, mut world) = (exchange("nobody"), World::new(200, "judged body"));
    let mut run = chain().open(Limits::default());

    let step = run.request_head(&mut x);
    let step = world.settle(&mut run, &mut x, Side::Request, step);
    assert!(matches!(step, Step::Hold), "{step:?}");
    assert!(matches!(run.request_body(&mut x, Bytes::from_static(b"one "), false), Step::Hold));
    let step = run.request_body(&mut x, Bytes::from_static(b"two"), true);
    let Step::Body(sent) = world.settle(&mut run, &mut x, Side::Request, step) else { panic!() };

    assert_eq!(world.asked, ["sleep 7s", "call judge one two"]);
    assert_eq!(sent, "judged body");
    assert_eq!(x.request.headers["x-judged"], "yes");
    assert_eq!(x.facts.flags, [ReasonFlag::DelayInjected]);

    let answer = http::Response::builder().header("content-type", "text/html").body(()).unwrap();
    x.response = Some(answer.into_parts().0);
    assert!(matches!(run.response_head(&mut x), Step::Continue));
    let mut stream = Vec::new();
    for (chunk, end) in [("hello ", false), ("world", false), ("", true)] {
        let Step::Body(bytes) = run.response_body(&mut x, Bytes::from(chunk), end) else { panic!() };
        assert!(!bytes.is_empty());
        stream.extend_from_slice(&bytes);
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(stream.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello world");
}

#[test]
fn a_refusal_of_the_judged_body_is_an_answer_like_any_other() {
    let (mut x, mut world) = (exchange("nobody"), World::new(403, ""));
    let mut run = chain().open(Limits::default());

    let step = run.request_head(&mut x);
    world.settle(&mut run, &mut x, Side::Request, step);
    let step = run.request_body(&mut x, Bytes::from_static(b"bad"), true);
    let Step::Reply(reply) = world.settle(&mut run, &mut x, Side::Request, step) else { panic!() };

    assert_eq!((reply.status, run.decided_by()), (StatusCode::FORBIDDEN, Some("judge")));
    assert_eq!(run.held(Side::Request), 0);
}

#[test]
fn an_abort_spares_whoever_stands_behind_it() {
    let (mut x, mut world) = (exchange("jason"), World::new(200, ""));
    let mut run = chain().open(Limits::default());

    let step = run.request_head(&mut x);
    let Step::Reply(reply) = world.settle(&mut run, &mut x, Side::Request, step) else { panic!() };

    assert_eq!(reply.status.as_u16(), 555);
    assert_eq!(world.asked, ["sleep 7s"]);
    assert_eq!(x.facts.flags, [ReasonFlag::DelayInjected, ReasonFlag::FaultInjected]);
}

#[test]
fn a_body_too_long_to_be_held_is_refused_with_413() {
    let (mut x, mut world) = (exchange("nobody"), World::new(200, ""));
    let mut run = chain().open(Limits { request: 10, response: 10 });

    let step = run.request_head(&mut x);
    world.settle(&mut run, &mut x, Side::Request, step);
    assert!(matches!(run.request_body(&mut x, Bytes::from_static(b"12345678"), false), Step::Hold));
    let step = run.request_body(&mut x, Bytes::from_static(b"12345678"), false);

    let Step::Reply(reply) = step else { panic!("{step:?}") };
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
}
