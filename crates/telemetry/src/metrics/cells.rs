//! Cells one worker writes and any scrape reads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::names::BUCKETS;

/// A count with one writer: adding is a load and a store, which costs no bus lock.
#[derive(Debug, Default)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    pub(super) fn add(&self, by: u64) {
        self.0.store(self.read().wrapping_add(by), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram over Envoy's default buckets.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// Not cumulative; the last is what lies above every bound.
    buckets: [Cell; BUCKETS.len() + 1],
    sum: Cell,
}

impl Histogram {
    pub(super) fn observe(&self, value: u64) {
        // Values are whole, so a bound of 0.5 holds what a bound of 0 holds.
        let bucket = BUCKETS.partition_point(|bound| *bound < value as f64);
        if let Some(cell) = self.buckets.get(bucket) {
            cell.add(1);
        }
        self.sum.add(value);
    }
}

/// The cells of one label set of requests.
#[derive(Debug, Default)]
pub(super) struct HttpCells {
    pub(super) requests: Cell,
    pub(super) duration: Histogram,
    pub(super) received: Histogram,
    pub(super) sent: Histogram,
    pub(super) request_messages: Cell,
    pub(super) response_messages: Cell,
}

/// The cells of one label set of TCP connections.
#[derive(Debug, Default)]
pub(super) struct TcpCells {
    pub(super) opened: Cell,
    pub(super) closed: Cell,
    pub(super) received: Cell,
    pub(super) sent: Cell,
}

/// A histogram's sum over workers.
#[derive(Clone, Debug, Default)]
pub(super) struct HistogramSum {
    pub(super) buckets: [u64; BUCKETS.len() + 1],
    pub(super) sum: u64,
}

impl HistogramSum {
    pub(super) fn add(&mut self, histogram: &Histogram) {
        for (sum, cell) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += cell.read();
        }
        self.sum += histogram.sum.read();
    }
}
