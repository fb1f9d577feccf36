//! Takes endpoints that answer badly out of the choice for a while, as Envoy's outlier detection does.
//!
//! The workers count ([`crate::HostState::report`]); one owner of a [`Detector`] per cluster judges: at once where
//! a streak of failures is full, and at the end of each interval by shares. Time is an argument.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base::Address;

use crate::breaker::ClusterState;
use crate::host::{Host, HostState};
use crate::monitor::{Interval, Streaks, Suspicion};

/// When an endpoint is taken out, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlier {
    /// The streaks that make suspicious.
    pub streaks: Streaks,
    /// How often shares are judged, and those that were taken out looked at again.
    pub interval: Duration,
    /// How long the first time out lasts; each further one lasts that much longer.
    pub base_time: Duration,
    /// The longest time out.
    pub max_time: Duration,
    /// Up to this much is added by chance, so that not all come back at once.
    pub max_jitter: Duration,
    /// How many of the endpoints may be out, in percent.
    pub max_percent: u32,
    /// Whether one may be out even if it is more than that.
    pub always_one: bool,
    /// How often a suspicion is acted upon, in percent.
    pub enforcing: Enforcing,
    /// Judges by the mean of all.
    pub success_rate: SuccessRate,
    /// Judges by a fixed share.
    pub failure_percentage: FailurePercentage,
}

/// How often each suspicion is acted upon, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enforcing {
    /// [`Suspicion::ServerErrors`].
    pub server_errors: u32,
    /// [`Suspicion::GatewayErrors`].
    pub gateway_errors: u32,
    /// [`Suspicion::LocalFailures`].
    pub local_failures: u32,
    /// [`Suspicion::SuccessRate`].
    pub success_rate: u32,
    /// [`Suspicion::LocalSuccessRate`].
    pub local_success_rate: u32,
    /// [`Suspicion::FailurePercentage`].
    pub failure_percentage: u32,
    /// [`Suspicion::LocalFailurePercentage`].
    pub local_failure_percentage: u32,
}

impl Enforcing {
    fn of(&self, suspicion: Suspicion) -> u32 {
        match suspicion {
            Suspicion::ServerErrors => self.server_errors,
            Suspicion::GatewayErrors => self.gateway_errors,
            Suspicion::LocalFailures => self.local_failures,
            Suspicion::SuccessRate => self.success_rate,
            Suspicion::LocalSuccessRate => self.local_success_rate,
            Suspicion::FailurePercentage => self.failure_percentage,
            Suspicion::LocalFailurePercentage => self.local_failure_percentage,
        }
    }
}

/// Judging by how far an endpoint is below the mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuccessRate {
    /// Only among so many endpoints with enough requests.
    pub hosts: u32,
    /// What is enough.
    pub volume: u32,
    /// So many thousandths of the standard deviation below the mean is too far.
    pub deviations: u32,
}

/// Judging by a fixed share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailurePercentage {
    /// Only among so many endpoints with enough requests.
    pub hosts: u32,
    /// What is enough.
    pub volume: u32,
    /// From this share of failures on, in percent.
    pub percent: u32,
}

impl Default for Outlier {
    /// Envoy's.
    fn default() -> Self {
        Self {
            streaks: Streaks { server_errors: 5, gateway_errors: 5, local_failures: 5, splits_local: false },
            interval: Duration::from_secs(10),
            base_time: Duration::from_secs(30),
            max_time: Duration::from_secs(300),
            max_jitter: Duration::ZERO,
            max_percent: 10,
            always_one: false,
            enforcing: Enforcing {
                server_errors: 100,
                gateway_errors: 0,
                local_failures: 100,
                success_rate: 100,
                local_success_rate: 100,
                failure_percentage: 0,
                local_failure_percentage: 0,
            },
            success_rate: SuccessRate { hosts: 5, volume: 100, deviations: 1900 },
            failure_percentage: FailurePercentage { hosts: 5, volume: 50, percent: 85 },
        }
    }
}

/// What became of a suspicion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The endpoint is out.
    Ejected,
    /// Nothing: it is out already, or no longer there.
    Moot,
    /// It stays, since suspicions of this kind are only counted.
    NotEnforced,
    /// It stays, since too many are out.
    Overflow,
}

/// Something that happened at the end of an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A suspicion was judged.
    Judged(Address, Suspicion, Judgement),
    /// The endpoint is back.
    Returned(Address),
}

