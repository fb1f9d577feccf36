//! What one worker has of what all serve by: its own reference counts, cursors and handles on statistics.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use balance::{Cursor, HostState, Table};
use net::http1::Case;
use net::socket::TcpKeepalive;
use net::{Http, Keep, Pool, Shelf, Target};
use plan::{Cluster, HeaderCase, UpstreamHttp};
use telemetry::{Service, Workload, WorkloadFacts};

use crate::counters::{ClusterCounters, Counters};
use crate::serving::Serving;
use crate::upload::RequestBody;

/// How often the shares of young endpoints are looked at.
const GROWTH: Duration = Duration::from_millis(200);
/// Endpoints a cluster without a list of its own is remembered to have had.
const REMEMBERED: usize = 4096;

type Clusters = HashMap<Arc<str>, Rc<View>, foldhash::fast::RandomState>;

/// One generation as one worker holds it.
#[derive(Debug)]
pub(crate) struct InForce {
    serving: Arc<Serving>,
    clusters: RefCell<Clusters>,
}

impl Deref for InForce {
    type Target = Serving;

    fn deref(&self) -> &Serving {
        &self.serving
    }
}

impl InForce {
    /// Holds a generation; clusters that did not change keep what the worker knew of them.
    pub(crate) fn new(serving: Arc<Serving>, before: Option<&Self>) -> Self {
        let mut clusters = Clusters::default();
        for (name, view) in before.into_iter().flat_map(|before| before.clusters.take()) {
            match serving.cluster(&name) {
                Some(cluster) if Arc::ptr_eq(cluster, &view.cluster) => drop(clusters.insert(name, view)),
                Some(cluster) => drop(clusters.insert(name, Rc::new(view.succeeded_by(cluster)))),
                None => {}
            }
        }
        Self { serving, clusters: RefCell::new(clusters) }
    }

    /// A cluster by name.
    pub(crate) fn view(
        &self,
        name: &str,
        counters: &Counters,
        random: impl FnOnce() -> u64,
    ) -> Option<Rc<View>> {
        if let Some(view) = self.clusters.borrow().get(name) {
            return Some(Rc::clone(view));
        }
        let cluster = self.serving.cluster(name)?;
        let start = u32::try_from(random() >> 32).unwrap_or_default();
        let view =
            Rc::new(View::new(cluster, counters.cluster(&cluster.stat_name), Cursor::starting_at(start)));
        self.clusters.borrow_mut().insert(Arc::clone(&cluster.name), Rc::clone(&view));
        Some(view)
    }
}

/// How names of headers are written, in the codec's terms.
pub(crate) fn case(rule: HeaderCase) -> Case {
    match rule {
        HeaderCase::Lower => Case::Lower,
        HeaderCase::Preserved => Case::Kept,
        HeaderCase::Proper => Case::Proper,
    }
}

/// A table of endpoints: the plan's, or a worker's newer one.
pub(crate) enum Endpoints<'a> {
    Own(Rc<Table>),
    Plan(&'a Table),
}

impl Deref for Endpoints<'_> {
    type Target = Table;

    fn deref(&self) -> &Table {
        match self {
            Self::Own(table) => table,
            Self::Plan(table) => table,
        }
    }
}

/// One cluster as one worker sees it.
#[derive(Debug)]
pub(crate) struct View {
    /// The cluster.
    pub(crate) cluster: Arc<Cluster>,
    /// Its statistics.
    pub(crate) counters: Rc<ClusterCounters>,
    /// The worker's place in its rotations.
    pub(crate) cursor: RefCell<Cursor>,
    /// Its service, for metrics.
    pub(crate) service: Option<Arc<Service>>,
    /// The workloads behind its endpoints, by place.
    workloads: Vec<OnceCell<Option<Arc<Workload>>>>,
    /// Its endpoints as they are by now, where that is not as the plan has them.
    table: RefCell<Option<Rc<Table>>>,
    /// The epoch the table is of, and when it was arranged.
    arranged: Cell<(u64, Duration)>,
    /// The connections to its endpoints, by place, for the protocol last spoken.
    shelves: RefCell<Vec<Option<Rc<Shelf<RequestBody>>>>>,
    /// Endpoints found by the way.
    found: RefCell<HashMap<SocketAddr, Arc<HostState>>>,
}

impl View {
    fn new(cluster: &Arc<Cluster>, counters: Rc<ClusterCounters>, cursor: Cursor) -> Self {
        let service = cluster.service().map(|s| Arc::new(Service::new(s.host, s.name, s.namespace)));
        let workloads = cluster.endpoints.endpoints.iter().map(|_| OnceCell::new()).collect();
        Self {
            cluster: Arc::clone(cluster),
            counters,
            cursor: RefCell::new(cursor),
            service,
            table: RefCell::default(),
            arranged: Cell::new((0, Duration::ZERO)),
            shelves: RefCell::new(cluster.endpoints.endpoints.iter().map(|_| None).collect()),
            workloads,
            found: RefCell::default(),
        }
    }

