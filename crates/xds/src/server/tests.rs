//! Server and client over real sockets.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Discovery;
use proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use proto::envoy::service::discovery::v3::DiscoveryRequest;
use proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::Channel;

use super::*;
use crate::world::{Proxy, Told, World};
use crate::{Accept, Reject, Update, follow};

/// How long a test waits for what must come; only a failing one waits that long.
const LONG: Duration = Duration::from_secs(60);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, what).await.expect("this comes soon")
}

/// A server that runs until it is stopped.
struct Running {
    address: SocketAddr,
    connections: Connections,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(world: &World) -> Running {
        Running::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), world)
    }

    fn on(listener: TcpListener, world: &World) -> Running {
        let address = listener.local_addr().unwrap();
        let connections = Connections::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let supply: Arc<dyn Supply> = Arc::new(world.clone());
        let serving = serve(listener, supply, connections.clone(), async move { drop(stopped.await) });
        Running { address, connections, stop, task: tokio::spawn(serving) }
    }

    async fn stop(self) {
        drop(self.stop);
        soon(self.task).await.unwrap();
    }
}

/// What a follower lives through.
#[derive(Debug)]
enum Event {
    Applied(Box<Proxy>),
    Connected(bool),
}

struct Following {
    proxy: Proxy,
    events: mpsc::UnboundedSender<Event>,
    /// Secrets wanted beside what was applied.
    needed: watch::Receiver<BTreeSet<String>>,
}

impl Accept for Following {
    async fn apply(&mut self, update: Update) -> Vec<Reject> {
        let rejects = self.proxy.apply(update);
        let _ = self.events.send(Event::Applied(Box::new(self.proxy.clone())));
        rejects
    }

    fn wanted(&self, ty: TypeUrl) -> Arc<BTreeSet<String>> {
        Arc::new(match ty {
            TypeUrl::Secret => self.needed.borrow().clone(),
            ty => self.proxy.wanted(ty),
        })
    }

    async fn stirred(&mut self) {
        if self.needed.changed().await.is_err() {
            std::future::pending().await
        }
    }

    fn connected(&mut self, connected: bool) {
        let _ = self.events.send(Event::Connected(connected));
    }
}

/// A proxy that follows a server until it is dropped.
struct Follower {
    events: mpsc::UnboundedReceiver<Event>,
    needs: watch::Sender<BTreeSet<String>>,
    _stop: oneshot::Sender<()>,
}

impl Follower {
    fn start(discovery: impl Into<Discovery> + Send) -> Follower {
        let (sender, events) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (needs, needed) = watch::channel(BTreeSet::new());
        let (accept, discovery) =
            (Following { proxy: Proxy::default(), events: sender, needed }, discovery.into());
        let node = Node { id: "sidecar~127.0.0.1~a.default~default".to_owned(), ..Default::default() };
        tokio::spawn(follow(discovery, node, 1, accept, async move { drop(stopped.await) }));
        Follower { events, needs, _stop: stop }
    }

    /// Waits until an event makes sense of the predicate.
    async fn until<T>(&mut self, mut predicate: impl FnMut(Event) -> Option<T>) -> T {
        soon(async {
            loop {
                let event = self.events.recv().await.unwrap();
                if let Some(found) = predicate(event) {
                    return found;
                }
            }
        })
        .await
    }

    async fn until_text(&mut self, ty: TypeUrl, name: &str, text: &str) {
        self.until(|event| match event {
            Event::Applied(proxy) => (proxy.texts.get(&ty)?.get(name)? == text).then_some(()),
            Event::Connected(_) => None,
        })
        .await
    }

    async fn until_connected(&mut self, expected: bool) {
        self.until(|event| matches!(event, Event::Connected(is) if is == expected).then_some(())).await
    }
}

/// Waits until a world's feeds have been told something.
async fn until_told(world: &World, told: Told) {
    soon(async {
        while !world.told().contains(&told) {
            tokio::task::yield_now().await;
        }
    })
    .await
}

fn bookinfo() -> World {
    World::of(&[
        (TypeUrl::Cluster, "a", "1"),
        (TypeUrl::Endpoint, "a", "1"),
        (TypeUrl::Listener, "9080", "9080"),
        (TypeUrl::Route, "9080", "a"),
    ])
}