/// Judges the endpoints of one cluster.
#[derive(Debug)]
pub struct Detector {
    rules: Arc<Outlier>,
    cluster: Arc<ClusterState>,
    hosts: HashMap<Address, Watched>,
}

#[derive(Debug)]
struct Watched {
    state: Arc<HostState>,
    /// How many base times the next time out lasts, less one.
    times: u32,
    out_since: Duration,
    jitter: Duration,
}

impl Detector {
    /// A detector that watches nobody.
    pub fn new(rules: Arc<Outlier>, cluster: Arc<ClusterState>) -> Self {
        Self { rules, cluster, hosts: HashMap::new() }
    }

    /// Its rules.
    pub fn rules(&self) -> &Arc<Outlier> {
        &self.rules
    }

    /// Judges by other rules from now on.
    pub fn judge_by(&mut self, rules: Arc<Outlier>) {
        self.rules = rules;
    }

    /// Watches these endpoints and no others; what is known of those that stay is kept.
    pub fn follow(&mut self, hosts: &[Host]) {
        let mut before = std::mem::take(&mut self.hosts);
        for host in hosts {
            let known = before.remove(&host.address).filter(|known| Arc::ptr_eq(&known.state, &host.state));
            let new = || Watched {
                state: Arc::clone(&host.state),
                times: 0,
                out_since: Duration::ZERO,
                jitter: Duration::ZERO,
            };
            self.hosts.entry(host.address.clone()).or_insert_with(|| known.unwrap_or_else(new));
        }
    }

    /// How many endpoints are out.
    pub fn ejected(&self) -> usize {
        self.hosts.values().filter(|watched| watched.state.is_ejected()).count()
    }

    /// Judges an endpoint of which a worker says that a streak is full.
    pub fn suspect(
        &mut self,
        now: Duration,
        address: &Address,
        suspicion: Suspicion,
        random: &mut dyn FnMut() -> u64,
    ) -> Judgement {
        let Some(watched) = self.hosts.get(address) else { return Judgement::Moot };
        let state = Arc::clone(&watched.state);
        if state.is_ejected() {
            return Judgement::Moot;
        }
        let judgement = self.judge(now, address, suspicion, random);
        // Else the streak, already longer than its limit, would never be full again.
        state.monitor.forget(Some(suspicion));
        judgement
    }

    /// Ends an interval: lets those return whose time is over, and judges by shares.
    pub fn tick(&mut self, now: Duration, random: &mut dyn FnMut() -> u64) -> Vec<Event> {
        let mut addresses: Vec<Address> = self.hosts.keys().cloned().collect();
        // The order decides who is out where not all may be.
        addresses.sort_unstable();
        let mut events: Vec<Event> =
            addresses.iter().filter(|a| self.may_return(now, a)).cloned().map(Event::Returned).collect();
        if !events.is_empty() {
            self.cluster.advance();
        }
        let of = |hosts: &HashMap<Address, Watched>, end: fn(&HostState) -> Option<Interval>| {
            let all = addresses.iter().filter_map(|a| Some((a, hosts.get(a)?)));
            let ended: Vec<_> = all.map(|(a, w)| (a, end(&w.state), w.state.is_ejected())).collect();
            let counted = ended.into_iter().filter(|(_, _, out)| !out);
            counted.filter_map(|(a, interval, _)| Some((a.clone(), interval?))).collect::<Vec<_>>()
        };
        let external = of(&self.hosts, |state| state.monitor.external());
        let local = of(&self.hosts, |state| state.monitor.local_origin());
        let mut suspects = self.outliers(&external, Suspicion::SuccessRate, Suspicion::FailurePercentage);
        suspects.extend(self.outliers(
            &local,
            Suspicion::LocalSuccessRate,
            Suspicion::LocalFailurePercentage,
        ));
        for (address, suspicion) in suspects {
            let is_out = self.hosts.get(&address).is_none_or(|watched| watched.state.is_ejected());
            let judgement = match is_out {
                true => Judgement::Moot,
                false => self.judge(now, &address, suspicion, random),
            };
            events.push(Event::Judged(address, suspicion, judgement));
        }
        events
    }

