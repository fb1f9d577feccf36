//! Configuration that changes while requests run.

use serde_json::json;
use testkit::Echo;
use tests_interop::small::{self, CLUSTER, LISTENER, ROUTES, resource};
use tests_interop::{Asking, ControlPlane, Desk, Home, Proxy, get};
use xds::TypeUrl;

#[test]
fn no_request_fails_while_everything_changes() {
    let (home, desk) = (Home::claim(), Desk::default());
    let backends = ["first", "second"].map(|name| Echo::start(name).expect("a backend"));
    let web = home.at(8080);
    let generation = desk.put(small::configuration(web, backends[0].address()));
    let control_plane = ControlPlane::start(home.at(0), desk.clone());
    let proxy = Proxy::anyone(&home, control_plane.address());
    desk.wait_settled(generation);
    proxy.wait_live();

    let clients = [Asking::start(web), Asking::start(web)];
    for round in 0..40 {
        let backend = &backends[round % 2];
        let (mut listener, mut routes, mut cluster) =
            (small::listener(web), small::routes(), small::cluster());
        listener["filter_chains"][0]["name"] = json!(format!("chain-{round}"));
        routes["virtual_hosts"][0]["routes"][0]["name"] = json!(format!("route-{round}"));
        cluster["connect_timeout"] = json!(format!("{}s", 5 + round % 2));
        let changes = [
            resource(TypeUrl::Endpoint, CLUSTER, &small::endpoints(backend.address())),
            resource(TypeUrl::Cluster, CLUSTER, &cluster),
            resource(TypeUrl::Route, ROUTES, &routes),
            resource(TypeUrl::Listener, LISTENER, &listener),
        ];
        // Some rounds change one thing after the other, each beginning with another, some everything at once.
        let last = match round % 5 {
            4 => desk.put(changes),
            first => (0..4).map(|step| desk.put([changes[(first + step) % 4].clone()])).fold(0, u64::max),
        };
        desk.wait_settled(last);

        assert_eq!(desk.refusals(last), []);
        let reply = get(web, "any.test", "/").unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(reply.json()["name"], ["first", "second"][round % 2], "round {round}");
    }

    clients.into_iter().for_each(Asking::stop_without_failures);
}
