//! Workloads that came, went or moved while nothing else changed: which services they concern.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Key, Kind, Resource, ResourceSet, Spec, Valid};
use base::Host;

use crate::service::{Resolution, Service};
use crate::services;
use crate::state::State;
use crate::workload::Platform;

/// The kinds that say nothing but where a service's workloads are.
const KINDS: [Kind; 2] = [Kind::EndpointSlice, Kind::WorkloadEntry];

/// The services that have other workloads than before, by host. None where it may not be all that differs: something
/// else was changed, or workloads of services that are more than their workloads.
pub(crate) fn between(
    before: &State,
    was: &ResourceSet,
    set: &ResourceSet,
) -> Option<BTreeMap<Host, Arc<Service>>> {
    if Kind::ALL.into_iter().any(|kind| !KINDS.contains(&kind) && !set.shares(was, kind)) {
        return None;
    }
    let platform = Platform::new(set);
    let mut moved = BTreeMap::new();
    for host in hosts(before, was, set) {
        let mut all = before.services.with_host(&host);
        let Some(old) = all.next() else { continue };
        if all.next().is_some() || !old.is_of_platform() || old.resolution != Resolution::Known {
            return None;
        }
        let (namespace, name) = (old.name.namespace.as_str().into(), old.name.name.as_str().into());
        let Resource::Service(object) = set.get(&Key { kind: Kind::Service, namespace, name })? else {
            return None;
        };
        let aliases = old.aliases.clone();
        let new = Service { aliases, ..services::of_platform(object, &platform, &before.settings) };
        if new != **old {
            moved.insert(host.clone(), Arc::new(new));
        }
    }
    Some(moved)
}

/// The hosts of every service that may have a workload more or less.
fn hosts(before: &State, was: &ResourceSet, set: &ResourceSet) -> BTreeSet<Host> {
    let mut hosts = BTreeSet::new();
    for entry in differing(was.workload_entries(), set.workload_entries()) {
        hosts.extend(before.services.selecting(&entry.meta().namespace, &entry.labels).cloned());
    }
    for slice in differing(was.endpoint_slices(), set.endpoint_slices()) {
        let named = slice.service.iter();
        hosts.extend(named.map(|name| services::host(name, &slice.meta().namespace, &before.settings)));
    }
    hosts
}

/// The objects of which one list has another version than the other, or none; each in the versions there are.
fn differing<'a, T: Spec + 'a>(
    one: impl Iterator<Item = &'a Arc<Valid<T>>>,
    other: impl Iterator<Item = &'a Arc<Valid<T>>>,
) -> Vec<&'a Valid<T>> {
    let name = |object: &&'a Arc<Valid<T>>| {
        let meta = object.meta();
        (meta.namespace.clone(), meta.name.clone())
    };
    let (mut one, mut other) = (one.peekable(), other.peekable());
    let mut differing: Vec<&Valid<T>> = Vec::new();
    loop {
        match (one.peek(), other.peek()) {
            (None, None) => return differing,
            (Some(a), Some(b)) if Arc::ptr_eq(a, b) => drop((one.next(), other.next())),
            (Some(a), Some(b)) if name(a) == name(b) => {
                differing.extend(one.next().into_iter().chain(other.next()).map(|object| &**object));
            }
            (Some(a), b) if b.is_none_or(|b| name(a) < name(b)) => {
                differing.extend(one.next().map(|object| &**object));
            }
            _ => differing.extend(other.next().map(|object| &**object)),
        }
    }
}

#[cfg(test)]
mod tests;
