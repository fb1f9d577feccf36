//! What a control plane costs: many sidecars at once, then one change at a time, each figure beside its limit.
//!
//! `bench/control` builds and runs it. The sidecars are this process's: they subscribe as Envoys do, clusters and
//! listeners whole, endpoints and routes by name, and acknowledge everything.
#![allow(clippy::print_stdout, reason = "its figures are what it is for")]

use std::collections::BTreeSet;
use std::future::Future;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::mpsc;
use xds::{Accept, Node, Reject, TypeUrl, Update};

/// What the sidecars take of the two cores is taken from the control plane.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long anything may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// The one port of every service, and the name of its routes.
const PORT: &str = "9080";

/// What a sidecar was sent.
struct Heard {
    ty: TypeUrl,
    at: Instant,
}

/// A sidecar that takes everything.
struct Sidecar {
    tell: mpsc::UnboundedSender<Heard>,
    /// The clusters, by which endpoints are asked for.
    clusters: Arc<BTreeSet<String>>,
    routes: Arc<BTreeSet<String>>,
}

impl Accept for Sidecar {
    fn apply(&mut self, update: Update) -> impl Future<Output = Vec<Reject>> + Send {
        let at = Instant::now();
        if update.ty == TypeUrl::Cluster {
            let outbound = update.added.into_iter().map(|added| added.name);
            let outbound = outbound.filter(|name| name.starts_with("outbound|"));
            Arc::make_mut(&mut self.clusters).extend(outbound);
        }
        // The other end outlives every sidecar.
        let _ = self.tell.send(Heard { ty: update.ty, at });
        std::future::ready(Vec::new())
    }

    fn wanted(&self, ty: TypeUrl) -> Arc<BTreeSet<String>> {
        match ty {
            TypeUrl::Endpoint => self.clusters.clone(),
            TypeUrl::Route => self.routes.clone(),
            _ => Arc::default(),
        }
    }

    fn connected(&mut self, _: bool) {}
}

/// A control plane in a process of its own.
struct Plane {
    child: Child,
    dir: tempfile::TempDir,
    ads: SocketAddr,
}

impl Plane {
    fn start(weft: &Path, services: usize) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        for service in 0..services {
            std::fs::write(dir.path().join(format!("s{service}.yaml")), world(service, 1))?;
        }
        std::fs::write(dir.path().join("vs.yaml"), virtual_service("a"))?;
        let [ads, http] = free()?;
        let child = Command::new(weft)
            .args(["control", "--log", "error", "--dir"])
            .arg(dir.path())
            .args(["--listen", &ads.to_string(), "--http", &http.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", weft.display()))?;
        let plane = Self { child, dir, ads };
        let deadline = Instant::now() + PATIENCE;
        // It answers once it has read its directory: what the mesh itself takes is not the sidecars'.
        while !is_ready(http) {
            anyhow::ensure!(Instant::now() < deadline, "the control plane does not come up");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(plane)
    }

    /// A line of `/proc/PID/status`, in KiB.
    fn memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).context("no VmRSS")
    }

    /// The time its threads have run.
    fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = stat.rsplit_once(')').context("no stat")?;
        let ticks: u64 =
            fields.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
        // A hundred ticks a second, on every Linux there is.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Replaces a file at once, and says when.
    fn write(&self, name: &str, text: &str) -> anyhow::Result<Instant> {
        let fresh: PathBuf = self.dir.path().join(".fresh");
        std::fs::write(&fresh, text)?;
        let at = Instant::now();
        std::fs::rename(fresh, self.dir.path().join(name))?;
        Ok(at)
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a control plane answers that it is ready.
fn is_ready(http: SocketAddr) -> bool {
    let asked = std::net::TcpStream::connect(http).and_then(|mut stream| {
        stream.write_all(b"GET /ready HTTP/1.1\r\nhost: control\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    });
    asked.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Two addresses nobody listens on.
fn free() -> anyhow::Result<[SocketAddr; 2]> {
    let held = [std::net::TcpListener::bind("127.0.0.1:0")?, std::net::TcpListener::bind("127.0.0.1:0")?];
    Ok([held[0].local_addr()?, held[1].local_addr()?])
}

/// A service and two workloads; the first is at the address of a generation.
fn world(service: usize, generation: u8) -> String {
    let (high, low) = (service / 250, service % 250 + 1);
    let workload = |name: &str, n: u8| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: s{service}-{name}}}\nspec:\n  address: 10.{n}.{high}.{low}\n  labels: {{app: s{service}}}\n"
        )
    };
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: s{service}}}\nspec:\n  selector: {{app: s{service}}}\n  ports: [{{name: http, port: {PORT}}}]\n{}{}",
        workload("a", generation),
        workload("b", 200),
    )
}

