#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;

use proto::google::rpc::Status;

use crate::core::Request;
use crate::core::ledger::Library;
use crate::core::talk::Talk;
use crate::core::tests::{Random, sensible};
use crate::world::{Proxy, Told as Heard, World, WorldFeed, bookinfo};
use crate::{Added, Update};

use super::*;

const CDS: TypeUrl = TypeUrl::Cluster;
const EDS: TypeUrl = TypeUrl::Endpoint;
const LDS: TypeUrl = TypeUrl::Listener;
const RDS: TypeUrl = TypeUrl::Route;
const SDS: TypeUrl = TypeUrl::Secret;

/// A stream, written to and read from as a proxy would.
struct Stream {
    world: World,
    feed: WorldFeed,
    talk: Talk,
    nonces: BTreeMap<TypeUrl, String>,
    names: BTreeMap<TypeUrl, Vec<String>>,
}

impl Stream {
    fn new(world: &World) -> Stream {
        let mut feed = world.feed();
        let talk = Talk::new(feed.refresh(), Library::default());
        Stream { world: world.clone(), feed, talk, nonces: BTreeMap::new(), names: BTreeMap::new() }
    }

    fn send(&mut self, request: DiscoveryRequest) -> Vec<String> {
        self.talk.request(&Request::Whole(request), &mut self.feed).unwrap();
        self.read()
    }

    fn read(&mut self) -> Vec<String> {
        let responses = self.talk.responses(&mut self.feed);
        if let Some(generation) = self.talk.settle() {
            self.feed.settled(generation);
        }
        responses
            .iter()
            .map(|response| {
                let ty = response.ty().unwrap();
                assert!(response.removed.is_empty());
                self.nonces.insert(ty, response.nonce.clone());
                response.added.iter().fold(ty.to_string(), |text, served| format!("{text} {}", served.name))
            })
            .collect()
    }

    fn refresh(&mut self) -> Vec<String> {
        let generation = self.feed.refresh();
        self.talk.refreshed(generation, &self.feed);
        self.read()
    }

    /// Asks for names, answering what came last.
    fn ask(&mut self, ty: TypeUrl, names: &[&str]) -> Vec<String> {
        self.names.insert(ty, names.iter().map(|name| (*name).to_owned()).collect());
        self.ack(ty)
    }

    fn ack(&mut self, ty: TypeUrl) -> Vec<String> {
        self.send(self.request(ty))
    }

    fn request(&self, ty: TypeUrl) -> DiscoveryRequest {
        DiscoveryRequest {
            type_url: ty.as_str().to_owned(),
            resource_names: self.names.get(&ty).cloned().unwrap_or_default(),
            response_nonce: self.nonces.get(&ty).cloned().unwrap_or_default(),
            ..Default::default()
        }
    }

    fn settled(&self) -> bool {
        self.world.told().last() == Some(&Heard::Settled(self.world.generation()))
    }
}

/// As Envoy 1.40 does it.
fn started(world: &World) -> Stream {
    let mut envoy = Stream::new(world);
    assert_eq!(envoy.ask(CDS, &[]), ["CDS a b"]);
    assert_eq!(envoy.ask(EDS, &["a", "b"]), ["EDS a b"]);
    assert!(envoy.ack(CDS).is_empty());
    assert!(envoy.ask(LDS, &[]).is_empty(), "endpoints are not acknowledged");
    assert_eq!(envoy.ack(EDS), ["LDS 9080"]);
    assert_eq!(envoy.ask(RDS, &["9080"]), ["RDS 9080"]);
    assert!(envoy.ack(LDS).is_empty());
    assert!(envoy.ack(RDS).is_empty());
    assert!(envoy.settled());
    envoy
}

#[test]
fn envoys_start_is_followed_to_the_letter() {
    started(&bookinfo());
}

#[test]
fn clusters_are_told_as_a_whole_and_endpoints_as_they_change() {
    let world = bookinfo();
    let mut stream = started(&world);

    world.put(EDS, "a", "2");
    assert_eq!(stream.refresh(), ["EDS a"]);
    assert!(stream.ack(EDS).is_empty());
    world.put(CDS, "a", "2");
    assert_eq!(stream.refresh(), ["CDS a b", "EDS a"], "Envoy warms the changed cluster anew");
}

#[test]
fn a_cluster_is_told_until_no_route_names_it_any_more() {
    let world = bookinfo();
    let mut stream = started(&world);
    world.put(RDS, "9080", "b");
    world.remove(CDS, "a");
    world.put(CDS, "c", "1");

    assert_eq!(stream.refresh(), ["CDS a b c"]);
    assert_eq!(stream.ack(CDS), ["RDS 9080"]);
    assert!(!stream.settled());
    assert_eq!(stream.ack(RDS), ["CDS b c"]);
    assert!(stream.ack(CDS).is_empty());
    assert!(stream.settled());
}

