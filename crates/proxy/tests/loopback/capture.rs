//! Connections that the kernel redirected, in a network namespace of the test's own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use xds::TypeUrl;

use crate::bed::{Bed, cluster};
use crate::client::PATIENCE;

/// Set where the test already runs in its own namespace.
const INSIDE: &str = "WEFT_TEST_NAMESPACE";

/// Whether the test goes on here; else it has run in a namespace, or cannot.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let may = Command::new("unshare").args(["-rn", "iptables", "-t", "nat", "-L", "-n"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        let why = format!("SKIPPED {test}: no network namespaces with iptables here\n");
        std::io::stderr().write_all(why.as_bytes()).unwrap();
        return false;
    }
    let output = Command::new("unshare")
        .arg("-rn")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    false
}

fn run(command: &str) {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

fn address(of: &str) -> Value {
    let at: SocketAddr = of.parse().unwrap();
    json!({ "socket_address": { "address": at.ip().to_string(), "port_value": at.port() } })
}

fn chain(cluster: &str) -> Value {
    json!({ "filters": [{ "name": "tcp", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": cluster,
        "cluster": cluster,
    } }] })
}

/// A server that says which of its addresses was reached.
async fn telling(at: &str) -> SocketAddr {
    let listener = TcpListener::bind(at).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.write_all(address.ip().to_string().as_bytes()).await;
        }
    });
    address
}

async fn heard(at: &str) -> String {
    let hearing = async {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    };
    tokio::time::timeout(PATIENCE, hearing).await.unwrap()
}

#[tokio::test]
async fn a_redirected_connection_is_handed_over_and_goes_where_it_was_going() {
    if !is_inside("capture::a_redirected_connection_is_handed_over_and_goes_where_it_was_going") {
        return;
    }
    run("ip link set lo up");
    for at in ["10.1.2.3/32", "10.1.2.4/32", "10.1.2.5/32"] {
        run(&format!("ip addr add {at} dev lo"));
    }
    run("ip addr add fd00::3/128 dev lo nodad");
    let port = telling("10.1.2.3:0").await.port();
    for at in ["10.1.2.4", "10.1.2.5", "[fd00::3]"] {
        telling(&format!("{at}:{port}")).await;
    }
    let mut bed = Bed::start().await;
    let going_on = json!({
        "name": "going-on", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "5s",
        "original_dst_lb_config": { "upstream_port_override": port },
    });
    bed.apply(TypeUrl::Cluster, &[going_on, cluster("black-hole", &[])]).await;
    let caught = json!({
        "name": "caught",
        "address": address("127.0.0.1:0"),
        "additional_addresses": [{ "address": address("[::1]:0") }],
        "use_original_dst": true,
        "default_filter_chain": chain("going-on"),
    });
    let taken = json!({
        "name": "10.1.2.4_80", "address": address("10.1.2.4:80"), "bind_to_port": false,
        "filter_chains": [chain("black-hole")],
    });
    bed.apply(TypeUrl::Listener, &[caught, taken]).await;
    let (v4, v6) = (bed.address().port(), bed.machine.bound("[::1]:0".parse().unwrap()).unwrap().port());
    run(&format!("iptables -t nat -A OUTPUT -p tcp --dport 80 -j REDIRECT --to-ports {v4}"));
    run(&format!("ip6tables -t nat -A OUTPUT -p tcp --dport 80 -j REDIRECT --to-ports {v6}"));

    assert_eq!(heard("10.1.2.3:80").await, "10.1.2.3");
    assert_eq!(heard("10.1.2.5:80").await, "10.1.2.5");
    assert_eq!(heard("[fd00::3]:80").await, "fd00::3");
    assert_eq!(heard("10.1.2.4:80").await, "", "its own listener leads nowhere");
}

#[tokio::test]
async fn a_transparent_listener_takes_connections_to_anywhere() {
    if !is_inside("capture::a_transparent_listener_takes_connections_to_anywhere") {
        return;
    }
    run("ip link set lo up");
    // What is not local is delivered here all the same, as TPROXY's rules have it.
    run("ip route add local 10.0.0.0/8 dev lo");
    let port = telling("10.7.7.7:0").await.port();
    let mut bed = Bed::start().await;
    let going_on = json!({
        "name": "going-on", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "5s",
        "original_dst_lb_config": { "upstream_port_override": port },
    });
    bed.apply(TypeUrl::Cluster, &[going_on]).await;
    let anywhere = json!({
        "name": "anywhere", "address": address("0.0.0.0:0"), "transparent": true,
        "default_filter_chain": chain("going-on"),
    });
    bed.apply(TypeUrl::Listener, &[anywhere]).await;
    let own = bed.machine.bound("0.0.0.0:0".parse().unwrap()).unwrap().port();

    assert_eq!(heard(&format!("10.7.7.7:{own}")).await, "10.7.7.7");
}
