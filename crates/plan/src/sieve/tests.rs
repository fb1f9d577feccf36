#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn wanted(port: Option<u16>) -> ChainMatch {
    ChainMatch { port, ..ChainMatch::default() }
}

fn alpn(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn connection<'a>(
    destination: &str,
    server_name: Option<&'a str>,
    transport: Transport,
    protocols: &'a [&'a str],
) -> Connection<'a> {
    let source = "10.9.9.9:999".parse().unwrap();
    let destination = destination.parse().unwrap();
    Connection { destination, source, direct_source: source, server_name, transport, protocols }
}

const ISTIO: [&str; 5] = ["istio-http/1.0", "istio-http/1.1", "istio-h2", "istio-peer-exchange", "istio"];

/// The inbound chains of a declared HTTP port in permissive mode.
fn permissive() -> Sieve {
    let tls = ChainMatch { transport: Some(Transport::Tls), protocols: alpn(&ISTIO), ..wanted(Some(9080)) };
    let raw = ChainMatch { transport: Some(Transport::RawBuffer), ..wanted(Some(9080)) };
    Sieve::new(&[wanted(Some(15006)), tls, raw], None).unwrap()
}

#[test]
fn a_permissive_port_takes_mesh_tls_and_plain_text_and_no_other_tls() {
    let sieve = permissive();
    let to = "10.0.0.1:9080";

    assert_eq!(sieve.select(&connection(to, None, Transport::Tls, &["istio", "h2"])), Some(1));
    assert_eq!(sieve.select(&connection(to, None, Transport::RawBuffer, &["http/1.1"])), Some(2));
    assert_eq!(sieve.select(&connection(to, None, Transport::Tls, &["h2", "http/1.1"])), None);
    assert_eq!(sieve.select(&connection("10.0.0.1:15006", None, Transport::RawBuffer, &[])), Some(0));
    assert_eq!(sieve.select(&connection("10.0.0.1:1", None, Transport::RawBuffer, &[])), None);
}

#[test]
fn a_port_that_is_named_is_not_left_for_the_chains_without() {
    let named = ChainMatch { transport: Some(Transport::Tls), ..wanted(Some(80)) };
    let sieve = Sieve::new(&[named, wanted(None)], Some(2)).unwrap();

    assert_eq!(sieve.select(&connection("10.0.0.1:80", None, Transport::RawBuffer, &[])), Some(2));
    assert_eq!(sieve.select(&connection("10.0.0.1:81", None, Transport::RawBuffer, &[])), Some(1));
}

#[test]
fn the_longest_range_counts() {
    let within = |text: &str, prefix| ChainMatch {
        ranges: vec![Range::new(text.parse().unwrap(), prefix)],
        ..ChainMatch::default()
    };
    let all = [
        within("10.0.0.0", 8),
        within("10.1.2.3", 16),
        within("10.1.0.0", 32),
        within("fd00::", 8),
        within("::", 0),
    ];
    let sieve = Sieve::new(&all, None).unwrap();
    let select = |to| sieve.select(&connection(to, None, Transport::RawBuffer, &[]));

    assert_eq!(select("10.2.0.1:1"), Some(0));
    assert_eq!(select("10.1.9.9:1"), Some(1));
    assert_eq!(select("10.1.0.0:1"), Some(2));
    assert_eq!(select("[fd00::1]:1"), Some(3));
    assert_eq!(select("[::ffff:10.1.9.9]:1"), Some(1));
    assert_eq!(select("192.0.2.1:1"), Some(4));
}

#[test]
fn the_most_exact_server_name_counts() {
    let named = |names: &[&str]| ChainMatch { server_names: alpn(names), ..ChainMatch::default() };
    let all = [named(&["a.b.c", "x.c"]), named(&["*.b.c"]), named(&["*.c"]), named(&[])];
    let sieve = Sieve::new(&all, None).unwrap();
    let select = |name| sieve.select(&connection("10.0.0.1:1", name, Transport::Tls, &[]));

    for (name, expected) in
        [("A.B.c", 0), ("x.c", 0), ("z.b.c", 1), ("y.z.b.c", 1), ("b.c", 2), ("c", 3), (".c", 3)]
    {
        assert_eq!(select(Some(name)), Some(expected), "{name}");
    }
    assert_eq!(select(None), Some(3));
}

#[test]
fn chains_that_match_alike_are_refused_by_place() {
    let error = Sieve::new(&[wanted(Some(1)), wanted(Some(2)), wanted(Some(1))], None).unwrap_err();

    assert_eq!(error, "filter_chains[0] and filter_chains[2] match alike");
}

