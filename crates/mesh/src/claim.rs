//! Who claims a host: VirtualServices by each host they route for.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Host;

use crate::destination_rule;
use crate::virtual_service::Bound;

/// VirtualServices for sidecars (indices), by each host they claim, the one that decides first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims(BTreeMap<Host, Vec<usize>>);

impl Claims {
    /// The claims of these VirtualServices, in their order.
    pub(crate) fn new(bound: &[Arc<Bound>]) -> Self {
        let mut claims = Self::default();
        for (index, bound) in bound.iter().enumerate().filter(|(_, bound)| bound.is_for_mesh()) {
            for host in &bound.hosts {
                let claimants = claims.0.entry(host.clone()).or_default();
                if claimants.last() != Some(&index) {
                    claimants.push(index);
                }
            }
        }
        claims
    }

    /// The claimed hosts, with who claims them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Host, &[usize])> {
        self.0.iter().map(|(host, claimants)| (host, claimants.as_slice()))
    }

    /// Who routes for a service's host: those who name it, else those with the longest wildcard over it; with
    /// the name it is claimed under.
    pub(crate) fn of(&self, host: &Host) -> Option<(&Host, &[usize])> {
        if let Some((name, claimants)) = self.0.get_key_value(host) {
            return Some((name, claimants));
        }
        destination_rule::wildcards(&self.0)
            .filter(|(wildcard, _)| wildcard.covers(host))
            .max_by_key(|(wildcard, _)| wildcard.as_str().len())
            .map(|(wildcard, claimants)| (wildcard, claimants.as_slice()))
    }

    /// Everybody who names a host or covers it with a wildcard, the one that decides first.
    pub(crate) fn all(&self, host: &Host) -> Vec<usize> {
        let mut all: Vec<usize> = self.0.get(host).into_iter().flatten().copied().collect();
        let wildcards = destination_rule::wildcards(&self.0).filter(|(wildcard, _)| wildcard.overlaps(host));
        all.extend(wildcards.flat_map(|(_, claimants)| claimants));
        all.sort_unstable();
        all.dedup();
        all
    }
}
