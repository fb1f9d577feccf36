#![allow(clippy::unwrap_used)]

use super::*;

fn rules(namespaces: &[(&str, &str, &str)]) -> HostRules {
    let text: String = namespaces
        .iter()
        .map(|(namespace, host, balancer)| {
            let name = balancer.to_lowercase().replace('_', "-");
            format!(
                "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
                 metadata: {{name: {name}, namespace: {namespace}}}\n\
                 spec: {{host: '{host}', trafficPolicy: {{loadBalancer: {{simple: {balancer}}}}}, \
                 subsets: [{{name: {name}, labels: {{a: b}}}}]}}\n---\n"
            )
        })
        .collect();
    let parsed = api::parse("rules.yaml", text.as_bytes());
    assert_eq!(parsed.resources.len(), namespaces.len(), "{:#?}", parsed.issues);
    HostRules::gather(&parsed.resources.into_iter().collect(), &Settings::default())
}

fn balancer(rules: &HostRules, client: &str) -> Option<LoadBalancer> {
    let host = Host::new("reviews.service.svc.cluster.local");
    rules.lookup(&host, client, "service", &Settings::default())?.policy.load_balancer
}

#[test]
fn the_clients_namespace_comes_before_the_services_and_that_before_the_root() {
    let root = ("istio-system", "*", "RANDOM");
    let service = ("service", "reviews", "ROUND_ROBIN");
    let client = ("client", "*.service.svc.cluster.local", "LEAST_REQUEST");

    assert_eq!(balancer(&rules(&[root]), "client"), Some(LoadBalancer::Random));
    assert_eq!(balancer(&rules(&[root, service]), "client"), Some(LoadBalancer::RoundRobin));
    assert_eq!(balancer(&rules(&[root, service, client]), "client"), Some(LoadBalancer::LeastRequest));
    assert_eq!(balancer(&rules(&[root, service, client]), "another"), Some(LoadBalancer::RoundRobin));
    assert_eq!(balancer(&rules(&[client]), "another"), None);
}

#[test]
fn rules_of_one_namespace_for_one_host_are_merged() {
    let rules = rules(&[("service", "reviews", "RANDOM"), ("service", "reviews", "ROUND_ROBIN")]);
    let host = Host::new("reviews.service.svc.cluster.local");

    let merged = rules.lookup(&host, "service", "service", &Settings::default()).unwrap();

    assert_eq!(merged.policy.load_balancer, Some(LoadBalancer::Random), "of equal age the name decides");
    let subsets: Vec<_> = merged.subsets.iter().map(|subset| subset.name.as_str()).collect();
    assert_eq!(subsets, ["random", "round-robin"]);
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
