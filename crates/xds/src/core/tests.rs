//! Both state machines against each other, over links that break.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};

use proto::Any;
use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};

use super::Response;
use super::client::Client;
use super::ledger::Library;
use super::server::Session;
use crate::world::{Proxy, Texts, World, WorldFeed};
use crate::{Node, TypeUrl};

/// splitmix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }
}

/// A world that makes sense: routes name clusters that exist, listeners routes that exist or not.
pub(super) fn sensible(random: &mut Random) -> Texts {
    let mut texts = Texts::new();
    let clusters: Vec<String> = (0..8).filter(|_| random.below(3) > 0).map(|i| format!("c{i}")).collect();
    for name in &clusters {
        texts.entry(TypeUrl::Cluster).or_default().insert(name.clone(), format!("v{}", random.below(4)));
        texts.entry(TypeUrl::Endpoint).or_default().insert(name.clone(), format!("e{}", random.below(4)));
    }
    for route in 0..4 {
        let named = clusters.iter().filter(|_| random.below(3) == 0).cloned().collect::<Vec<_>>().join(" ");
        texts.entry(TypeUrl::Route).or_default().insert(format!("r{route}"), named);
    }
    for listener in 0..4 {
        if random.below(4) > 0 {
            let named = (0..6).filter(|_| random.below(3) == 0).map(|route| format!("r{route}"));
            let named = named.collect::<Vec<_>>().join(" ");
            texts.entry(TypeUrl::Listener).or_default().insert(format!("l{listener}"), named);
        }
    }
    texts
}

/// A response as its message.
fn on_the_wire(response: Response) -> DeltaDiscoveryResponse {
    let resources = response.added.iter().map(|served| Resource {
        name: served.name.to_string(),
        version: served.version.to_string(),
        resource: Some(Any { type_url: response.type_url.clone(), value: served.value.to_vec() }),
        ..Default::default()
    });
    DeltaDiscoveryResponse {
        system_version_info: response.generation.to_string(),
        resources: resources.collect(),
        removed_resources: response.removed.iter().map(|name| name.to_string()).collect(),
        type_url: response.type_url,
        nonce: response.nonce,
        ..Default::default()
    }
}

/// A client and a server with a link between them that delivers in order until it breaks.
struct Pair {
    world: World,
    feed: WorldFeed,
    proxy: Proxy,
    client: Client,
    session: Session,
    up: VecDeque<DeltaDiscoveryRequest>,
    down: VecDeque<DeltaDiscoveryResponse>,
    settled: Option<u64>,
    /// How many resources the server has sent.
    sent: usize,
}

impl Pair {
    fn new(world: World) -> Pair {
        let mut pair = Pair {
            feed: world.feed(),
            world,
            proxy: Proxy::default(),
            client: Client::new(Node { id: "sidecar".to_owned(), ..Default::default() }),
            session: Session::new(0, Library::default()),
            up: VecDeque::new(),
            down: VecDeque::new(),
            settled: None,
            sent: 0,
        };
        pair.reconnect();
        pair
    }

    /// Breaks the link, losing what is on it, and makes another.
    fn reconnect(&mut self) {
        use crate::Feed;
        self.down.clear();
        self.feed = self.world.feed();
        // Some say what a refresh has changed, some do not.
        self.feed.is_open = self.world.generation().is_multiple_of(2);
        self.session = Session::new(self.feed.refresh(), Library::default());
        let proxy = &self.proxy;
        self.up = self.client.open(|ty| proxy.wanted(ty)).into();
        assert!(self.up[0].node.is_some() && self.up.iter().skip(1).all(|request| request.node.is_none()));
    }

    fn refresh(&mut self) {
        use crate::Feed;
        let generation = self.feed.refresh();
        self.session.refreshed(generation, &self.feed);
        self.advance();
    }

    fn advance(&mut self) {
        let responses = self.session.responses(&mut self.feed);
        self.sent += responses.iter().map(|response| response.added.len()).sum::<usize>();
        self.down.extend(responses.into_iter().map(on_the_wire));
        self.settled = self.session.settle().or(self.settled);
    }

    fn deliver_up(&mut self) {
        if let Some(request) = self.up.pop_front() {
            self.session.request(&request, &mut self.feed).unwrap();
            self.advance();
        }
    }

    fn deliver_down(&mut self) {
        let Some(response) = self.down.pop_front() else { return };
        let update = self.client.hear(response);
        let rejects = update.map(|update| self.proxy.apply(update)).unwrap_or_default();
        let proxy = &self.proxy;
        self.up.extend(self.client.answer(rejects, |ty| proxy.wanted(ty)));
    }

