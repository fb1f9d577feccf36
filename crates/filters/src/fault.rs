//! `envoy.filters.http.fault`: delays and aborts a share of the requests.
//!
//! A route's configuration takes the place of the listener's. The delay comes first; the abort is drawn for when it
//! is over. An abort with a gRPC status answers a gRPC call with that status (in a head without a body), and any other
//! request, as Envoy does, with 200.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filter::{
    Answer, Ask, Built, Exchange, Filter, FilterConfig, HeaderMatch, LocalReply, Phases, ReasonFlag, Session,
    Share, Verdict,
};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, StatusCode};
use proto::envoy::extensions::filters::common::fault::v3::FaultDelay;
use proto::envoy::extensions::filters::common::fault::v3::fault_delay::FaultDelaySecifier;
use proto::envoy::extensions::filters::http::fault::v3::fault_abort::ErrorType;
use proto::envoy::extensions::filters::http::fault::v3::{FaultAbort, HttpFault};

const BODY: &str = "fault filter abort";
const DETAILS: &str = "fault_filter_abort";

/// Delays and aborts.
#[derive(Debug)]
struct Fault {
    name: Box<str>,
    rule: Arc<Rule>,
}

#[derive(Debug)]
struct Rule {
    delay: Option<(Share, Duration)>,
    abort: Option<(Share, Abort)>,
    /// All must hold.
    headers: Vec<HeaderMatch>,
    /// Whose requests: the values of `x-envoy-downstream-service-node`; everybody's where empty.
    nodes: Vec<String>,
}

#[derive(Clone, Debug)]
struct Abort {
    status: StatusCode,
    grpc: Option<u32>,
    body: Bytes,
}

pub(crate) fn make(config: FilterConfig<'_>) -> Result<Built, String> {
    let message: HttpFault = proto::any::unpack(config.route.unwrap_or(config.listener))?;
    let rule = Rule::compile(&message)?;
    if rule.delay.is_none() && rule.abort.is_none() {
        return Ok(Built::Inert);
    }
    Ok(Built::Filter(Arc::new(Fault { name: config.name.into(), rule: Arc::new(rule) })))
}

impl Rule {
    fn compile(message: &HttpFault) -> Result<Self, String> {
        // Each of these narrows whom a fault concerns, or adds one of another kind.
        let refuse = |is_set: bool, field: &str| {
            if is_set { Err(format!("{field} is not supported")) } else { Ok(()) }
        };
        refuse(!message.upstream_cluster.is_empty(), "upstream_cluster")?;
        refuse(message.max_active_faults.is_some(), "max_active_faults")?;
        refuse(message.response_rate_limit.is_some(), "response_rate_limit")?;
        let headers = message.headers.iter().enumerate().map(|(i, condition)| {
            HeaderMatch::compile(condition).map_err(|why| format!("headers[{i}]: {why}"))
        });
        Ok(Self {
            delay: match &message.delay {
                Some(delay) => delay_of(delay).map_err(|why| format!("delay: {why}"))?,
                None => None,
            },
            abort: match &message.abort {
                Some(abort) => abort_of(abort).map_err(|why| format!("abort: {why}"))?,
                None => None,
            },
            headers: headers.collect::<Result<_, _>>()?,
            nodes: message.downstream_nodes.clone(),
        })
    }

    fn concerns(&self, x: &Exchange) -> bool {
        let node =
            x.request.headers.get("x-envoy-downstream-service-node").and_then(|value| value.to_str().ok());
        (self.nodes.is_empty() || node.is_some_and(|node| self.nodes.iter().any(|known| known == node)))
            && self.headers.iter().all(|condition| condition.matches(&x.request))
    }

    fn abort(&self, x: &mut Exchange) -> Verdict {
        match &self.abort {
            Some((share, abort)) if share.includes(x.facts.random()) => Verdict::Reply(abort.reply(x)),
            _ => Verdict::Continue,
        }
    }
}

fn delay_of(message: &FaultDelay) -> Result<Option<(Share, Duration)>, String> {
    let delay = match &message.fault_delay_secifier {
        Some(FaultDelaySecifier::FixedDelay(delay)) => *delay,
        Some(FaultDelaySecifier::HeaderDelay(_)) => return Err("header_delay is not supported".into()),
        None => return Err("fixed_delay is missing".into()),
    };
    let duration = match (u64::try_from(delay.seconds), u32::try_from(delay.nanos)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Duration::new(seconds, nanos),
        _ => return Err("fixed_delay is not a duration of zero or more".into()),
    };
    let share = message.percentage.as_ref().map_or(Ok(Share::NONE), Share::compile)?;
    Ok(Some((share, duration)).filter(|(share, duration)| *share > Share::NONE && !duration.is_zero()))
}

fn abort_of(message: &FaultAbort) -> Result<Option<(Share, Abort)>, String> {
    let (status, grpc) = match &message.error_type {
        Some(ErrorType::HttpStatus(status)) => (*status, None),
        Some(ErrorType::GrpcStatus(status)) => (200, Some(*status)),
        Some(ErrorType::HeaderAbort(_)) => return Err("header_abort is not supported".into()),
        None => return Err("http_status is missing".into()),
    };
    let status = u16::try_from(status).ok().filter(|status| (200..600).contains(status));
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.ok_or("http_status is not between 200 and 599")?;
    let body = match message.response_body.as_str() {
        "" => Bytes::from_static(BODY.as_bytes()),
        own => Bytes::copy_from_slice(own.as_bytes()),
    };
    let share = message.percentage.as_ref().map_or(Ok(Share::NONE), Share::compile)?;
    Ok(Some((share, Abort { status, grpc, body })).filter(|(share, _)| *share > Share::NONE))
}

impl Abort {
    fn reply(&self, x: &Exchange) -> LocalReply {
        let kind = x.request.headers.get(CONTENT_TYPE);
        let is_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        let mut reply = LocalReply::text(self.status, self.body.clone(), Cow::Borrowed(DETAILS));
        if let Some(status) = self.grpc.filter(|_| is_grpc) {
            reply.headers.push((HeaderName::from_static("grpc-status"), HeaderValue::from(status)));
        }
        reply.flagged(ReasonFlag::FaultInjected)
    }
}

impl Filter for Fault {
    fn name(&self) -> &str {
        &self.name
    }

    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD
    }

    /// Only a delay has to be waited for.
    fn open(&self) -> Option<Box<dyn Session>> {
        self.rule.delay.as_ref()?;
        Some(Box::new(Delay { rule: Arc::clone(&self.rule) }))
    }

    fn request_head(&self, x: &mut Exchange) -> Verdict {
        if self.rule.concerns(x) { self.rule.abort(x) } else { Verdict::Continue }
    }
}

/// A request that may have to wait.
struct Delay {
    rule: Arc<Rule>,
}

impl Session for Delay {
    fn request_head(&mut self, x: &mut Exchange) -> Verdict {
        if !self.rule.concerns(x) {
            return Verdict::Continue;
        }
        match &self.rule.delay {
            Some((share, delay)) if share.includes(x.facts.random()) => {
                x.facts.raise(ReasonFlag::DelayInjected);
                Verdict::Ask(Ask::Sleep(*delay))
            }
            _ => self.rule.abort(x),
        }
    }

    fn answered(&mut self, x: &mut Exchange, _slept: Answer) -> Verdict {
        self.rule.abort(x)
    }
}
