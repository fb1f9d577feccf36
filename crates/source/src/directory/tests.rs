#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use api::{Key, Kind, Resource};
use tempfile::{TempDir, tempdir};

use super::*;
use crate::Verb;

/// No test waits longer than this for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

struct Scene {
    dir: TempDir,
    directory: Directory,
    changes: Changes,
}

impl Scene {
    /// A directory in which these files stand, watched, its first change received. Nothing but a notification
    /// makes it look again.
    async fn open(files: &[(&str, &str)]) -> Self {
        Self::open_with(files, |options| options).await
    }

    async fn open_with(files: &[(&str, &str)], with: impl FnOnce(Options) -> Options) -> Self {
        let dir = tempdir().unwrap();
        for (path, text) in files {
            write(&dir.path().join(path), text);
        }
        let rescan = Duration::from_secs(3600);
        let options = Options { rescan, ..Options::new(dir.path()) };
        let (directory, changes) = Directory::open(with(options)).unwrap();
        let mut scene = Self { dir, directory, changes };
        scene.next().await;
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn next(&mut self) -> Change {
        tokio::time::timeout(PATIENCE, self.changes.next()).await.expect("a change in time").unwrap()
    }

    /// The ports of the services the next changes bring, until one brings `wanted`.
    async fn until(&mut self, wanted: &str) {
        loop {
            if ports(&self.next().await).iter().any(|port| port == wanted) {
                return;
            }
        }
    }

    async fn until_deleted(&mut self, name: &str) {
        while !self.next().await.deletes.iter().any(|key| *key.name == *name) {}
    }

    async fn put(&self, resource: Resource) -> Written {
        self.directory.write(vec![Edit::Put(resource)]).await.written.remove(0).unwrap()
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  ports:\n  - name: http\n    port: {port}\n"
    )
}

fn resource(text: &str) -> Resource {
    let parsed = api::parse("request", text.as_bytes());
    parsed.resources.into_iter().next().unwrap_or_else(|| panic!("{:?}", parsed.issues))
}

fn key(name: &str) -> Key {
    Key::new(Kind::Service, "default", name)
}

fn ports(change: &Change) -> Vec<String> {
    change
        .upserts
        .iter()
        .map(|r| format!("{}={}", r.meta().name, r.to_json()["spec"]["ports"][0]["port"]))
        .collect()
}

#[tokio::test]
async fn a_file_written_in_place_is_read() {
    let mut scene = Scene::open(&[("a.yaml", &service("a", 1))]).await;

    fs::write(scene.path("a.yaml"), service("a", 2)).unwrap();

    scene.until("a=2").await;
}

#[tokio::test]
async fn a_file_renamed_over_another_is_read() {
    let mut scene = Scene::open(&[("a.yaml", &service("a", 1))]).await;

    fs::write(scene.path(".a.yaml.swp"), service("a", 2)).unwrap();
    fs::rename(scene.path(".a.yaml.swp"), scene.path("a.yaml")).unwrap();

    scene.until("a=2").await;
}

#[tokio::test]
async fn an_editor_that_keeps_a_backup_causes_one_change_and_no_gap() {
    let patient = |options| Options { grace: PATIENCE, ..options };
    let mut scene = Scene::open_with(&[("a.yaml", &service("a", 1))], patient).await;

    fs::rename(scene.path("a.yaml"), scene.path("a.yaml~")).unwrap();
    fs::write(scene.path("a.yaml"), service("a", 2)).unwrap();
    fs::remove_file(scene.path("a.yaml~")).unwrap();

    let change = scene.next().await;
    assert_eq!((ports(&change), change.deletes), (vec!["a=2".to_owned()], vec![]));
}

#[tokio::test]
async fn a_mounted_config_map_changes_all_of_its_files_by_one_link() {
    let mut scene = Scene::open(&[
        ("..1/a.yaml", &service("a", 1)),
        ("..2/a.yaml", &service("a", 2)),
        ("b.yaml", &service("b", 1)),
    ])
    .await;
    symlink("..1", scene.path("..data")).unwrap();
    symlink("..data/a.yaml", scene.path("a.yaml")).unwrap();
    scene.until("a=1").await;

    symlink("..2", scene.path("..tmp")).unwrap();
    fs::rename(scene.path("..tmp"), scene.path("..data")).unwrap();

    scene.until("a=2").await;
}

#[tokio::test]
async fn a_file_in_a_new_directory_is_read() {
    let mut scene = Scene::open(&[]).await;

    write(&scene.path("x/y/z/a.yaml"), &service("a", 1));
    scene.until("a=1").await;
    write(&scene.path("x/y/z/a.yaml"), &service("a", 2));

    scene.until("a=2").await;
}

#[tokio::test]
async fn a_deleted_file_takes_its_objects_along() {
    let mut scene = Scene::open(&[("a.yaml", &service("a", 1))]).await;

    fs::remove_file(scene.path("a.yaml")).unwrap();

    scene.until_deleted("a").await;
}

#[tokio::test]
async fn a_broken_file_is_reported_with_its_line_and_hides_nothing() {
    let mut scene = Scene::open(&[("a.yaml", &service("a", 1))]).await;

    fs::write(scene.path("broken.yaml"), "apiVersion: v1\nkind: Service\n  name: [\n").unwrap();
    let change = scene.next().await;

    let issue = &change.issues[0];
    assert_eq!(&*issue.place.file, scene.path("broken.yaml").to_str().unwrap());
    assert!(issue.place.line > 0, "{issue}");
    assert_eq!((change.upserts.len(), change.deletes.len()), (0, 0));
}

#[tokio::test]
async fn a_directory_that_vanishes_and_returns_is_read_again() {
    let mut scene = Scene::open_with(&[("mesh/a.yaml", &service("a", 1))], |options| Options {
        root: options.root.join("mesh"),
        ..options
    })
    .await;

    fs::rename(scene.path("mesh"), scene.path("elsewhere")).unwrap();
    write(&scene.path("fresh/a.yaml"), &service("a", 2));
    fs::rename(scene.path("fresh"), scene.path("mesh")).unwrap();
    scene.until("a=2").await;
    fs::write(scene.path("mesh/a.yaml"), service("a", 3)).unwrap();

    scene.until("a=3").await;
}

#[tokio::test]
async fn a_deleted_directory_is_reported_and_its_objects_stay() {
    let mut scene = Scene::open_with(&[("mesh/a.yaml", &service("a", 1))], |options| Options {
        root: options.root.join("mesh"),
        ..options
    })
    .await;

    fs::rename(scene.path("mesh/a.yaml"), scene.path("a.yaml")).unwrap();
    fs::remove_dir_all(scene.path("mesh")).unwrap();
    let change = scene.next().await;

    assert_eq!(change.issues[0].code, "unreadable-directory");
    assert_eq!(change.deletes, []);
}

#[tokio::test]
async fn what_no_notification_tells_is_found_by_looking_now_and_then() {
    let elsewhere = tempdir().unwrap();
    write(&elsewhere.path().join("target"), &service("a", 1));
    let mut scene =
        Scene::open_with(&[], |options| Options { rescan: Duration::from_millis(20), ..options }).await;
    symlink(elsewhere.path().join("target"), scene.path("a.yaml")).unwrap();
    scene.until("a=1").await;

    fs::write(elsewhere.path().join("target"), service("a", 2)).unwrap();

    scene.until("a=2").await;
}

#[tokio::test]
async fn a_machines_directory_is_read_once_it_exists() {
    let mut scene = Scene::open_with(&[], |options| {
        let extra = options.root.join(".weft/workloads");
        Options { rescan: Duration::from_millis(20), ..options }.and(extra)
    })
    .await;

    write(&scene.path(".weft/workloads/a.yaml"), &service("a", 1));

    scene.until("a=1").await;
}

#[tokio::test]
async fn a_new_object_gets_a_file_of_its_own() {
    let mut scene = Scene::open(&[]).await;

    let plain = scene.put(resource(&service("a", 1))).await;
    let other = scene.put(resource(&service("a", 2).replace("name: a", "name: a\n  namespace: demo"))).await;

    assert_eq!((plain.verb, plain.path), (Verb::Created, scene.path("service-a.yaml")));
    assert_eq!((other.verb, other.path), (Verb::Created, scene.path("demo/service-a.yaml")));
    scene.until("a=2").await;
}

#[tokio::test]
async fn an_object_is_replaced_where_it_stands_and_its_neighbours_keep_every_byte() {
    let first = format!("# mine\n{}---\n# theirs\n{}", service("a", 1), service("b", 2));
    let mut scene = Scene::open(&[("both.yaml", &first)]).await;

    let written = scene.put(resource(&service("b", 3))).await;

    assert_eq!(written.verb, Verb::Configured);
    let text = fs::read_to_string(scene.path("both.yaml")).unwrap();
    assert!(text.starts_with(&format!("# mine\n{}---\n", service("a", 1))), "{text}");
    assert!(text.contains("port: 3"), "{text}");
    scene.until("b=3").await;
}

#[tokio::test]
async fn what_must_be_new_is_not_written_over_what_is_there_nor_the_other_way_round() {
    let scene = Scene::open(&[("a.yaml", &service("a", 1))]).await;
    let (known, new) = (resource(&service("a", 2)), resource(&service("b", 2)));
    let edits = vec![
        Edit::Create(known.clone()),
        Edit::Replace(new.clone()),
        Edit::Create(new),
        Edit::Replace(known),
    ];

    let written = scene.directory.write(edits).await.written;

    assert!(matches!(written[0], Err(StoreError::Exists(_))), "{written:?}");
    assert!(matches!(written[1], Err(StoreError::Absent(_))), "{written:?}");
    let verbs: Vec<Verb> = written[2..].iter().map(|written| written.as_ref().unwrap().verb).collect();
    assert_eq!(verbs, [Verb::Created, Verb::Configured]);
}

#[tokio::test]
async fn an_object_that_says_the_same_touches_no_file() {
    let text = format!("# a comment\n{}", service("a", 1));
    let scene = Scene::open(&[("mine.yaml", &text)]).await;

    let written = scene.put(resource(&service("a", 1))).await;

    assert_eq!(written.verb, Verb::Unchanged);
    assert_eq!(fs::read_to_string(scene.path("mine.yaml")).unwrap(), text);
}

#[tokio::test]
async fn an_object_that_is_replaced_brings_its_own_comments() {
    let scene = Scene::open(&[("mine.yaml", &format!("# a comment\n{}", service("a", 1)))]).await;
    let text = format!("# another comment\n{}", service("a", 1));

    for verb in [Verb::Configured, Verb::Unchanged] {
        let written = scene.directory.write(vec![Edit::Replace(resource(&text))]).await.written;

        assert_eq!(written[0].as_ref().unwrap().verb, verb);
        assert_eq!(fs::read_to_string(scene.path("mine.yaml")).unwrap(), text);
    }
}

#[tokio::test]
async fn an_object_refused_where_it_stands_is_mended_there() {
    let mut scene = Scene::open(&[("mine.yaml", &service("a", 1).replace("port: 1", "port: one"))]).await;

    let written = scene.put(resource(&service("a", 1))).await;

    assert_eq!((written.verb, written.path), (Verb::Configured, scene.path("mine.yaml")));
    scene.until("a=1").await;
}

#[tokio::test]
async fn the_last_object_takes_its_file_along() {
    let mut scene =
        Scene::open(&[("both.yaml", &format!("{}---\n{}", service("a", 1), service("b", 2)))]).await;

    let first = scene.directory.write(vec![Edit::Remove(key("a"))]).await;
    let second = scene.directory.write(vec![Edit::Remove(key("b"))]).await;

    assert_eq!(first.written[0].as_ref().unwrap().verb, Verb::Deleted);
    assert_eq!(second.written[0].as_ref().unwrap().verb, Verb::Deleted);
    assert!(!scene.path("both.yaml").exists());
    scene.until_deleted("b").await;
}

#[tokio::test]
async fn an_object_is_removed_from_every_file_that_holds_it() {
    let mut scene = Scene::open(&[("a.yaml", &service("x", 1)), ("b.yaml", &service("x", 2))]).await;

    let receipt = scene.directory.write(vec![Edit::Remove(key("x"))]).await;

    assert_eq!(receipt.written[0].as_ref().unwrap().verb, Verb::Deleted);
    assert!(!scene.path("a.yaml").exists() && !scene.path("b.yaml").exists());
    scene.until_deleted("x").await;
}

#[tokio::test]
async fn what_is_not_there_cannot_be_removed() {
    let scene = Scene::open(&[]).await;

    let receipt = scene.directory.write(vec![Edit::Remove(key("a"))]).await;

    assert!(matches!(receipt.written[0], Err(StoreError::Absent(_))));
}

#[tokio::test]
async fn a_receipt_names_the_change_that_tells_of_its_edits() {
    let mut scene = Scene::open(&[]).await;

    let edits = vec![Edit::Put(resource(&service("a", 1))), Edit::Put(resource(&service("b", 2)))];
    let receipt = scene.directory.write(edits).await;
    let change = scene.next().await;

    assert_eq!(change.sequence, receipt.sequence);
    assert_eq!(ports(&change), ["a=1", "b=2"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_understood_is_not_edited() {
    let mut scene = Scene::open(&[("a.yaml", &service("a", 1))]).await;
    let broken = "apiVersion: v1\nkind: [\n";
    fs::write(scene.path("a.yaml"), broken).unwrap();
    scene.next().await;

    let receipt = scene.directory.write(vec![Edit::Put(resource(&service("a", 2)))]).await;

    assert!(matches!(receipt.written[0], Err(StoreError::Uneditable { .. })), "{receipt:?}");
    assert_eq!(fs::read_to_string(scene.path("a.yaml")).unwrap(), broken);
}

#[tokio::test]
async fn dropping_the_directory_ends_the_changes() {
    let Scene { dir: _dir, directory, mut changes } = Scene::open(&[]).await;

    drop(directory);

    assert!(changes.next().await.is_none());
}
