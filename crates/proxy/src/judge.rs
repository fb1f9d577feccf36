//! Outlier detection at work: workers tell of streaks, the control thread judges and lets return.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use balance::{Detectors, Event, Judgement, Suspicion};
use base::Address;
use telemetry::{Scope, WorkerStats};
use tokio::time::Instant;

use crate::serving::Serving;

/// A worker's word that a streak of failures is full.
#[derive(Debug)]
pub(crate) struct Suspect {
    pub(crate) cluster: Arc<str>,
    pub(crate) address: Address,
    pub(crate) suspicion: Suspicion,
}

/// Judges the endpoints of all clusters.
#[derive(Debug)]
pub(crate) struct Judge {
    detectors: Detectors,
    /// When each cluster's interval ends.
    due: BTreeMap<Arc<str>, Instant>,
    /// Where each cluster's numbers are kept.
    scopes: HashMap<Arc<str>, Scope>,
    stats: WorkerStats,
    began: Instant,
    seed: u64,
}

impl Judge {
    /// A judge of nobody yet; `began` is when the time of the process began.
    pub(crate) fn new(stats: WorkerStats, began: std::time::Instant, seed: u64) -> Self {
        Self {
            detectors: Detectors::default(),
            due: BTreeMap::new(),
            scopes: HashMap::new(),
            stats,
            began: began.into(),
            seed,
        }
    }

    /// Judges by what is served from now on.
    pub(crate) fn follow(&mut self, serving: &Serving) {
        let now = Instant::now();
        let mut due = BTreeMap::new();
        self.scopes.clear();
        let age = now - self.began;
        for cluster in serving.clusters() {
            if cluster.balancer.slow_start.is_some() {
                cluster.endpoints.table.hosts().iter().for_each(|host| host.state.arrive(age));
            }
            let Some(rules) = &cluster.outlier else { continue };
            let hosts = cluster.endpoints.table.hosts();
            self.detectors.follow(&cluster.name, rules, &cluster.state, hosts);
            let at = self.due.get(&cluster.name).copied().unwrap_or(now + rules.interval);
            due.insert(Arc::clone(&cluster.name), at.min(now + rules.interval));
            let scope = Scope::Cluster(Arc::clone(&cluster.stat_name));
            self.scopes.insert(Arc::clone(&cluster.name), scope);
        }
        self.due = due;
        let due = &self.due;
        self.detectors.retain(|name| due.contains_key(name));
    }

    /// When the next interval ends.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    /// Ends the intervals that are over.
    pub(crate) fn tick(&mut self) {
        let now = Instant::now();
        let over: Vec<Arc<str>> =
            self.due.iter().filter(|(_, at)| **at <= now).map(|(name, _)| Arc::clone(name)).collect();
        for name in over {
            let Some(detector) = self.detectors.of(&name) else { continue };
            let seed = &mut self.seed;
            let events = detector.tick(now - self.began, &mut || base::random::next(seed));
            self.due.insert(Arc::clone(&name), now + detector.rules().interval);
            for event in events {
                match event {
                    Event::Judged(address, suspicion, judgement) => {
                        self.count(&name, &address, suspicion, judgement);
                    }
                    Event::Returned(address) => {
                        tracing::info!(cluster = &*name, %address, "an ejected endpoint is back");
                    }
                }
            }
            self.active(&name);
        }
    }

    /// Judges an endpoint a worker suspects.
    pub(crate) fn suspect(&mut self, suspect: &Suspect) {
        let now = Instant::now() - self.began;
        let Some(detector) = self.detectors.of(&suspect.cluster) else { return };
        let seed = &mut self.seed;
        let judgement =
            detector.suspect(now, &suspect.address, suspect.suspicion, &mut || base::random::next(seed));
        self.count(&suspect.cluster, &suspect.address, suspect.suspicion, judgement);
        self.active(&suspect.cluster);
    }

    fn active(&mut self, cluster: &Arc<str>) {
        let Some(detector) = self.detectors.of(cluster) else { return };
        let out = detector.ejected() as u64;
        if let Some(scope) = self.scopes.get(cluster) {
            self.stats.gauge(scope, "outlier_detection.ejections_active").set(out);
        }
    }

    fn count(&self, cluster: &Arc<str>, address: &Address, suspicion: Suspicion, judgement: Judgement) {
        let Some(scope) = self.scopes.get(cluster) else { return };
        let add = |name| self.stats.counter(scope, name).increment();
        let (detected, enforced) = names(suspicion);
        match judgement {
            Judgement::Moot => return,
            Judgement::Ejected => {
                tracing::info!(cluster = &**cluster, %address, ?suspicion, "an endpoint is ejected");
                add("outlier_detection.ejections_enforced_total");
                add(enforced);
            }
            Judgement::NotEnforced => {}
            Judgement::Overflow => add("outlier_detection.ejections_overflow"),
        }
        add(detected);
    }
}

/// The counters of a suspicion: seen, and acted upon.
fn names(suspicion: Suspicion) -> (&'static str, &'static str) {
    match suspicion {
        Suspicion::ServerErrors => (
            "outlier_detection.ejections_detected_consecutive_5xx",
            "outlier_detection.ejections_enforced_consecutive_5xx",
        ),
        Suspicion::GatewayErrors => (
            "outlier_detection.ejections_detected_consecutive_gateway_failure",
            "outlier_detection.ejections_enforced_consecutive_gateway_failure",
        ),
        Suspicion::LocalFailures => (
            "outlier_detection.ejections_detected_consecutive_local_origin_failure",
            "outlier_detection.ejections_enforced_consecutive_local_origin_failure",
        ),
        Suspicion::SuccessRate => (
            "outlier_detection.ejections_detected_success_rate",
            "outlier_detection.ejections_enforced_success_rate",
        ),
        Suspicion::LocalSuccessRate => (
            "outlier_detection.ejections_detected_local_origin_success_rate",
            "outlier_detection.ejections_enforced_local_origin_success_rate",
        ),
        Suspicion::FailurePercentage => (
            "outlier_detection.ejections_detected_failure_percentage",
            "outlier_detection.ejections_enforced_failure_percentage",
        ),
        Suspicion::LocalFailurePercentage => (
            "outlier_detection.ejections_detected_failure_percentage_local_origin",
            "outlier_detection.ejections_enforced_failure_percentage_local_origin",
        ),
    }
}
