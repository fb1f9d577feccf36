//! The whole machine in one process: files in, a proxy at the other end, the socket between.

#![allow(clippy::unwrap_used)]

pub(crate) mod scene;

use std::fs;

use scene::{Mood, Scene, service, virtual_service, workload};
use xds::TypeUrl;

use crate::client::{self, ClientError};
use crate::wire::{Action, Apply, Delete, Document, Mode, Validate, Wait};
use crate::{Control, StartError};

fn apply(text: &str) -> Apply {
    Apply { documents: vec![Document { file: "request.yaml".into(), text: text.into() }], ..Apply::default() }
}

#[tokio::test]
async fn apply_returns_when_the_proxy_has_what_was_applied() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh())]).await;
    let proxy = scene.connect(Mood::Content).await;

    let reply = scene.client.apply(&apply(&virtual_service("reviews", "v2"))).await.unwrap();

    assert_eq!(reply.pending, Vec::<String>::new(), "{reply:?}");
    assert_eq!(reply.results[0].action, Action::Created);
    assert!(proxy.knows("|v2|reviews"), "{:?}", proxy.heard());
    scene.stop().await;
}

#[tokio::test]
async fn an_object_that_says_the_same_is_unchanged_and_pushes_nothing() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh())]).await;
    let proxy = scene.connect(Mood::Content).await;
    let before = proxy.heard().len();

    let reply = scene.client.apply(&apply(&service("reviews"))).await.unwrap();

    assert_eq!(reply.results[0].action, Action::Unchanged);
    assert_eq!(proxy.heard().len(), before);
    scene.stop().await;
}

#[tokio::test]
async fn delete_takes_the_object_out_of_its_file_and_out_of_force() {
    let scene =
        Scene::start(&[("all.yaml", &scene::mesh()), ("vs.yaml", &virtual_service("reviews", "v1"))]).await;
    let _proxy = scene.connect(Mood::Content).await;

    let keys = vec!["vs/default/reviews".to_owned(), "vs/default/none".to_owned()];
    let reply = scene.client.delete(&Delete { keys, ..Delete::default() }).await.unwrap();

    let actions: Vec<_> = reply.results.iter().map(|r| (r.object.as_str(), r.action)).collect();
    assert_eq!(
        actions,
        [
            ("VirtualService/default/none", Action::Missing),
            ("VirtualService/default/reviews", Action::Deleted)
        ]
    );
    assert_eq!(reply.pending, Vec::<String>::new());
    assert!(!scene.path("vs.yaml").exists());
    assert!(scene.client.resources(Some("vs"), None, None).await.unwrap().objects.is_empty());
    scene.stop().await;
}

#[tokio::test]
async fn a_refusal_is_reported_with_the_proxy_and_its_reason() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh())]).await;
    let proxy = scene.connect(Mood::Content).await;
    proxy.becomes(Mood::Refusing);

    let reply = scene.client.apply(&apply(&virtual_service("reviews", "v2"))).await.unwrap();

    assert_eq!(reply.pending, [scene::NODE]);
    let issue = reply.issues.iter().find(|issue| issue.code == "proxy-refused").unwrap();
    assert!(issue.message.contains(scene::NODE) && issue.message.contains("not to my taste"), "{issue}");
    scene.stop().await;
}

#[tokio::test]
async fn a_silent_proxy_is_named_when_the_time_is_up() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh())]).await;
    let proxy = scene.connect(Mood::Content).await;
    proxy.becomes(Mood::Silent);

    let request = Apply { timeout_ms: 300, ..apply(&virtual_service("reviews", "v2")) };
    let reply = scene.client.apply(&request).await.unwrap();

    assert_eq!(reply.pending, [scene::NODE]);
    scene.stop().await;
}

