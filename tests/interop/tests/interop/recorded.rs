//! What a real istiod pushed, served again to a real `weft-proxy` in a network that holds the recorded addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;
use tests_interop::recording::Call;
use tests_interop::{Home, Proxy, Recording, Reply, get_with, namespace, recording};

/// A call, the address it is made to, and where it may arrive.
#[derive(Debug)]
struct Trip {
    call: Call,
    to: SocketAddr,
    wanted: BTreeSet<SocketAddr>,
}

impl Trip {
    /// The call of a program that was told of its proxy: it goes to the listener of its port.
    fn told(call: Call, recording: &Recording) -> Self {
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, call.port()));
        let wanted = recording.endpoints().remove(cluster(&call)).unwrap_or_default();
        Self { call, to, wanted }
    }

    /// The call of a program that knows of no proxy: it goes to the service, or to the address the call states.
    fn captured(call: Call, recording: &Recording) -> Self {
        let wanted = recording.endpoints().remove(cluster(&call));
        let service = cluster(&call).rsplit('|').next().and_then(|host| host.split('.').next());
        let stated = call.expect.note.rsplit(' ').next().and_then(|address| address.parse::<IpAddr>().ok());
        let ip = match &wanted {
            Some(_) => recording.service_address(service.unwrap_or_default()),
            None => stated.expect("a call of no service states its address"),
        };
        let to = SocketAddr::new(ip, call.port());
        Self { call, to, wanted: wanted.unwrap_or_else(|| BTreeSet::from([to])) }
    }

    fn make(&self) -> Reply {
        let Self { call, to, .. } = self;
        get_with(*to, &call.to, &call.path, &call.headers).unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }

    fn assert_arrives(&self) {
        let reply = self.make();
        let arrived = arrived(&reply).unwrap_or_else(|| panic!("{self:?}: {reply:?}"));
        assert!(self.wanted.contains(&arrived), "{self:?} arrived at {arrived}");
    }

    /// Each call chooses anew, so that a hundred meet every endpoint.
    fn assert_is_spread(&self) {
        let met: BTreeSet<SocketAddr> = (0..100).filter_map(|_| arrived(&self.make())).collect();
        assert_eq!(met, self.wanted, "{self:?}");
    }
}

fn cluster(call: &Call) -> &str {
    call.expect.cluster.as_deref().expect("every call of these worlds states its cluster")
}

/// Where a call went: its backend answers with its own address.
fn arrived(reply: &Reply) -> Option<SocketAddr> {
    serde_json::from_str::<Value>(&reply.body).ok()?["name"].as_str()?.parse().ok()
}

fn ips<'a>(addresses: impl IntoIterator<Item = &'a SocketAddr>) -> BTreeSet<IpAddr> {
    addresses.into_iter().map(SocketAddr::ip).collect()
}

fn assert_nothing_refused(proxy: &Proxy) {
    assert_eq!(proxy.errors(), BTreeMap::new());
    for discovery in ["cluster_manager.cds", "listener_manager.lds", "eds", "rds"] {
        assert_eq!(proxy.stat(&format!("{discovery}.update_rejected")), 0, "{discovery}");
    }
}

#[test]
fn recorded_calls_go_where_istiod_meant_them_over_sockets() {
    let Some(recording) = Recording::read("bookinfo/productpage@none") else { return };
    namespace::within("interop::recorded::recorded_calls_go_where_istiod_meant_them_over_sockets", || {
        let calls = recording.calls_from("productpage");
        let trips: Vec<Trip> = calls.into_iter().map(|call| Trip::told(call, &recording)).collect();
        let endpoints: BTreeSet<SocketAddr> = recording.endpoints().into_values().flatten().collect();
        namespace::add_addresses(&ips(&endpoints));
        let _backends = recording::backends(&endpoints);
        let (_control_plane, proxy) = recording.replay(&Home::claim());
        assert_nothing_refused(&proxy);

        let (homeless, served): (Vec<&Trip>, Vec<&Trip>) =
            trips.iter().partition(|trip| trip.wanted.is_empty());
        served.iter().for_each(|trip| trip.assert_arrives());
        served.iter().filter(|trip| trip.wanted.len() > 1).for_each(|trip| trip.assert_is_spread());

        // PassthroughCluster goes on to where a connection went before it was captured. Nothing has captured these:
        // the only address known is the listener's own, and to go there would be to go in circles.
        for trip in homeless {
            let reply = trip.make();
            assert_eq!((reply.status, arrived(&reply)), (503, None), "{trip:?}: {reply:?}");
            proxy.wait_for_access("a line of a call nobody may take", |line| {
                [&trip.call.to, cluster(&trip.call), " UH "].into_iter().all(|part| line.contains(part))
            });
        }
    });
}

