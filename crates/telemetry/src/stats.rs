//! Envoy's own counters and gauges (`cluster.NAME.upstream_rq_total`), for `/stats` and `/stats/prometheus`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::metrics::Escaped;

/// What a statistic is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A cluster, by name.
    Cluster(Arc<str>),
    /// An HTTP connection manager, by its stat prefix.
    Http(Arc<str>),
    /// A listener, by its address as in `0.0.0.0_8080`.
    Listener(Arc<str>),
    /// A part of the process, e.g. `cluster_manager.cds` or `server`.
    Process(&'static str),
    /// A TCP proxy, by its stat prefix.
    Tcp(Arc<str>),
}

impl Scope {
    /// Envoy's prefix, the entity, and the label Istio's dashboards know the entity by.
    fn parts(&self) -> (&str, Option<(&str, &'static str)>) {
        match self {
            Self::Cluster(name) => ("cluster", Some((name, "cluster_name"))),
            Self::Http(prefix) => ("http", Some((prefix, "http_conn_manager_prefix"))),
            Self::Listener(address) => ("listener", Some((address, "listener_address"))),
            Self::Process(part) => (part, None),
            Self::Tcp(prefix) => ("tcp", Some((prefix, "tcp_prefix"))),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

#[derive(Debug)]
struct Slot {
    kind: Kind,
    cell: Arc<AtomicI64>,
}

type Name = (Scope, &'static str);
type Slots = Arc<Mutex<BTreeMap<Name, Slot>>>;

/// A number that only grows. Handles of one statistic count together.
#[derive(Clone, Debug)]
pub struct Counter(Arc<AtomicI64>);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds so many.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(i64::try_from(by).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// What this worker has counted.
    pub fn value(&self) -> u64 {
        u64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or_default()
    }
}

/// A number that rises and falls. Handles of one statistic count together.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Adds one.
    pub fn rise(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one away.
    pub fn fall(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sets this worker's share.
    pub fn set(&self, value: u64) {
        self.0.store(i64::try_from(value).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// This worker's share.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The statistics of a process: what its workers have registered.
#[derive(Debug, Default)]
pub struct Stats {
    workers: Mutex<Vec<Slots>>,
}

impl Stats {
    /// Registers a worker.
    pub fn worker(&self) -> WorkerStats {
        let slots = Slots::default();
        lock(&self.workers).push(Arc::clone(&slots));
        WorkerStats { slots }
    }

    /// Every statistic by Envoy's name, the workers' shares summed.
    pub fn values(&self) -> BTreeMap<String, i64> {
        let mut values = BTreeMap::new();
        for ((scope, name), (_, value)) in self.sums() {
            let full = match scope.parts() {
                (prefix, Some((entity, _))) => format!("{prefix}.{entity}.{name}"),
                (prefix, None) => format!("{prefix}.{name}"),
            };
            values.insert(full, value);
        }
        values
    }

    /// Appends every statistic in Prometheus' text format, as Envoy names them.
    pub fn render_prometheus(&self, out: &mut String) {
        let mut families: BTreeMap<String, (Kind, Vec<String>)> = BTreeMap::new();
        for ((scope, name), (kind, value)) in self.sums() {
            let (prefix, entity) = scope.parts();
            let family = format!("envoy_{prefix}_{name}").replace(['.', '-'], "_");
            let labels = match entity {
                Some((entity, label)) => format!("{{{label}=\"{}\"}}", Escaped(entity)),
                None => String::new(),
            };
            let line = format!("{family}{labels} {value}");
            families.entry(family).or_insert_with(|| (kind, Vec::new())).1.push(line);
        }
        for (family, (kind, lines)) in families {
            // Writing to a string never errs.
            let _ = writeln!(out, "# TYPE {family} {}", kind.name());
            for line in lines {
                let _ = writeln!(out, "{line}");
            }
        }
    }

    fn sums(&self) -> BTreeMap<Name, (Kind, i64)> {
        let workers = lock(&self.workers).clone();
        let mut sums = BTreeMap::new();
        for worker in &workers {
            for (name, slot) in lock(worker).iter() {
                sums.entry(name.clone()).or_insert((slot.kind, 0)).1 += slot.cell.load(Ordering::Relaxed);
            }
        }
        sums
    }
}

/// One worker's statistics. Handles are taken when a plan is swapped in, and cost a lock then and never again.
#[derive(Clone, Debug)]
pub struct WorkerStats {
    slots: Slots,
}

impl WorkerStats {
    /// The counter of a name, made at zero where it is the first asked for.
    pub fn counter(&self, scope: &Scope, name: &'static str) -> Counter {
        Counter(self.cell(scope, name, Kind::Counter))
    }

    /// The gauge of a name, made at zero where it is the first asked for.
    pub fn gauge(&self, scope: &Scope, name: &'static str) -> Gauge {
        Gauge(self.cell(scope, name, Kind::Gauge))
    }

    /// Forgets all that is about something the plan no longer has.
    pub fn forget(&self, scope: &Scope) {
        lock(&self.slots).retain(|(about, _), _| about != scope);
    }

    fn cell(&self, scope: &Scope, name: &'static str, kind: Kind) -> Arc<AtomicI64> {
        let mut slots = lock(&self.slots);
        let slot = slots.entry((scope.clone(), name)).or_insert_with(|| Slot { kind, cell: Arc::default() });
        Arc::clone(&slot.cell)
    }
}

/// Locks what no panic can leave half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_shares_are_summed_under_envoys_names() {
        let stats = Stats::default();
        let reviews = Scope::Cluster("outbound|9080||reviews.default.svc.cluster.local".into());
        for share in [2, 3] {
            let worker = stats.worker();
            worker.counter(&reviews, "upstream_rq_total").add(share);
            worker.counter(&reviews, "upstream_rq_total").increment();
            worker.gauge(&reviews, "upstream_cx_active").rise();
        }
        stats.worker().gauge(&Scope::Process("server"), "live").set(1);

        let values = stats.values();
        assert_eq!(values["cluster.outbound|9080||reviews.default.svc.cluster.local.upstream_rq_total"], 7);
        assert_eq!(values["cluster.outbound|9080||reviews.default.svc.cluster.local.upstream_cx_active"], 2);
        assert_eq!(values["server.live"], 1);
    }

    #[test]
    fn prometheus_sees_the_entity_as_a_label() {
        let stats = Stats::default();
        let worker = stats.worker();
        worker.counter(&Scope::Cluster("a\"b".into()), "upstream_rq_total").increment();
        worker.counter(&Scope::Process("cluster_manager.cds"), "update_rejected").add(4);

        let mut out = String::new();
        stats.render_prometheus(&mut out);

        assert_eq!(
            out,
            "# TYPE envoy_cluster_manager_cds_update_rejected counter\n\
             envoy_cluster_manager_cds_update_rejected 4\n\
             # TYPE envoy_cluster_upstream_rq_total counter\n\
             envoy_cluster_upstream_rq_total{cluster_name=\"a\\\"b\"} 1\n"
        );
    }

    #[test]
    fn what_the_plan_dropped_is_no_longer_told() {
        let stats = Stats::default();
        let worker = stats.worker();
        let gone = Scope::Listener("0.0.0.0_80".into());
        let handle = worker.counter(&gone, "downstream_cx_total");

        worker.forget(&gone);
        handle.increment();

        assert!(stats.values().is_empty());
    }
}