#[tokio::test]
async fn a_bad_object_is_refused_by_name_and_the_good_one_is_written() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh())]).await;

    let text = format!("{}---\n{}", service("bad").replace("9080", "ninety"), service("good"));
    let reply = scene.client.apply(&apply(&text)).await.unwrap();

    let mut actions: Vec<_> = reply.results.iter().map(|r| (r.object.as_str(), r.action)).collect();
    actions.sort();
    assert_eq!(
        actions,
        [("Service/default/bad", Action::Refused), ("Service/default/good", Action::Created)]
    );
    let issue = &reply.issues[0];
    assert_eq!((&*issue.place.file, issue.object.as_str()), ("request.yaml", "Service/default/bad"));
    assert!(scene.path("service-good.yaml").exists() && !scene.path("service-bad.yaml").exists());
    scene.stop().await;
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done_and_writes_nothing() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh())]).await;

    let request = Apply { dry_run: true, ..apply(&format!("{}---\n{}", service("new"), service("reviews"))) };
    let reply = scene.client.apply(&request).await.unwrap();

    let actions: Vec<_> = reply.results.iter().map(|r| r.action).collect();
    assert_eq!(actions, [Action::Created, Action::Unchanged]);
    assert!(!scene.path("service-new.yaml").exists());
    scene.stop().await;
}

#[tokio::test]
async fn a_broken_file_is_reported_with_its_place_and_the_proxy_hears_nothing() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh())]).await;
    let proxy = scene.connect(Mood::Content).await;
    let before = (proxy.heard().len(), scene.client.status().await.unwrap().generation);

    fs::write(scene.path("broken.yaml"), "apiVersion: v1\nkind: Service\nspec:\n  ports: [\n").unwrap();
    scene.until_issue("broken.yaml").await;
    let status = scene.client.status().await.unwrap();

    let issue = &status.issues[0];
    assert!(issue.place.file.ends_with("broken.yaml") && issue.place.line > 0, "{issue}");
    assert_eq!((proxy.heard().len(), status.generation), before);
    scene.stop().await;
}

#[tokio::test]
async fn it_starts_with_the_good_files_and_reports_the_bad() {
    let scene = Scene::start(&[("a.yaml", "kind: [\n"), ("b.yaml", &service("good"))]).await;

    let status = scene.client.status().await.unwrap();

    assert_eq!(status.objects["Service"], 1);
    assert!(status.issues.iter().any(|issue| issue.place.file.ends_with("a.yaml")), "{:?}", status.issues);
    scene.stop().await;
}

