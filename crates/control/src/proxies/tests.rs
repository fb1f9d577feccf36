#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tokio::time::Instant;

use super::*;

fn known(node: &str, settled: u64) -> Known {
    Known {
        node: node.into(),
        cluster: String::new(),
        version: String::new(),
        settled,
        refused: BTreeMap::new(),
    }
}

fn nodes(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_the_last_proxy_has_answered() {
    let proxies = Proxies::default();
    proxies.put("1", known("a", 4));
    proxies.put("2", known("b", 3));

    let names = nodes(&["a", "b"]);
    let wait = proxies.wait(&names, 4, false, Instant::now() + Duration::from_secs(5));
    let answer = async { proxies.settled("2", 4) };
    let (pending, ()) = tokio::join!(wait, answer);

    assert_eq!(pending, Vec::new());
}

#[tokio::test(start_paused = true)]
async fn the_silent_are_named_at_the_deadline() {
    let proxies = Proxies::default();
    proxies.put("1", known("a", 4));
    proxies.put("2", known("b", 3));

    let pending = proxies.wait(&nodes(&["a", "b"]), 4, false, Instant::now() + Duration::from_secs(5)).await;

    assert_eq!(pending.iter().map(|p| p.node.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn who_refuses_is_named_without_waiting() {
    let proxies = Proxies::default();
    let mut refusing = known("a", 4);
    refusing.refused.insert(TypeUrl::Route, Refusal { generation: 4, error: "no such cluster".into() });
    proxies.put("1", refusing);
    let start = Instant::now();

    let pending = proxies.wait(&nodes(&["a"]), 4, false, start + Duration::from_secs(5)).await;

    assert_eq!(pending[0].refused, [(TypeUrl::Route, "no such cluster".to_owned())]);
    assert_eq!(Instant::now(), start);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_owes_nothing() {
    let proxies = Proxies::default();
    proxies.put("1", known("a", 3));

    let names = nodes(&["a"]);
    let wait = proxies.wait(&names, 4, false, Instant::now() + Duration::from_secs(5));
    let (pending, ()) = tokio::join!(wait, async { proxies.remove("1") });

    assert_eq!(pending, Vec::new());
}

#[tokio::test(start_paused = true)]
async fn who_is_expected_is_waited_for() {
    let proxies = Proxies::default();

    let names = nodes(&["a"]);
    let wait = proxies.wait(&names, 4, true, Instant::now() + Duration::from_secs(5));
    let (pending, ()) = tokio::join!(wait, async { proxies.put("1", known("a", 4)) });

    assert_eq!(pending, Vec::new());
}

#[tokio::test(start_paused = true)]
async fn an_old_refusal_is_not_held_against_a_newer_generation() {
    let proxies = Proxies::default();
    let mut refusing = known("a", 5);
    refusing.refused.insert(TypeUrl::Route, Refusal { generation: 4, error: "no such cluster".into() });
    proxies.put("1", refusing);

    let pending = proxies.wait(&nodes(&["a"]), 5, false, Instant::now() + Duration::from_secs(5)).await;

    assert_eq!(pending, Vec::new());
}