#[test]
fn a_match_of_too_many_combinations_is_refused() {
    let many: Vec<String> = (0..300).map(|i| format!("n{i}.example")).collect();
    let wanted = ChainMatch { server_names: many.clone(), protocols: many, ..ChainMatch::default() };

    assert!(Sieve::new(&[wanted], None).is_err());
}

#[test]
fn what_need_not_be_looked_at_is_not() {
    let sieve = permissive();

    assert!(sieve.asks_tls(9080) && sieve.asks_protocols(9080));
    assert!(!sieve.asks_tls(15006) && !sieve.asks_protocols(15006));
}

#[test]
fn matches_that_cannot_be_kept_to_are_refused() {
    let cases = [
        FilterChainMatch { source_ports: vec![70_000], ..Default::default() },
        FilterChainMatch { source_type: 7, ..Default::default() },
        FilterChainMatch { transport_protocol: "quic".into(), ..Default::default() },
        FilterChainMatch { server_names: vec!["*".into()], ..Default::default() },
        FilterChainMatch { server_names: vec!["a.*.b".into()], ..Default::default() },
        FilterChainMatch {
            destination_port: Some(proto::google::protobuf::UInt32Value { value: 70_000 }),
            ..Default::default()
        },
        FilterChainMatch {
            prefix_ranges: vec![CidrRange {
                address_prefix: "10.0.0.0".into(),
                prefix_len: Some(proto::google::protobuf::UInt32Value { value: 33 }),
            }],
            ..Default::default()
        },
    ];
    for case in cases {
        assert!(ChainMatch::compile(&case).is_err(), "{case:?}");
    }
}

/// The rule in words, one step after the other, over a plain list.
fn naive(all: &[ChainMatch], to: &Connection<'_>) -> Option<usize> {
    let mut left: Vec<usize> = (0..all.len()).collect();
    let has_port = all.iter().any(|m| m.port == Some(to.destination.port()));
    left.retain(|i| all[*i].port == has_port.then(|| to.destination.port()));
    let ip = to.destination.ip();
    let longest = |m: &ChainMatch| match m.ranges.is_empty() {
        true => Some(0),
        false => m.ranges.iter().filter(|r| r.prefix == 0 || r.contains(ip)).map(|r| r.prefix).max(),
    };
    let best = left.iter().filter_map(|i| longest(&all[*i])).max();
    // The range must be this very one: another chain may have it too, and a longer one that does not fit.
    left.retain(|i| best.is_some() && longest(&all[*i]) == best);
    let name = to.server_name.unwrap_or_default().to_ascii_lowercase();
    let rank = |m: &ChainMatch| {
        let fits = |wanted: &String| match wanted.strip_prefix('*') {
            Some(suffix) => (name.len() > suffix.len() && name.ends_with(suffix)).then_some(suffix.len()),
            None => (*wanted == name).then_some(usize::MAX),
        };
        if m.server_names.is_empty() { Some(0) } else { m.server_names.iter().filter_map(fits).max() }
    };
    let best = left.iter().filter_map(|i| rank(&all[*i])).max();
    left.retain(|i| best.is_some() && rank(&all[*i]) == best);
    let has_transport = left.iter().any(|i| all[*i].transport == Some(to.transport));
    left.retain(|i| all[*i].transport == has_transport.then_some(to.transport));
    let offered =
        to.protocols.iter().find(|p| left.iter().any(|i| all[*i].protocols.iter().any(|q| q == *p)));
    match offered {
        Some(p) => left.retain(|i| all[*i].protocols.iter().any(|q| q == *p)),
        None => left.retain(|i| all[*i].protocols.is_empty()),
    }
    left.first().copied()
}

fn some_match() -> impl Strategy<Value = ChainMatch> {
    let names = prop::sample::subsequence(vec!["a.x", "*.x", "*.a.x", "b.a.x"], 0..3);
    let protocols = prop::sample::subsequence(vec!["h2", "http/1.1", "istio"], 0..3);
    let ranges = prop::sample::subsequence(vec![("10.0.0.0", 8), ("10.1.0.0", 16), ("10.1.1.0", 24)], 0..2);
    let transport = prop::option::of(prop::sample::select(vec![Transport::Tls, Transport::RawBuffer]));
    (prop::option::of(80_u16..82), ranges, names, transport, protocols).prop_map(
        |(port, ranges, names, transport, protocols)| ChainMatch {
            port,
            ranges: ranges.into_iter().map(|(ip, n)| Range::new(ip.parse().unwrap(), n)).collect(),
            server_names: names.into_iter().map(Into::into).collect(),
            transport,
            protocols: protocols.into_iter().map(Into::into).collect(),
            ..ChainMatch::default()
        },
    )
}

