//! One run of a chain: where each direction stands, what is held back, who waits for an answer.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use smallvec::SmallVec;

use super::{Chain, Limits, Side, Step};
use crate::{Answer, BodyVerdict, Exchange, LocalReply, Phases, Session, Verdict};

/// One run of a [`Chain`]: the sessions of one exchange and how far each direction has come.
///
/// The request's phases run in the chain's order, the response's in reverse. A reply raised on the request
/// side is a response like any other: its owner makes it the exchange's response and calls
/// [`ChainRun::response_head`], and *every* filter's response phases see it, also those the request never
/// reached (as in Envoy, whose encoder chain always starts at its first filter). A reply raised on the
/// response side goes straight to the client and no further phase but the log sees it.
///
/// The last chunk of a body is always given, be it empty, and trailers come after it.
pub struct ChainRun {
    chain: Chain,
    /// Empty where no filter has a session; else one entry per filter.
    sessions: Box<[Option<Box<dyn Session>>]>,
    request: Flow,
    response: Flow,
    decided_by: Option<usize>,
}

/// How far one direction has come. Positions count in the direction's own order.
struct Flow {
    /// The first position that has not let the head pass.
    head: usize,
    /// Whether that position keeps the head back until its body hook lets a chunk pass.
    keeps_head: bool,
    waits: Option<Wait>,
    held: SmallVec<[Held; 1]>,
    /// The sum of `held`.
    bytes: usize,
    limit: usize,
    /// Nothing is asked any more: a reply was raised here.
    closed: bool,
}

struct Held {
    at: usize,
    chunks: Vec<Bytes>,
}

/// Where an ask was made, and what else was under way then.
enum Wait {
    /// In a body hook; its chunk is held.
    Body { at: usize, end: bool },
    /// Before an attempt.
    BeforeUpstream { at: usize },
    /// In a head hook; `then` is the chunk that set the head free at an earlier position.
    Head { then: Option<Chunk> },
    /// In a trailers hook.
    Trailers { at: usize, trailers: Box<HeaderMap> },
}

/// A chunk about to enter position `at`.
struct Chunk {
    at: usize,
    bytes: Bytes,
    end: bool,
}

impl ChainRun {
    pub(super) fn new(chain: Chain, limits: Limits) -> Self {
        let mut sessions: Vec<Option<Box<dyn Session>>> = Vec::new();
        for (at, link) in chain.links().iter().enumerate() {
            if let Some(session) = link.filter.open() {
                sessions.resize_with(chain.links().len(), || None);
                if let Some(slot) = sessions.get_mut(at) {
                    *slot = Some(session);
                }
            }
        }
        Self {
            chain,
            sessions: sessions.into_boxed_slice(),
            request: Flow::new(limits.request),
            response: Flow::new(limits.response),
            decided_by: None,
        }
    }

    /// The request's head: [`Step::Continue`], [`Step::Hold`], an ask or a reply.
    pub fn request_head(&mut self, x: &mut Exchange) -> Step {
        self.begin(Side::Request, x)
    }

    /// One chunk of the request's body: [`Step::Body`], [`Step::Hold`], an ask or a reply.
    pub fn request_body(&mut self, x: &mut Exchange, chunk: Bytes, end: bool) -> Step {
        self.body(Side::Request, x, Chunk { at: 0, bytes: chunk, end })
    }

    /// The request's trailers, after its last chunk: [`Step::Trailers`], an ask or a reply.
    pub fn request_trailers(&mut self, x: &mut Exchange, trailers: HeaderMap) -> Step {
        self.trailers(Side::Request, x, 0, trailers)
    }

    /// Before each attempt at an upstream: [`Step::Continue`], an ask or a reply.
    pub fn before_upstream(&mut self, x: &mut Exchange) -> Step {
        self.before(x, 0)
    }

    /// The head of `x.response`: [`Step::Continue`], [`Step::Hold`], an ask or a reply.
    ///
    /// May be called anew for a reply that takes the place of a response whose head was not sent yet.
    pub fn response_head(&mut self, x: &mut Exchange) -> Step {
        self.begin(Side::Response, x)
    }

    /// One chunk of the response's body: [`Step::Body`], [`Step::Hold`], an ask, a reply or an abort.
    pub fn response_body(&mut self, x: &mut Exchange, chunk: Bytes, end: bool) -> Step {
        self.body(Side::Response, x, Chunk { at: 0, bytes: chunk, end })
    }

    /// The response's trailers, after its last chunk: [`Step::Trailers`], an ask or an abort.
    pub fn response_trailers(&mut self, x: &mut Exchange, trailers: HeaderMap) -> Step {
        self.trailers(Side::Response, x, 0, trailers)
    }

