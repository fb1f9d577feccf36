//! What must hold inside a traffic policy, whether or not this version acts on it: a policy that is wrong today
//! would break the rule on the day it is enforced.

use std::collections::BTreeSet;

use crate::read::At;

/// Checks one `trafficPolicy` or one entry of `portLevelSettings`.
pub(super) fn check_policy(at: &At<'_>) {
    if at.node.entries().iter().all(|entry| entry.node.is_null() || entry.key == "port") {
        at.error("missing-field", "a traffic policy that says nothing is a mistake; take it away");
    }
    if let Some(pool) = at.field("connectionPool") {
        connection_pool(&pool);
    }
    if let Some(balancer) = at.field("loadBalancer") {
        load_balancer(&balancer, at.field("outlierDetection").is_some());
    }
    if let Some(outliers) = at.field("outlierDetection")
        && let Some(field) = outliers.field("consecutiveErrors")
    {
        field.warn_at_key("deprecated", "write `consecutive5xxErrors` or `consecutiveGatewayErrors`");
    }
}

fn connection_pool(at: &At<'_>) {
    if at.field("tcp").is_none() && at.field("http").is_none() {
        at.error("missing-field", "a connection pool needs `tcp` or `http`");
    }
    let Some(http) = at.field("http") else { return };
    if http.text("h2UpgradePolicy") == Some("UPGRADE") && http.bool("useClientProtocol") == Some(true) {
        http.error("conflict", "`useClientProtocol` cannot stand beside `h2UpgradePolicy: UPGRADE`");
    }
    if let Some(keepalive) = http.field("http2KeepAlive") {
        for field in ["interval", "timeout"] {
            if keepalive.field(field).is_none() {
                keepalive.missing(field, "keep-alive needs both `interval` and `timeout`");
            }
        }
    }
}

fn load_balancer(at: &At<'_>, has_outliers: bool) {
    if at.field("simple").is_some() && at.field("consistentHash").is_some() {
        at.error("conflict", "`simple` and `consistentHash` exclude each other");
    }
    if at.field("localityLbSetting").is_some() && at.field("zoneAwareLbSetting").is_some() {
        at.error("conflict", "`localityLbSetting` and `zoneAwareLbSetting` exclude each other");
    }
    if let Some(hash) = at.field("consistentHash") {
        consistent_hash(&hash);
    }
    if let Some(setting) = at.field("localityLbSetting") {
        locality(&setting);
    }
    if let Some(setting) = at.field("zoneAwareLbSetting") {
        zone_aware(&setting, has_outliers);
    }
    if let Some(warmup) = at.field("warmup")
        && warmup.field("duration").is_none()
    {
        warmup.missing("duration", "a warm-up needs its duration");
    }
}

fn consistent_hash(at: &At<'_>) {
    let keys = ["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"];
    if keys.iter().filter(|key| at.field(key).is_some()).count() > 1 {
        at.error("conflict", format!("{} exclude each other", keys.join(", ")));
    }
    if let Some(cookie) = at.field("httpCookie") {
        if cookie.text("name").is_none() {
            cookie.missing("name", "a cookie needs a name");
        }
        let mut names = BTreeSet::new();
        for attribute in cookie.list("attributes") {
            match attribute.text("name") {
                None => attribute.missing("name", "a cookie's attribute needs a name"),
                Some(name) if !names.insert(name) => {
                    attribute.error("duplicate-value", format!("the attribute {name:?} stands twice"));
                }
                Some(_) => {}
            }
        }
    }
    if let Some(maglev) = at.field("maglev") {
        let size = maglev.whole::<u32>("tableSize").unwrap_or(65537);
        if size > 5_000_011 || !is_prime(size) {
            maglev.error(
                "wrong-value",
                format!("a Maglev table's size is a prime up to 5000011; {size} is not"),
            );
        }
    }
}

fn is_prime(n: u32) -> bool {
    n > 1
        && (2..)
            .take_while(|d| u64::from(*d) * u64::from(*d) <= u64::from(n))
            .all(|d: u32| !n.is_multiple_of(d))
}

fn locality(at: &At<'_>) {
    let (distribute, failover) = (at.list("distribute"), at.list("failover"));
    if !distribute.is_empty() && (!failover.is_empty() || !at.list("failoverPriority").is_empty()) {
        at.error("conflict", "`distribute` excludes `failover` and `failoverPriority`");
    }
    let mut from: Vec<&str> = Vec::new();
    for item in &distribute {
        from.extend(item.text("from"));
        let Some(to) = item.field("to") else { continue };
        let shares: Vec<i64> = to.entries().filter_map(|share| share.int()).collect();
        if shares.iter().try_fold(0i64, |sum, share| sum.checked_add(*share)) != Some(100) {
            to.error("wrong-value", "the shares must add up to 100");
        }
        let localities: Vec<&str> = to.entries().map(|share| share.name()).collect();
        if let Some(message) = overlap_error(&localities) {
            to.error("wrong-value", message);
        }
    }
    if let Some(message) = overlap_error(&from) {
        at.error("wrong-value", message);
    }
    check_failover(at, &failover);
    let by_region = at.texts("failoverPriority").iter().any(|label| label == "topology.kubernetes.io/region");
    if by_region && !failover.is_empty() {
        at.error("conflict", "`failover` already orders regions; take topology.kubernetes.io/region away");
    }
}

fn zone_aware(at: &At<'_>, has_outliers: bool) {
    let failover = at.list("failover");
    check_failover(at, &failover);
    for item in at.list("failoverPriority") {
        if item.node.text().is_some_and(|label| label.starts_with("topology.kubernetes.io/")) {
            item.error("wrong-value", "zones are ordered already; name other labels");
        }
    }
    if !has_outliers && (!failover.is_empty() || !at.list("failoverPriority").is_empty()) {
        at.warn_at_key("no-effect", "failover needs `outlierDetection`");
    }
}

fn check_failover(at: &At<'_>, failover: &[At<'_>]) {
    for item in failover {
        let (from, to) = (item.text("from").unwrap_or_default(), item.text("to").unwrap_or_default());
        if from == to {
            item.error("wrong-value", "a region cannot fail over to itself");
        }
        if [from, to].iter().any(|region| region.contains(['/', '*'])) {
            item.error(
                "wrong-value",
                format!("{} fails over by region; zones and `*` cannot be named", at.name()),
            );
        }
    }
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
