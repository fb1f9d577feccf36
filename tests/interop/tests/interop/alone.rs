//! A proxy whose control plane goes away, and comes back as somebody else.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};

use serde_json::Value;
use testkit::{Echo, wait_until};
use tests_interop::{Asking, ControlPlane, Desk, Home, PATIENCE, Proxy, get, small};
use xds::TypeUrl;

fn answering(at: SocketAddr) -> Value {
    get(at, "any.test", "/").unwrap_or_else(|error| panic!("{at}: {error}")).json()["name"].take()
}

/// Answers one connection with what no discovery server would say.
fn talk_nonsense(at: SocketAddr) {
    let listener = TcpListener::bind(at).expect("the address the control plane has left");
    listener.set_nonblocking(true).expect("a socket that does not block");
    let (mut stream, _) = wait_until("the proxy to try again", PATIENCE, || {
        listener.accept().map_err(|error| error.to_string())
    });
    // The proxy may have hung up already, which is as well.
    let _ = stream.write_all(b"\x00\x00\xff\x04\x7f\xff\xff\xff\xffHTTP/1.1 200 OK\r\n\r\nnonsense");
}

#[test]
fn the_proxy_serves_on_without_a_control_plane_and_follows_the_next_one() {
    let home = Home::claim();
    let (first, second) =
        (Echo::start("first").expect("a backend"), Echo::start("second").expect("a backend"));
    let (web, desk) = (home.at(8080), Desk::default());
    let generation = desk.put(small::configuration(web, first.address()));
    let control_plane = ControlPlane::start(home.at(0), desk.clone());
    let discovery = control_plane.address();
    let proxy = Proxy::anyone(&home, discovery);
    desk.wait_settled(generation);
    proxy.wait_live();

    let client = Asking::start(web);
    drop(control_plane);
    wait_until("the proxy to be alone", PATIENCE, || match proxy.stat("control_plane.connected_state") {
        0 => Ok(()),
        state => Err(format!("connected_state is {state}")),
    });
    assert_eq!(answering(web), "first");
    talk_nonsense(discovery);
    assert_eq!(answering(web), "first");

    let next = Desk::default();
    let generation = next.put(small::configuration(web, second.address()));
    let _control_plane = ControlPlane::start(discovery, next.clone());
    next.wait_settled(generation);

    assert_eq!(next.refusals(generation), []);
    assert_eq!(answering(web), "second");
    client.stop_without_failures();
}

#[test]
fn a_proxy_that_starts_before_its_control_plane_waits_for_it() {
    let home = Home::claim();
    let backend = Echo::start("backend").expect("a backend");
    let (web, discovery, desk) = (home.at(8080), home.at(15_010), Desk::default());
    let proxy = Proxy::anyone(&home, discovery);
    let state = wait_until("the admin interface", PATIENCE, || {
        let reply = get(home.at(15_000), "admin", "/ready").map_err(|error| error.to_string())?;
        Ok((reply.status, reply.body))
    });
    assert_eq!(state, (503, "PRE_INITIALIZING\n".to_owned()));

    let generation = desk.put(small::configuration(web, backend.address()));
    let _control_plane = ControlPlane::start(discovery, desk.clone());
    desk.wait_settled(generation);

    proxy.wait_live();
    assert_eq!(answering(web), "backend");
}

#[test]
fn what_the_next_control_plane_does_not_know_is_gone() {
    let home = Home::claim();
    let backend = Echo::start("backend").expect("a backend");
    let (web, extra, desk) = (home.at(8080), home.at(8081), Desk::default());
    let mut one_more = small::listener(extra);
    one_more["name"] = "one-more".into();
    desk.put(small::configuration(web, backend.address()));
    let generation = desk.put([small::resource(TypeUrl::Listener, "one-more", &one_more)]);
    let control_plane = ControlPlane::start(home.at(0), desk.clone());
    let proxy = Proxy::anyone(&home, control_plane.address());
    desk.wait_settled(generation);
    proxy.wait_live();
    assert_eq!(answering(extra), "backend");

    let (discovery, next) = (control_plane.address(), Desk::default());
    let generation = next.put(small::configuration(web, backend.address()));
    drop(control_plane);
    let _control_plane = ControlPlane::start(discovery, next.clone());
    next.wait_settled(generation);

    wait_until("the listener to go", PATIENCE, || match get(extra, "any.test", "/") {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(answering(web), "backend");
}
