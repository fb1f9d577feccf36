//! What the control plane counts about itself, under the names istiod's dashboards know.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use xds::TypeUrl;

#[cfg(test)]
mod tests;

/// Upper bounds in seconds, as istiod's.
const CONVERGENCE: &[f64] = &[0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0];
const GATHERING: &[f64] = &[0.01, 0.1, 1.0, 5.0, 10.0];
const BUILDING: &[f64] = &[0.01, 0.1, 0.5, 1.0, 3.0, 5.0];

/// Counters of one process.
#[derive(Debug)]
pub(crate) struct Metrics {
    since: Instant,
    pushes: [AtomicU64; TypeUrl::ALL.len()],
    rejects: [AtomicU64; TypeUrl::ALL.len()],
    convergence: Histogram,
    gathering: Histogram,
    building: Histogram,
}

/// What is counted elsewhere and shown with the rest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) proxies: usize,
    pub(crate) services: usize,
    pub(crate) virtual_services: usize,
    pub(crate) issues: usize,
    /// How many resources were translated and encoded.
    pub(crate) made: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            pushes: Default::default(),
            rejects: Default::default(),
            convergence: Histogram::new(CONVERGENCE),
            gathering: Histogram::new(GATHERING),
            building: Histogram::new(BUILDING),
        }
    }
}

impl Metrics {
    /// A proxy has answered a push.
    pub(crate) fn answered(&self, ty: TypeUrl, accepted: bool) {
        let count = |counters: &[AtomicU64; TypeUrl::ALL.len()]| {
            let at = TypeUrl::ALL.iter().position(|known| *known == ty);
            if let Some(counter) = at.and_then(|at| counters.get(at)) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        };
        count(&self.pushes);
        if !accepted {
            count(&self.rejects);
        }
    }

    /// A proxy has acknowledged a generation this long after it was published.
    pub(crate) fn converged(&self, after: Duration) {
        self.convergence.observe(after);
    }

    /// Changes have waited this long for others.
    pub(crate) fn gathered(&self, waited: Duration) {
        self.gathering.observe(waited);
    }

    /// A snapshot took this long to make.
    pub(crate) fn built(&self, took: Duration) {
        self.building.observe(took);
    }

    /// The whole in Prometheus' text format.
    pub(crate) fn render(&self, gauges: Gauges) -> String {
        let mut page = Page::default();
        page.head("pilot_info", "gauge", "Which version this is.");
        page.line("pilot_info", &format!("version=\"{}\"", env!("CARGO_PKG_VERSION")), 1.0);
        page.gauge("pilot_xds", "Proxies connected to discovery.", gauges.proxies);
        page.gauge("pilot_services", "Services known.", gauges.services);
        page.gauge("pilot_virt_services", "VirtualServices known.", gauges.virtual_services);
        page.gauge("weft_issues", "What is wrong with the configuration now.", gauges.issues);
        page.head("istiod_uptime_seconds", "gauge", "Seconds since the start.");
        page.line("istiod_uptime_seconds", "", self.since.elapsed().as_secs_f64());
        page.head("pilot_xds_pushes", "counter", "Responses sent and answered, by type.");
        let mut rejected = 0.0;
        for ((ty, pushes), rejects) in TypeUrl::ALL.iter().zip(&self.pushes).zip(&self.rejects) {
            let name = ty.short().to_ascii_lowercase();
            page.line("pilot_xds_pushes", &format!("type=\"{name}\""), count(pushes));
            rejected += count(rejects);
        }
        page.head(
            "weft_xds_resources_made",
            "counter",
            "Resources translated and encoded; what is shared counts once.",
        );
        page.line("weft_xds_resources_made", "", whole(gauges.made));
        page.head("pilot_total_xds_rejects", "counter", "Responses that proxies refused.");
        page.line("pilot_total_xds_rejects", "", rejected);
        let help = "Seconds from a new generation to its acknowledgement by a proxy.";
        page.histogram("pilot_proxy_convergence_time", help, &self.convergence);
        page.histogram("pilot_debounce_time", "Seconds that changes waited for others.", &self.gathering);
        let help = "Seconds it took to make a snapshot.";
        page.histogram("pilot_pushcontext_init_seconds", help, &self.building);
        page.text
    }
}

/// Counts of durations up to fixed bounds.
#[derive(Debug)]
struct Histogram {
    bounds: &'static [f64],
    state: Mutex<Observed>,
}

#[derive(Clone, Debug, Default)]
struct Observed {
    buckets: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        let observed = Observed { buckets: vec![0; bounds.len()], ..Observed::default() };
        Self { bounds, state: Mutex::new(observed) }
    }

    fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += 1;
        state.sum += seconds;
        for (bucket, bound) in state.buckets.iter_mut().zip(self.bounds) {
            if seconds <= *bound {
                *bucket += 1;
            }
        }
    }
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = match labels {
            "" => writeln!(self.text, "{name} {value}"),
            labels => writeln!(self.text, "{name}{{{labels}}} {value}"),
        };
    }

    fn gauge(&mut self, name: &str, help: &str, value: usize) {
        self.head(name, "gauge", help);
        let _ = writeln!(self.text, "{name} {value}");
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        let state = histogram.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.head(name, "histogram", help);
        for (bucket, bound) in state.buckets.iter().zip(histogram.bounds) {
            let _ = writeln!(self.text, "{name}_bucket{{le=\"{bound}\"}} {bucket}");
        }
        let _ = writeln!(self.text, "{name}_bucket{{le=\"+Inf\"}} {}", state.count);
        self.line(&format!("{name}_sum"), "", state.sum);
        let _ = writeln!(self.text, "{name}_count {}", state.count);
    }
}

#[allow(clippy::cast_precision_loss)]
fn whole(count: u64) -> f64 {
    count as f64
}

fn count(counter: &AtomicU64) -> f64 {
    whole(counter.load(Ordering::Relaxed))
}
