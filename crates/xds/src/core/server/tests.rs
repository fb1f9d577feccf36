#![allow(clippy::unwrap_used)]

use proto::google::rpc::Status;

use super::*;
use crate::world::{Told, World, WorldFeed, bookinfo};

const CDS: TypeUrl = TypeUrl::Cluster;
const EDS: TypeUrl = TypeUrl::Endpoint;
const LDS: TypeUrl = TypeUrl::Listener;
const RDS: TypeUrl = TypeUrl::Route;

/// A session, written to and read from as a proxy would.
struct Stream {
    world: World,
    feed: WorldFeed,
    session: Session,
}

impl Stream {
    fn new(world: &World) -> Stream {
        Stream::among(world, &Library::default())
    }

    fn among(world: &World, library: &Library) -> Stream {
        let mut feed = world.feed();
        let session = Session::new(feed.refresh(), library.clone());
        Stream { world: world.clone(), feed, session }
    }

    /// Sends one request and returns what comes back, as `CDS +added -removed`.
    fn send(&mut self, request: DeltaDiscoveryRequest) -> Vec<String> {
        self.session.request(&request, &mut self.feed).unwrap();
        self.read()
    }

    fn read(&mut self) -> Vec<String> {
        let responses = self.session.responses(&mut self.feed);
        if let Some(generation) = self.session.settle() {
            self.feed.settled(generation);
        }
        responses.iter().map(told).collect()
    }

    fn refresh(&mut self) -> Vec<String> {
        let generation = self.feed.refresh();
        self.session.refreshed(generation, &self.feed);
        self.read()
    }

    fn subscribe(&mut self, ty: TypeUrl, names: &[&str]) -> Vec<String> {
        self.send(subscribe(ty, names))
    }

    /// Accepts what was last sent of a type.
    fn ack(&mut self, ty: TypeUrl) -> Vec<String> {
        let nonce = self.session.status()[&ty].nonce_sent.clone();
        self.send(answer(ty, &nonce))
    }

    fn settled(&self) -> bool {
        self.world.told().last() == Some(&Told::Settled(self.world.generation()))
    }
}

fn told(response: &Response) -> String {
    let ty = TypeUrl::of(&response.type_url).map_or(response.type_url.clone(), |ty| ty.to_string());
    let mut text = ty;
    response.added.iter().for_each(|resource| text.push_str(&format!(" +{}", resource.name)));
    response.removed.iter().for_each(|name| text.push_str(&format!(" -{name}")));
    text
}

fn subscribe(ty: TypeUrl, names: &[&str]) -> DeltaDiscoveryRequest {
    let resource_names_subscribe = names.iter().map(|name| (*name).to_owned()).collect();
    DeltaDiscoveryRequest { type_url: ty.as_str().to_owned(), resource_names_subscribe, ..Default::default() }
}

fn unsubscribe(ty: TypeUrl, names: &[&str]) -> DeltaDiscoveryRequest {
    let resource_names_unsubscribe = names.iter().map(|name| (*name).to_owned()).collect();
    DeltaDiscoveryRequest {
        type_url: ty.as_str().to_owned(),
        resource_names_unsubscribe,
        ..Default::default()
    }
}

fn answer(ty: TypeUrl, nonce: &str) -> DeltaDiscoveryRequest {
    let (type_url, response_nonce) = (ty.as_str().to_owned(), nonce.to_owned());
    DeltaDiscoveryRequest { type_url, response_nonce, ..Default::default() }
}

fn held(ty: TypeUrl, versions: &[(&str, &str)]) -> DeltaDiscoveryRequest {
    let versions = versions.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned()));
    DeltaDiscoveryRequest { initial_resource_versions: versions.collect(), ..subscribe(ty, &[]) }
}

/// As Envoy 1.40 does it: endpoints are asked for before clusters are acknowledged, acknowledgements interleave.
fn started(world: &World) -> Stream {
    start(Stream::new(world))
}

fn start(mut envoy: Stream) -> Stream {
    assert_eq!(envoy.subscribe(CDS, &[]), ["CDS +a +b"]);
    assert_eq!(envoy.subscribe(EDS, &["a", "b"]), ["EDS +a +b"]);
    assert!(envoy.ack(CDS).is_empty());
    assert!(envoy.subscribe(LDS, &[]).is_empty(), "endpoints are not acknowledged");
    assert_eq!(envoy.ack(EDS), ["LDS +9080"]);
    assert_eq!(envoy.subscribe(RDS, &["9080"]), ["RDS +9080"]);
    assert!(envoy.ack(LDS).is_empty());
    assert!(!envoy.settled());
    assert!(envoy.ack(RDS).is_empty());
    assert!(envoy.settled());
    envoy
}

#[test]
fn envoys_start_is_followed_to_the_letter() {
    started(&bookinfo());
}