#[tokio::test]
async fn a_proxy_is_brought_up_to_date_and_every_change_settles() {
    let world = bookinfo();
    let server = Running::start(&world).await;
    let mut proxy = Follower::start(server.address);
    proxy.until_text(TypeUrl::Route, "9080", "a").await;
    until_told(&world, Told::Settled(world.generation())).await;

    world.change(|texts| {
        for (ty, name, text) in
            [(TypeUrl::Cluster, "b", "1"), (TypeUrl::Endpoint, "b", "1"), (TypeUrl::Route, "9080", "b")]
        {
            texts.entry(ty).or_default().insert(name.to_owned(), text.to_owned());
        }
    });
    proxy.until_text(TypeUrl::Route, "9080", "b").await;
    until_told(&world, Told::Settled(world.generation())).await;

    let [connection] = server.connections.list().try_into().unwrap();
    assert_eq!(connection.node.id, "sidecar~127.0.0.1~a.default~default");
    assert!(connection.types.len() == 4 && connection.types.values().all(crate::TypeStatus::is_synced));
    server.stop().await;
}

#[tokio::test]
async fn a_bad_resource_is_refused_by_name_and_the_last_good_stays() {
    let world = bookinfo();
    let server = Running::start(&world).await;
    let mut proxy = Follower::start(server.address);
    proxy.until_text(TypeUrl::Route, "9080", "a").await;

    world.put(TypeUrl::Cluster, "a", "bad");
    let generation = world.generation();
    until_told(&world, Told::Nacked(TypeUrl::Cluster, generation, "a: is bad".to_owned())).await;
    proxy.until_text(TypeUrl::Cluster, "a", "1").await;
    until_told(&world, Told::Settled(generation)).await;

    let [connection] = server.connections.list().try_into().unwrap();
    assert_eq!(connection.types[&TypeUrl::Cluster].refused.as_deref(), Some("a: is bad"));
    world.put(TypeUrl::Cluster, "a", "2");
    proxy.until_text(TypeUrl::Cluster, "a", "2").await;
    server.stop().await;
}

#[tokio::test]
async fn a_proxy_outlives_its_control_plane_and_comes_back() {
    let world = bookinfo();
    let server = Running::start(&world).await;
    let address = server.address;
    let mut proxy = Follower::start(address);
    proxy.until_text(TypeUrl::Route, "9080", "a").await;

    server.stop().await;
    proxy.until_connected(false).await;
    world.put(TypeUrl::Endpoint, "a", "2");
    world.remove(TypeUrl::Listener, "9080");
    let server = Running::on(TcpListener::bind(address).await.unwrap(), &world);

    proxy.until_connected(true).await;
    proxy.until_text(TypeUrl::Endpoint, "a", "2").await;
    until_told(&world, Told::Settled(world.generation())).await;
    let gone = |event| match event {
        Event::Applied(proxy) => proxy.texts[&TypeUrl::Listener].is_empty().then_some(()),
        Event::Connected(_) => None,
    };
    proxy.until(gone).await;
    server.stop().await;
}