#[tokio::test]
async fn workloads_written_by_a_supervisor_are_taken_in() {
    let scene = Scene::start(&[
        ("all.yaml", &service("reviews")),
        (".weft/workloads/w.yaml", &workload("reviews-v1", "v1", "127.77.3.1")),
    ])
    .await;

    let objects = scene.client.resources(Some("we"), None, Some("reviews-v1")).await.unwrap().objects;

    assert_eq!(objects[0].json["spec"]["address"], "127.77.3.1");
    assert!(objects[0].file.ends_with(".weft/workloads/w.yaml"));
    scene.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_the_addresses_of_services() {
    let scene = Scene::start(&[("b.yaml", &service("b")), ("c.yaml", &service("c"))]).await;
    let before = scene.addresses();
    let dir = scene.stop().await;

    fs::write(dir.path().join("a.yaml"), service("a")).unwrap();
    let scene = Scene::start_in(dir).await;
    let after = scene.addresses();

    assert_eq!(before.len(), 2);
    assert!(before.iter().all(|(host, slot)| after.get(host) == Some(slot)), "{before:?} {after:?}");
    assert_eq!(after.len(), 3);
    scene.stop().await;
}

#[tokio::test]
async fn a_second_control_plane_of_one_directory_does_not_start() {
    let scene = Scene::start(&[]).await;

    let second = Control::start(scene.options()).await;

    assert!(matches!(second.err(), Some(StartError::Held { .. })));
    scene.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let scene = Scene::start(&[]).await;
    let other = tempfile::tempdir().unwrap();
    let taken = scene.options().ads;

    let options = crate::Options { dir: other.path().to_owned(), ads: scene.ads, ..scene.options() };
    let refused = Control::start(options).await.err().unwrap();

    assert_eq!(taken.port(), 0);
    assert!(matches!(refused, StartError::Bind { address, .. } if address == scene.ads), "{refused}");
    scene.stop().await;
}

#[tokio::test]
async fn a_running_mesh_is_found_and_a_stopped_one_is_not() {
    let scene = Scene::start(&[]).await;
    let registry = scene.options().registry;

    let only = client::find_in(&registry, None).await.unwrap();
    let named = client::find_in(&registry, Some(scene.path("").as_path())).await.unwrap();
    let status = only.status().await.unwrap();
    let dir = scene.stop().await;
    let gone = client::find_in(&registry, None).await.err().unwrap();
    let gone_by_name = client::find_in(&registry, Some(dir.path())).await.err().unwrap();

    assert_eq!(
        named.status().await.err().map(|e| e.to_string()),
        Some(format!("no control plane is running for {}", dir.path().display()))
    );
    assert_eq!(status.pid, std::process::id());
    assert!(matches!(gone, ClientError::NotRunning { dir: None, .. }));
    assert!(matches!(gone_by_name, ClientError::NotRunning { dir: Some(_), .. }));
}

#[tokio::test]
async fn with_two_meshes_running_one_has_to_be_named() {
    let first = Scene::start(&[]).await;
    let second = Scene::start_with_registry(first.options().registry).await;

    let several = client::find_in(&first.options().registry, None).await.err().unwrap();

    assert!(matches!(&several, ClientError::Several { dirs } if dirs.len() == 2), "{several}");
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn waiting_for_a_proxy_ends_when_it_has_everything() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh())]).await;
    let request = Wait { nodes: vec![scene::NODE.into()], ..Wait::default() };

    let (reply, _proxy) = tokio::join!(scene.client.wait(&request), scene.connect(Mood::Content));

    assert_eq!(reply.unwrap().pending, Vec::<String>::new());
    scene.stop().await;
}

#[tokio::test]
async fn readiness_metrics_and_syncz_are_served() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh())]).await;
    let _proxy = scene.connect(Mood::Content).await;

    let ready = scene.fetch("/ready").await;
    let metrics = scene.fetch("/metrics").await;
    let syncz = scene.fetch("/debug/syncz").await;

    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    assert!(metrics.contains("\npilot_services 1\n") && metrics.contains("\npilot_xds 1\n"), "{metrics}");
    let body = syncz.split_once("\r\n\r\n").unwrap().1;
    let rows: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(rows[0]["proxy"], "reviews-v1.default");
    assert_eq!(rows[0]["cluster_sent"], rows[0]["cluster_acked"]);
    assert!(scene.fetch("/none").await.starts_with("HTTP/1.1 404 "));
    scene.stop().await;
}

#[tokio::test]
async fn a_directory_that_vanishes_and_returns_is_obeyed_again_and_nothing_is_lost_meanwhile() {
    let scene = Scene::start(&[("mesh.yaml", &scene::mesh())]).await;
    let proxy = scene.connect(Mood::Content).await;
    let before = proxy.heard().len();

    fs::rename(scene.path(""), scene.aside()).unwrap();
    scene.until_issue(scene.path("").file_name().unwrap().to_str().unwrap()).await;
    let meanwhile = proxy.heard().len();
    fs::create_dir(scene.path("")).unwrap();
    fs::copy(scene.aside().join("mesh.yaml"), scene.path("mesh.yaml")).unwrap();
    scene.until_answering().await;
    let reply = scene.client.apply(&apply(&virtual_service("reviews", "v2"))).await.unwrap();

    assert_eq!(meanwhile, before);
    assert_eq!((reply.pending, reply.results[0].action), (vec![], Action::Created));
    assert!(proxy.knows("|v2|reviews"));
    fs::remove_dir_all(scene.aside()).unwrap();
    scene.stop().await;
}

