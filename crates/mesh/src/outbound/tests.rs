use super::*;

#[test]
fn a_host_goes_by_what_dns_search_completes_for_its_client() {
    let host = Host::new("reviews.demo.svc.cluster.local");

    let near = domains(&host, "demo.svc.cluster.local");
    let far = domains(&host, "other.svc.cluster.local");

    let full = ["reviews.demo.svc.cluster.local", "reviews.demo.svc.cluster.local."];
    assert_eq!(near, [&full[..], &["reviews", "reviews.demo.svc", "reviews.demo"]].concat());
    assert_eq!(far, [&full[..], &["reviews.demo", "reviews.demo.svc"]].concat());
}

#[test]
fn hosts_outside_the_cluster_go_by_their_full_name_only() {
    assert_eq!(domains(&Host::new("*.example.com"), "demo.svc.cluster.local"), ["*.example.com"]);
    assert_eq!(domains(&Host::new("a.com"), "demo.svc.cluster.local"), ["a.com", "a.com."]);
    assert_eq!(domains(&Host::new("a.com"), ""), ["a.com", "a.com."]);
    assert_eq!(domains(&Host::new("svc.cluster.local"), "demo.svc.cluster.local").len(), 2);
}