    fn succeeded_by(&self, cluster: &Arc<Cluster>) -> Self {
        Self::new(cluster, Rc::clone(&self.counters), self.cursor.borrow().clone())
    }

    /// Its endpoints as they are by now: some may be out, some young; `clock` tells the time of the process.
    pub(crate) fn table(&self, clock: impl FnOnce() -> Duration) -> Endpoints<'_> {
        let (epoch, at) = self.arranged.get();
        let newest = self.cluster.state.epoch();
        let slow = self.cluster.balancer.slow_start.is_some();
        if newest == epoch && !slow {
            return self.known_table();
        }
        let now = clock();
        let is_young = slow && self.table.borrow().as_ref().is_none_or(|table| table.is_young());
        if newest != epoch || (is_young && now.saturating_sub(at) >= GROWTH) || at.is_zero() {
            *self.table.borrow_mut() = Some(Rc::new(self.cluster.endpoints.table.refreshed(now)));
            self.arranged.set((newest, now.max(Duration::from_nanos(1))));
        }
        self.known_table()
    }

    fn known_table(&self) -> Endpoints<'_> {
        match &*self.table.borrow() {
            Some(table) => Endpoints::Own(Rc::clone(table)),
            None => Endpoints::Plan(&self.cluster.endpoints.table),
        }
    }

    /// The workload behind an endpoint, where discovery says.
    pub(crate) fn workload(&self, place: usize) -> Option<Arc<Workload>> {
        self.workloads.get(place)?.get_or_init(|| self.describe(place)).clone()
    }

    fn describe(&self, place: usize) -> Option<Arc<Workload>> {
        let known = self.cluster.endpoints.endpoints.get(place)?.workload.as_ref()?;
        Some(Arc::new(Workload::new(WorkloadFacts {
            name: known.name().into(),
            namespace: known.namespace().into(),
            app: known.canonical_name().into(),
            version: known.canonical_revision().into(),
            canonical_service: known.canonical_name().into(),
            canonical_revision: known.canonical_revision().into(),
            cluster: known.cluster().into(),
            principal: String::new(),
        })))
    }

    /// The connections to an endpoint.
    pub(crate) fn shelf(
        &self,
        pool: &Pool<RequestBody>,
        place: Option<usize>,
        target: &Target,
    ) -> Rc<Shelf<RequestBody>> {
        let mut shelves = self.shelves.borrow_mut();
        let Some(slot) = place.and_then(|place| shelves.get_mut(place)) else {
            return pool.shelf(&self.cluster.name, target);
        };
        match slot {
            Some(shelf) if shelf.target() == target => Rc::clone(shelf),
            _ => {
                let shelf = pool.shelf(&self.cluster.name, target);
                *slot = Some(Rc::clone(&shelf));
                shelf
            }
        }
    }

    /// What is known of an endpoint that no list names.
    pub(crate) fn found(&self, address: SocketAddr) -> Arc<HostState> {
        let mut found = self.found.borrow_mut();
        if found.len() >= REMEMBERED {
            found.clear();
        }
        Arc::clone(found.entry(address).or_default())
    }

    /// The HTTP by which a request goes on that came by HTTP/2, or not.
    pub(crate) fn http(&self, downstream: bool) -> Http {
        match self.cluster.http {
            UpstreamHttp::Negotiated => Http::Agreed,
            UpstreamHttp::AsDownstream if downstream => Http::V2,
            UpstreamHttp::AsDownstream | UpstreamHttp::Http1 => Http::V1,
            UpstreamHttp::Http2 => Http::V2,
        }
    }

    /// Whether its endpoints are spoken to by TLS, where none says otherwise.
    pub(crate) fn is_tls(&self) -> bool {
        self.cluster.sockets.of(None).tls.is_some()
    }

    /// How names of headers are written to its endpoints.
    pub(crate) fn case(&self) -> Case {
        case(self.cluster.header_case)
    }

    /// How the kernel probes idle connections.
    pub(crate) fn keepalive(&self) -> Option<TcpKeepalive> {
        let rules = self.cluster.keepalive?;
        Some(net::socket::probes(rules.time, rules.interval, rules.probes))
    }

    /// How long its connections are kept.
    pub(crate) fn keep(&self) -> Keep {
        Keep { requests: self.cluster.max_requests_per_connection, age: self.cluster.max_connection_duration }
    }
}