fn virtual_service(header: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: s0}}\nspec:\n  hosts: [s0]\n  http:\n  - headers: {{request: {{set: {{x-change: {header}}}}}}}\n    route: [{{destination: {{host: s0}}}}]\n"
    )
}

/// A figure and its limit.
fn say(what: &str, figure: f64, unit: &str, limit: f64) -> bool {
    println!("{what}: {figure:.1} {unit}, limit {limit:.0} {unit}");
    figure <= limit
}

/// Waits until each of `count` sidecars was sent something of a type; how long after `since`, shortest first.
async fn heard(
    ty: TypeUrl,
    count: usize,
    since: Instant,
    events: &mut mpsc::UnboundedReceiver<Heard>,
) -> anyhow::Result<Vec<f64>> {
    let mut times = Vec::with_capacity(count);
    while times.len() < count {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.context("nobody hears anything")?;
        let event = event.context("every sidecar has gone")?;
        if event.ty == ty && event.at >= since {
            times.push(event.at.duration_since(since).as_secs_f64() * 1000.0);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// One change: how long half of the sidecars and nearly all of them wait for it, beside the limits of both.
async fn change(
    what: &str,
    (ty, limits): (TypeUrl, [f64; 2]),
    (plane, count): (&Plane, usize),
    (file, text): (&str, &str),
    events: &mut mpsc::UnboundedReceiver<Heard>,
) -> anyhow::Result<bool> {
    while events.try_recv().is_ok() {}
    let before = plane.cpu()?;
    let since = plane.write(file, text)?;
    let times = heard(ty, count, since, events).await?;
    let at = |share: usize| times.get((count * share / 100).min(count - 1)).copied().unwrap_or_default();
    let half = say(&format!("{what}, half have it after"), at(50), "ms", limits[0]);
    let all = say(&format!("{what}, 99 % have it after"), at(99), "ms", limits[1]);
    println!("{what}, CPU: {} ms", plane.cpu()?.saturating_sub(before).as_millis());
    Ok(half && all)
}

async fn run(weft: &Path, services: usize, count: usize) -> anyhow::Result<bool> {
    let plane = Plane::start(weft, services)?;
    let (memory, cpu) = (plane.memory()?, plane.cpu()?);
    let (tell, mut events) = mpsc::unbounded_channel();
    let routes = Arc::new(BTreeSet::from([PORT.to_owned()]));
    let since = Instant::now();
    for n in 0..count {
        let id =
            format!("sidecar~10.250.{}.{}~load-{n}.default~default.svc.cluster.local", n / 250, n % 250 + 1);
        let (clusters, routes) = (Arc::default(), routes.clone());
        let sidecar = Sidecar { tell: tell.clone(), clusters, routes };
        let node = Node { id, ..Node::default() };
        tokio::spawn(xds::follow(plane.ads, node, n as u64, sidecar, std::future::pending()));
    }
    let times = heard(TypeUrl::Route, count, since, &mut events).await?;
    let mut good = say("all configured after", times.last().copied().unwrap_or_default(), "ms", 7000.0);
    // Everybody has acknowledged within this time, or the figures after it say so.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let count_f = count as f64;
    good &= say("first push, CPU each", (plane.cpu()? - cpu).as_secs_f64() * 1000.0 / count_f, "ms", 7.0);
    let grown = plane.memory()?.saturating_sub(memory) as f64;
    good &= say("memory each", grown / count_f, "KiB", 100.0);
    let on = (&plane, count);
    let endpoints = (TypeUrl::Endpoint, [40.0, 80.0]);
    good &= change("endpoint change", endpoints, on, ("s1.yaml", &world(1, 2)), &mut events).await?;
    let routes = (TypeUrl::Route, [200.0, 400.0]);
    good &=
        change("VirtualService change", routes, on, ("vs.yaml", &virtual_service("b")), &mut events).await?;
    Ok(good)
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let weft = arguments.next().context("usage: load WEFT [SIDECARS [SERVICES]]")?;
    let count = arguments.next().map_or(Ok(500), |count| count.parse())?;
    let services = arguments.next().map_or(Ok(1000), |services| services.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let good = runtime.block_on(run(Path::new(&weft), services, count))?;
    anyhow::ensure!(good, "above a limit");
    Ok(())
}