#[test]
fn streams_that_were_told_the_same_hold_it_once() {
    let (world, library) = (bookinfo(), Library::default());
    let mut streams: Vec<Stream> = (0..20).map(|_| start(Stream::among(&world, &library))).collect();
    assert_eq!(library.in_use(), 4, "one ledger for each type");

    world.put(EDS, "a", "2");
    for stream in &mut streams {
        assert_eq!(stream.refresh(), ["EDS +a"]);
        stream.ack(EDS);
    }
    streams.push(start(Stream::among(&world, &library)));

    assert_eq!(library.in_use(), 4, "whoever comes later is told the same at once");
}

#[test]
fn a_wildcard_is_answered_even_with_nothing() {
    let mut stream = Stream::new(&World::new());

    assert_eq!(stream.subscribe(CDS, &[]), ["CDS"]);
    assert_eq!(stream.subscribe(LDS, &[]), ["LDS"]);
}

#[test]
fn every_name_is_answered_whether_or_not_it_exists() {
    let mut stream = Stream::new(&bookinfo());

    assert_eq!(stream.subscribe(EDS, &["a", "nobody"]), ["EDS +a -nobody"]);
    assert_eq!(stream.subscribe(RDS, &["8080"]), Vec::<String>::new(), "waits for endpoints");
    assert_eq!(stream.ack(EDS), ["RDS -8080"]);
}

#[test]
fn names_of_a_type_not_served_are_answered_as_absent() {
    let mut stream = Stream::new(&World::new());
    let type_url = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig".to_owned();
    let request = DeltaDiscoveryRequest { type_url: type_url.clone(), ..subscribe(CDS, &["wasm"]) };

    assert_eq!(stream.send(request), [format!("{type_url} -wasm")]);
}

#[test]
fn what_a_feed_says_has_changed_is_compared_and_nothing_else_is() {
    let world = bookinfo();
    let mut stream = started(&world);

    world.put(EDS, "nobody asked", "1");
    assert!(stream.refresh().is_empty());
    assert!(stream.settled());
    world.put(EDS, "a", "2");
    world.remove(CDS, "b");
    world.put(RDS, "9080", "b");
    assert_eq!(stream.refresh(), ["EDS +a", "RDS +9080"]);
    stream.ack(EDS);
    assert_eq!(stream.ack(RDS), ["CDS -b"]);
    world.put(EDS, "a", "3");
    stream.refresh();
    world.put(EDS, "a", "2");
    assert!(stream.refresh().is_empty(), "one is under way");
    assert_eq!(stream.ack(EDS), ["EDS +a"]);
}

#[test]
fn changes_while_a_response_is_under_way_are_merged_into_the_next() {
    let world = bookinfo();
    let mut stream = started(&world);

    world.put(EDS, "a", "2");
    assert_eq!(stream.refresh(), ["EDS +a"]);
    world.put(EDS, "b", "2");
    assert!(stream.refresh().is_empty());
    world.put(EDS, "b", "3");
    assert!(stream.refresh().is_empty());

    assert_eq!(stream.ack(EDS), ["EDS +b"]);
    assert!(stream.ack(EDS).is_empty());
    assert!(stream.settled());
}

#[test]
fn an_answer_to_an_old_response_is_ignored_but_its_names_are_not() {
    let world = bookinfo();
    let mut stream = Stream::new(&world);
    stream.subscribe(EDS, &["a"]);
    stream.ack(EDS);
    world.put(EDS, "a", "2");
    stream.refresh();

    let stale = DeltaDiscoveryRequest { response_nonce: "1".to_owned(), ..subscribe(EDS, &["b"]) };
    assert!(stream.send(stale).is_empty(), "the second response is still under way");
    assert_eq!(stream.ack(EDS), ["EDS +b"]);
}

#[test]
fn what_is_refused_is_recorded_and_not_sent_again_until_it_changes() {
    let world = bookinfo();
    let mut stream = started(&world);
    world.put(CDS, "a", "bad");
    stream.refresh();
    let nonce = stream.session.status()[&CDS].nonce_sent.clone();

    let error_detail = Some(Status { message: "a: is bad".to_owned(), ..Default::default() });
    stream.send(DeltaDiscoveryRequest { error_detail, ..answer(CDS, &nonce) });
    stream.ack(EDS);

    let generation = world.generation();
    assert!(world.told().contains(&Told::Nacked(CDS, generation, "a: is bad".to_owned())));
    assert!(!stream.session.status()[&CDS].is_synced());
    assert!(stream.settled(), "a refusal is an answer");
    world.put(CDS, "b", "2");
    assert_eq!(stream.refresh(), ["CDS +b", "EDS +b"]);
    stream.ack(EDS);
    stream.ack(CDS);
    assert!(stream.session.status()[&CDS].is_synced());
    world.put(CDS, "a", "2");
    assert_eq!(stream.refresh(), ["CDS +a", "EDS +a"]);
}

#[test]
fn endpoints_of_a_changed_cluster_are_sent_again_for_envoy_warms_it_anew() {
    let world = bookinfo();
    let mut stream = started(&world);

    world.put(CDS, "a", "2");

    assert_eq!(stream.refresh(), ["CDS +a", "EDS +a"]);
}

