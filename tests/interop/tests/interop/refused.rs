//! Broken configuration: refused by name, and what was good before stays in force.

use std::net::{SocketAddr, TcpListener};

use proto::envoy::config::listener::v3::Listener;
use proto::envoy::config::listener::v3::filter::ConfigType;
use proto::{Any, Message};
use serde_json::{Value, json};
use testkit::Echo;
use tests_interop::desk::Resource;
use tests_interop::small::{self, CLUSTER, LISTENER, ROUTES, resource};
use tests_interop::{Asking, ControlPlane, Desk, Home, Proxy, get};
use xds::TypeUrl;

/// Who answers behind the proxy.
fn answering(at: SocketAddr) -> Value {
    let reply = get(at, "any.test", "/").unwrap_or_else(|error| panic!("{at}: {error}"));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["name"].take()
}

/// What no decoder can read, of every type.
fn unreadable(good: &[Resource; 4]) -> Vec<(&'static str, Resource)> {
    let mut all = Vec::new();
    for (place, one) in good.iter().enumerate() {
        let with = |value: &[u8]| Resource { value: value.to_vec(), ..one.clone() };
        let other = &good[(place + 1) % good.len()];
        all.extend([
            ("a message without its last byte", with(&one.value[..one.value.len() - 1])),
            ("noise", with(&[0xff; 64])),
            ("a message of another type", with(&other.value)),
            ("nothing", with(&[])),
        ]);
    }
    all
}

/// A good message with something in the place of what a JSON pointer names.
fn with(mut message: Value, pointer: &str, value: Value) -> Value {
    *message.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
    message
}

/// A good message with one more field.
fn plus(mut message: Value, field: &str, value: Value) -> Value {
    message[field] = value;
    message
}

fn bad_routes() -> Vec<(&'static str, Value)> {
    let of = |pointer, value| with(small::routes(), pointer, value);
    let regex = |text| of("/virtual_hosts/0/routes/0/match", json!({"safe_regex": {"regex": text}}));
    let host = |domain| json!({"name": domain, "domains": [domain]});
    vec![
        ("a name that is not its own", of("/name", json!("stranger"))),
        ("a regex that is none", regex("(")),
        ("a regex beyond all memory", regex("((a{999}){999}){999}")),
        (
            "weights of nothing",
            of(
                "/virtual_hosts/0/routes/0/route",
                json!({"weighted_clusters": {"clusters": [{"name": CLUSTER, "weight": 0}]}}),
            ),
        ),
        ("one domain twice", of("/virtual_hosts", json!([host("a.test"), host("A.test")]))),
        ("a host without domains", of("/virtual_hosts/0/domains", json!([]))),
        ("a route that leads nowhere", of("/virtual_hosts/0/routes/0/route", json!({}))),
        (
            "a timeout below zero",
            of("/virtual_hosts/0/routes/0/route", json!({"cluster": CLUSTER, "timeout": "-1s"})),
        ),
        (
            "a header name that is none",
            plus(
                small::routes(),
                "request_headers_to_add",
                json!([{"header": {"key": "a b", "value": "c"}}]),
            ),
        ),
    ]
}

fn bad_listeners(at: SocketAddr) -> Vec<(&'static str, Value)> {
    const MANAGER: &str = "/filter_chains/0/filters/0/typed_config";
    let of = |pointer: &str, value| with(small::listener(at), pointer, value);
    let within = |field: &str, value| of(&format!("{MANAGER}/{field}"), value);
    let chain = small::listener(at)["filter_chains"][0].take();
    let router = chain["filters"][0]["typed_config"]["http_filters"][0].clone();
    let lua = json!({"name": "lua", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
    }});
    vec![
        ("a name that is not its own", of("/name", json!("stranger"))),
        ("no filter chain", of("/filter_chains", json!([]))),
        ("two chains for the same connections", of("/filter_chains", json!([chain, chain]))),
        ("a chain without filters", of("/filter_chains/0/filters", json!([]))),
        ("no router", within("http_filters", json!([]))),
        ("a filter nobody knows", within("http_filters", json!([lua, router]))),
        ("a port beyond all ports", of("/address/socket_address/port_value", json!(70_000))),
        ("a name for an address", of("/address/socket_address/address", json!("localhost"))),
    ]
}