#[tokio::test]
async fn nonsense_on_the_socket_is_answered_with_what_is_wrong() {
    let scene = Scene::start(&[]).await;

    for (head, expected) in [
        (
            "POST /apply HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nconnection: close\r\n\r\n{{{",
            "HTTP/1.1 400 ",
        ),
        (
            "POST /apply HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 413 ",
        ),
        ("GET /apply HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "HTTP/1.1 405 "),
        ("GET /resources?kind=job HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "HTTP/1.1 400 "),
        ("GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "HTTP/1.1 404 "),
        ("\0\0\0\r\n\r\n", "HTTP/1.1 400 "),
    ] {
        let answer = scene.say(head).await;

        assert!(answer.starts_with(expected), "{head:?}: {answer:?}");
    }
    scene.stop().await;
}

fn secret() -> String {
    let pem = |what: &str| format!("-----BEGIN {what}-----\\nUNSPEAKABLE\\n-----END {what}-----\\n");
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: web}}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: \"{}\"\n  tls.key: \"{}\"\n",
        pem("CERTIFICATE"),
        pem("PRIVATE KEY"),
    )
}

#[tokio::test]
async fn keys_leave_over_the_meshs_socket_only() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh()), ("secret.yaml", &secret())]).await;

    let far = scene.connect(Mood::Content).await;
    let far_heard = far.heard();
    far.vanish().await;
    let near = scene.connect_privately().await;

    let secrets = |heard: &[xds::Update]| -> Vec<(Vec<String>, Vec<String>)> {
        let of_secrets = heard.iter().filter(|update| update.ty == xds::TypeUrl::Secret);
        let names = |update: &xds::Update| update.added.iter().map(|added| added.name.clone()).collect();
        of_secrets.map(|update| (names(update), update.removed.clone())).collect()
    };
    let (file, inline) = (scene::FILE_SECRET.to_owned(), scene::SECRET.to_owned());
    assert_eq!(secrets(&far_heard), [(vec![file.clone()], vec![inline.clone()])]);
    assert_eq!(secrets(&near.heard()), [(vec![file, inline], vec![])]);
    assert!(near.knows("UNSPEAKABLE"));
    scene.stop().await;
}

#[tokio::test]
async fn a_changed_secret_is_sent_again() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh()), ("secret.yaml", &secret())]).await;
    let proxy = scene.connect_privately().await;

    let reply = scene.client.apply(&apply(&secret().replace("UNSPEAKABLE", "UNHEARD OF"))).await.unwrap();

    assert_eq!((reply.pending, reply.results[0].action), (vec![], Action::Configured));
    assert!(proxy.knows("UNHEARD OF"));
    scene.stop().await;
}

#[tokio::test]
async fn the_meshs_socket_survives_the_loss_of_its_directory_and_so_do_its_streams() {
    let scene = Scene::start(&[("mesh.yaml", &scene::mesh())]).await;
    let proxy = scene.connect_privately().await;

    fs::rename(scene.path(""), scene.aside()).unwrap();
    scene.until_issue(scene.path("").file_name().unwrap().to_str().unwrap()).await;
    fs::create_dir(scene.path("")).unwrap();
    fs::copy(scene.aside().join("mesh.yaml"), scene.path("mesh.yaml")).unwrap();
    scene.until_answering().await;
    let reply = scene.client.apply(&apply(&virtual_service("reviews", "v2"))).await.unwrap();

    assert_eq!((reply.pending, reply.disconnected), (vec![], vec![]));
    assert!(proxy.knows("|v2|reviews"));
    proxy.vanish().await;
    let _back = scene.connect_privately().await;
    fs::remove_dir_all(scene.aside()).unwrap();
    scene.stop().await;
}

