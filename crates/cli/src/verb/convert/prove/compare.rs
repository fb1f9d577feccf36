//! In what two decisions about one request differ.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::explain::Decision;
use api::{DestinationRule, Valid};
use base::{Host, duration};
use migrate::old::{Action, Destination, OldDecision, Status};

/// How far a simulated share may be from the true one, in percent: five sigmas of a thousand draws.
const TOLERANCE: f64 = 8.0;

/// The labels of each subset, by host and name.
#[derive(Clone, Debug, Default)]
pub(super) struct Subsets(BTreeMap<(String, String), BTreeMap<String, String>>);

impl Subsets {
    pub(super) fn of(rules: &[Arc<Valid<DestinationRule>>]) -> Self {
        let mut all = BTreeMap::new();
        for rule in rules {
            let host = Host::resolve(&rule.host, &rule.meta().namespace, "cluster.local");
            for subset in &rule.subsets {
                all.insert((host.as_str().to_owned(), subset.name.clone()), subset.labels.0.clone());
            }
        }
        Self(all)
    }

    /// What a cluster's name stands for: `outbound|80|v1|reviews.default.svc.cluster.local`.
    fn destination(&self, cluster: &str) -> Destination {
        let parts: Vec<&str> = cluster.split('|').collect();
        let [_, _, subset, host] = parts[..] else {
            return Destination { host: cluster.to_owned(), labels: BTreeMap::new() };
        };
        let labels = self.0.get(&(host.to_owned(), subset.to_owned())).cloned().unwrap_or_default();
        Destination { host: host.to_owned(), labels }
    }
}

/// The first field in which they differ, with both values.
pub(super) fn difference(
    before: &OldDecision,
    now: &Decision,
    subsets: &Subsets,
) -> Option<(&'static str, String, String)> {
    if let Some(failure) = now.failure {
        return Some(("outcome", "an answer".into(), failure.to_string()));
    }
    let fields = match &before.action {
        Action::Redirect { authority, path } => redirected((authority, path), now),
        Action::Forward { shares, authority, path } => {
            let shares = shares.iter().map(|share| told(&share.destination, share.percent));
            forwarded((shares.collect(), authority, path), before, now, subsets)
        }
    };
    let differs =
        fields.into_iter().find(|(_, before, now)| before.as_ref().is_some_and(|b| Some(b) != now.as_ref()));
    let nothing = || "nothing".to_owned();
    let differs = differs
        .map(|(field, before, now)| (field, before.unwrap_or_else(nothing), now.unwrap_or_else(nothing)));
    differs.or_else(|| faults(before, now))
}

/// A field with what was and what is; none before where the rule left it to the proxy.
type Field = (&'static str, Option<String>, Option<String>);

fn redirected((authority, path): (&str, &str), now: &Decision) -> Vec<Field> {
    // The port is the caller's own; the old rules said nothing of it.
    let location =
        now.location.as_deref().and_then(|location| location.split_once("://")).map(|(_, rest)| rest);
    let at = location.map(|rest| rest.find('/').unwrap_or(rest.len()));
    let (to, rest) = location.zip(at).map(|(rest, at)| rest.split_at(at)).unwrap_or_default();
    let to = to.split(':').next().unwrap_or_default();
    let is_same_host = to == authority || to.split('.').next() == Some(authority);
    let to = if is_same_host { authority.to_owned() } else { to.to_owned() };
    vec![
        ("status", Some("301".into()), now.reply.map(|status| status.to_string())),
        ("redirect", Some(format!("{authority}{path}")), Some(format!("{to}{rest}"))),
    ]
}

fn forwarded(
    (mut shares, authority, path): (Vec<String>, &str, &str),
    before: &OldDecision,
    now: &Decision,
    subsets: &Subsets,
) -> Vec<Field> {
    let of = |cluster: &str, percent| told(&subsets.destination(cluster), percent);
    let mut found: Vec<String> = now.clusters.iter().map(|share| of(&share.cluster, share.percent)).collect();
    shares.sort();
    found.sort();
    let first = now.clusters.first();
    let sent = |authority: &str| {
        let host = authority.split(':').next().unwrap_or_default().to_owned();
        // A short name and a full one are the same service.
        host.split('.').next().unwrap_or_default().to_owned()
    };
    let mut fields = vec![
        ("destinations", Some(shares.join(", ")), Some(found.join(", "))),
        ("path", Some(path.to_owned()), first.and_then(|share| share.path.clone())),
        ("authority", Some(sent(authority)), first.and_then(|share| share.authority.as_deref().map(sent))),
        ("timeout", before.timeout.map(duration::render), now.timeout.map(duration::render)),
        (
            "retries",
            before.retries.map(|retries| retries.attempts.to_string()).filter(|attempts| attempts != "0"),
            now.retries.as_ref().map(|retries| retries.attempts.to_string()),
        ),
        (
            "retries' time",
            before.retries.and_then(|retries| retries.per_try).map(duration::render),
            now.retries.as_ref().and_then(|retries| retries.per_try_timeout).map(duration::render),
        ),
        (
            "mirror",
            Some(before.mirror.as_ref().map(|mirror| told(mirror, 100.0)).unwrap_or_default()),
            Some(
                now.mirrors.iter().map(|copy| of(&copy.cluster, copy.percent)).collect::<Vec<_>>().join(", "),
            ),
        ),
    ];
    for (name, value) in &before.append_headers {
        let set = first.map(|share| share.request_headers.set.as_slice()).unwrap_or_default();
        let now =
            set.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
        fields.push(("added header", Some(value.clone()), now));
    }
    fields
}

fn told(destination: &Destination, percent: f64) -> String {
    let labels: Vec<String> =
        destination.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("[{}]", labels.join(",")) };
    format!("{}{labels} {percent:.2}%", destination.host)
}

/// Faults are simulated with chance, so that their shares can only be near.
fn faults(before: &OldDecision, now: &Decision) -> Option<(&'static str, String, String)> {
    let delay = before.delay.filter(|delay| delay.percent > 0.0);
    let abort = before.abort.as_ref().filter(|abort| abort.percent > 0.0);
    let ratio = |percent: Option<f64>| percent.unwrap_or_default() / 100.0;
    let (held, ended) = (ratio(delay.map(|d| d.percent)), ratio(abort.map(|a| a.percent)));
    let percent = (held + ended - held * ended) * 100.0;
    if (percent - now.fault_percent).abs() > TOLERANCE {
        return Some((
            "fault",
            format!("{percent:.1}% of requests"),
            format!("{:.1}% of requests", now.fault_percent),
        ));
    }
    // What happens rarely may not have happened among those that were tried.
    let is_seen = |percent: f64| percent > 2.0;
    if let Some(delay) = delay.filter(|delay| is_seen(delay.percent) && delay.duration != now.delay) {
        return Some(("delay", duration::render(delay.duration), duration::render(now.delay)));
    }
    let status = match abort.filter(|abort| is_seen(abort.percent)).map(|abort| &abort.error)? {
        Status::Http(status) => *status,
        // The status of the answer says nothing: it stands in a header.
        Status::Grpc(_) => return None,
    };
    let reply = now.reply.unwrap_or_default();
    (reply != status).then(|| ("abort", status.to_string(), reply.to_string()))
}