/// The place of the chain for a connection from one address to another.
fn from(sieve: &Sieve, source: &str, direct: &str) -> Option<usize> {
    let to = connection("10.0.0.1:80", None, Transport::RawBuffer, &[]);
    sieve.select(&Connection {
        source: source.parse().unwrap(),
        direct_source: direct.parse().unwrap(),
        ..to
    })
}

#[test]
fn the_longest_range_of_sources_wins_then_the_port() {
    let range = |ip: &str, prefix| vec![Range::new(ip.parse().unwrap(), prefix)];
    let wide = ChainMatch { sources: range("10.0.0.0", 8), ..ChainMatch::default() };
    let narrow = ChainMatch { sources: range("10.1.0.0", 16), ..ChainMatch::default() };
    let port = ChainMatch { source_ports: vec![7, 8], ..narrow.clone() };
    let sieve = Sieve::new(&[wide, narrow, port, ChainMatch::default()], None).unwrap();

    for (source, expected) in
        [("10.2.0.1:7", 0), ("10.1.0.1:6", 1), ("10.1.0.1:8", 2), ("192.0.2.1:7", 3), ("[::1]:7", 3)]
    {
        assert_eq!(from(&sieve, source, source), Some(expected), "{source}");
    }
    // Once a range is chosen there is no way back to a wider one.
    let only = ChainMatch { source_ports: vec![7], sources: range("10.1.0.0", 16), ..ChainMatch::default() };
    let strict = Sieve::new(&[only, ChainMatch::default()], None).unwrap();
    assert_eq!(from(&strict, "10.1.0.1:8", "10.1.0.1:8"), None);
}

#[test]
fn the_socket_s_own_end_is_asked_before_what_a_header_says() {
    let range = |ip: &str| vec![Range::new(ip.parse().unwrap(), 32)];
    let direct = ChainMatch { direct_sources: range("10.5.5.5"), ..ChainMatch::default() };
    let told = ChainMatch { sources: range("192.0.2.1"), ..ChainMatch::default() };
    let sieve = Sieve::new(&[direct, told], None).unwrap();

    assert_eq!(from(&sieve, "192.0.2.1:1", "10.5.5.5:1"), Some(0));
    assert_eq!(from(&sieve, "192.0.2.1:1", "10.5.5.6:1"), Some(1));
    assert_eq!(from(&sieve, "192.0.2.2:1", "10.5.5.6:1"), None);
}

#[test]
fn connections_of_this_machine_can_be_told_from_others() {
    let of = |origin| ChainMatch { origin: Some(origin), ..ChainMatch::default() };
    let both = Sieve::new(&[of(SourceOrigin::Local), of(SourceOrigin::External)], None).unwrap();
    for (source, expected) in [("127.0.0.1:1", 0), ("10.0.0.1:1", 0), ("10.0.0.2:1", 1)] {
        assert_eq!(from(&both, source, source), Some(expected), "{source}");
    }
    let one = Sieve::new(&[of(SourceOrigin::Local), ChainMatch::default()], None).unwrap();
    assert_eq!(from(&one, "10.0.0.2:1", "10.0.0.2:1"), Some(1));
}

proptest! {
    #[test]
    fn the_sieve_does_what_its_rule_says(
        all in prop::collection::vec(some_match(), 1..8),
        ip in prop::sample::select(vec!["10.1.1.1", "10.1.2.2", "10.9.9.9", "192.0.2.1"]),
        port in 79_u16..83,
        name in prop::sample::select(vec![None, Some("a.x"), Some("b.a.x"), Some("c.x"), Some("x")]),
        tls in any::<bool>(),
        protocols in prop::sample::subsequence(vec!["istio", "http/1.1", "h2"], 0..3),
    ) {
        if let Ok(sieve) = Sieve::new(&all, None) {
            let transport = if tls { Transport::Tls } else { Transport::RawBuffer };
            let to = Connection {
                destination: SocketAddr::new(ip.parse().unwrap(), port),
                source: "10.9.9.9:999".parse().unwrap(),
                direct_source: "10.9.9.9:999".parse().unwrap(),
                server_name: name,
                transport,
                protocols: &protocols,
            };
            prop_assert_eq!(sieve.select(&to), naive(&all, &to));
        }
    }
}