    /// The world's answer to the ask this side made; the step is what the interrupted call would have said.
    pub fn answered(&mut self, side: Side, x: &mut Exchange, answer: Answer) -> Step {
        match self.flow(side).waits.take() {
            None => Step::Continue,
            Some(Wait::Head { then }) => {
                let at = self.flow(side).head;
                let verdict = self.session(side, at).map_or(Verdict::Continue, |s| s.answered(x, answer));
                match self.judge_head(side, x, at, verdict) {
                    Ok(true) => self.head(side, x, then),
                    Ok(false) => self.resume(side, x, then),
                    Err(step) => self.keep(side, step, then),
                }
            }
            Some(Wait::BeforeUpstream { at }) => {
                let verdict = self.session(side, at).map_or(Verdict::Continue, |s| s.answered(x, answer));
                match self.judge(side, x, at, verdict) {
                    Ok(()) => self.before(x, at + 1),
                    Err(step) => {
                        self.wait(side, &step, Wait::BeforeUpstream { at });
                        step
                    }
                }
            }
            Some(Wait::Trailers { at, trailers }) => {
                let verdict = self.session(side, at).map_or(Verdict::Continue, |s| s.answered(x, answer));
                match self.judge(side, x, at, verdict) {
                    Ok(()) => self.trailers(side, x, at + 1, *trailers),
                    Err(step) => {
                        self.wait(side, &step, Wait::Trailers { at, trailers });
                        step
                    }
                }
            }
            Some(Wait::Body { at, end }) => {
                let verdict = match self.session(side, at) {
                    Some(session) => session.body_answered(x, answer),
                    None => BodyVerdict::Pass,
                };
                match self.judge_body(side, x, Chunk { at, bytes: Bytes::new(), end }, verdict) {
                    Ok(chunk) if self.frees_head(side, chunk.at) => self.head(side, x, Some(chunk)),
                    Ok(chunk) => self.body(side, x, chunk),
                    Err(step) => step,
                }
            }
        }
    }

    /// Tells every filter that wants to know that the exchange is over.
    pub fn log(&mut self, x: &Exchange) {
        if !self.chain.phases().contains(Phases::LOG) {
            return;
        }
        for (at, link) in self.chain.links().iter().enumerate() {
            if !link.phases.contains(Phases::LOG) {
                continue;
            }
            match self.sessions.get_mut(at).and_then(Option::as_mut) {
                Some(session) => session.log(x),
                None => link.filter.log(x),
            }
        }
    }

    /// The name of the filter that raised the last reply or abort, if one did.
    pub fn decided_by(&self) -> Option<&str> {
        self.chain.links().get(self.decided_by?).map(|link| link.filter.name())
    }

    /// How many bytes a side's filters hold back at this moment.
    pub fn held(&self, side: Side) -> usize {
        match side {
            Side::Request => self.request.bytes,
            Side::Response => self.response.bytes,
        }
    }

    fn begin(&mut self, side: Side, x: &mut Exchange) -> Step {
        if !self.chain.phases().contains(head_phase(side)) {
            self.flow(side).head = self.chain.links().len();
            return Step::Continue;
        }
        let flow = self.flow(side);
        if flow.closed {
            return Step::Continue;
        }
        let limit = flow.limit;
        *flow = Flow::new(limit);
        self.head(side, x, None)
    }

    /// Takes the head on from where it stands, and `then` the chunk that set it free.
    fn head(&mut self, side: Side, x: &mut Exchange, then: Option<Chunk>) -> Step {
        let count = self.chain.links().len();
        loop {
            let at = self.flow(side).head;
            if at >= count {
                return self.resume(side, x, then);
            }
            let verdict = self.head_verdict(side, x, at);
            match self.judge_head(side, x, at, verdict) {
                Ok(true) => {}
                Ok(false) => return self.resume(side, x, then),
                Err(step) => return self.keep(side, step, then),
            }
        }
    }

    /// Ends a head's progress: with the chunk that was under way, if there is one.
    fn resume(&mut self, side: Side, x: &mut Exchange, then: Option<Chunk>) -> Step {
        match then {
            Some(chunk) => self.body(side, x, chunk),
            None if self.flow(side).keeps_head => Step::Hold,
            None => Step::Continue,
        }
    }

    /// Remembers, for an ask, what is to go on after its answer.
    fn keep(&mut self, side: Side, step: Step, then: Option<Chunk>) -> Step {
        self.wait(side, &step, Wait::Head { then });
        step
    }

    fn wait(&mut self, side: Side, step: &Step, wait: Wait) {
        if matches!(step, Step::Ask(_)) {
            self.flow(side).waits = Some(wait);
        }
    }

