//! The families in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use super::cells::HistogramSum;
use super::{Shared, lock};
use crate::names;

/// The sum of one label set of requests over workers.
#[derive(Default)]
struct Http {
    requests: u64,
    duration: HistogramSum,
    received: HistogramSum,
    sent: HistogramSum,
    request_messages: u64,
    response_messages: u64,
    is_grpc: bool,
}

/// The sum of one label set of connections over workers.
#[derive(Default)]
struct Tcp {
    opened: u64,
    closed: u64,
    received: u64,
    sent: u64,
}

/// Appends every family that has a series.
pub(super) fn families(workers: &[Arc<Shared>], out: &mut String) {
    http(&sum_http(workers), out);
    tcp(&sum_tcp(workers), out);
    let folded: u64 = workers.iter().map(|worker| worker.folded.read()).sum();
    counter(out, names::SERIES_FOLDED, [(String::new(), folded)].into_iter());
}

fn sum_http(workers: &[Arc<Shared>]) -> BTreeMap<String, Http> {
    let mut sums: BTreeMap<String, Http> = BTreeMap::new();
    for worker in workers {
        // A snapshot of the list, so that a worker with a new label set waits for no scrape.
        let registered = lock(&worker.http).clone();
        for series in registered {
            let sum = sums.entry(series.labels.text()).or_default();
            sum.requests += series.cells.requests.read();
            sum.duration.add(&series.cells.duration);
            sum.received.add(&series.cells.received);
            sum.sent.add(&series.cells.sent);
            sum.request_messages += series.cells.request_messages.read();
            sum.response_messages += series.cells.response_messages.read();
            sum.is_grpc = series.labels.is_grpc();
        }
    }
    sums
}

fn sum_tcp(workers: &[Arc<Shared>]) -> BTreeMap<String, Tcp> {
    let mut sums: BTreeMap<String, Tcp> = BTreeMap::new();
    for worker in workers {
        let registered = lock(&worker.tcp).clone();
        for series in registered {
            let sum = sums.entry(series.labels.text()).or_default();
            sum.opened += series.cells.opened.read();
            sum.closed += series.cells.closed.read();
            sum.received += series.cells.received.read();
            sum.sent += series.cells.sent.read();
        }
    }
    sums
}

fn http(sums: &BTreeMap<String, Http>, out: &mut String) {
    let grpc = || sums.iter().filter(|(_, sum)| sum.is_grpc);
    counter(out, names::REQUESTS_TOTAL, sums.iter().map(|(labels, sum)| (labels.clone(), sum.requests)));
    counter(out, names::REQUEST_MESSAGES, grpc().map(|(labels, sum)| (labels.clone(), sum.request_messages)));
    counter(
        out,
        names::RESPONSE_MESSAGES,
        grpc().map(|(labels, sum)| (labels.clone(), sum.response_messages)),
    );
    histogram(out, names::REQUEST_DURATION, sums.iter().map(|(labels, sum)| (labels, &sum.duration)));
    histogram(out, names::REQUEST_BYTES, sums.iter().map(|(labels, sum)| (labels, &sum.received)));
    histogram(out, names::RESPONSE_BYTES, sums.iter().map(|(labels, sum)| (labels, &sum.sent)));
}

fn tcp(sums: &BTreeMap<String, Tcp>, out: &mut String) {
    let of = |pick: fn(&Tcp) -> u64| sums.iter().map(move |(labels, sum)| (labels.clone(), pick(sum)));
    counter(out, names::TCP_OPENED, of(|sum| sum.opened));
    counter(out, names::TCP_CLOSED, of(|sum| sum.closed));
    counter(out, names::TCP_RECEIVED, of(|sum| sum.received));
    counter(out, names::TCP_SENT, of(|sum| sum.sent));
}

fn counter(out: &mut String, name: &str, series: impl Iterator<Item = (String, u64)>) {
    let mut typed = false;
    for (labels, value) in series {
        if !typed {
            line(out, format_args!("# TYPE {name} counter"));
            typed = true;
        }
        if labels.is_empty() {
            line(out, format_args!("{name} {value}"));
        } else {
            line(out, format_args!("{name}{{{labels}}} {value}"));
        }
    }
}

fn histogram<'a>(out: &mut String, name: &str, series: impl Iterator<Item = (&'a String, &'a HistogramSum)>) {
    for (place, (labels, histogram)) in series.enumerate() {
        if place == 0 {
            line(out, format_args!("# TYPE {name} histogram"));
        }
        let mut count = 0;
        for (bound, bucket) in names::BUCKETS.iter().zip(&histogram.buckets) {
            count += bucket;
            line(out, format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {count}"));
        }
        // The count is the sum of the buckets, so that the two never disagree within a scrape.
        let count: u64 = histogram.buckets.iter().sum();
        line(out, format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {count}"));
        line(out, format_args!("{name}_sum{{{labels}}} {}", histogram.sum));
        line(out, format_args!("{name}_count{{{labels}}} {count}"));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string never errs.
    let _ = out.write_fmt(text);
    out.push('\n');
}
