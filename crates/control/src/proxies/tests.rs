#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::json;

use super::*;

fn known(node: &str, settled: u64) -> Known {
    Known {
        node: node.into(),
        cluster: String::new(),
        version: String::new(),
        process: None,
        proxy: Arc::new(Proxy::new(&format!("sidecar~10.0.0.1~{node}.default~x"), &json!({}), &[]).unwrap()),
        settled,
        refused: BTreeMap::new(),
    }
}

async fn wait(proxies: &Proxies, concern: Concern) -> Vec<Pending> {
    proxies.wait(&concern, 4, Instant::now() + Duration::from_secs(9)).await
}

fn names(pending: &[Pending]) -> Vec<&str> {
    pending.iter().map(|pending| pending.node.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_the_last_proxy_has_answered() {
    let proxies = Proxies::default();
    proxies.put("1", known("a", 4));
    proxies.put("2", known("b", 3));

    let answer = async { proxies.settled("2", 4) };
    let (pending, ()) = tokio::join!(wait(&proxies, Concern::Everybody), answer);

    assert_eq!(pending, Vec::new());
}

#[tokio::test(start_paused = true)]
async fn the_silent_are_named_at_the_deadline() {
    let proxies = Proxies::default();
    proxies.put("1", known("a", 4));
    proxies.put("2", known("b", 3));

    let pending = wait(&proxies, Concern::Everybody).await;

    assert_eq!(names(&pending), ["b"]);
    assert!(pending[0].is_connected);
}

#[tokio::test(start_paused = true)]
async fn who_refuses_is_named_without_waiting() {
    let proxies = Proxies::default();
    let mut refusing = known("a", 4);
    refusing.refused.insert(TypeUrl::Route, Refusal { generation: 4, error: "no such cluster".into() });
    proxies.put("1", refusing);
    let start = Instant::now();

    let pending = wait(&proxies, Concern::Everybody).await;

    assert_eq!(pending[0].refused, [(TypeUrl::Route, "no such cluster".to_owned())]);
    assert_eq!(Instant::now(), start);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_and_comes_back_is_waited_for() {
    let proxies = Proxies::default();
    proxies.put("1", known("a", 3));
    proxies.remove("1");

    let back = async { proxies.put("2", known("a", 4)) };
    let (pending, ()) = tokio::join!(wait(&proxies, Concern::Everybody), back);

    assert_eq!(pending, Vec::new());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_for_good_is_named_as_not_there_before_the_deadline() {
    let proxies = Proxies::default();
    proxies.put("1", known("a", 3));
    let start = Instant::now();

    let (pending, ()) = tokio::join!(wait(&proxies, Concern::Everybody), async { proxies.remove("1") });

    assert_eq!(names(&pending), ["a"]);
    assert!(!pending[0].is_connected && !pending[0].is_awaited);
    assert!(Instant::now() < start + Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn whose_process_has_ended_is_not_waited_for() {
    let proxies = Proxies::default();
    proxies.put("1", Known { process: Some(u32::MAX), ..known("a", 3) });
    proxies.remove("1");
    let start = Instant::now();

    let pending = wait(&proxies, Concern::Everybody).await;

    assert_eq!(names(&pending), ["a"]);
    assert_eq!(Instant::now(), start);
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_for_by_name_is_waited_for_though_nobody_knows_it() {
    let proxies = Proxies::default();

    let concern = Concern::These(["a".to_owned()].into());
    let (pending, ()) = tokio::join!(wait(&proxies, concern), async { proxies.put("1", known("a", 4)) });

    assert_eq!(pending, Vec::new());
}

#[tokio::test(start_paused = true)]
async fn an_old_refusal_is_not_held_against_a_newer_generation() {
    let proxies = Proxies::default();
    let mut refusing = known("a", 5);
    refusing.refused.insert(TypeUrl::Route, Refusal { generation: 3, error: "no such cluster".into() });
    proxies.put("1", refusing);

    let pending = wait(&proxies, Concern::Everybody).await;

    assert_eq!(pending, Vec::new());
}