    fn let_time_pass(&mut self) {
        self.session.release();
        self.advance();
    }

    /// Delivers everything, and lets time pass where that is all that is left.
    fn run_dry(&mut self) {
        for _ in 0..10_000 {
            match (self.up.is_empty(), self.down.is_empty(), self.session.is_held()) {
                (false, ..) => self.deliver_up(),
                (true, false, _) => self.deliver_down(),
                (true, true, true) => self.let_time_pass(),
                (true, true, false) => return,
            }
        }
        panic!("the two never come to rest");
    }

    fn assert_agreement(&self) {
        let mut expected = self.world.texts();
        for ty in TypeUrl::ALL {
            let expected = expected.entry(ty).or_default();
            if !ty.is_wildcard() {
                let wanted = self.proxy.wanted(ty);
                expected.retain(|name, _| wanted.contains(name));
                for name in wanted.iter().filter(|name| !expected.contains_key(*name)) {
                    assert!(self.proxy.absent[&ty].contains(name), "{ty} {name} was never answered");
                }
            }
            let held = self.proxy.texts.get(&ty).cloned().unwrap_or_default();
            assert_eq!(&held, expected, "{ty}");
        }
        assert_eq!(self.settled, Some(self.world.generation()));
    }
}

#[test]
fn whatever_is_lost_the_proxy_ends_with_exactly_what_the_server_has() {
    for seed in 0..256 {
        let mut random = Random(seed);
        let world = World::new();
        let mut pair = Pair::new(world.clone());
        for _ in 0..400 {
            match random.below(40) {
                0 => pair.reconnect(),
                1 | 2 => {
                    let next = sensible(&mut random);
                    world.change(|texts| *texts = next);
                    pair.refresh();
                }
                3 => {
                    let name = format!("c{}", random.below(8));
                    let ty = [TypeUrl::Cluster, TypeUrl::Endpoint][random.below(2)];
                    world.put(ty, &name, &format!("bad{}", random.below(9)));
                    pair.refresh();
                }
                4 => pair.let_time_pass(),
                5..22 => pair.deliver_up(),
                _ => pair.deliver_down(),
            }
        }
        let healed = sensible(&mut random);
        world.change(|texts| *texts = healed);
        pair.refresh();
        pair.run_dry();

        pair.assert_agreement();
    }
}

#[test]
fn no_route_is_ever_in_force_without_the_clusters_it_names() {
    for seed in 0..256 {
        let mut random = Random(seed);
        let world = World::new();
        world.change(|texts| *texts = sensible(&mut random));
        let mut pair = Pair::new(world.clone());
        for _ in 0..400 {
            match random.below(40) {
                0 => pair.reconnect(),
                1 | 2 => {
                    let next = sensible(&mut random);
                    world.change(|texts| *texts = next);
                    pair.refresh();
                }
                3..20 => pair.deliver_up(),
                _ => pair.deliver_down(),
            }
            assert_eq!(pair.proxy.dangling(), None, "seed {seed}");
        }
    }
}

#[test]
fn nothing_is_sent_again_that_did_not_change() {
    let mut random = Random(3);
    let world = World::new();
    world.change(|texts| *texts = sensible(&mut random));
    let mut pair = Pair::new(world.clone());
    pair.run_dry();
    let (clusters, first) = (pair.proxy.texts[&TypeUrl::Cluster].len(), pair.sent);

    world.change(|_| {});
    pair.refresh();
    pair.run_dry();
    assert_eq!(pair.sent, first, "a generation without changes");

    world.put(TypeUrl::Endpoint, &pair.proxy.wanted(TypeUrl::Endpoint).pop_first().unwrap(), "moved");
    pair.refresh();
    pair.run_dry();
    assert_eq!(pair.sent, first + 1, "one endpoint");

    pair.reconnect();
    pair.run_dry();
    let by_name: usize =
        [TypeUrl::Endpoint, TypeUrl::Route].map(|ty| pair.proxy.texts[&ty].len()).iter().sum();
    assert!(clusters > 0 && by_name > 0);
    assert_eq!(pair.sent, first + 1 + by_name, "after a break, only what is asked for by name");
    pair.assert_agreement();
}

