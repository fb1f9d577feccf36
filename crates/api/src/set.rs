//! A set of resources that is cheap to clone: what one snapshot is made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::kind::{Key, Kind};
use crate::resource::{Resource, Valid};
use crate::{
    ConfigMap, DestinationRule, EndpointSlice, Gateway, Pod, ProxyConfig, Secret, Service, ServiceEntry,
    Sidecar, VirtualService, WorkloadEntry, WorkloadGroup,
};

macro_rules! resource_set {
    ($($kind:ident $field:ident),* $(,)?) => {
        /// Resources by key. A clone shares everything; a change copies the map of one kind, never an object.
        #[derive(Clone, Debug, Default)]
        pub struct ResourceSet {
            $($field: Arc<BTreeMap<Key, Resource>>,)*
        }

        impl ResourceSet {
            fn map(&self, kind: Kind) -> &BTreeMap<Key, Resource> {
                match kind { $(Kind::$kind => &self.$field,)* }
            }

            fn map_mut(&mut self, kind: Kind) -> &mut BTreeMap<Key, Resource> {
                match kind { $(Kind::$kind => Arc::make_mut(&mut self.$field),)* }
            }

            $(#[doc = concat!("Every [`", stringify!($kind), "`], ordered by namespace and name.")]
            pub fn $field(&self) -> impl Iterator<Item = &Arc<Valid<$kind>>> {
                self.$field.values().filter_map(|resource| match resource {
                    Resource::$kind(valid) => Some(valid),
                    _ => None,
                })
            })*
        }
    };
}

resource_set! {
    ConfigMap config_maps,
    DestinationRule destination_rules,
    EndpointSlice endpoint_slices,
    Gateway gateways,
    Pod pods,
    ProxyConfig proxy_configs,
    Secret secrets,
    Service services,
    ServiceEntry service_entries,
    Sidecar sidecars,
    VirtualService virtual_services,
    WorkloadEntry workload_entries,
    WorkloadGroup workload_groups,
}

impl ResourceSet {
    /// Adds or replaces an object and returns the one it took the place of.
    pub fn insert(&mut self, resource: Resource) -> Option<Resource> {
        let key = resource.key();
        self.map_mut(key.kind).insert(key, resource)
    }

    /// Takes an object out.
    pub fn remove(&mut self, key: &Key) -> Option<Resource> {
        self.map(key.kind).contains_key(key).then(|| self.map_mut(key.kind).remove(key)).flatten()
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<&Resource> {
        self.map(key.kind).get(key)
    }

    /// Every object of one kind, ordered by namespace and name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Resource> {
        self.map(kind).values()
    }

    /// Whether another set has the very same objects of a kind, which it has as a clone of which neither was changed
    /// in that kind since.
    pub fn shares(&self, other: &ResourceSet, kind: Kind) -> bool {
        std::ptr::eq(self.map(kind), other.map(kind))
    }

    /// Every object, ordered by kind, namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        Kind::ALL.into_iter().flat_map(|kind| self.of_kind(kind))
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        Kind::ALL.into_iter().map(|kind| self.map(kind).len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl FromIterator<Resource> for ResourceSet {
    fn from_iter<I: IntoIterator<Item = Resource>>(resources: I) -> Self {
        let mut set = Self::default();
        for resource in resources {
            set.insert(resource);
        }
        set
    }
}