    fn head_verdict(&mut self, side: Side, x: &mut Exchange, at: usize) -> Verdict {
        let index = self.index(side, at);
        let Some(link) = self.chain.links().get(index) else { return Verdict::Continue };
        if !link.phases.contains(head_phase(side)) {
            return Verdict::Continue;
        }
        match (self.sessions.get_mut(index).and_then(Option::as_mut), side) {
            (Some(session), Side::Request) => session.request_head(x),
            (Some(session), Side::Response) => session.response_head(x),
            (None, Side::Request) => link.filter.request_head(x),
            (None, Side::Response) => link.filter.response_head(x),
        }
    }

    /// Whether the head goes on (`true`) or is held back (`false`).
    fn judge_head(
        &mut self,
        side: Side,
        x: &mut Exchange,
        at: usize,
        verdict: Verdict,
    ) -> Result<bool, Step> {
        let holds = matches!(verdict, Verdict::Hold) && self.sees_body(side, at);
        self.judge(side, x, at, verdict)?;
        let flow = self.flow(side);
        flow.keeps_head = holds;
        if !holds {
            flow.head = at + 1;
        }
        Ok(!holds)
    }

    /// What a verdict other than *go on* means; [`Verdict::Hold`] is for the caller to see.
    fn judge(&mut self, side: Side, x: &mut Exchange, at: usize, verdict: Verdict) -> Result<(), Step> {
        match verdict {
            Verdict::Continue | Verdict::Hold => Ok(()),
            Verdict::Ask(ask) => Err(Step::Ask(ask)),
            Verdict::Reply(reply) => Err(self.reply(side, x, at, reply)),
        }
    }

    fn body(&mut self, side: Side, x: &mut Exchange, mut chunk: Chunk) -> Step {
        let count = self.chain.links().len();
        if self.flow(side).closed || !self.chain.phases().contains(body_phase(side)) {
            return Step::Body(chunk.bytes);
        }
        while chunk.at < count {
            let verdict = self.body_verdict(side, x, &chunk);
            chunk = match self.judge_body(side, x, chunk, verdict) {
                Ok(next) => next,
                Err(step) => return step,
            };
            if self.frees_head(side, chunk.at) {
                return self.head(side, x, Some(chunk));
            }
        }
        Step::Body(chunk.bytes)
    }

    /// Whether a chunk about to enter position `next` has just set free the head that the one before kept back.
    fn frees_head(&mut self, side: Side, next: usize) -> bool {
        let flow = self.flow(side);
        let frees = flow.keeps_head && flow.head + 1 == next;
        if frees {
            flow.keeps_head = false;
            flow.head = next;
        }
        frees
    }

    fn body_verdict(&mut self, side: Side, x: &mut Exchange, chunk: &Chunk) -> BodyVerdict {
        if !self.sees_body(side, chunk.at) {
            return BodyVerdict::Pass;
        }
        match (self.session(side, chunk.at), side) {
            (Some(session), Side::Request) => session.request_body(x, &chunk.bytes, chunk.end),
            (Some(session), Side::Response) => session.response_body(x, &chunk.bytes, chunk.end),
            (None, _) => BodyVerdict::Pass,
        }
    }

    /// What leaves position `chunk.at`: the chunk for the next position, or a step.
    fn judge_body(
        &mut self,
        side: Side,
        x: &mut Exchange,
        chunk: Chunk,
        verdict: BodyVerdict,
    ) -> Result<Chunk, Step> {
        let Chunk { at, bytes, end } = chunk;
        let bytes = match verdict {
            BodyVerdict::Ask(ask) => {
                self.hold(side, x, at, bytes)?;
                self.flow(side).waits = Some(Wait::Body { at, end });
                return Err(Step::Ask(ask));
            }
            BodyVerdict::Hold if !end => {
                self.hold(side, x, at, bytes)?;
                return Err(Step::Hold);
            }
            BodyVerdict::Reply(reply) => return Err(self.reply(side, x, at, reply)),
            BodyVerdict::Replace(new) => {
                self.flow(side).release(at, Bytes::new());
                new
            }
            // Nothing follows the last chunk that could set it free.
            BodyVerdict::Hold | BodyVerdict::Pass => self.flow(side).release(at, bytes),
        };
        Ok(Chunk { at: at + 1, bytes, end })
    }