#[tokio::test]
async fn create_and_replace_mind_what_is_there() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh())]).await;
    let attempt = async |mode, dry_run| {
        let request = Apply { mode, dry_run, ..apply(&virtual_service("reviews", "v1")) };
        let reply = scene.client.apply(&request).await.unwrap();
        (reply.results[0].action, reply.issues.into_iter().map(|issue| issue.message).next())
    };
    let words = |end: &str| Some(format!("virtualservices.networking.istio.io \"reviews\" {end}"));

    for dry_run in [true, false] {
        assert_eq!(attempt(Mode::Replace, dry_run).await, (Action::Missing, words("not found")));
    }
    assert_eq!(attempt(Mode::Create, true).await, (Action::Created, None));
    assert_eq!(attempt(Mode::Create, false).await, (Action::Created, None));
    for dry_run in [true, false] {
        assert_eq!(attempt(Mode::Create, dry_run).await, (Action::Refused, words("already exists")));
    }
    assert_eq!(attempt(Mode::Replace, false).await, (Action::Unchanged, None));
    scene.stop().await;
}

#[tokio::test]
async fn validating_tells_what_would_be_wrong_and_touches_nothing() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh())]).await;
    let lost = virtual_service("reviews", "v9");
    let text = format!("{}---\n{lost}", service("bad").replace("9080", "ninety"));
    let document = Document { file: "request.yaml".into(), text };

    let reply = scene.client.validate(&Validate { documents: vec![document] }).await.unwrap();

    let actions: Vec<_> = reply.results.iter().map(|r| (r.object.as_str(), r.action)).collect();
    assert_eq!(
        actions,
        [("Service/default/bad", Action::Refused), ("VirtualService/default/reviews", Action::Valid)]
    );
    let objects: Vec<&str> = reply.issues.iter().map(|issue| issue.object.as_str()).collect();
    assert!(objects.contains(&"Service/default/bad"), "{objects:?}");
    assert!(objects.contains(&"VirtualService/default/reviews"), "the subset v9 does not exist: {objects:?}");
    assert!(scene.client.resources(Some("vs"), None, None).await.unwrap().objects.is_empty());
    scene.stop().await;
}

#[tokio::test]
async fn objects_of_several_kinds_are_read_at_once() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh())]).await;

    let objects = scene.client.resources(Some("svc,dr"), None, Some("reviews")).await.unwrap().objects;

    let kinds: Vec<&str> = objects.iter().map(|object| object.kind.as_str()).collect();
    assert_eq!(kinds, ["DestinationRule", "Service"]);
    scene.stop().await;
}

#[tokio::test]
async fn who_was_here_and_is_not_is_named_and_not_taken_for_acknowledging() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh())]).await;
    let proxy = scene.connect(Mood::Content).await;
    proxy.vanish().await;

    let request = Apply { timeout_ms: 200, ..apply(&virtual_service("reviews", "v2")) };
    let reply = scene.client.apply(&request).await.unwrap();

    assert_eq!((reply.pending, reply.disconnected), (vec![], vec![scene::NODE.to_owned()]));
    scene.stop().await;
}

#[tokio::test]
async fn a_proxy_that_is_back_in_time_is_waited_for() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh())]).await;
    scene.connect_privately().await.vanish().await;

    // Its process, which is this one, lives: it is expected however long it takes.
    let request = Apply { timeout_ms: 20_000, ..apply(&virtual_service("reviews", "v2")) };
    let back = async {
        scene.until_generation(2).await;
        scene.connect_privately().await
    };
    let (reply, back) = tokio::join!(scene.client.apply(&request), back);

    let reply = reply.unwrap();
    assert_eq!((reply.pending, reply.disconnected), (vec![], vec![]));
    assert!(back.knows("|v2|reviews"));
    scene.stop().await;
}