#[test]
fn a_listener_that_went_is_left_out_at_once() {
    let world = bookinfo();
    let mut stream = started(&world);

    world.remove(LDS, "9080");

    assert_eq!(stream.refresh(), ["LDS"]);
}

#[test]
fn who_asks_once_more_for_what_it_has_is_answered_and_an_acknowledgement_is_not() {
    let mut stream = started(&bookinfo());

    assert_eq!(stream.ack(EDS), ["EDS a b"]);
    assert!(stream.ack(EDS).is_empty());
    assert_eq!(stream.ack(RDS), ["RDS 9080"]);
    assert!(stream.ack(RDS).is_empty());
    assert_eq!(stream.ack(LDS), ["LDS 9080"]);
}

#[test]
fn an_answer_to_a_response_long_superseded_acknowledges_nothing_but_its_names_count() {
    let world = bookinfo();
    let mut stream = started(&world);
    world.put(EDS, "a", "2");
    let old = stream.request(EDS);
    stream.refresh();

    let names = ["a", "b", "c"].map(str::to_owned).to_vec();
    assert!(stream.send(DiscoveryRequest { resource_names: names, ..old }).is_empty());
    assert!(!stream.settled(), "the response is still under way");
    world.put(EDS, "c", "1");
    assert!(stream.refresh().is_empty());
    assert_eq!(stream.ask(EDS, &["a", "b", "c"]), ["EDS c"]);
    assert!(stream.ack(EDS).is_empty());
    assert!(stream.settled());
}

#[test]
fn names_come_and_go_with_the_list() {
    let world = bookinfo();
    let mut stream = started(&world);

    assert!(stream.ask(EDS, &["a"]).is_empty());
    world.put(EDS, "b", "2");
    assert!(stream.refresh().is_empty());
    assert_eq!(stream.ask(EDS, &["a", "b"]), ["EDS b"]);
}

#[test]
fn a_refusal_is_recorded_and_nothing_is_sent_again_until_it_changes() {
    let world = bookinfo();
    let mut stream = started(&world);
    world.put(RDS, "9080", "bad");
    assert_eq!(stream.refresh(), ["RDS 9080"]);

    let error_detail = Some(Status { message: "is bad".to_owned(), ..Default::default() });
    let refused = stream.send(DiscoveryRequest { error_detail, ..stream.request(RDS) });

    assert!(refused.is_empty());
    assert!(world.told().contains(&Heard::Nacked(RDS, world.generation(), "is bad".to_owned())));
    assert!(stream.settled(), "a refusal is an answer");
    world.put(RDS, "9080", "b");
    assert_eq!(stream.refresh(), ["RDS 9080"]);
}

#[test]
fn a_secret_that_does_not_exist_holds_nothing_up_and_is_told_when_it_does() {
    let world = bookinfo();
    let mut stream = started(&world);

    assert!(stream.ask(SDS, &["kubernetes://web"]).is_empty());
    assert!(stream.settled());
    world.put(SDS, "kubernetes://web", "pem");
    assert_eq!(stream.refresh(), ["SDS kubernetes://web"]);
}

#[test]
fn names_instead_of_everything_mean_just_these_and_none_means_none_from_then_on() {
    let world = bookinfo();
    let mut stream = Stream::new(&world);

    assert_eq!(stream.ask(CDS, &["a", "nobody"]), ["CDS a"]);
    assert_eq!(stream.ask(CDS, &["b"]), ["CDS b"]);
    assert!(stream.ask(CDS, &[]).is_empty());
    world.put(CDS, "a", "2");
    assert!(stream.refresh().is_empty());
    assert_eq!(stream.ask(CDS, &["*"]), ["CDS a b"]);
}

#[test]
fn a_type_nobody_serves_is_passed_over() {
    let mut stream = Stream::new(&bookinfo());
    let type_url = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig".to_owned();

    let request = DiscoveryRequest { type_url, resource_names: vec!["wasm".into()], ..Default::default() };

    assert!(stream.send(request).is_empty());
}

/// A proxy that lives by states of the world, over a link that delivers in order.
struct Pair {
    world: World,
    stream: Stream,
    proxy: Proxy,
    up: VecDeque<DiscoveryRequest>,
    down: VecDeque<Response>,
    asked: BTreeMap<TypeUrl, BTreeSet<String>>,
    heard: BTreeMap<TypeUrl, String>,
}

impl Pair {
    fn new(world: &World) -> Pair {
        let mut pair = Pair {
            world: world.clone(),
            stream: Stream::new(world),
            proxy: Proxy::default(),
            up: VecDeque::new(),
            down: VecDeque::new(),
            asked: BTreeMap::new(),
            heard: BTreeMap::new(),
        };
        pair.reconnect();
        pair
    }

