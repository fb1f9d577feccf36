#![allow(clippy::unwrap_used)]

use api::load_balancer::Algorithm;
use api::tls::ClientTlsMode;

use super::*;

fn gathered(text: &str) -> (HostRules, Vec<Issue>) {
    let parsed = api::parse("rules.yaml", text.as_bytes());
    assert!(parsed.refused.is_empty(), "{:#?}", parsed.issues);
    let mut issues = Vec::new();
    let set = parsed.resources.into_iter().collect();
    (HostRules::gather(&set, &Settings::default(), &mut issues), issues)
}

/// Rules of a namespace for a host, each with an algorithm and a subset named after it, and more of its spec.
fn rules(all: &[(&str, &str, &str, &str)]) -> (HostRules, Vec<Issue>) {
    let text: String = all
        .iter()
        .map(|(namespace, host, balancer, more)| {
            let name = balancer.to_lowercase().replace('_', "-");
            format!(
                "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
                 metadata: {{name: {name}, namespace: {namespace}}}\n\
                 spec: {{host: '{host}', trafficPolicy: {{loadBalancer: {{simple: {balancer}}}}}, \
                 subsets: [{{name: {name}, labels: {{a: b}}}}]{more}}}\n---\n"
            )
        })
        .collect();
    gathered(&text)
}

fn seen(rules: &HostRules, namespace: &str, labels: &Labels) -> Option<Arc<HostRule>> {
    let host = Host::new("reviews.service.svc.cluster.local");
    rules.lookup(&host, Client { namespace, labels }, "service", &Settings::default()).cloned()
}

fn algorithm(rules: &HostRules, client: &str) -> Option<Algorithm> {
    seen(rules, client, &Labels::default())?.policy(80).load_balancer?.algorithm
}

#[test]
fn the_clients_namespace_comes_before_the_services_and_that_before_the_root() {
    let root = ("istio-system", "*", "RANDOM", "");
    let service = ("service", "reviews", "ROUND_ROBIN", "");
    let client = ("client", "*.service.svc.cluster.local", "LEAST_REQUEST", "");
    let of = |all: &[(&str, &str, &str, &str)], client| algorithm(&rules(all).0, client);

    assert_eq!(of(&[root], "client"), Some(Algorithm::Random));
    assert_eq!(of(&[root, service], "client"), Some(Algorithm::RoundRobin));
    assert_eq!(of(&[root, service, client], "client"), Some(Algorithm::LeastRequest));
    assert_eq!(of(&[root, service, client], "another"), Some(Algorithm::RoundRobin));
    assert_eq!(of(&[client], "another"), None);
    assert_eq!(of(&[root, service], "istio-system"), Some(Algorithm::RoundRobin), "the root's are for all");
}

#[test]
fn a_rule_is_seen_where_it_is_exported_to() {
    let (of_service, _) = rules(&[
        ("istio-system", "*", "RANDOM", ""),
        ("service", "reviews", "ROUND_ROBIN", ", exportTo: [friend]"),
    ]);
    let (hidden, _) = rules(&[("service", "reviews", "ROUND_ROBIN", ", exportTo: ['.']")]);

    assert_eq!(algorithm(&of_service, "friend"), Some(Algorithm::RoundRobin));
    assert_eq!(algorithm(&of_service, "stranger"), Some(Algorithm::Random));
    assert_eq!(algorithm(&hidden, "service"), Some(Algorithm::RoundRobin));
    assert_eq!(algorithm(&hidden, "stranger"), None);
}

#[test]
fn rules_of_one_namespace_for_one_host_are_merged() {
    let both = [("service", "reviews", "RANDOM", ""), ("service", "reviews", "ROUND_ROBIN", "")];
    let (rules, issues) = rules(&both);

    let merged = seen(&rules, "service", &Labels::default()).unwrap();

    let found = merged.policy(80).load_balancer.unwrap().algorithm;
    assert_eq!(found, Some(Algorithm::Random), "of equal age the name decides");
    let subsets: Vec<_> = merged.subsets.iter().map(|subset| subset.name.as_str()).collect();
    assert_eq!(subsets, ["random", "round-robin"]);
    let said: Vec<_> = issues.iter().map(|issue| (issue.code.as_str(), issue.path.as_str())).collect();
    assert_eq!(said, [("duplicate-rule", "spec.trafficPolicy")]);
    assert!(issues[0].place.line > 0);
}

#[test]
fn a_rule_for_certain_workloads_is_theirs_alone() {
    let (rules, _) = rules(&[
        ("client", "reviews.service.svc.cluster.local", "RANDOM", ""),
        (
            "client",
            "reviews.service.svc.cluster.local",
            "ROUND_ROBIN",
            ", workloadSelector: {matchLabels: {app: web}}",
        ),
    ]);
    let of = |labels: &Labels| {
        let rule = seen(&rules, "client", labels).unwrap();
        (rule.policy(80).load_balancer.unwrap().algorithm, rule.policy(80).is_selective)
    };

    assert_eq!(of(&Labels::from([("app", "web")])), (Some(Algorithm::RoundRobin), true));
    assert_eq!(of(&Labels::from([("app", "api")])), (Some(Algorithm::Random), false));
    let mut telling = BTreeSet::new();
    rules.telling_labels(&mut telling);
    assert_eq!(telling, BTreeSet::from(["app".to_owned()]));
}

#[test]
fn a_port_says_all_or_nothing_and_a_subset_what_differs() {
    let (rules, _) = gathered(
        "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: service}
spec:
  host: reviews
  trafficPolicy:
    loadBalancer: {simple: RANDOM}
    tls: {mode: SIMPLE}
    connectionPool: {tcp: {maxConnections: 7}}
    portLevelSettings:
      - {port: {number: 81}, loadBalancer: {simple: ROUND_ROBIN}}
  subsets:
    - name: narrow
      labels: {version: v1}
      trafficPolicy:
        tls: {mode: DISABLE}
        portLevelSettings:
          - {port: {number: 82}, loadBalancer: {simple: LEAST_REQUEST}}
    - {name: bare, labels: {version: v2}}
",
    );
    let rule = seen(&rules, "service", &Labels::default()).unwrap();
    let of = |subset: &str, port: u16| {
        let policy = rule.of(subset, port);
        let algorithm = policy.load_balancer.and_then(|balancer| balancer.algorithm);
        (algorithm, policy.tls.map(|tls| tls.mode), policy.pool.and_then(|pool| pool.tcp.max_connections))
    };

    let whole = (Some(Algorithm::Random), Some(ClientTlsMode::Simple), Some(7));
    assert_eq!(of("", 80), whole);
    assert_eq!(of("bare", 80), whole);
    assert_eq!(of("", 81), (Some(Algorithm::RoundRobin), None, None));
    assert_eq!(of("narrow", 80), (Some(Algorithm::Random), Some(ClientTlsMode::Disable), Some(7)));
    assert_eq!(of("narrow", 82), (Some(Algorithm::LeastRequest), None, None));
}

#[test]
fn the_longest_wildcard_is_the_most_specific() {
    let hosts: BTreeMap<Host, u8> =
        [("*", 0), ("*.com", 1), ("*.foo.com", 2), ("a.foo.com", 3)].map(|(h, n)| (Host::new(h), n)).into();

    assert_eq!(most_specific(&hosts, &Host::new("a.foo.com")), Some(&3));
    assert_eq!(most_specific(&hosts, &Host::new("b.foo.com")), Some(&2));
    assert_eq!(most_specific(&hosts, &Host::new("foo.com")), Some(&1));
    assert_eq!(most_specific(&hosts, &Host::new("org")), Some(&0));
}
