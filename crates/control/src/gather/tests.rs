#![allow(clippy::unwrap_used)]

use super::*;

fn objects(yaml: &str) -> Batch {
    let parsed = api::parse("test.yaml", yaml.as_bytes());
    assert!(!parsed.resources.is_empty(), "{:?}", parsed.issues);
    parsed.resources.into_iter().map(|resource| (resource.key(), Some(resource))).collect()
}

fn service(name: &str) -> Batch {
    objects(&format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{name: http, port: 80}}]}}\n"
    ))
}

fn workload(name: &str, address: &str) -> Batch {
    objects(&format!(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: {name}}}\nspec: {{address: {address}}}\n"
    ))
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn a_lone_change_leaves_after_ten_milliseconds() {
    let start = Instant::now();
    let mut gather = Gather::default();

    assert!(gather.take(service("a"), start).is_none());

    assert_eq!(gather.due(), Some(start + millis(10)));
    assert!(gather.release(start + millis(9)).is_none());
    assert_eq!(gather.release(start + millis(10)).unwrap().len(), 1);
    assert_eq!(gather.due(), None);
}

#[test]
fn a_change_after_a_hundred_milliseconds_of_quiet_is_lone_again() {
    let start = Instant::now();
    let mut gather = Gather::default();
    gather.take(service("a"), start);
    gather.release(start + millis(10)).unwrap();

    gather.take(service("b"), start + millis(110));

    assert_eq!(gather.due(), Some(start + millis(120)));
}

#[test]
fn a_burst_gathers_up_to_a_hundred_milliseconds_of_quiet() {
    let start = Instant::now();
    let mut gather = Gather::default();

    let mut now = start;
    for n in 0..6 {
        now = start + millis(n * 5);
        gather.take(service(&format!("s{n}")), now);
    }

    assert_eq!(gather.due(), Some(now + QUIET));
    assert_eq!(gather.release(now + QUIET).unwrap().len(), 6);
}

#[test]
fn a_burst_without_end_leaves_every_ten_seconds() {
    let start = Instant::now();
    let mut gather = Gather::default();

    let mut released = Vec::new();
    for n in 0..500 {
        let now = start + millis(n * 50);
        gather.take(service("a"), now);
        if gather.release(now).is_some() {
            released.push(now - start);
        }
    }

    assert_eq!(released, vec![Duration::from_secs(10), Duration::from_millis(20_050)]);
}

#[test]
fn changed_endpoints_overtake_a_burst() {
    let start = Instant::now();
    let mut gather = Gather::default();
    gather.take(service("a"), start);

    let left = gather.take(workload("w", "10.0.0.1"), start + millis(1)).unwrap();

    assert!(left.keys().all(|key| key.kind == Kind::WorkloadEntry));
    assert_eq!(gather.due(), Some(start + millis(10)));
}

#[test]
fn an_older_version_never_leaves_after_a_newer_one() {
    let start = Instant::now();
    let mut gather = Gather::default();
    let mut mixed = service("a");
    mixed.extend(workload("w", "10.0.0.1"));
    gather.take(mixed, start);

    gather.take(workload("w", "10.0.0.2"), start + millis(1)).unwrap();
    let late = gather.release(start + millis(10)).unwrap();

    assert!(late.keys().all(|key| key.kind == Kind::Service));
}

#[test]
fn what_is_gone_again_leaves_as_gone() {
    let start = Instant::now();
    let mut gather = Gather::default();
    let batch = service("a");
    let gone: Batch = batch.keys().map(|key| (key.clone(), None)).collect();
    gather.take(batch, start);

    gather.take(gone, start + millis(1));

    assert!(gather.release(start + millis(21)).unwrap().values().all(Option::is_none));
}

#[test]
fn nothing_is_never_due() {
    let mut gather = Gather::default();

    gather.take(Batch::new(), Instant::now());

    assert_eq!(gather.due(), None);
}