fn bad_clusters() -> Vec<(&'static str, Value)> {
    let router = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"});
    vec![
        ("a name that is not its own", with(small::cluster(), "/name", json!("stranger"))),
        ("a time below zero", with(small::cluster(), "/connect_timeout", json!("-5s"))),
        ("a policy nobody knows", plus(small::cluster(), "lb_policy", json!(99))),
        (
            "a transport socket nobody knows",
            plus(small::cluster(), "transport_socket", json!({"name": "tls", "typed_config": router})),
        ),
    ]
}

fn bad_endpoints(to: SocketAddr) -> Vec<(&'static str, Value)> {
    let socket = "/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";
    let of = |pointer: &str, value| with(small::endpoints(to), pointer, value);
    vec![
        ("a name that is not its own", of("/cluster_name", json!("stranger"))),
        ("a port beyond all ports", of(&format!("{socket}/port_value"), json!(70_000))),
        ("a name for an address", of(&format!("{socket}/address"), json!("localhost"))),
        ("an endpoint without an address", of("/endpoints/0/lb_endpoints/0/endpoint", json!({}))),
    ]
}

/// A listener within a listener within a listener: each level can be read by whoever only looks at one.
fn bottomless(at: SocketAddr) -> Resource {
    let good = resource(TypeUrl::Listener, LISTENER, &small::listener(at)).value;
    let mut message = Listener::decode(good.as_slice()).expect("a listener");
    for _ in 0..2000 {
        let within = Any { type_url: TypeUrl::Listener.as_str().to_owned(), value: message.encode_to_vec() };
        let chain = message.filter_chains.first_mut().expect("a listener's chain");
        let filter = chain.filters.first_mut().expect("a chain's filter");
        filter.config_type = Some(ConfigType::TypedConfig(within));
    }
    Resource { ty: TypeUrl::Listener, name: LISTENER.into(), value: message.encode_to_vec() }
}

/// What decodes and still makes no sense, of every type.
fn senseless(at: SocketAddr, to: SocketAddr) -> Vec<(&'static str, Resource)> {
    let of = |ty, name, all: Vec<(&'static str, Value)>| {
        all.into_iter().map(move |(what, message)| (what, resource(ty, name, &message)))
    };
    of(TypeUrl::Route, ROUTES, bad_routes())
        .chain(of(TypeUrl::Listener, LISTENER, bad_listeners(at)))
        .chain(of(TypeUrl::Cluster, CLUSTER, bad_clusters()))
        .chain(of(TypeUrl::Endpoint, CLUSTER, bad_endpoints(to)))
        .chain([("a listener without a bottom", bottomless(at))])
        .collect()
}

/// A proxy that passes everything on to a backend named `first`, and another backend named `second`.
struct Scene {
    home: Home,
    web: SocketAddr,
    first: Echo,
    second: Echo,
    desk: Desk,
    proxy: Proxy,
    _control_plane: ControlPlane,
}

impl Scene {
    fn set() -> Self {
        let home = Home::claim();
        let (first, second) =
            (Echo::start("first").expect("a backend"), Echo::start("second").expect("a backend"));
        let (web, desk) = (home.at(8080), Desk::default());
        let generation = desk.put(small::configuration(web, first.address()));
        let control_plane = ControlPlane::start(home.at(0), desk.clone());
        let proxy = Proxy::anyone(&home, control_plane.address());
        desk.wait_settled(generation);
        proxy.wait_live();
        assert_eq!(answering(web), "first");
        Self { home, web, first, second, desk, proxy, _control_plane: control_plane }
    }

    /// Puts what must be taken.
    fn put_good(&self, resources: impl IntoIterator<Item = Resource>) {
        let generation = self.desk.put(resources);
        self.desk.wait_settled(generation);
        assert_eq!(self.desk.refusals(generation), []);
        assert_eq!(self.proxy.errors().into_keys().collect::<Vec<_>>(), Vec::<String>::new());
    }

