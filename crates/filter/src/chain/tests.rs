#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::{Answer, BodyVerdict, Exchange, Facts, Moment, Peer, ReasonFlag, Session, Verdict};
use http::StatusCode;

/// What a scripted filter does in each phase; what is not set passes.
#[derive(Clone, Debug, Default)]
struct Script {
    name: &'static str,
    head: Act,
    body: Vec<Act>,
    trailers: Act,
    before: Act,
    response_head: Act,
    response_body: Vec<Act>,
    answered: Act,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum Act {
    Ask,
    Hold,
    #[default]
    Pass,
    Replace(&'static str),
    Reply,
}

#[derive(Debug)]
struct Scripted(Script, Arc<Mutex<Vec<String>>>);

struct Run {
    script: Script,
    log: Arc<Mutex<Vec<String>>>,
    chunks: usize,
    response_chunks: usize,
}

impl Filter for Scripted {
    fn name(&self) -> &str {
        self.0.name
    }

    fn phases(&self) -> Phases {
        [
            Phases::REQUEST_HEAD,
            Phases::REQUEST_BODY,
            Phases::REQUEST_TRAILERS,
            Phases::BEFORE_UPSTREAM,
            Phases::RESPONSE_HEAD,
            Phases::RESPONSE_BODY,
            Phases::RESPONSE_TRAILERS,
            Phases::LOG,
        ]
        .into_iter()
        .fold(Phases::none(), Phases::and)
    }

    fn open(&self) -> Option<Box<dyn Session>> {
        Some(Box::new(Run {
            script: self.0.clone(),
            log: Arc::clone(&self.1),
            chunks: 0,
            response_chunks: 0,
        }))
    }
}

impl Run {
    fn note(&self, what: &str) {
        self.log.lock().unwrap().push(format!("{}.{what}", self.script.name));
    }

    fn verdict(act: &Act) -> Verdict {
        match act {
            Act::Ask => Verdict::Ask(Ask::Sleep(Duration::ZERO)),
            Act::Hold => Verdict::Hold,
            Act::Pass | Act::Replace(_) => Verdict::Continue,
            Act::Reply => Verdict::Reply(LocalReply::text(StatusCode::FORBIDDEN, "no", "scripted")),
        }
    }

    fn body_verdict(act: Option<&Act>) -> BodyVerdict {
        match act {
            Some(Act::Ask) => BodyVerdict::Ask(Ask::Sleep(Duration::ZERO)),
            Some(Act::Hold) => BodyVerdict::Hold,
            Some(Act::Replace(text)) => BodyVerdict::Replace(Bytes::from_static(text.as_bytes())),
            Some(Act::Reply) => BodyVerdict::Reply(
                LocalReply::text(StatusCode::FORBIDDEN, "no", "scripted").flagged(ReasonFlag::FaultInjected),
            ),
            Some(Act::Pass) | None => BodyVerdict::Pass,
        }
    }
}

impl Session for Run {
    fn request_head(&mut self, _x: &mut Exchange) -> Verdict {
        self.note("head");
        Self::verdict(&self.script.head)
    }

    fn request_body(&mut self, _x: &mut Exchange, chunk: &Bytes, end: bool) -> BodyVerdict {
        self.note(&format!("body {}{}", String::from_utf8_lossy(chunk), if end { " end" } else { "" }));
        self.chunks += 1;
        Self::body_verdict(self.script.body.get(self.chunks - 1))
    }

    fn request_trailers(&mut self, _x: &mut Exchange, _trailers: &mut HeaderMap) -> Verdict {
        self.note("trailers");
        Self::verdict(&self.script.trailers)
    }

    fn before_upstream(&mut self, _x: &mut Exchange) -> Verdict {
        self.note("before");
        Self::verdict(&self.script.before)
    }

    fn response_head(&mut self, _x: &mut Exchange) -> Verdict {
        self.note("response head");
        Self::verdict(&self.script.response_head)
    }

    fn response_body(&mut self, _x: &mut Exchange, chunk: &Bytes, _end: bool) -> BodyVerdict {
        self.note(&format!("response body {}", String::from_utf8_lossy(chunk)));
        self.response_chunks += 1;
        Self::body_verdict(self.script.response_body.get(self.response_chunks - 1))
    }

    fn answered(&mut self, _x: &mut Exchange, _answer: Answer) -> Verdict {
        self.note("answered");
        Self::verdict(&self.script.answered)
    }

    fn log(&mut self, _x: &Exchange) {
        self.note("log");
    }
}

/// A run of scripts, with what their sessions noted.
struct Case {
    run: ChainRun,
    x: Exchange,
    log: Arc<Mutex<Vec<String>>>,
}

impl Case {
    fn new(scripts: impl IntoIterator<Item = Script>) -> Self {
        Self::limited(scripts, Limits::default())
    }

    fn limited(scripts: impl IntoIterator<Item = Script>, limits: Limits) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let filters =
            scripts.into_iter().map(|script| Arc::new(Scripted(script, Arc::clone(&log))) as Arc<dyn Filter>);
        Self { run: Chain::new(filters).open(limits), x: exchange(), log }
    }

    fn body(&mut self, chunk: &'static str, end: bool) -> Step {
        self.run.request_body(&mut self.x, Bytes::from_static(chunk.as_bytes()), end)
    }

    fn response_body(&mut self, chunk: &'static str, end: bool) -> Step {
        self.run.response_body(&mut self.x, Bytes::from_static(chunk.as_bytes()), end)
    }

    fn answer(&mut self, side: Side) -> Step {
        self.run.answered(side, &mut self.x, Answer::Slept)
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().drain(..).collect()
    }
}

fn exchange() -> Exchange {
    let address = base::Address::Ip(([127, 0, 0, 1], 1).into());
    Exchange {
        request: http::Request::post("/").body(()).unwrap().into_parts().0,
        response: None,
        facts: Facts::new(Moment::default(), Peer { remote: address.clone(), local: address }, 0),
    }
}

fn script(name: &'static str) -> Script {
    Script { name, ..Script::default() }
}

/// A step in short.
fn short(step: Step) -> String {
    match step {
        Step::Abort(_) => "abort".into(),
        Step::Ask(_) => "ask".into(),
        Step::Body(bytes) => format!("body {}", String::from_utf8_lossy(&bytes)),
        Step::Continue => "continue".into(),
        Step::Hold => "hold".into(),
        Step::Reply(reply) => format!("reply {}", reply.status.as_u16()),
        Step::Trailers(_) => "trailers".into(),
    }
}

#[test]
fn an_empty_chain_lets_everything_pass() {
    let mut case = Case::new([]);

    assert_eq!(short(case.run.request_head(&mut case.x)), "continue");
    assert_eq!(short(case.body("a", true)), "body a");
    assert_eq!(short(case.run.request_trailers(&mut case.x, HeaderMap::new())), "trailers");
    assert_eq!(short(case.run.before_upstream(&mut case.x)), "continue");
    assert_eq!(short(case.run.response_head(&mut case.x)), "continue");
    assert_eq!(short(case.response_body("b", true)), "body b");
}

#[test]
fn the_request_runs_forward_and_the_response_backward() {
    let mut case = Case::new([script("a"), script("b")]);

    case.run.request_head(&mut case.x);
    case.body("1", true);
    case.run.request_trailers(&mut case.x, HeaderMap::new());
    case.run.before_upstream(&mut case.x);
    case.run.response_head(&mut case.x);
    case.response_body("2", true);
    case.run.log(&case.x);

    let expected = [
        "a.head",
        "b.head",
        "a.body 1 end",
        "b.body 1 end",
        "a.trailers",
        "b.trailers",
        "a.before",
        "b.before",
        "b.response head",
        "a.response head",
        "b.response body 2",
        "a.response body 2",
        "a.log",
        "b.log",
    ];
    assert_eq!(case.log(), expected);
}

#[test]
fn a_held_head_goes_on_with_the_chunk_that_frees_it() {
    let first = Script { head: Act::Hold, body: vec![Act::Hold, Act::Hold, Act::Pass], ..script("a") };
    let mut case = Case::new([first, script("b")]);

    assert_eq!(short(case.run.request_head(&mut case.x)), "hold");
    assert_eq!(short(case.body("1", false)), "hold");
    assert_eq!(short(case.body("2", false)), "hold");
    assert_eq!(case.run.held(Side::Request), 2);
    assert_eq!(short(case.body("3", true)), "body 123");

    assert_eq!(case.run.held(Side::Request), 0);
    assert_eq!(case.log(), ["a.head", "a.body 1", "a.body 2", "a.body 3 end", "b.head", "b.body 123 end"]);
}

#[test]
fn heads_can_be_held_one_after_the_other() {
    let first = Script { head: Act::Hold, body: vec![Act::Replace("x")], ..script("a") };
    let second = Script { head: Act::Hold, body: vec![Act::Hold, Act::Replace("y")], ..script("b") };
    let mut case = Case::new([first, second]);

    assert_eq!(short(case.run.request_head(&mut case.x)), "hold");
    assert_eq!(short(case.body("1", false)), "hold");
    assert_eq!(short(case.body("2", true)), "body y");

    assert_eq!(case.log(), ["a.head", "a.body 1", "b.head", "b.body x", "a.body 2 end", "b.body 2 end"]);
}

#[test]
fn an_ask_in_a_head_takes_the_chunk_that_was_under_way_along() {
    let first = Script { head: Act::Hold, body: vec![Act::Pass], ..script("a") };
    let second = Script { head: Act::Ask, ..script("b") };
    let mut case = Case::new([first, second, script("c")]);

    assert_eq!(short(case.run.request_head(&mut case.x)), "hold");
    assert_eq!(short(case.body("1", true)), "ask");
    assert_eq!(short(case.answer(Side::Request)), "body 1");

    let expected =
        ["a.head", "a.body 1 end", "b.head", "b.answered", "c.head", "b.body 1 end", "c.body 1 end"];
    assert_eq!(case.log(), expected);
}

#[test]
fn an_ask_in_a_body_keeps_the_chunk_with_the_rest() {
    let first = Script { head: Act::Hold, body: vec![Act::Hold, Act::Ask], ..script("a") };
    let mut case = Case::new([first, script("b")]);

    case.run.request_head(&mut case.x);
    case.body("1", false);
    assert_eq!(short(case.body("2", true)), "ask");
    assert_eq!(case.run.held(Side::Request), 2);
    assert_eq!(short(case.answer(Side::Request)), "body 12");

    assert_eq!(case.log(), ["a.head", "a.body 1", "a.body 2 end", "a.answered", "b.head", "b.body 12 end"]);
}

#[test]
fn an_answer_may_refuse_what_was_asked_about() {
    let first = Script { head: Act::Hold, body: vec![Act::Ask], answered: Act::Reply, ..script("a") };
    let mut case = Case::new([first, script("b")]);

    case.run.request_head(&mut case.x);
    case.body("1", true);
    assert_eq!(short(case.answer(Side::Request)), "reply 403");

    assert_eq!(case.run.decided_by(), Some("a"));
    assert_eq!(case.run.held(Side::Request), 0);
    assert!(!case.log().contains(&"b.head".to_owned()));
}

#[test]
fn asks_in_trailers_and_before_an_attempt_go_on_behind_the_asker() {
    let first = Script { trailers: Act::Ask, before: Act::Ask, ..script("a") };
    let mut case = Case::new([first, script("b")]);

    case.run.request_head(&mut case.x);
    case.body("", true);
    case.log();
    assert_eq!(short(case.run.request_trailers(&mut case.x, HeaderMap::new())), "ask");
    assert_eq!(short(case.answer(Side::Request)), "trailers");
    assert_eq!(short(case.run.before_upstream(&mut case.x)), "ask");
    assert_eq!(short(case.answer(Side::Request)), "continue");

    assert_eq!(case.log(), ["a.trailers", "a.answered", "b.trailers", "a.before", "a.answered", "b.before"]);
}

#[test]
fn a_reply_to_a_request_is_seen_by_every_filter_as_the_response() {
    let first = script("a");
    let second = Script { head: Act::Reply, ..script("b") };
    let mut case = Case::new([first, second, script("c")]);

    assert_eq!(short(case.run.request_head(&mut case.x)), "reply 403");
    assert_eq!(short(case.run.response_head(&mut case.x)), "continue");
    assert_eq!(short(case.response_body("no", true)), "body no");

    let expected = [
        "a.head",
        "b.head",
        "c.response head",
        "b.response head",
        "a.response head",
        "c.response body no",
        "b.response body no",
        "a.response body no",
    ];
    assert_eq!(case.log(), expected);
    assert_eq!(case.run.decided_by(), Some("b"));
}

#[test]
fn a_reply_to_a_response_goes_to_the_client_directly() {
    let mut case = Case::new([script("a"), Script { response_head: Act::Reply, ..script("b") }]);

    case.run.request_head(&mut case.x);
    assert_eq!(short(case.run.response_head(&mut case.x)), "reply 403");
    case.log();

    assert_eq!(short(case.run.response_head(&mut case.x)), "continue");
    assert_eq!(short(case.response_body("no", true)), "body no");
    assert_eq!(case.log(), [""; 0]);
}

#[test]
fn after_the_response_has_begun_a_refusal_can_only_abort() {
    let mut case = Case::new([Script { response_body: vec![Act::Pass, Act::Reply], ..script("a") }]);

    case.run.request_head(&mut case.x);
    case.run.response_head(&mut case.x);
    assert_eq!(short(case.response_body("1", false)), "body 1");
    assert_eq!(short(case.response_body("2", false)), "abort");
    assert_eq!(case.x.facts.flags, [ReasonFlag::FaultInjected]);
}

#[test]
fn more_than_may_be_held_ends_the_exchange() {
    let holds = || Script {
        head: Act::Hold,
        response_head: Act::Hold,
        body: vec![Act::Hold; 3],
        response_body: vec![Act::Hold; 3],
        ..script("a")
    };
    let mut case = Case::limited([holds()], Limits { request: 3, response: 1 });

    case.run.request_head(&mut case.x);
    assert_eq!(short(case.body("12", false)), "hold");
    assert_eq!(short(case.body("34", false)), "reply 413");
    assert_eq!(short(case.run.response_head(&mut case.x)), "hold");
    assert_eq!(short(case.response_body("12", false)), "reply 500");

    let streams = Script { response_body: vec![Act::Hold], ..script("a") };
    let mut case = Case::limited([streams], Limits { request: 3, response: 1 });
    case.run.response_head(&mut case.x);
    assert_eq!(short(case.response_body("12", false)), "abort");
}

#[test]
fn the_last_chunk_cannot_be_held() {
    let mut case = Case::new([Script { body: vec![Act::Hold, Act::Hold], ..script("a") }]);

    case.run.request_head(&mut case.x);
    assert_eq!(short(case.body("1", false)), "hold");
    assert_eq!(short(case.body("2", true)), "body 12");
}

/// A stateless filter that waits, as a fixed pause would.
#[derive(Debug)]
struct Pause;

impl Filter for Pause {
    fn name(&self) -> &str {
        "pause"
    }

    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD
    }

    fn request_head(&self, _x: &mut Exchange) -> Verdict {
        Verdict::Ask(Ask::Sleep(Duration::from_secs(1)))
    }
}

#[test]
fn a_stateless_filter_goes_on_after_its_ask() {
    let mut case = Case::new([]);
    let chain = Chain::new([Arc::new(Pause) as Arc<dyn Filter>]);
    let mut run = chain.open(Limits::default());

    assert_eq!(short(run.request_head(&mut case.x)), "ask");
    assert_eq!(short(run.answered(Side::Request, &mut case.x, Answer::Slept)), "continue");
    assert!(!chain.phases().contains(Phases::REQUEST_BODY));
}
