//! One worker's handles on Envoy's own statistics, found once and kept.

use std::cell::RefCell;
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
    pub(crate) per_try_idle_timeouts: Counter,
    pub(crate) connections: Counter,
    pub(crate) connections_active: Gauge,
    pub(crate) connect_failures: Counter,
    pub(crate) connect_timeouts: Counter,
    pub(crate) no_host: Counter,
    pub(crate) overflows: Counter,
    pub(crate) connection_overflows: Counter,
    pub(crate) retry_overflows: Counter,
    pub(crate) panics: Counter,
    pub(crate) dropped: Counter,
    pub(crate) tls_errors: Counter,
    pub(crate) tls_not_ready: Counter,
    classes: [Counter; 5],
}

/// Of one listener.
#[derive(Debug)]
pub(crate) struct ListenerCounters {
    pub(crate) accepted: Counter,
    pub(crate) active: Gauge,
    pub(crate) without_chain: Counter,
    pub(crate) bad_preambles: Counter,
    pub(crate) tls_handshakes: Counter,
    pub(crate) tls_errors: Counter,
    pub(crate) tls_not_ready: Counter,
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
                per_try_idle_timeouts: counter("upstream_rq_per_try_idle_timeout"),
                connections: counter("upstream_cx_total"),
                connections_active: self.stats.gauge(&scope, "upstream_cx_active"),
                connect_failures: counter("upstream_cx_connect_fail"),
                connect_timeouts: counter("upstream_cx_connect_timeout"),
                no_host: counter("upstream_cx_none_healthy"),
                overflows: counter("upstream_rq_pending_overflow"),
                connection_overflows: counter("upstream_cx_overflow"),
                retry_overflows: counter("upstream_rq_retry_overflow"),
                dropped: counter("upstream_rq_drop_overload"),
                panics: counter("lb_healthy_panic"),
                tls_errors: counter("ssl.connection_error"),
                tls_not_ready: counter("client_ssl_socket_factory.upstream_context_secrets_not_ready"),
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
                bad_preambles: counter("downstream_proxy_proto_error"),
                tls_handshakes: counter("ssl.handshake"),
                tls_errors: counter("ssl.connection_error"),
                tls_not_ready: counter("server_ssl_socket_factory.downstream_context_secrets_not_ready"),
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
