//! `loadBalancer`: which endpoint takes a request.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::decimal::Decimal;
use crate::locality::{self, LocalitySetting, ZoneAware};
use crate::read::At;
use crate::schema::{DURATION, DURATION_OR_ZERO, Field, Shape, U64, ok};

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LoadBalancer {
    /// The algorithm; None means the mesh's default.
    pub algorithm: Option<Algorithm>,
    /// How localities share requests; None means the mesh's default.
    pub locality: Option<LocalitySetting>,
    /// Endpoints of the caller's zone first, as far as they carry the load.
    pub zone_aware: Option<ZoneAware>,
    /// How new endpoints come to their full share.
    pub warmup: Option<Warmup>,
}

/// A load-balancing algorithm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// The same endpoint for requests that are alike in something.
    ConsistentHash(ConsistentHash),
    /// The less busy of two drawn at random.
    LeastRequest,
    /// The address the client asked for.
    Passthrough,
    /// One at random.
    Random,
    /// One after the other.
    RoundRobin,
}

/// What requests must be alike in, and how an endpoint is found by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsistentHash {
    /// What is hashed; None hashes nothing, and endpoints are chosen at random.
    pub key: Option<HashKey>,
    /// How a hash finds its endpoint.
    pub table: HashTable,
}

/// What of a request is hashed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashKey {
    /// A cookie's value; it is set where the client sends none.
    Cookie(HashCookie),
    /// A header's value.
    Header(String),
    /// A query parameter's value.
    QueryParameter(String),
    /// The client's address.
    SourceIp,
}

/// The cookie by which requests stay together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashCookie {
    /// Its name.
    pub name: String,
    /// The path it is set for.
    pub path: Option<String>,
    /// How long it lives; zero is as long as the client's session, None sets no cookie.
    pub ttl: Option<Duration>,
    /// What else is written of it, in order.
    pub attributes: Vec<CookieAttribute>,
}

/// One attribute of a cookie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CookieAttribute {
    /// Its name.
    pub name: String,
    /// Its value, empty where it has none.
    pub value: String,
}

/// How a hash finds its endpoint; what is None is left to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashTable {
    /// Maglev's table.
    Maglev {
        /// Its size, a prime.
        table_size: Option<u64>,
    },
    /// A ring of hashes (Ketama).
    RingHash {
        /// The least number of entries.
        minimum_ring_size: Option<u64>,
    },
}

/// How new endpoints come to their full share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Warmup {
    /// How long it takes.
    pub duration: Duration,
    /// The share of the full weight to begin with, in percent.
    pub minimum_percent: Option<Decimal>,
    /// How steep the way is; 1 is a straight line.
    pub aggression: Option<Decimal>,
}

/// The entries of a ring where the deprecated field and both tables are missing.
const RING_SIZE: u64 = 1024;

pub(crate) const FIELDS: &[Field] = &[
    ok(
        "simple",
        Shape::Word(&["UNSPECIFIED", "LEAST_CONN", "LEAST_REQUEST", "PASSTHROUGH", "RANDOM", "ROUND_ROBIN"]),
    ),
    ok("consistentHash", Shape::Object(CONSISTENT_HASH)),
    ok("localityLbSetting", Shape::Object(locality::FIELDS)),
    ok("zoneAwareLbSetting", Shape::Object(locality::ZONE_AWARE)),
    ok("warmup", Shape::Object(WARMUP)),
    ok("warmupDurationSecs", DURATION),
];

const CONSISTENT_HASH: &[Field] = &[
    ok("httpHeaderName", Shape::Text),
    ok("httpCookie", Shape::Object(COOKIE)),
    ok("useSourceIp", Shape::Bool),
    ok("httpQueryParameterName", Shape::Text),
    ok("ringHash", Shape::Object(&[ok("minimumRingSize", U64)])),
    ok("maglev", Shape::Object(&[ok("tableSize", U64)])),
    ok("minimumRingSize", U64),
];

const COOKIE: &[Field] = &[
    ok("name", Shape::Text),
    ok("path", Shape::Text),
    ok("ttl", DURATION_OR_ZERO),
    ok("attributes", Shape::List(&Shape::Object(&[ok("name", Shape::Text), ok("value", Shape::Text)]))),
];

const WARMUP: &[Field] = &[
    ok("duration", DURATION),
    ok("minimumPercent", Shape::Number(0.0, 100.0)),
    ok("aggression", Shape::Number(1.0, f64::MAX)),
];

