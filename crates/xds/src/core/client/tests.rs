#![allow(clippy::unwrap_used)]

use proto::Any;

use super::*;

const CDS: TypeUrl = TypeUrl::Cluster;
const EDS: TypeUrl = TypeUrl::Endpoint;

fn client() -> Client {
    Client::new(Node { id: "sidecar".to_owned(), ..Default::default() })
}

fn resource(ty: TypeUrl, name: &str, version: &str) -> Resource {
    let any = Any { type_url: ty.as_str().to_owned(), value: vec![1] };
    let (name, version) = (name.to_owned(), version.to_owned());
    Resource { name, version, resource: Some(any), ..Default::default() }
}

fn response(ty: TypeUrl, nonce: &str, resources: Vec<Resource>) -> DeltaDiscoveryResponse {
    let (type_url, nonce) = (ty.as_str().to_owned(), nonce.to_owned());
    DeltaDiscoveryResponse { type_url, nonce, resources, ..Default::default() }
}

/// Wants endpoints of the given names.
fn endpoints(names: &[&str]) -> impl Fn(TypeUrl) -> BTreeSet<String> {
    let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    move |ty| if ty == EDS { names.clone() } else { BTreeSet::new() }
}

fn types(requests: &[DeltaDiscoveryRequest]) -> Vec<&str> {
    requests.iter().map(|request| TypeUrl::of(&request.type_url).unwrap().short()).collect()
}

fn reject(name: &str) -> Reject {
    Reject { name: name.to_owned(), message: "is bad".to_owned() }
}

#[test]
fn a_stream_opens_with_both_wildcards_and_says_once_who_is_speaking() {
    let requests = client().open(endpoints(&[]));

    assert_eq!(types(&requests), ["CDS", "LDS"]);
    assert_eq!(requests[0].node.as_ref().unwrap().id, "sidecar");
    assert!(requests[1].node.is_none());
    assert!(requests.iter().all(|request| request.resource_names_subscribe.is_empty()));
}

#[test]
fn endpoints_are_asked_for_before_the_clusters_are_acknowledged() {
    let mut client = client();
    client.open(endpoints(&[]));

    let update = client.hear(response(CDS, "n1", vec![resource(CDS, "a", "1")])).unwrap();
    let requests = client.answer(Vec::new(), endpoints(&["a"]));

    assert_eq!((update.ty, update.added[0].name.as_str()), (CDS, "a"));
    assert_eq!(types(&requests), ["EDS", "CDS"]);
    assert_eq!(requests[0].resource_names_subscribe, ["a"]);
    assert!(requests[0].response_nonce.is_empty());
    assert_eq!(requests[1].response_nonce, "n1");
    assert!(requests[1].error_detail.is_none() && requests[1].resource_names_subscribe.is_empty());
}

#[test]
fn a_refusal_names_each_resource_and_only_what_was_accepted_counts_as_held() {
    let mut client = client();
    client.open(endpoints(&[]));
    client.hear(response(CDS, "n1", vec![resource(CDS, "good", "1"), resource(CDS, "worse", "1")]));
    client.answer(Vec::new(), endpoints(&[]));

    let resources = vec![resource(CDS, "good", "2"), resource(CDS, "new", "1"), resource(CDS, "worse", "2")];
    client.hear(response(CDS, "n2", resources));
    let requests = client.answer(vec![reject("new"), reject("worse")], endpoints(&[]));

    let refusal = requests[0].error_detail.as_ref().unwrap();
    assert_eq!((requests[0].response_nonce.as_str(), refusal.code), ("n2", INVALID_ARGUMENT));
    assert_eq!(refusal.message, "new: is bad; worse: is bad");
    let versions = &client.open(endpoints(&[]))[0].initial_resource_versions;
    assert_eq!(versions.len(), 2);
    assert_eq!(versions["good"], "2");
    assert_eq!(versions["worse"], "", "an older one is in force");
}

#[test]
fn what_cannot_be_a_resource_is_refused_and_the_rest_handed_on() {
    let mut client = client();
    client.open(endpoints(&[]));
    let empty = Resource { resource: None, ..resource(CDS, "empty", "1") };
    let resources = vec![
        resource(CDS, "fit", "1"),
        resource(CDS, "", "1"),
        empty,
        resource(EDS, "other", "1"),
        resource(CDS, "fit", "2"),
    ];

    let update = client.hear(response(CDS, "n1", resources)).unwrap();
    let requests = client.answer(Vec::new(), endpoints(&[]));

    assert_eq!(update.added.len(), 1);
    let message = &requests[0].error_detail.as_ref().unwrap().message;
    for part in ["has no name", "empty: has no content", "other: is a", "fit: stands twice"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_type_that_was_not_asked_for_is_refused_as_such() {
    let mut client = client();
    client.open(endpoints(&[]));
    let strange = DeltaDiscoveryResponse { type_url: "x/y".to_owned(), ..response(CDS, "n9", Vec::new()) };

    assert!(client.hear(strange).is_none());
    let requests = client.answer(Vec::new(), endpoints(&[]));
    assert!(client.hear(response(EDS, "n2", Vec::new())).is_none());

    assert_eq!((requests[0].type_url.as_str(), requests[0].response_nonce.as_str()), ("x/y", "n9"));
    assert!(requests[0].error_detail.as_ref().unwrap().message.contains("x/y"));
}

#[test]
fn a_name_given_up_is_unsubscribed_and_what_still_arrives_for_it_is_passed_over() {
    let mut client = client();
    client.open(endpoints(&["a", "b"]));

    let requests = client.subscribe(endpoints(&["b"]));
    let mut late = response(EDS, "n1", vec![resource(EDS, "a", "1"), resource(EDS, "b", "1")]);
    late.removed_resources = vec!["a".to_owned()];
    let update = client.hear(late).unwrap();

    assert_eq!(requests[0].resource_names_unsubscribe, ["a"]);
    assert_eq!(update.added.iter().map(|added| added.name.as_str()).collect::<Vec<_>>(), ["b"]);
    assert!(update.removed.is_empty());
}

#[test]
fn a_second_stream_says_what_is_held_and_forgets_what_went() {
    let mut client = client();
    client.open(endpoints(&["a"]));
    client.hear(response(CDS, "n1", vec![resource(CDS, "a", "1"), resource(CDS, "b", "1")]));
    client.answer(Vec::new(), endpoints(&["a"]));
    let gone =
        DeltaDiscoveryResponse { removed_resources: vec!["b".to_owned()], ..response(CDS, "n2", Vec::new()) };
    client.hear(gone);
    client.answer(Vec::new(), endpoints(&["a"]));
    client.hear(response(EDS, "n3", vec![resource(EDS, "a", "7")]));
    client.answer(Vec::new(), endpoints(&["a"]));

    let requests = client.open(endpoints(&["a"]));

    assert_eq!(types(&requests), ["CDS", "EDS", "LDS"]);
    assert!(requests[0].node.is_some());
    assert_eq!(requests[0].initial_resource_versions, [("a".to_owned(), "1".to_owned())].into());
    assert_eq!(requests[1].resource_names_subscribe, ["a"]);
    assert_eq!(requests[1].initial_resource_versions["a"], "7");
}

#[test]
fn the_text_of_a_refusal_is_bounded() {
    let rejects: Vec<Reject> = (0..10_000).map(|i| reject(&format!("ö{i}"))).collect();

    let message = refusal(&rejects).message;

    assert!(message.len() <= MAX_REFUSAL + '…'.len_utf8() && message.ends_with('…'));
}
