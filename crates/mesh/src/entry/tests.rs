#![allow(clippy::unwrap_used)]

use super::*;
use crate::slice::{Http, Network, RouteSource, Tcp};

fn chain(terminal: Terminal, condition: ChainMatch) -> Chain {
    Chain { name: String::new(), condition, tls: None, terminal, origin: None }
}

fn tcp(cluster: &str, condition: ChainMatch) -> Chain {
    chain(Terminal::Tcp(Tcp::to(cluster)), condition)
}

fn http(is_http: bool) -> Chain {
    let http = Http {
        routes: RouteSource::Dynamic("80".into()),
        stat_prefix: "80".into(),
        forwards_by_dns: false,
        keeps_sessions: false,
        takes_tunnels: false,
    };
    chain(Terminal::Http(http), ChainMatch { is_http, ..ChainMatch::default() })
}

fn opening(protocol: Protocol, chains: Vec<Chain>) -> Opening {
    Opening { protocol, is_bound: false, chains, additional: Vec::new() }
}

/// What is left of these openings of one place: the clusters, or `http`.
fn opened(openings: Vec<Opening>) -> Vec<String> {
    let mut entries = Entries::default();
    for opening in openings {
        entries.open(Place { at: At::Any, port: 80 }, opening);
    }
    let (_, entry) = entries.finish().next().unwrap();
    let name = |chain: &Chain| match &chain.terminal {
        Terminal::Http(_) => "http".to_owned(),
        Terminal::Tcp(tcp) => tcp.stat_prefix.clone(),
    };
    entry.chains.iter().map(name).collect()
}

fn names(names: &[&str]) -> ChainMatch {
    ChainMatch { server_names: names.iter().map(|n| (*n).to_owned()).collect(), ..ChainMatch::default() }
}

#[test]
fn the_first_to_want_every_connection_keeps_them() {
    let first = opening(Protocol::Tcp, vec![tcp("a", ChainMatch::default())]);
    let second = opening(Protocol::Tcp, vec![tcp("b", ChainMatch::default())]);

    assert_eq!(opened(vec![first, second]), ["a"]);
}

#[test]
fn requests_and_other_bytes_share_a_place() {
    let bytes = || opening(Protocol::Tcp, vec![tcp("a", ChainMatch::default())]);
    let requests = || opening(Protocol::Http, vec![http(true)]);

    assert_eq!(opened(vec![bytes(), requests()]), ["a", "http"]);
    assert_eq!(opened(vec![requests(), bytes()]), ["http", "a"]);
    assert_eq!(opened(vec![requests(), requests()]), ["http"]);
}

#[test]
fn where_everything_is_http_other_bytes_find_no_room() {
    let requests = opening(Protocol::Http, vec![http(false)]);
    let bytes = opening(Protocol::Tcp, vec![tcp("a", ChainMatch::default())]);

    assert_eq!(opened(vec![requests, bytes]), ["http"]);
}

#[test]
fn a_server_that_speaks_first_shares_with_its_like_alone() {
    let named = |protocol, name| opening(protocol, vec![tcp(name, names(&[name]))]);

    let requests = opening(Protocol::Http, vec![http(true)]);
    assert_eq!(opened(vec![named(Protocol::Mysql, "a"), requests]), ["a"]);
    assert_eq!(opened(vec![named(Protocol::Mysql, "a"), named(Protocol::Mysql, "b")]), ["a", "b"]);
}

#[test]
fn a_server_name_belongs_to_the_first_that_has_it() {
    let first = opening(Protocol::Tls, vec![tcp("a", names(&["x", "y"]))]);
    let second = opening(Protocol::Tls, vec![tcp("b", names(&["y", "z"])), tcp("c", names(&["x"]))]);
    let mut entries = Entries::default();
    let place = Place { at: At::Any, port: 443 };

    entries.open(place.clone(), first);
    entries.open(place, second);

    let (_, entry) = entries.finish().next().unwrap();
    let taken: Vec<_> = entry.chains.iter().map(|chain| chain.condition.server_names.clone()).collect();
    assert_eq!(taken, [vec!["x".to_owned(), "y".to_owned()], vec!["z".to_owned()]]);
}

#[test]
fn equal_networks_belong_to_the_first() {
    let network = |text: &str| ChainMatch {
        destinations: vec![Network::parse(text).unwrap()],
        ..ChainMatch::default()
    };
    let first = opening(Protocol::Tcp, vec![tcp("a", network("10.1.2.3/8"))]);
    let second =
        opening(Protocol::Tcp, vec![tcp("b", network("10.9.9.9/8")), tcp("c", network("10.0.0.0/16"))]);

    assert_eq!(opened(vec![first, second]), ["a", "c"]);
}

#[test]
fn a_locked_place_takes_nobody_else() {
    let mut entries = Entries::default();
    let place = Place { at: At::Any, port: 80 };
    entries.open(place.clone(), opening(Protocol::Http, vec![http(true)]));

    entries.lock();
    entries.open(place, opening(Protocol::Tcp, vec![tcp("a", ChainMatch::default())]));

    assert_eq!(entries.finish().next().unwrap().1.chains.len(), 1);
}

#[test]
fn an_address_with_a_place_of_its_own_is_nobody_elses() {
    let [own, other]: [IpAddr; 2] = ["127.1.0.1", "127.1.0.2"].map(|ip| ip.parse().unwrap());
    let mut entries = Entries::default();
    let shared = Opening { additional: vec![own, other], ..opening(Protocol::Http, vec![http(false)]) };

    entries.open(Place::new(At::Any, 80), shared);
    entries.lock();
    entries.open(Place::new(At::Ip(own), 80), opening(Protocol::Tcp, vec![tcp("a", ChainMatch::default())]));

    let left: Vec<_> = entries.finish().map(|(_, entry)| entry.additional).collect();
    assert_eq!(left, [vec![other], vec![]]);
}