    fn reconnect(&mut self) {
        self.stream = Stream::new(&self.world);
        self.up.clear();
        self.down.clear();
        self.asked.clear();
        self.heard.clear();
        for ty in [CDS, LDS] {
            self.up.push_back(self.request(ty));
        }
        self.subscribe();
    }

    fn request(&self, ty: TypeUrl) -> DiscoveryRequest {
        DiscoveryRequest {
            type_url: ty.as_str().to_owned(),
            resource_names: self.asked.get(&ty).into_iter().flatten().cloned().collect(),
            response_nonce: self.heard.get(&ty).cloned().unwrap_or_default(),
            ..Default::default()
        }
    }

    /// Asks for what the proxy wants now, where that is not what it asked for.
    fn subscribe(&mut self) {
        for ty in [EDS, RDS] {
            let wanted = self.proxy.wanted(ty);
            if self.asked.get(&ty).is_none_or(|asked| *asked != wanted)
                && (!wanted.is_empty() || self.asked.contains_key(&ty))
            {
                self.asked.insert(ty, wanted);
                self.up.push_back(self.request(ty));
            }
        }
    }

    fn read(&mut self) {
        let responses = self.stream.talk.responses(&mut self.stream.feed);
        self.down.extend(responses);
        if let Some(generation) = self.stream.talk.settle() {
            self.stream.feed.settled(generation);
        }
    }

    fn refresh(&mut self) {
        let generation = self.stream.feed.refresh();
        self.stream.talk.refreshed(generation, &self.stream.feed);
        self.read();
    }

    fn deliver_up(&mut self) {
        if let Some(request) = self.up.pop_front() {
            self.stream.talk.request(&Request::Whole(request), &mut self.stream.feed).unwrap();
            self.read();
        }
    }

    fn deliver_down(&mut self) {
        let Some(response) = self.down.pop_front() else { return };
        let ty = response.ty().unwrap();
        let there: BTreeSet<&str> = response.added.iter().map(|served| &*served.name).collect();
        let has = self.proxy.texts.get(&ty).into_iter().flatten().map(|(name, _)| name);
        let gone = has.filter(|name| ty.is_wildcard() && !there.contains(name.as_str())).cloned().collect();
        let added = response.added.iter().map(|served| Added {
            name: served.name.to_string(),
            any: proto::Any { type_url: String::new(), value: served.value.to_vec() },
            version: served.version.to_string(),
        });
        let update = Update { ty, added: added.collect(), removed: gone };
        assert!(self.proxy.apply(update).is_empty());
        self.heard.insert(ty, response.nonce);
        self.subscribe();
        self.up.push_back(self.request(ty));
    }

    fn run_dry(&mut self) {
        for _ in 0..10_000 {
            match (self.up.is_empty(), self.down.is_empty(), self.stream.talk.is_held()) {
                (false, ..) => self.deliver_up(),
                (true, false, _) => self.deliver_down(),
                (true, true, true) => {
                    self.stream.talk.release();
                    self.read();
                }
                (true, true, false) => return,
            }
        }
        panic!("the two never come to rest");
    }
}

#[test]
fn whatever_happens_the_proxy_has_no_route_without_its_clusters_and_ends_with_what_there_is() {
    for seed in 0..256 {
        let mut random = Random(seed);
        // A proxy that comes back cannot say what it has: the first clusters of the new stream may lack some that
        // its old routes name.
        let comes_back = seed % 2 == 0;
        let world = World::new();
        world.change(|texts| *texts = sensible(&mut random));
        let mut pair = Pair::new(&world);
        for _ in 0..400 {
            match random.below(40) {
                0 if comes_back => pair.reconnect(),
                0..3 => {
                    let next = sensible(&mut random);
                    world.change(|texts| *texts = next);
                    pair.refresh();
                }
                3..20 => pair.deliver_up(),
                _ => pair.deliver_down(),
            }
            assert!(
                comes_back || pair.proxy.dangling().is_none(),
                "seed {seed}: {:?}",
                pair.proxy.dangling()
            );
        }
        pair.refresh();
        pair.run_dry();

        for ty in [CDS, LDS] {
            let expected = world.texts().remove(&ty).unwrap_or_default();
            assert_eq!(pair.proxy.texts.get(&ty).cloned().unwrap_or_default(), expected, "seed {seed} {ty}");
        }
        for ty in [EDS, RDS] {
            let mut expected = world.texts().remove(&ty).unwrap_or_default();
            expected.retain(|name, _| pair.proxy.wanted(ty).contains(name));
            assert_eq!(pair.proxy.texts.get(&ty).cloned().unwrap_or_default(), expected, "seed {seed} {ty}");
        }
        assert_eq!(world.told().last(), Some(&Heard::Settled(world.generation())), "seed {seed}");
    }
}
