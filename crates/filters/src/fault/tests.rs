#![allow(clippy::unwrap_used)]

use filter::{Chain, Limits, Side, Step};
use proto::Any;
use proto::envoy::config::route::v3::HeaderMatcher;
use proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use proto::envoy::r#type::v3::FractionalPercent;
use proto::google::protobuf::Duration as WireDuration;

use super::*;
use crate::tests_support::{exchange, made};

fn percent(numerator: u32) -> Option<FractionalPercent> {
    Some(FractionalPercent { numerator, denominator: 0 })
}

fn delay(share: u32) -> Option<FaultDelay> {
    let fixed = FaultDelaySecifier::FixedDelay(WireDuration { seconds: 7, nanos: 0 });
    Some(FaultDelay { percentage: percent(share), fault_delay_secifier: Some(fixed) })
}

fn abort(share: u32, error: ErrorType) -> Option<FaultAbort> {
    Some(FaultAbort { percentage: percent(share), response_body: String::new(), error_type: Some(error) })
}

fn chain(message: &HttpFault) -> Chain {
    made(make, &proto::any::pack(&HttpFault::default()), Some(&proto::any::pack(message))).unwrap()
}

#[test]
fn a_delay_comes_before_an_abort() {
    let chain = chain(&HttpFault {
        delay: delay(100),
        abort: abort(100, ErrorType::HttpStatus(555)),
        ..Default::default()
    });
    let mut x = exchange("GET", &[]);
    let mut run = chain.open(Limits::default());

    let Step::Ask(Ask::Sleep(pause)) = run.request_head(&mut x) else { panic!() };
    let Step::Reply(reply) = run.answered(Side::Request, &mut x, Answer::Slept) else { panic!() };

    assert_eq!(pause, Duration::from_secs(7));
    assert_eq!(reply.status.as_u16(), 555);
    assert_eq!(&*reply.body, b"fault filter abort");
    assert_eq!(reply.details, "fault_filter_abort");
    assert_eq!(x.facts.flags, [ReasonFlag::DelayInjected, ReasonFlag::FaultInjected]);
}

#[test]
fn a_share_of_the_requests_is_hit() {
    let chain = chain(&HttpFault { abort: abort(30, ErrorType::HttpStatus(503)), ..Default::default() });
    let hits = (0..10_000).filter(|seed| {
        let mut x = exchange("GET", &[]);
        x.facts.seed = *seed;
        matches!(chain.open(Limits::default()).request_head(&mut x), Step::Reply(_))
    });

    let hits = hits.count();

    assert!((2_800..3_200).contains(&hits), "{hits}");
}

#[test]
fn only_requests_that_fulfil_every_condition_are_hit() {
    let condition = HeaderMatcher {
        name: "end-user".into(),
        header_match_specifier: Some(HeaderMatchSpecifier::PresentMatch(true)),
        ..HeaderMatcher::default()
    };
    let fault = HttpFault {
        abort: abort(100, ErrorType::HttpStatus(500)),
        headers: vec![condition],
        ..Default::default()
    };
    let chain = chain(&fault);

    let mut jason = exchange("GET", &[("end-user", "jason")]);
    assert!(matches!(chain.open(Limits::default()).request_head(&mut jason), Step::Reply(_)));
    let mut nobody = exchange("GET", &[]);
    assert!(matches!(chain.open(Limits::default()).request_head(&mut nobody), Step::Continue));
}

#[test]
fn a_grpc_status_is_told_in_the_callers_protocol() {
    let chain = chain(&HttpFault { abort: abort(100, ErrorType::GrpcStatus(14)), ..Default::default() });

    let mut call = exchange("POST", &[("content-type", "application/grpc")]);
    let Step::Reply(reply) = chain.open(Limits::default()).request_head(&mut call) else { panic!() };
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.headers.contains(&("grpc-status".parse().unwrap(), HeaderValue::from_static("14"))));

    let mut plain = exchange("GET", &[]);
    let Step::Reply(reply) = chain.open(Limits::default()).request_head(&mut plain) else { panic!() };
    assert_eq!((reply.status, reply.headers.as_slice()), (StatusCode::OK, &[][..]));
}

#[test]
fn the_route_decides_over_the_listener() {
    let everywhere =
        proto::any::pack(&HttpFault { abort: abort(100, ErrorType::HttpStatus(500)), ..Default::default() });
    let nowhere = proto::any::pack(&HttpFault::default());

    assert!(!made(make, &everywhere, None).unwrap().is_empty());
    assert!(made(make, &everywhere, Some(&nowhere)).unwrap().is_empty());
}

#[test]
fn what_never_happens_costs_nothing() {
    let zero =
        HttpFault { delay: delay(0), abort: abort(0, ErrorType::HttpStatus(500)), ..Default::default() };

    assert!(chain(&zero).is_empty());
}

#[test]
fn what_cannot_be_done_is_refused_with_its_field() {
    let cases = [
        (HttpFault { upstream_cluster: "x".into(), ..Default::default() }, "upstream_cluster"),
        (
            HttpFault { abort: abort(1, ErrorType::HttpStatus(99)), ..Default::default() },
            "abort: http_status",
        ),
        (HttpFault { abort: Some(FaultAbort::default()), ..Default::default() }, "abort: http_status"),
        (HttpFault { delay: Some(FaultDelay::default()), ..Default::default() }, "delay: fixed_delay"),
    ];
    for (message, expected) in cases {
        let error = made(make, &proto::any::pack(&message), None).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let foreign = Any { type_url: "type.googleapis.com/x.Y".into(), value: Vec::new() };
    assert!(made(make, &foreign, None).is_err());
}