#[tokio::test]
async fn a_connection_leaves_the_list_when_its_proxy_goes() {
    let world = bookinfo();
    let server = Running::start(&world).await;
    let mut proxy = Follower::start(server.address);
    proxy.until_text(TypeUrl::Route, "9080", "a").await;
    assert_eq!(server.connections.list().len(), 1);

    drop(proxy);

    soon(async {
        while !server.connections.list().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.stop().await;
}

/// Opens a stream by hand with the given requests and returns how it ends.
async fn ends_with(address: SocketAddr, requests: Vec<DeltaDiscoveryRequest>) -> Status {
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut client = AggregatedDiscoveryServiceClient::new(channel);
    let open = futures_util::stream::StreamExt::chain(
        futures_util::stream::iter(requests),
        futures_util::stream::pending(),
    );
    let mut responses = client.delta_aggregated_resources(open).await.unwrap().into_inner();
    soon(async {
        loop {
            if let Err(status) = responses.message().await {
                return status;
            }
        }
    })
    .await
}

fn clusters(node: Option<&str>) -> DeltaDiscoveryRequest {
    let node = node.map(|id| Node { id: id.to_owned(), ..Default::default() });
    DeltaDiscoveryRequest { node, type_url: TypeUrl::Cluster.as_str().to_owned(), ..Default::default() }
}

#[tokio::test]
async fn who_does_not_introduce_itself_or_is_not_welcome_is_told_so() {
    let world = bookinfo();
    let server = Running::start(&world).await;
    let long = DeltaDiscoveryRequest { resource_names_subscribe: vec!["x".repeat(9999)], ..clusters(None) };

    let nameless = ends_with(server.address, vec![clusters(None)]).await;
    let stranger = ends_with(server.address, vec![clusters(Some("stranger"))]).await;
    let greedy = ends_with(server.address, vec![clusters(Some("a")), long]).await;

    assert_eq!(nameless.code(), Code::InvalidArgument);
    assert_eq!((stranger.code(), stranger.message()), (Code::PermissionDenied, "no strangers"));
    assert_eq!(greedy.code(), Code::ResourceExhausted);
    server.stop().await;
}

#[tokio::test]
async fn a_name_needed_between_responses_is_asked_for_at_once() {
    let world = bookinfo();
    world.put(TypeUrl::Secret, "kubernetes://web", "pem");
    let server = Running::start(&world).await;
    let mut proxy = Follower::start(server.address);
    proxy.until_text(TypeUrl::Route, "9080", "a").await;

    proxy.needs.send_replace(["kubernetes://web".to_owned()].into());

    proxy.until_text(TypeUrl::Secret, "kubernetes://web", "pem").await;
    server.stop().await;
}

#[tokio::test]
async fn a_unix_socket_serves_as_the_network_does_and_says_which_process_is_there() {
    let (world, folder) = (bookinfo(), tempfile::tempdir().unwrap());
    let socket = folder.path().join("ads.sock");
    let connections = Connections::default();
    let server = Arc::new(Server::new(Arc::new(world.clone()), connections.clone()));
    let (stop, stopped) = oneshot::channel::<()>();
    let listening = {
        let (server, listener) = (server.clone(), crate::unix::listen(&socket).unwrap());
        tokio::spawn(async move { server.listen(listener, async move { drop(stopped.await) }).await })
    };

    let mut proxy = Follower::start(Discovery::Unix(socket));
    proxy.until_text(TypeUrl::Route, "9080", "a").await;
    drop(stop);
    soon(listening).await.unwrap();
    world.put(TypeUrl::Route, "9080", "b");
    proxy.until_text(TypeUrl::Route, "9080", "b").await;

    let [connection] = connections.list().try_into().unwrap();
    assert_eq!(connection.peer, Peer::Unix { pid: Some(std::process::id()) });
    assert!(connection.peer.is_private());
    assert_eq!(connection.id, "a.default-1");
    server.close().await;
    proxy.until_connected(false).await;
}

#[tokio::test]
async fn state_of_the_world_is_served_beside_delta() {
    let server = Running::start(&bookinfo()).await;
    let channel =
        Channel::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap();
    let mut client = AggregatedDiscoveryServiceClient::new(channel);
    let node = Some(Node { id: "a".to_owned(), ..Default::default() });
    let first =
        DiscoveryRequest { node, type_url: TypeUrl::Cluster.as_str().to_owned(), ..Default::default() };
    let open = futures_util::stream::StreamExt::chain(
        futures_util::stream::iter([first]),
        futures_util::stream::pending(),
    );

    let mut responses = client.stream_aggregated_resources(open).await.unwrap().into_inner();
    let response = soon(responses.message()).await.unwrap().unwrap();

    assert_eq!(response.type_url, TypeUrl::Cluster.as_str());
    assert_eq!(response.resources[0].value, b"1");
    server.stop().await;
}

#[tokio::test]
async fn open_streams_are_ended_when_serving_is_over() {
    let server = Running::start(&bookinfo()).await;
    let address = server.address;
    let open = tokio::spawn(ends_with(address, vec![clusters(Some("a"))]));
    soon(async {
        while server.connections.list().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;

    server.stop().await;

    assert_eq!(soon(open).await.unwrap().code(), Code::Unavailable);
}