    /// Puts what must be refused, by name, while everything else stays as it is; what is not as it must be.
    fn put_bad(&self, bad: Resource) -> Result<(), String> {
        let (ty, name) = (bad.ty, bad.name.clone());
        let generation = self.desk.put([bad]);
        self.desk.wait_settled(generation);
        match &self.desk.refusals(generation)[..] {
            [one] if one.ty == ty && one.names(&name) => {}
            other => return Err(format!("{other:?}")),
        }
        match self.proxy.errors().into_keys().collect::<Vec<_>>() {
            names if names == [&*name] => Ok(()),
            names => Err(format!("the dump has errors of {names:?}")),
        }
    }
}

#[test]
fn garbage_and_truncated_xds_is_refused_by_name_and_the_last_good_stays() {
    let scene = Scene::set();
    let (web, first) = (scene.web, scene.first.address());
    let good = small::configuration(web, first);
    let client = Asking::start(web);

    let mut wrong = Vec::new();
    for (what, bad) in unreadable(&good).into_iter().chain(senseless(web, first)) {
        let ty = bad.ty;
        wrong.extend(scene.put_bad(bad).err().map(|why| format!("{what} ({ty}): {why}")));
        assert_eq!(answering(web), "first", "after {what} ({ty})");
        scene.put_good(good.clone());
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    client.stop_without_failures();
    scene.put_good(small::configuration(web, scene.second.address()));
    assert_eq!(answering(web), "second");
    scene.proxy.wait_live();
}

#[test]
fn a_listener_that_cannot_be_bound_is_refused_and_stays_where_it_was() {
    let scene = Scene::set();
    let taken = TcpListener::bind(scene.home.at(8081)).expect("a port of one's own");

    let moved = small::listener(taken.local_addr().expect("its address"));
    let refused = scene.put_bad(resource(TypeUrl::Listener, LISTENER, &moved));

    assert_eq!(refused, Ok(()));
    assert_eq!(answering(scene.web), "first");

    // What comes after has nothing to do with it and is not blamed.
    let generation =
        scene.desk.put([resource(TypeUrl::Endpoint, CLUSTER, &small::endpoints(scene.second.address()))]);
    scene.desk.wait_settled(generation);
    assert_eq!(scene.desk.refusals(generation), []);
    assert_eq!(answering(scene.web), "second");
}

#[test]
fn a_bad_listener_from_the_start_holds_nobody_up() {
    let (home, desk, backend) = (Home::claim(), Desk::default(), Echo::start("backend").expect("a backend"));
    let web = home.at(8080);
    let bottomless = Resource { name: "another".into(), ..bottomless(home.at(8081)) };
    let generation = desk.put(small::configuration(web, backend.address()).into_iter().chain([bottomless]));
    let control_plane = ControlPlane::start(home.at(0), desk.clone());

    let proxy = Proxy::anyone(&home, control_plane.address());
    desk.wait_settled(generation);
    proxy.wait_live();

    let refusals = desk.refusals(generation);
    assert!(matches!(&refusals[..], [one] if one.names("another")), "{refusals:?}");
    assert_eq!(answering(web), "backend");
}

#[test]
fn a_second_listener_at_one_address_is_refused() {
    let scene = Scene::set();

    let thief = with(small::listener(scene.web), "/name", json!("another"));
    let refused = scene.put_bad(resource(TypeUrl::Listener, "another", &thief));

    assert_eq!(refused, Ok(()));
    assert_eq!(answering(scene.web), "first");
}

#[test]
fn what_is_good_beside_what_is_bad_is_taken() {
    let scene = Scene::set();
    let (web, other) = (scene.web, scene.home.at(8081));

    let one_more = with(small::listener(other), "/name", json!("one-more"));
    let broken = with(small::listener(web), "/filter_chains", json!([]));
    let generation = scene.desk.put([
        resource(TypeUrl::Listener, "one-more", &one_more),
        resource(TypeUrl::Listener, LISTENER, &broken),
        resource(TypeUrl::Endpoint, CLUSTER, &small::endpoints(scene.second.address())),
    ]);
    scene.desk.wait_settled(generation);

    let refusals = scene.desk.refusals(generation);
    assert!(matches!(&refusals[..], [one] if one.names(LISTENER)), "{refusals:?}");
    assert_eq!(scene.proxy.errors().into_keys().collect::<Vec<_>>(), [LISTENER]);
    assert_eq!((answering(web), answering(other)), (json!("second"), json!("second")));
}
