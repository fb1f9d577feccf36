//! A worker's books: what it counts, what it measures, what it logs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base::node::NodeKind;
use base::{Address, Bootstrap, NodeId};
use filter::ReasonFlag;
use plan::Listener;
use telemetry::{Account, Flags, Format, Metrics, Stats, Traffic, WorkerMetrics, Workload, WorkloadFacts};

use crate::counters::Counters;
use crate::lines::Lines;

/// What all workers report to.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stats: Arc<Stats>,
    me: Arc<Workload>,
    is_sidecar: bool,
}

impl Reporter {
    /// Reports for the workload a bootstrap speaks of.
    pub(crate) fn new(bootstrap: &Bootstrap) -> Self {
        let id: Option<NodeId> = bootstrap.id.parse().ok();
        Self {
            metrics: Arc::default(),
            stats: Arc::default(),
            me: Arc::new(Workload::new(facts(bootstrap, id.as_ref()))),
            is_sidecar: id.is_none_or(|id| id.kind == NodeKind::Sidecar),
        }
    }
}

fn facts(bootstrap: &Bootstrap, id: Option<&NodeId>) -> WorkloadFacts {
    let text = |name: &str| bootstrap.metadata.get(name).and_then(|v| v.as_str()).map(str::to_owned);
    let labels = bootstrap.metadata.get("LABELS");
    let label =
        |name: &str| labels.and_then(|l| l.get(name)).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let or = |first: String, second: &str| if first.is_empty() { label(second) } else { first };
    let namespace = text("NAMESPACE").or(id.map(|id| id.namespace.clone())).unwrap_or_default();
    let name = text("WORKLOAD_NAME").or(id.map(|id| id.name.clone())).unwrap_or_default();
    WorkloadFacts {
        app: label("app"),
        version: label("version"),
        canonical_service: or(label("service.istio.io/canonical-name"), "app"),
        canonical_revision: or(label("service.istio.io/canonical-revision"), "version"),
        cluster: text("CLUSTER_ID").unwrap_or_default(),
        principal: String::new(),
        name,
        namespace,
    }
}

/// One worker's books.
pub(crate) struct Ledger {
    /// Its part of Envoy's own statistics.
    pub(crate) counters: Counters,
    /// Where its access log goes.
    pub(crate) lines: Lines,
    /// Its part of the standard metrics.
    pub(crate) metrics: RefCell<WorkerMetrics>,
    formats: RefCell<HashMap<Option<Arc<str>>, Rc<Format>>>,
    /// The workload it reports for.
    pub(crate) me: Arc<Workload>,
    is_sidecar: bool,
}

impl Ledger {
    /// Books that report to `reporter` and log to `lines`.
    pub(crate) fn new(lines: Lines, reporter: &Reporter) -> Self {
        Self {
            counters: Counters::new(reporter.stats.worker()),
            lines,
            metrics: RefCell::new(reporter.metrics.worker()),
            formats: RefCell::default(),
            me: Arc::clone(&reporter.me),
            is_sidecar: reporter.is_sidecar,
        }
    }

    /// Whether the other side of every connection may be a mesh peer that wants to know why.
    pub(crate) fn is_sidecar(&self) -> bool {
        self.is_sidecar
    }

    /// Hands on what has been logged.
    pub(crate) fn flush(&self) {
        self.lines.flush();
    }

    /// Hands on lines soon after they were logged, for ever.
    pub(crate) async fn keep_flushing(&self) {
        self.lines.keep_flushing().await;
    }

    /// The compiled format of an access log; Istio's own where there is none or it cannot be compiled.
    pub(crate) fn format(&self, text: Option<&Arc<str>>) -> Rc<Format> {
        if let Some(format) = self.formats.borrow().get(&text.cloned()) {
            return Rc::clone(format);
        }
        let compiled = text.map(|text| {
            let json =
                serde_json::from_str::<serde_json::Value>(text).ok().filter(serde_json::Value::is_object);
            json.map_or_else(|| Format::text(text), |json| Format::json(&json))
        });
        let format = Rc::new(match compiled {
            None => Format::istio_default(),
            Some(Ok(format)) => format,
            Some(Err(error)) => {
                tracing::warn!(%error, "an access log format is not understood: lines are in the default format");
                Format::istio_default()
            }
        });
        self.formats.borrow_mut().insert(text.cloned(), Rc::clone(&format));
        format
    }

    /// Enters a connection that no filter chain takes, where its listener wants that.
    pub(crate) fn unmatched(
        &self,
        listener: &Listener,
        (remote, direct, destination): (&Address, &Address, &Address),
        server_name: Option<&str>,
    ) {
        if listener.access_log.is_empty() {
            return;
        }
        let account = Account {
            start: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            traffic: Traffic::Tcp,
            flags: Flags::default().with(ReasonFlag::NoRouteFound.short()),
            code_details: Some("filter_chain_not_found"),
            downstream_local: Some(destination),
            downstream_remote: Some(remote),
            downstream_direct: Some(direct),
            server_name,
            ..Account::default()
        };
        for log in &listener.access_log {
            let format = self.format(log.format.as_ref());
            self.lines.add(|out| format.write(&account, out));
        }
    }
}