#[test]
fn a_resource_refused_is_offered_again_after_a_break_and_goes_when_it_is_removed() {
    let world = World::of(&[(TypeUrl::Cluster, "a", "v1"), (TypeUrl::Cluster, "b", "v1")]);
    let mut pair = Pair::new(world.clone());
    pair.run_dry();
    world.put(TypeUrl::Cluster, "a", "bad");
    pair.refresh();
    pair.run_dry();
    let last_good = BTreeMap::from([("a".to_owned(), "v1".to_owned()), ("b".to_owned(), "v1".to_owned())]);
    assert_eq!(pair.proxy.texts[&TypeUrl::Cluster], last_good);
    assert!(pair.session.status()[&TypeUrl::Cluster].refused.as_deref().unwrap().contains("a: is bad"));

    let before = pair.sent;
    pair.reconnect();
    pair.run_dry();
    assert_eq!(pair.sent, before + 1, "only the refused one");
    assert_eq!(pair.proxy.texts[&TypeUrl::Cluster], last_good);

    pair.reconnect();
    world.remove(TypeUrl::Cluster, "a");
    pair.refresh();
    pair.run_dry();
    assert_eq!(pair.proxy.texts[&TypeUrl::Cluster].len(), 1);
}

/// A request such as nobody sensible sends.
fn nonsense(random: &mut Random) -> DeltaDiscoveryRequest {
    let name = |random: &mut Random| ["a", "*", "", "c0", "nobody", "|||"][random.below(6)].to_owned();
    let names = |random: &mut Random| (0..random.below(4)).map(|_| name(random)).collect::<Vec<_>>();
    let types = ["", "x/y", TypeUrl::Cluster.as_str(), TypeUrl::Endpoint.as_str(), TypeUrl::Secret.as_str()];
    DeltaDiscoveryRequest {
        type_url: types[random.below(types.len())].to_owned(),
        resource_names_subscribe: names(random),
        resource_names_unsubscribe: names(random),
        initial_resource_versions: names(random).into_iter().map(|name| (name.clone(), name)).collect(),
        response_nonce: format!("{:x}", random.below(6)),
        error_detail: (random.below(3) == 0).then(Default::default),
        ..Default::default()
    }
}

#[test]
fn nonsense_breaks_neither_a_session_nor_what_it_owes_to_the_sensible() {
    for seed in 0..256 {
        let mut random = Random(seed);
        let world = World::new();
        world.change(|texts| *texts = sensible(&mut random));
        let mut pair = Pair::new(world);
        for _ in 0..random.below(60) {
            let request = nonsense(&mut random);
            pair.session.request(&request, &mut pair.feed).unwrap();
            pair.advance();
            if random.below(8) == 0 {
                pair.refresh();
            }
        }
        let name = "asked at last".to_owned();
        let type_url = TypeUrl::Endpoint.as_str().to_owned();
        let request = DeltaDiscoveryRequest {
            type_url: type_url.clone(),
            resource_names_subscribe: vec![name.clone()],
            ..Default::default()
        };
        pair.session.request(&request, &mut pair.feed).unwrap();
        pair.advance();
        for nonce in 0..600 {
            let response_nonce = format!("{nonce:x}");
            let answer =
                DeltaDiscoveryRequest { type_url: type_url.clone(), response_nonce, ..Default::default() };
            pair.session.request(&answer, &mut pair.feed).unwrap();
            pair.advance();
        }

        let answered = pair.down.iter().any(|response| response.removed_resources.contains(&name));
        assert!(answered, "seed {seed}");
    }
}

#[test]
fn nonsense_from_a_server_is_refused_and_breaks_nothing() {
    for seed in 0..256 {
        let mut random = Random(seed);
        let mut pair = Pair::new(World::new());
        for _ in 0..60 {
            let asked = nonsense(&mut random);
            let resource = |name: String| Resource { version: name.clone(), name, ..Default::default() };
            let response = DeltaDiscoveryResponse {
                type_url: asked.type_url.clone(),
                nonce: asked.response_nonce,
                resources: asked.resource_names_subscribe.into_iter().map(resource).collect(),
                removed_resources: asked.resource_names_unsubscribe,
                ..Default::default()
            };
            let refused = !response.resources.is_empty() || TypeUrl::of(&response.type_url).is_none();
            pair.down.push_back(response);
            pair.deliver_down();
            let answer = pair.up.pop_back().unwrap();
            assert_eq!(answer.type_url, asked.type_url);
            assert!(!refused || answer.error_detail.is_some(), "seed {seed}");
        }
        assert!(pair.proxy.texts.values().all(BTreeMap::is_empty));
    }
}