    fn judge(
        &mut self,
        now: Duration,
        address: &Address,
        suspicion: Suspicion,
        random: &mut dyn FnMut() -> u64,
    ) -> Judgement {
        let (out, all) = (self.ejected(), self.hosts.len());
        let fits = (out + 1) * 100 <= usize::try_from(self.rules.max_percent.min(100)).unwrap_or(100) * all;
        if !(fits || (self.rules.always_one && out == 0)) {
            return Judgement::Overflow;
        }
        if random() % 100 >= u64::from(self.rules.enforcing.of(suspicion)) {
            return Judgement::NotEnforced;
        }
        let Some(watched) = self.hosts.get_mut(address) else { return Judgement::Moot };
        watched.out_since = now;
        let most = u64::try_from(self.rules.max_jitter.as_millis()).unwrap_or(u64::MAX - 1);
        watched.jitter = Duration::from_millis(random() % (most.saturating_add(1)).max(1));
        if self.rules.base_time.saturating_mul(watched.times)
            < self.rules.max_time.saturating_add(self.rules.base_time)
        {
            watched.times = watched.times.saturating_add(1);
        }
        watched.state.eject(true);
        self.cluster.advance();
        Judgement::Ejected
    }

    /// Whether an endpoint returns now; one that was not out is forgiven a part of its past.
    fn may_return(&mut self, now: Duration, address: &Address) -> bool {
        let Some(watched) = self.hosts.get_mut(address) else { return false };
        if !watched.state.is_ejected() {
            watched.times = watched.times.saturating_sub(1);
            return false;
        }
        let lasts = self.rules.base_time.saturating_mul(watched.times).min(self.rules.max_time);
        if now.saturating_sub(watched.out_since) < lasts.saturating_add(watched.jitter) {
            return false;
        }
        watched.state.eject(false);
        watched.state.monitor.forget(None);
        true
    }

    /// Who stands out in an interval, by the mean first.
    fn outliers(
        &self,
        all: &[(Address, Interval)],
        by_rate: Suspicion,
        by_percentage: Suspicion,
    ) -> Vec<(Address, Suspicion)> {
        let enough = |volume: u32, hosts: u32| {
            let busy: Vec<_> = all.iter().filter(|(_, interval)| interval.volume >= volume).collect();
            let suffices = !busy.is_empty() && busy.len() >= usize::try_from(hosts).unwrap_or(usize::MAX);
            if suffices { busy } else { Vec::new() }
        };
        let mut found = Vec::new();
        let rules = &self.rules.success_rate;
        let rated = enough(rules.volume, rules.hosts);
        let threshold = threshold(rated.iter().map(|(_, interval)| interval.success), rules.deviations);
        let low = rated.iter().filter(|(_, interval)| interval.success < threshold);
        found.extend(low.map(|(address, _)| (address.clone(), by_rate)));
        let rules = &self.rules.failure_percentage;
        let failing = enough(rules.volume, rules.hosts);
        let bad = failing.iter().filter(|(_, i)| 100.0 - i.success >= f64::from(rules.percent));
        found.extend(bad.map(|(address, _)| (address.clone(), by_percentage)));
        found
    }
}

/// The share of successes below which one is an outlier among these.
fn threshold(rates: impl ExactSizeIterator<Item = f64> + Clone, deviations: u32) -> f64 {
    let count = rates.len().max(1) as f64;
    let mean = rates.clone().sum::<f64>() / count;
    let variance = rates.map(|rate| (rate - mean) * (rate - mean)).sum::<f64>() / count;
    mean - f64::from(deviations) / 1000.0 * variance.sqrt()
}

/// The detectors of all clusters that have one, by name: what one owner keeps between plans.
#[derive(Debug, Default)]
pub struct Detectors {
    by_cluster: HashMap<Arc<str>, Detector>,
}

impl Detectors {
    /// Watches the endpoints of a cluster by its rules.
    pub fn follow(
        &mut self,
        name: &Arc<str>,
        rules: &Arc<Outlier>,
        cluster: &Arc<ClusterState>,
        hosts: &[Host],
    ) {
        let new = || Detector::new(Arc::clone(rules), Arc::clone(cluster));
        let detector = self.by_cluster.entry(Arc::clone(name)).or_insert_with(new);
        if !Arc::ptr_eq(&detector.cluster, cluster) {
            *detector = new();
        }
        detector.judge_by(Arc::clone(rules));
        detector.follow(hosts);
    }

    /// Forgets the clusters that are not kept.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.by_cluster.retain(|name, _| keep(name));
    }

    /// The detector of a cluster.
    pub fn of(&mut self, cluster: &str) -> Option<&mut Detector> {
        self.by_cluster.get_mut(cluster)
    }

    /// All of them, with their clusters' names, in no order.
    pub fn all(&mut self) -> impl Iterator<Item = (&Arc<str>, &mut Detector)> {
        self.by_cluster.iter_mut()
    }
}
