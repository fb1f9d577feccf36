//! `localityLbSetting` and `zoneAwareLbSetting`: how regions and zones share requests.

use std::collections::BTreeMap;

use crate::read::At;
use crate::schema::{Field, Shape, TEXTS, U64, ok, partly};

/// How localities share requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LocalitySetting {
    /// Whether localities make any difference.
    pub is_enabled: bool,
    /// Shares by the caller's locality; excludes both kinds of failover.
    pub distribute: Vec<Distribute>,
    /// Which region takes over for which.
    pub failover: Vec<Failover>,
    /// Labels (`key` or `key=value`): the more of them an endpoint has in common with the caller, counted from the
    /// first, the sooner it is taken.
    pub failover_priority: Vec<String>,
}

/// How the requests of one locality's callers are shared out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Distribute {
    /// The callers' locality, `region/zone/subzone` with `*` for any.
    pub from: String,
    /// The share of each locality in percent; together they are 100.
    pub to: BTreeMap<String, u32>,
}

/// The region that takes over for another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failover {
    /// The region that has no healthy endpoint left.
    pub from: String,
    /// The region that takes over.
    pub to: String,
}

/// Endpoints of the caller's zone first, as far as they carry the load.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ZoneAware {
    /// Whether it is on.
    pub is_enabled: bool,
    /// Which region takes over for which.
    pub failover: Vec<Failover>,
    /// Labels, as in [`LocalitySetting::failover_priority`].
    pub failover_priority: Vec<String>,
    /// The least number of endpoints for which zones make a difference; None is left to the proxy.
    pub min_cluster_size: Option<u64>,
}

const FAILOVER: Shape = Shape::List(&Shape::Object(&[ok("from", Shape::Text), ok("to", Shape::Text)]));

pub(crate) const FIELDS: &[Field] = &[
    ok(
        "distribute",
        Shape::List(&Shape::Object(&[ok("from", Shape::Text), ok("to", Shape::Map(&Shape::Int(1, 100)))])),
    ),
    ok("failover", FAILOVER),
    ok("failoverPriority", TEXTS),
    ok("enabled", Shape::Bool),
];

pub(crate) const ZONE_AWARE: &[Field] = &[
    partly("enabled", Shape::Bool, ONE_PLACE),
    ok("failover", FAILOVER),
    ok("failoverPriority", TEXTS),
    partly("minClusterSize", U64, ONE_PLACE),
];

const ONE_PLACE: &str =
    "by an Envoy whose bootstrap names a local cluster; to `weft-proxy` the zones of a region are one place";

/// Reads `localityLbSetting`; `has_outliers` is whether `outlierDetection` stands beside it.
pub(crate) fn read(at: &At<'_>, has_outliers: bool) -> LocalitySetting {
    let setting = LocalitySetting {
        is_enabled: at.bool("enabled").unwrap_or(true),
        distribute: at.list("distribute").iter().map(distribute).collect(),
        failover: failover(at),
        failover_priority: at.texts("failoverPriority"),
    };
    let fails_over = !setting.failover.is_empty() || !setting.failover_priority.is_empty();
    if !setting.distribute.is_empty() && fails_over {
        at.error("conflict", "`distribute` excludes `failover` and `failoverPriority`");
    }
    let from: Vec<&str> = setting.distribute.iter().map(|share| share.from.as_str()).collect();
    if let Some(message) = overlap_error(&from) {
        at.error("wrong-value", message);
    }
    let by_region = setting.failover_priority.iter().any(|label| label == REGION);
    if by_region && !setting.failover.is_empty() {
        at.error("conflict", format!("`failover` already orders regions; take {REGION} away"));
    }
    warn_without_outliers(at, fails_over, has_outliers);
    setting
}

const REGION: &str = "topology.kubernetes.io/region";

/// Reads `zoneAwareLbSetting`; `has_outliers` is whether `outlierDetection` stands beside it.
pub(crate) fn zone_aware(at: &At<'_>, has_outliers: bool) -> ZoneAware {
    let setting = ZoneAware {
        is_enabled: at.bool("enabled").unwrap_or(true),
        failover: failover(at),
        failover_priority: at.texts("failoverPriority"),
        min_cluster_size: at.positive("minClusterSize"),
    };
    for item in at.list("failoverPriority") {
        if item.node.text().is_some_and(|label| label.starts_with("topology.kubernetes.io/")) {
            item.error("wrong-value", "zones are ordered already; name other labels");
        }
    }
    let fails_over = !setting.failover.is_empty() || !setting.failover_priority.is_empty();
    warn_without_outliers(at, fails_over, has_outliers);
    setting
}

/// Where no endpoint is ever found ill, none fails over.
fn warn_without_outliers(at: &At<'_>, fails_over: bool, has_outliers: bool) {
    if fails_over && !has_outliers {
        at.warn_at_key("no-effect", "failover needs `outlierDetection`");
    }
}

fn distribute(at: &At<'_>) -> Distribute {
    let mut shares = BTreeMap::new();
    if let Some(to) = at.field("to") {
        for share in to.entries() {
            let Some(weight) = share.int().and_then(|weight| u32::try_from(weight).ok()) else { continue };
            shares.insert(share.name().to_owned(), weight);
        }
        if shares.values().map(|share| u64::from(*share)).sum::<u64>() != 100 {
            to.error("wrong-value", "the shares must add up to 100");
        }
        let localities: Vec<&str> = to.entries().map(|share| share.name()).collect();
        if let Some(message) = overlap_error(&localities) {
            to.error("wrong-value", message);
        }
    }
    Distribute { from: at.text("from").unwrap_or_default().into(), to: shares }
}

fn failover(at: &At<'_>) -> Vec<Failover> {
    let mut all = Vec::new();
    for item in at.list("failover") {
        let (from, to) = (item.text("from").unwrap_or_default(), item.text("to").unwrap_or_default());
        if from == to {
            item.error("wrong-value", "a region cannot fail over to itself");
        }
        if [from, to].iter().any(|region| region.contains(['/', '*'])) {
            let name = at.name();
            let message = format!("{name} fails over by region; zones and `*` cannot be named");
            item.error("wrong-value", message);
        }
        all.push(Failover { from: from.into(), to: to.into() });
    }
    all
}

/// Localities are `region/zone/subzone`, each part perhaps `*` or missing; none may be part of another.
fn overlap_error(localities: &[&str]) -> Option<String> {
    let mut seen: Vec<Vec<&str>> = Vec::new();
    for locality in localities {
        let parts: Vec<&str> = locality.split('/').take_while(|part| *part != "*").collect();
        let is_within = |a: &[&str], b: &[&str]| a.iter().zip(b).all(|(x, y)| x == y);
        if seen.iter().any(|other| is_within(other, &parts)) {
            return Some(format!("the locality {locality:?} overlaps another"));
        }
        seen.push(parts);
    }
    None
}