/// Reads `loadBalancer`; `has_outliers` is whether `outlierDetection` stands beside it.
pub(crate) fn read(at: &At<'_>, has_outliers: bool) -> LoadBalancer {
    let hash = at.field("consistentHash");
    if let (Some(simple), Some(_)) = (at.field("simple"), &hash) {
        simple.error_at_key("conflict", "`simple` and `consistentHash` exclude each other");
    }
    if let (Some(_), Some(zones)) = (at.field("localityLbSetting"), at.field("zoneAwareLbSetting")) {
        zones.error_at_key("conflict", "`localityLbSetting` and `zoneAwareLbSetting` exclude each other");
    }
    let algorithm = match at.text("simple") {
        Some("LEAST_CONN" | "LEAST_REQUEST") => Some(Algorithm::LeastRequest),
        Some("PASSTHROUGH") => Some(Algorithm::Passthrough),
        Some("RANDOM") => Some(Algorithm::Random),
        Some("ROUND_ROBIN") => Some(Algorithm::RoundRobin),
        _ => hash.map(|hash| Algorithm::ConsistentHash(consistent_hash(&hash))),
    };
    let warmup = at.field("warmup").and_then(|field| warmup(&field)).or_else(|| {
        let duration = at.duration("warmupDurationSecs")?;
        Some(Warmup { duration, minimum_percent: None, aggression: None })
    });
    if let Some(field) = at.field("warmupDurationSecs") {
        field.warn_at_key("deprecated", "write `warmup: {duration: …}`");
    }
    let is_slow = matches!(algorithm, None | Some(Algorithm::LeastRequest | Algorithm::RoundRobin));
    if warmup.is_some() && !is_slow {
        at.warn_at_key("no-effect", "only ROUND_ROBIN and LEAST_REQUEST let endpoints warm up");
    }
    LoadBalancer {
        algorithm,
        locality: at.field("localityLbSetting").map(|field| locality::read(&field, has_outliers)),
        zone_aware: at.field("zoneAwareLbSetting").map(|field| locality::zone_aware(&field, has_outliers)),
        warmup,
    }
}

fn warmup(at: &At<'_>) -> Option<Warmup> {
    let Some(duration) = at.duration("duration") else {
        if at.field("duration").is_none() {
            at.missing("duration", "a warm-up needs its duration");
        }
        return None;
    };
    Some(Warmup {
        duration,
        minimum_percent: at.decimal("minimumPercent"),
        aggression: at.decimal("aggression"),
    })
}

fn consistent_hash(at: &At<'_>) -> ConsistentHash {
    let keys = ["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"];
    if keys.iter().filter(|key| at.field(key).is_some()).count() > 1 {
        at.error("conflict", format!("{} exclude each other", keys.join(", ")));
    }
    let key = if let Some(cookie) = at.field("httpCookie") {
        Some(HashKey::Cookie(cookie_of(&cookie)))
    } else if let Some(name) = at.text("httpHeaderName") {
        Some(HashKey::Header(name.into()))
    } else if let Some(name) = at.text("httpQueryParameterName") {
        Some(HashKey::QueryParameter(name.into()))
    } else {
        at.bool("useSourceIp").filter(|used| *used).map(|_| HashKey::SourceIp)
    };
    ConsistentHash { key, table: table(at) }
}

fn table(at: &At<'_>) -> HashTable {
    let (maglev, ring) = (at.field("maglev"), at.field("ringHash"));
    if let (Some(maglev), Some(_)) = (&maglev, &ring) {
        maglev.error_at_key("conflict", "`maglev` and `ringHash` exclude each other");
    }
    if let Some(field) = at.field("minimumRingSize") {
        field.warn_at_key("deprecated", "write `ringHash: {minimumRingSize: …}`");
    }
    if let Some(maglev) = maglev {
        let table_size = maglev.positive::<u64>("tableSize");
        if let Some(size) = table_size.filter(|size| *size > MAGLEV_MOST || !is_prime(*size)) {
            maglev.error(
                "wrong-value",
                format!("a Maglev table's size is a prime up to {MAGLEV_MOST}; {size} is not"),
            );
        }
        return HashTable::Maglev { table_size };
    }
    let minimum_ring_size = match ring {
        Some(ring) => ring.positive("minimumRingSize"),
        None => at.positive("minimumRingSize").or(Some(RING_SIZE)),
    };
    HashTable::RingHash { minimum_ring_size }
}

/// The largest Maglev table.
const MAGLEV_MOST: u64 = 5_000_011;

fn is_prime(n: u64) -> bool {
    n > 1 && (2..).take_while(|d: &u64| d.saturating_mul(*d) <= n).all(|d| !n.is_multiple_of(d))
}

fn cookie_of(at: &At<'_>) -> HashCookie {
    if at.text("name").is_none() {
        at.missing("name", "a cookie needs a name");
    }
    let mut names = BTreeSet::new();
    let mut attributes = Vec::new();
    for attribute in at.list("attributes") {
        match attribute.text("name") {
            None => attribute.missing("name", "a cookie's attribute needs a name"),
            Some(name) if !names.insert(name) => {
                attribute.error("duplicate-value", format!("the attribute {name:?} stands twice"));
            }
            Some(name) => attributes.push(CookieAttribute {
                name: name.into(),
                value: attribute.text("value").unwrap_or_default().into(),
            }),
        }
    }
    HashCookie {
        name: at.text("name").unwrap_or_default().into(),
        path: at.owned("path"),
        ttl: at.duration("ttl"),
        attributes,
    }
}
