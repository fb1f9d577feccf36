//! Clusters whose endpoints are names: what these resolve to, asked again and again on the control thread.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use balance::Hosts;
use plan::{Cluster, ClusterKind, Dns, Family, Plan};
use tokio::time::Instant;

use crate::dns::Asker;

/// What names resolve to, and the clusters made of it.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    names: BTreeMap<Arc<str>, Known>,
    made: HashMap<Arc<str>, Made>,
    hosts: Hosts,
}

#[derive(Debug)]
struct Known {
    addresses: Vec<IpAddr>,
    refresh: Duration,
    due: Instant,
    asked: bool,
}

#[derive(Debug)]
struct Made {
    from: Arc<Cluster>,
    cluster: Arc<Cluster>,
}

impl Resolved {
    /// The clusters of names in a plan, with the addresses known so far.
    pub(crate) fn clusters(&mut self, plan: &Plan) -> HashMap<Arc<str>, Arc<Cluster>> {
        let wanted: Vec<(&Arc<Cluster>, Dns)> = plan.clusters().filter_map(|c| Some((c, dns(c)?))).collect();
        self.note(&wanted);
        let mut clusters = HashMap::new();
        for (cluster, dns) in wanted {
            let known = &self.names;
            let resolve =
                |name: &str| known.get(name).map_or_else(Vec::new, |known| fit(&known.addresses, dns.family));
            let made = match self.made.remove(&cluster.name) {
                Some(made) if Arc::ptr_eq(&made.from, cluster) => made,
                _ => {
                    let endpoints = cluster.endpoints.resolved(cluster.spec(), &mut self.hosts, resolve);
                    Made { from: Arc::clone(cluster), cluster: Arc::new(cluster.with(endpoints)) }
                }
            };
            clusters.insert(Arc::clone(&cluster.name), made);
        }
        self.made = clusters;
        self.made.iter().map(|(name, made)| (Arc::clone(name), Arc::clone(&made.cluster))).collect()
    }

    /// Notes which names are wanted and how often.
    fn note(&mut self, wanted: &[(&Arc<Cluster>, Dns)]) {
        let mut names: BTreeMap<Arc<str>, Duration> = BTreeMap::new();
        for (cluster, dns) in wanted {
            for name in cluster.endpoints.names() {
                let refresh = names.entry(Arc::clone(name)).or_insert(dns.refresh);
                *refresh = dns.refresh.min(*refresh);
            }
        }
        self.names.retain(|name, _| names.contains_key(name));
        for (name, refresh) in names {
            let new = || Known { addresses: Vec::new(), refresh, due: Instant::now(), asked: false };
            self.names.entry(name).or_insert_with(new).refresh = refresh;
        }
    }

    /// When the next name is to be asked for.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.names.values().map(|known| known.due).min()
    }

    /// The names whose time to be asked for has come.
    pub(crate) fn due(&mut self) -> Vec<Arc<str>> {
        let now = Instant::now();
        let due = self.names.iter_mut().filter(|(_, known)| known.due <= now);
        due.map(|(name, known)| {
            known.due = now + known.refresh;
            Arc::clone(name)
        })
        .collect()
    }

    /// Takes an answer; whether it changes anything. A name that cannot be resolved keeps its last addresses.
    pub(crate) fn take(&mut self, name: &str, addresses: Option<Vec<IpAddr>>) -> bool {
        let Some(known) = self.names.get_mut(name) else { return false };
        let first = !std::mem::replace(&mut known.asked, true);
        let Some(mut addresses) = addresses else { return first };
        addresses.sort_unstable();
        if known.addresses == addresses {
            return first;
        }
        known.addresses = addresses;
        self.made.retain(|_, made| !made.from.endpoints.names().any(|wanted| **wanted == *name));
        true
    }
}

fn dns(cluster: &Cluster) -> Option<Dns> {
    match cluster.kind {
        ClusterKind::LogicalDns(dns) | ClusterKind::StrictDns(dns) if cluster.endpoints.has_names => {
            Some(dns)
        }
        _ => None,
    }
}

/// Those of a name's addresses that are wanted of it.
pub(crate) fn fit(addresses: &[IpAddr], family: Family) -> Vec<IpAddr> {
    let of = |v4: bool| addresses.iter().filter(|ip| ip.is_ipv4() == v4).copied().collect::<Vec<_>>();
    let or = |first: Vec<IpAddr>, second: Vec<IpAddr>| if first.is_empty() { second } else { first };
    match family {
        Family::All => addresses.to_vec(),
        Family::Auto => or(of(false), of(true)),
        Family::V4 => of(true),
        Family::V4Preferred => or(of(true), of(false)),
        Family::V6 => of(false),
    }
}

/// Asks for names, all at once.
pub(crate) async fn ask(asker: &Asker, names: Vec<Arc<str>>) -> Vec<(Arc<str>, Option<Vec<IpAddr>>)> {
    let asked = names.into_iter().map(|name| async move {
        let answer = asker.ask(&name).await;
        if let Err(why) = &answer {
            tracing::debug!(name = &*name, %why, "a name is not resolved");
        }
        (name, answer.ok().map(|addresses| addresses.to_vec()))
    });
    futures_util::future::join_all(asked).await
}