    /// Puts a chunk aside; over the limit the exchange ends as in Envoy.
    fn hold(&mut self, side: Side, x: &mut Exchange, at: usize, bytes: Bytes) -> Result<(), Step> {
        let flow = self.flow(side);
        if flow.hold(at, bytes) {
            return Ok(());
        }
        let reply = match side {
            Side::Request => LocalReply::text(
                StatusCode::PAYLOAD_TOO_LARGE,
                "Payload Too Large",
                "request_payload_too_large",
            ),
            Side::Response => LocalReply::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal Server Error",
                "response_payload_too_large",
            ),
        };
        Err(self.reply(side, x, at, reply))
    }

    fn reply(&mut self, side: Side, x: &mut Exchange, at: usize, reply: LocalReply) -> Step {
        self.decided_by = Some(self.index(side, at));
        let begun = self.response.head >= self.chain.links().len();
        let flow = self.flow(side);
        flow.closed = true;
        flow.held.clear();
        flow.bytes = 0;
        if let Some(flag) = reply.flag {
            x.facts.raise(flag);
        }
        if begun { Step::Abort("a filter refused after the response had begun") } else { Step::Reply(reply) }
    }

    fn before(&mut self, x: &mut Exchange, from: usize) -> Step {
        if !self.chain.phases().contains(Phases::BEFORE_UPSTREAM) {
            return Step::Continue;
        }
        for at in from..self.chain.links().len() {
            let Some(link) = self.chain.links().get(at) else { break };
            if !link.phases.contains(Phases::BEFORE_UPSTREAM) {
                continue;
            }
            let verdict = match self.sessions.get_mut(at).and_then(Option::as_mut) {
                Some(session) => session.before_upstream(x),
                None => link.filter.before_upstream(x),
            };
            if let Err(step) = self.judge(Side::Request, x, at, verdict) {
                self.wait(Side::Request, &step, Wait::BeforeUpstream { at });
                return step;
            }
        }
        Step::Continue
    }

    fn trailers(&mut self, side: Side, x: &mut Exchange, from: usize, mut trailers: HeaderMap) -> Step {
        let phase = match side {
            Side::Request => Phases::REQUEST_TRAILERS,
            Side::Response => Phases::RESPONSE_TRAILERS,
        };
        if self.flow(side).closed || !self.chain.phases().contains(phase) {
            return Step::Trailers(trailers);
        }
        for at in from..self.chain.links().len() {
            let index = self.index(side, at);
            if !self.chain.links().get(index).is_some_and(|link| link.phases.contains(phase)) {
                continue;
            }
            let verdict = match (self.session(side, at), side) {
                (Some(session), Side::Request) => session.request_trailers(x, &mut trailers),
                (Some(session), Side::Response) => session.response_trailers(x, &mut trailers),
                (None, _) => Verdict::Continue,
            };
            if let Err(step) = self.judge(side, x, at, verdict) {
                self.wait(side, &step, Wait::Trailers { at, trailers: Box::new(trailers) });
                return step;
            }
        }
        Step::Trailers(trailers)
    }

    fn flow(&mut self, side: Side) -> &mut Flow {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    fn session(&mut self, side: Side, at: usize) -> Option<&mut Box<dyn Session>> {
        let index = self.index(side, at);
        self.sessions.get_mut(index)?.as_mut()
    }

    fn sees_body(&self, side: Side, at: usize) -> bool {
        self.chain.links().get(self.index(side, at)).is_some_and(|l| l.phases.contains(body_phase(side)))
    }

    /// The filter at a side's position.
    fn index(&self, side: Side, at: usize) -> usize {
        match side {
            Side::Request => at,
            Side::Response => self.chain.links().len().saturating_sub(at + 1),
        }
    }
}

impl Flow {
    fn new(limit: usize) -> Self {
        Self {
            head: 0,
            keeps_head: false,
            waits: None,
            held: SmallVec::new(),
            bytes: 0,
            limit,
            closed: false,
        }
    }

    /// Whether the chunk fits below the limit; it is kept if so.
    fn hold(&mut self, at: usize, bytes: Bytes) -> bool {
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > self.limit {
            return false;
        }
        match self.held.iter_mut().find(|held| held.at == at) {
            Some(held) => held.chunks.push(bytes),
            None => self.held.push(Held { at, chunks: vec![bytes] }),
        }
        true
    }

    /// All that a position held, and `last` behind it.
    fn release(&mut self, at: usize, last: Bytes) -> Bytes {
        let Some(place) = self.held.iter().position(|held| held.at == at) else { return last };
        let held = self.held.swap_remove(place);
        let size: usize = held.chunks.iter().map(Bytes::len).sum();
        self.bytes = self.bytes.saturating_sub(size);
        let mut all = BytesMut::with_capacity(size + last.len());
        held.chunks.iter().for_each(|chunk| all.extend_from_slice(chunk));
        all.extend_from_slice(&last);
        all.freeze()
    }
}

fn head_phase(side: Side) -> Phases {
    match side {
        Side::Request => Phases::REQUEST_HEAD,
        Side::Response => Phases::RESPONSE_HEAD,
    }
}

fn body_phase(side: Side) -> Phases {
    match side {
        Side::Request => Phases::REQUEST_BODY,
        Side::Response => Phases::RESPONSE_BODY,
    }
}
