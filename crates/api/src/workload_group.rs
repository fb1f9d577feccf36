//! Istio's WorkloadGroup: what workloads outside the platform have in common.

use std::collections::BTreeMap;

use base::Labels;

use crate::workload_entry::WorkloadEntry;

mod read;

pub(crate) use read::{FIELDS, read};

/// What the WorkloadEntries of a group have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadGroup {
    /// Labels of each.
    pub labels: Labels,
    /// Annotations of each.
    pub annotations: BTreeMap<String, String>,
    /// The specification of each; the address is its own.
    pub template: WorkloadEntry,
}
