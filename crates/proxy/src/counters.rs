//! One worker's handles on Envoy's own statistics, found once and kept.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use http::StatusCode;
use telemetry::{Counter, Gauge, Scope, WorkerStats};

type Map<T> = RefCell<HashMap<Arc<str>, Rc<T>, foldhash::fast::RandomState>>;

/// All handles of one worker.
#[derive(Debug)]
pub(crate) struct Counters {
    stats: WorkerStats,
    clusters: Map<ClusterCounters>,
    listeners: Map<ListenerCounters>,
    managers: Map<HttpCounters>,
}

/// Of one cluster.
#[derive(Debug)]
pub(crate) struct ClusterCounters {
    pub(crate) requests: Counter,
    pub(crate) active: Gauge,
    pub(crate) retries: Counter,
    pub(crate) timeouts: Counter,
    pub(crate) per_try_timeouts: Counter,
    pub(crate) connections: Counter,
    pub(crate) connections_active: Gauge,
    pub(crate) connect_failures: Counter,
    pub(crate) connect_timeouts: Counter,
    pub(crate) no_host: Counter,
    pub(crate) overflows: Counter,
    classes: [Counter; 5],
}

/// Of one listener.
#[derive(Debug)]
pub(crate) struct ListenerCounters {
    pub(crate) accepted: Counter,
    pub(crate) active: Gauge,
    pub(crate) without_chain: Counter,
    pub(crate) tls_refused: Counter,
    told_of_tls: Cell<bool>,
}

/// Of one HTTP connection manager.
#[derive(Debug)]
pub(crate) struct HttpCounters {
    pub(crate) requests: Counter,
    pub(crate) active: Gauge,
    pub(crate) connections: Counter,
    pub(crate) connections_active: Gauge,
    pub(crate) http1: Counter,
    pub(crate) http2: Counter,
    pub(crate) protocol_errors: Counter,
    classes: [Counter; 5],
}

impl Counters {
    /// Handles on one worker's statistics.
    pub(crate) fn new(stats: WorkerStats) -> Self {
        Self { stats, clusters: Map::default(), listeners: Map::default(), managers: Map::default() }
    }

    /// Of a cluster.
    pub(crate) fn cluster(&self, name: &Arc<str>) -> Rc<ClusterCounters> {
        find(&self.clusters, name, || {
            let scope = Scope::Cluster(Arc::clone(name));
            let counter = |name| self.stats.counter(&scope, name);
            ClusterCounters {
                requests: counter("upstream_rq_total"),
                active: self.stats.gauge(&scope, "upstream_rq_active"),
                retries: counter("upstream_rq_retry"),
                timeouts: counter("upstream_rq_timeout"),
                per_try_timeouts: counter("upstream_rq_per_try_timeout"),
                connections: counter("upstream_cx_total"),
                connections_active: self.stats.gauge(&scope, "upstream_cx_active"),
                connect_failures: counter("upstream_cx_connect_fail"),
                connect_timeouts: counter("upstream_cx_connect_timeout"),
                no_host: counter("upstream_cx_none_healthy"),
                overflows: counter("upstream_rq_pending_overflow"),
                classes: [
                    counter("upstream_rq_1xx"),
                    counter("upstream_rq_2xx"),
                    counter("upstream_rq_3xx"),
                    counter("upstream_rq_4xx"),
                    counter("upstream_rq_5xx"),
                ],
            }
        })
    }

    /// Of a listener.
    pub(crate) fn listener(&self, name: &Arc<str>) -> Rc<ListenerCounters> {
        find(&self.listeners, name, || {
            let scope = Scope::Listener(Arc::clone(name));
            let counter = |name| self.stats.counter(&scope, name);
            ListenerCounters {
                accepted: counter("downstream_cx_total"),
                active: self.stats.gauge(&scope, "downstream_cx_active"),
                without_chain: counter("no_filter_chain_match"),
                tls_refused: counter("downstream_cx_tls_not_served"),
                told_of_tls: Cell::new(false),
            }
        })
    }

    /// Of an HTTP connection manager.
    pub(crate) fn manager(&self, prefix: &Arc<str>) -> Rc<HttpCounters> {
        find(&self.managers, prefix, || {
            let scope = Scope::Http(Arc::clone(prefix));
            let counter = |name| self.stats.counter(&scope, name);
            HttpCounters {
                requests: counter("downstream_rq_total"),
                active: self.stats.gauge(&scope, "downstream_rq_active"),
                connections: counter("downstream_cx_total"),
                connections_active: self.stats.gauge(&scope, "downstream_cx_active"),
                http1: counter("downstream_cx_http1_total"),
                http2: counter("downstream_cx_http2_total"),
                protocol_errors: counter("downstream_cx_protocol_error"),
                classes: [
                    counter("downstream_rq_1xx"),
                    counter("downstream_rq_2xx"),
                    counter("downstream_rq_3xx"),
                    counter("downstream_rq_4xx"),
                    counter("downstream_rq_5xx"),
                ],
            }
        })
    }
}

fn find<T>(map: &Map<T>, name: &Arc<str>, make: impl FnOnce() -> T) -> Rc<T> {
    if let Some(found) = map.borrow().get(name) {
        return Rc::clone(found);
    }
    let made = Rc::new(make());
    map.borrow_mut().insert(Arc::clone(name), Rc::clone(&made));
    made
}

fn count(classes: &[Counter; 5], status: StatusCode) {
    let class = usize::from(status.as_u16() / 100).wrapping_sub(1);
    if let Some(counter) = classes.get(class) {
        counter.increment();
    }
}

impl ClusterCounters {
    /// Counts a response, an upstream's or the one made in its place.
    pub(crate) fn responded(&self, status: StatusCode) {
        count(&self.classes, status);
    }
}

impl HttpCounters {
    /// Counts a response.
    pub(crate) fn responded(&self, status: StatusCode) {
        count(&self.classes, status);
    }
}

impl ListenerCounters {
    /// Counts a connection whose chain wants TLS, which is not served; the first is logged.
    pub(crate) fn refuse_tls(&self, listener: &str) {
        self.tls_refused.increment();
        if !self.told_of_tls.replace(true) {
            tracing::warn!(listener, "connections to a chain that demands TLS are closed: TLS is not served");
        }
    }
}

/// Counts something as going on until dropped.
#[derive(Debug)]
pub(crate) struct Active(Gauge);

impl Active {
    /// Begins.
    pub(crate) fn begin(gauge: &Gauge) -> Self {
        gauge.rise();
        Self(gauge.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fall();
    }
}