#[tokio::test]
async fn two_hundred_proxies_of_one_scope_cost_the_translation_of_one() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh())]).await;
    let _first = scene.connect(Mood::Content).await;
    let one = scene.made();
    let names: Vec<String> =
        (0..200).map(|n| scene::NODE.replace("reviews-v1.", &format!("reviews-v1-{n}."))).collect();

    let proxies: Vec<_> =
        names.iter().map(|name| scene.attach(base::Discovery::Tcp(scene.ads), name, Mood::Content)).collect();
    scene.until_settled(&names).await;
    let all = scene.made();
    let moved = scene::workload("reviews-v1", "v1", "127.77.9.1");
    let reply = scene.client.apply(&apply(&moved)).await.unwrap();
    let after = scene.made();

    assert!(one > 0);
    assert_eq!(all, one, "nothing is made for the second and later");
    assert_eq!((reply.pending, reply.disconnected), (vec![], vec![]));
    // The service as a whole and its subset v1.
    assert!(after - all <= 4, "{} resources were made for one endpoint", after - all);
    assert!(proxies.iter().all(|proxy| proxy.knows("127.77.9.1")));
    scene.stop().await;
}

#[tokio::test]
async fn an_endpoint_change_sends_its_resources_to_those_who_asked_and_nothing_to_others() {
    let other = format!("---\n{}", service("other"));
    let scene = Scene::start(&[("all.yaml", &(scene::mesh() + &other))]).await;
    let asks = scene.connect(Mood::Content).await;
    // It takes no clusters, so it asks for no endpoints.
    let name = scene::NODE.replace("reviews-v1.", "reviews-v2.");
    let does_not = scene.attach(base::Discovery::Tcp(scene.ads), &name, Mood::Refusing);
    let wait = Wait { nodes: vec![name.clone()], ..Wait::default() };
    assert_eq!(scene.client.wait(&wait).await.unwrap().pending, [name]);
    let before = (asks.heard().len(), does_not.heard().len());
    let made = scene.made();

    let moved = scene::workload("reviews-v1", "v1", "127.77.9.1");
    let reply = scene.client.apply(&apply(&moved)).await.unwrap();

    assert_eq!(reply.pending, Vec::<String>::new());
    let [told] = &asks.heard()[before.0..] else { panic!("{:?}", asks.heard()) };
    let names: Vec<&str> = told.added.iter().map(|added| added.name.as_str()).collect();
    let expected = ["outbound|9080|v1|reviews", "outbound|9080||reviews"];
    assert_eq!((told.ty, told.removed.len()), (TypeUrl::Endpoint, 0));
    assert_eq!(names, expected.map(|name| format!("{name}.default.svc.cluster.local")));
    assert_eq!(does_not.heard().len(), before.1);
    assert_eq!(scene.made() - made, 2, "each is made once, and nothing else is");
    scene.stop().await;
}

#[tokio::test]
async fn the_meshs_settings_are_a_config_map_that_is_reloaded() {
    let scene = Scene::start(&[("all.yaml", &scene::mesh())]).await;
    let mode = async || {
        let page = scene.fetch("/debug/mesh").await;
        let body: serde_json::Value = serde_json::from_str(page.split_once("\r\n\r\n").unwrap().1).unwrap();
        body["outboundTrafficPolicy"]["mode"].as_str().unwrap().to_owned()
    };
    let before = mode().await;

    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n";
    let reply = scene.client.apply(&apply(map)).await.unwrap();

    assert_eq!(reply.results[0].action, Action::Created, "{reply:?}");
    assert_eq!((before.as_str(), mode().await.as_str()), ("ALLOW_ANY", "REGISTRY_ONLY"));
    scene.stop().await;
}

#[tokio::test]
async fn a_file_of_settings_is_reloaded_too() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mesh-config.yaml");
    fs::write(&file, "rootNamespace: one\n").unwrap();
    let scene = Scene::start_with_mesh_config(file.clone()).await;
    let before = scene.mesh_config().root_namespace.clone();

    fs::write(&file, "rootNamespace: another\n").unwrap();
    scene.until_root_namespace("another").await;

    assert_eq!(before, "one");
    scene.stop().await;
}