#[test]
fn a_route_waits_for_its_new_cluster_but_not_for_ever() {
    let world = bookinfo();
    let mut stream = started(&world);
    world.put(CDS, "c", "1");
    world.put(EDS, "c", "1");
    world.put(RDS, "9080", "c");

    assert_eq!(stream.refresh(), ["CDS +c"]);
    assert!(stream.session.is_held());
    assert_eq!(stream.subscribe(EDS, &["c"]), ["EDS +c"]);
    assert!(stream.ack(CDS).is_empty());
    assert_eq!(stream.ack(EDS), ["RDS +9080"]);
    assert!(!stream.session.is_held());
    stream.ack(RDS);

    world.put(CDS, "d", "1");
    world.put(RDS, "9080", "d");
    assert_eq!(stream.refresh(), ["CDS +d"]);
    stream.session.release();
    assert_eq!(stream.read(), ["RDS +9080"]);
}

#[test]
fn endpoints_that_merely_change_hold_up_no_route() {
    let world = bookinfo();
    let mut stream = started(&world);
    world.put(EDS, "a", "2");
    world.put(RDS, "9080", "b");

    assert_eq!(stream.refresh(), ["EDS +a", "RDS +9080"]);
}

#[test]
fn a_cluster_leaves_when_no_route_names_it_any_more() {
    let world = bookinfo();
    let mut stream = started(&world);
    world.put(RDS, "9080", "b");
    world.remove(CDS, "a");
    world.remove(EDS, "a");

    assert_eq!(stream.refresh(), ["RDS +9080"]);
    assert!(!stream.settled());
    assert_eq!(stream.ack(RDS), ["CDS -a", "EDS -a"]);
    assert!(stream.send(unsubscribe(EDS, &["a"])).is_empty());
    stream.ack(CDS);
    stream.ack(EDS);
    assert!(stream.settled());
}

#[test]
fn a_name_given_up_is_not_pushed_any_more() {
    let world = bookinfo();
    let mut stream = started(&world);

    stream.send(unsubscribe(EDS, &["a"]));
    world.put(EDS, "a", "2");

    assert!(stream.refresh().is_empty());
    assert_eq!(stream.subscribe(EDS, &["a"]), ["EDS +a"]);
}

#[test]
fn a_returning_proxy_is_sent_what_differs_and_told_what_went() {
    let mut stream = Stream::new(&bookinfo());

    assert_eq!(stream.send(held(CDS, &[("a", "1"), ("b", "0"), ("gone", "1")])), ["CDS +b"]);
    assert!(stream.send(held(LDS, &[("9080", "1"), ("gone", "1")])).is_empty(), "waits for the cluster");
    assert_eq!(stream.ack(CDS), ["LDS +9080 -gone"]);
    assert_eq!(stream.ack(LDS), ["CDS -gone"]);
}

#[test]
fn a_name_asked_for_is_answered_even_if_the_proxy_says_that_it_has_it() {
    let mut stream = Stream::new(&bookinfo());
    let versions = [("a".to_owned(), "1".to_owned())].into();

    let request = DeltaDiscoveryRequest { initial_resource_versions: versions, ..subscribe(EDS, &["a"]) };

    assert_eq!(stream.send(request), ["EDS +a"]);
}

#[test]
fn names_instead_of_a_wildcard_mean_just_these_and_the_star_means_all() {
    let world = bookinfo();
    let mut stream = Stream::new(&world);
    assert_eq!(stream.subscribe(CDS, &["a"]), ["CDS +a"]);
    assert!(stream.ack(CDS).is_empty());

    assert_eq!(stream.subscribe(CDS, &["*"]), ["CDS +b"]);
    stream.ack(CDS);
    let mut nothing = subscribe(LDS, &["*"]);
    nothing.resource_names_unsubscribe = vec!["*".to_owned()];
    assert!(stream.send(nothing).is_empty());
    stream.send(unsubscribe(CDS, &["*"]));
    world.put(CDS, "b", "2");
    assert!(stream.refresh().is_empty());
    world.put(CDS, "a", "2");
    assert_eq!(stream.refresh(), ["CDS +a"]);
}

#[test]
fn a_wildcard_still_includes_a_name_that_was_given_up() {
    let mut stream = Stream::new(&bookinfo());
    stream.subscribe(CDS, &["*", "a", "nobody"]);
    stream.ack(CDS);

    assert_eq!(stream.send(unsubscribe(CDS, &["a", "nobody"])), ["CDS +a -nobody"]);
}

#[test]
fn a_request_out_of_all_proportion_ends_the_stream() {
    let mut stream = Stream::new(&World::new());
    let names: Vec<String> = (0..=MAX_NAMES).map(|i| i.to_string()).collect();
    let many = DeltaDiscoveryRequest { resource_names_subscribe: names, ..subscribe(EDS, &[]) };
    let long = "x".repeat(MAX_NAME + 1);

    let long = stream.session.request(&subscribe(RDS, &[&long]), &mut stream.feed);
    let many = stream.session.request(&many, &mut stream.feed);

    assert_eq!(long, Err(Unfit::LongName(MAX_NAME + 1)));
    assert_eq!(many, Err(Unfit::ManyNames(EDS)));
}
