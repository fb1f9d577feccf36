#![allow(clippy::unwrap_used)]

use super::*;

const RULES: &str = r#"
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: default, namespace: demo}
spec:
  destination: {name: reviews}
  precedence: 1
  route: [{labels: {version: v1}}]
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: tester, namespace: demo}
spec:
  destination: {name: reviews}
  precedence: 3
  match:
    source: {name: productpage, labels: {version: v2}}
    request: {headers: {cookie: {regex: "^(.*?;)?(user=jason)(;.*)?$"}, uri: {prefix: /api}}}
  route: [{labels: {version: v2}, weight: 1}, {destination: {name: ratings}, weight: 3}]
  rewrite: {uri: /v2}
  httpFault: {delay: {percent: 12.5, fixedDelay: 2s}, abort: {percent: 1, httpStatus: 500}}
  httpReqTimeout: {simpleTimeout: {timeout: 3s}}
  httpReqRetries: {simpleRetry: {attempts: 2, perTryTimeout: 1s}}
  mirror: {name: shadow, labels: {version: v9}}
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: gone, namespace: demo}
spec:
  destination: {name: reviews}
  precedence: 2
  match: {request: {headers: {method: {exact: DELETE}}}}
  redirect: {authority: gone.example}
"#;

fn rules() -> Rules {
    let (rules, issues) = Rules::read(&[("rules.yaml", RULES)]);
    let errors: Vec<_> = issues.iter().filter(|issue| issue.severity == base::Severity::Error).collect();
    assert_eq!(errors, Vec::<&Issue>::new());
    rules
}

fn request() -> Request {
    Request {
        host: "reviews.demo.svc.cluster.local".into(),
        authority: "reviews".into(),
        method: "GET".into(),
        path: "/api/1?x=/api".into(),
        headers: vec![("Cookie".into(), "a=b;user=jason".into())],
        caller: Caller {
            services: vec!["productpage.demo.svc.cluster.local".into()],
            namespace: "demo".into(),
            labels: [("version".to_owned(), "v2".to_owned())].into(),
        },
        ..Request::default()
    }
}

#[test]
fn the_highest_rule_whose_conditions_hold_decides() {
    let decision = decide(&rules(), &request());

    assert_eq!(decision.rule.as_deref(), Some("RouteRule/demo/tester"));
    let Action::Forward { shares, path, authority } = decision.action else { panic!() };
    assert_eq!((path.as_str(), authority.as_str()), ("/v2/1?x=/api", "reviews"));
    let shares: Vec<_> =
        shares.iter().map(|share| (share.destination.host.as_str(), share.percent)).collect();
    assert_eq!(shares, [("reviews.demo.svc.cluster.local", 25.0), ("ratings.demo.svc.cluster.local", 75.0)]);
    assert_eq!(decision.delay, Some(Delay { duration: Duration::from_secs(2), percent: 12.5 }));
    assert_eq!(decision.abort, Some(Abort { error: Status::Http(500), percent: 1.0 }));
    assert_eq!(decision.timeout, Some(Duration::from_secs(3)));
    assert_eq!(decision.retries, Some(Retries { attempts: 2, per_try: Some(Duration::from_secs(1)) }));
    assert_eq!(decision.mirror.unwrap().labels["version"], "v9");
}

#[test]
fn a_broken_condition_leaves_the_request_to_the_rules_below() {
    let rules = rules();
    let by = |request: Request| decide(&rules, &request).rule.unwrap();

    assert_eq!(by(Request { caller: Caller::default(), ..request() }), "RouteRule/demo/default");
    assert_eq!(by(Request { headers: Vec::new(), ..request() }), "RouteRule/demo/default");
    assert_eq!(by(Request { path: "/other".into(), ..request() }), "RouteRule/demo/default");
}

#[test]
fn redirects_keep_what_they_do_not_name() {
    let decision = decide(&rules(), &Request { method: "DELETE".into(), headers: Vec::new(), ..request() });

    let authority = "gone.example".into();
    assert_eq!(decision.action, Action::Redirect { authority, path: "/api/1?x=/api".into() });
}

#[test]
fn a_host_without_rules_gets_its_requests() {
    let decision = decide(&rules(), &Request { host: "x.demo.svc.cluster.local".into(), ..request() });

    assert_eq!(decision.rule, None);
    assert!(matches!(decision.action, Action::Forward { shares, .. } if shares[0].percent == 100.0));
}

#[test]
fn probes_reach_every_rule() {
    let rules = rules();

    let mut reached: Vec<_> = rules.probes().iter().filter_map(|probe| decide(&rules, probe).rule).collect();
    reached.sort();
    reached.dedup();

    assert_eq!(reached, ["RouteRule/demo/default", "RouteRule/demo/gone", "RouteRule/demo/tester"]);
}