#[test]
fn captured_calls_of_bookinfo_arrive() {
    captured("bookinfo", "interop::recorded::captured_calls_of_bookinfo_arrive");
}

#[test]
fn captured_calls_pinned_to_a_version_arrive() {
    captured("pinned-v1", "interop::recorded::captured_calls_pinned_to_a_version_arrive");
}

#[test]
fn captured_calls_told_apart_by_a_header_arrive() {
    captured("jason", "interop::recorded::captured_calls_told_apart_by_a_header_arrive");
}

/// Makes productpage's calls of a world as a program does whose connections are captured.
fn captured(world: &str, test: &str) {
    let Some(recording) = Recording::read(&format!("{world}/productpage")) else { return };
    namespace::within(test, || {
        let calls = recording.calls_from("productpage");
        let trips: Vec<Trip> = calls.into_iter().map(|call| Trip::captured(call, &recording)).collect();
        let wanted = trips.iter().flat_map(|trip| trip.wanted.iter().copied());
        let endpoints: BTreeSet<SocketAddr> =
            recording.endpoints().into_values().flatten().chain(wanted).collect();
        namespace::add_addresses(&ips(&endpoints));
        let _backends = recording::backends(&endpoints);
        capture(&trips);
        let (_control_plane, proxy) = recording.replay(&Home::claim());
        assert_nothing_refused(&proxy);

        trips.iter().for_each(Trip::assert_arrives);
        trips.iter().filter(|trip| trip.wanted.len() > 1).for_each(Trip::assert_is_spread);
    });
}

/// Sends to 15001 what goes elsewhere, as the rules of a captured pod do.
///
/// A pod's rules know what its proxy says by the proxy's user. Here is one user for all; but nobody but the program
/// speaks to a service's own address, and of two connections to a foreign address the second is the proxy's.
fn capture(trips: &[Trip]) {
    let (foreign, services): (Vec<&Trip>, Vec<&Trip>) =
        trips.iter().partition(|trip| trip.wanted.contains(&trip.to));
    let services = ips(services.iter().map(|trip| &trip.to));
    namespace::ip(services.iter().map(|ip| format!("route add {ip} dev lo")));
    for ip in services {
        namespace::redirect(&["-d", &ip.to_string()], 15_001);
    }
    let every_other = ["-m", "statistic", "--mode", "nth", "--every", "2", "--packet", "0"];
    for ip in ips(foreign.iter().map(|trip| &trip.to)) {
        namespace::redirect(&[&["-d", &ip.to_string()][..], &every_other].concat(), 15_001);
    }
}

#[test]
fn every_inert_istio_filter_is_listed_in_config_dump() {
    let recordings = ["bookinfo", "pinned-v1"].into_iter().flat_map(Recording::of_world).collect::<Vec<_>>();
    if recordings.is_empty() {
        return;
    }
    namespace::within("interop::recorded::every_inert_istio_filter_is_listed_in_config_dump", || {
        for recording in recordings {
            let (name, recorded) = (recording.name(), recording.filters());
            let (_control_plane, proxy) = recording.replay(&Home::claim());

            let listed = inert(&proxy.admin("/config_dump").json());

            assert_nothing_refused(&proxy);
            assert_eq!(proxy.admin("/server_info").json()["state"], "LIVE", "{name}");
            let wanted: BTreeSet<_> =
                recorded.into_iter().filter(|(_, name)| name.starts_with("istio.")).collect();
            let missing: Vec<_> = wanted.difference(&listed).collect();
            assert!(missing.is_empty(), "{name}: {missing:?} are not among {listed:?}");
        }
    });
}

/// What is listed as accepted and knowingly doing nothing: listener and filter.
fn inert(dump: &Value) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let configs = dump["configs"].as_array().into_iter().flatten();
    let lists = configs.filter_map(|config| config["inert_filters"].as_array()).flatten();
    lists.map(|one| (text(&one["listener"]), text(&one["filter"]))).collect()
}
