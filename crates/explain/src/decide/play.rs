//! A route's filters, run over the request often enough to tell how often a fault hits.

use std::time::Duration;

use filter::{Answer, Ask, Exchange, Limits, LocalReply, Phases, ReasonFlag, Side, Step};
use plan::RouteMatch;

use super::forward::facts;
use crate::{Call, Decision};

/// How many calls are played.
const DRAWS: u32 = 1000;

/// Runs the route's filters over many such requests and writes down how long they held them and what they answered.
pub(super) fn play(
    found: &RouteMatch<'_>,
    parts: &http::request::Parts,
    call: &Call,
    decision: &mut Decision,
) {
    if !found.chain.phases().contains(Phases::REQUEST_HEAD) {
        return;
    }
    let mut faults = 0;
    for draw in 0..DRAWS {
        let played = once(found, parts, call, draw);
        decision.delay = decision.delay.max(played.delay);
        let mut is_fault = !played.delay.is_zero();
        if let Some(reply) = played.reply {
            is_fault |= reply.flag == Some(ReasonFlag::FaultInjected);
            decision.reply = Some(reply.status.as_u16());
            decision.body =
                Some(String::from_utf8_lossy(&reply.body).into_owned()).filter(|body| !body.is_empty());
            let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            decision.reply_headers =
                reply.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            // Answered by a filter that leaves nothing to chance, as a preflight is: nothing is sent on.
            if !is_fault {
                decision.clusters.clear();
                return;
            }
        }
        faults += u32::from(is_fault);
    }
    decision.fault_percent = f64::from(faults) * 100.0 / f64::from(DRAWS);
}

/// What the filters did with one request.
#[derive(Default)]
struct Played {
    delay: Duration,
    reply: Option<LocalReply>,
}

fn once(found: &RouteMatch<'_>, parts: &http::request::Parts, call: &Call, draw: u32) -> Played {
    let mut exchange =
        Exchange { request: parts.clone(), response: None, facts: facts(call, u64::from(draw)) };
    let mut run = found.chain.open(Limits::default());
    let mut step = run.request_head(&mut exchange);
    let mut played = Played::default();
    // A filter asks a handful of times at most; the bound keeps a broken one from looping.
    for _ in 0..64 {
        match step {
            Step::Ask(Ask::Sleep(time)) => {
                played.delay += time;
                step = run.answered(Side::Request, &mut exchange, Answer::Slept);
            }
            Step::Ask(Ask::Call { .. }) => {
                let failed = Answer::Failed("nothing is called in a simulation".into());
                step = run.answered(Side::Request, &mut exchange, failed);
            }
            Step::Reply(reply) => {
                played.reply = Some(reply);
                break;
            }
            _ => break,
        }
    }
    played
}
