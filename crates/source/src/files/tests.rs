#![allow(clippy::unwrap_used)]

use api::Kind;

use super::*;

const GRACE: Duration = Duration::from_millis(100);

/// A state machine with a clock of its own, fed whole directories.
struct Scene {
    files: Files,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Self { files: Files::new(GRACE), now: Instant::now() }
    }

    fn wait(&mut self, millis: u64) -> &mut Self {
        self.now += Duration::from_millis(millis);
        self
    }

    fn see(&mut self, files: &[(&str, &str)]) -> Told {
        let contents: Vec<_> =
            files.iter().map(|(path, text)| (*path, Content::Bytes(text.as_bytes().to_vec()))).collect();
        self.see_contents(contents)
    }

    fn see_contents(&mut self, files: Vec<(&str, Content)>) -> Told {
        let files = files.into_iter().map(|(path, content)| (path.into(), content)).collect();
        self.observe(Seen { files, ..Seen::default() })
    }

    fn observe(&mut self, seen: Seen) -> Told {
        Told::new(self.files.observe(seen, self.now))
    }

    fn in_force(&self) -> Vec<String> {
        self.files
            .in_force
            .iter()
            .map(|(key, held)| format!("{}={}", key.name, port(&held.resource)))
            .collect()
    }
}

/// A change in short.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    upserts: Vec<String>,
    deletes: Vec<String>,
    codes: Vec<String>,
    is_change: bool,
}

impl Told {
    fn new(change: Option<Change>) -> Self {
        let is_change = change.is_some();
        let change = change.unwrap_or_default();
        let upserts = change.upserts.iter();
        Self {
            upserts: upserts.map(|r| format!("{}={}", r.meta().name, port(r))).collect(),
            deletes: change.deletes.iter().map(|key| key.name.to_string()).collect(),
            codes: change.issues.iter().map(|issue| format!("{} {}", issue.code, issue.place.file)).collect(),
            is_change,
        }
    }
}

fn port(resource: &Resource) -> String {
    resource.to_json()["spec"]["ports"][0]["port"].to_string()
}

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  ports:\n  - name: http\n    port: {port}\n"
    )
}

/// A service whose identity can be read and whose specification cannot.
fn refused(name: &str) -> String {
    service(name, 80).replace("port: 80", "port: eighty")
}

const BROKEN: &str = "apiVersion: v1\nkind: [\n";

#[test]
fn every_file_of_the_first_look_is_told() {
    let mut scene = Scene::new();

    let told = scene.see(&[("a.yaml", &service("a", 1)), ("b.yaml", &service("b", 2))]);

    assert_eq!(told.upserts, ["a=1", "b=2"]);
}

#[test]
fn a_look_that_sees_nothing_new_is_not_told() {
    let mut scene = Scene::new();
    scene.see(&[("a.yaml", &service("a", 1))]);

    let same = scene.see_contents(vec![("a.yaml", Content::Same)]);
    let reread = scene.see(&[("a.yaml", &service("a", 1))]);

    assert_eq!((same.is_change, reread.is_change), (false, false));
}

#[test]
fn only_what_changed_is_told() {
    let mut scene = Scene::new();
    let both = |port| format!("{}---\n{}", service("a", 1), service("b", port));
    scene.see(&[("a.yaml", &both(2))]);

    let told = scene.see(&[("a.yaml", &both(3))]);

    assert_eq!(told.upserts, ["b=3"]);
}

#[test]
fn a_file_that_no_longer_parses_leaves_its_objects_in_force() {
    let mut scene = Scene::new();
    scene.see(&[("a.yaml", &service("a", 1)), ("b.yaml", &service("b", 2))]);

    let told = scene.see(&[("a.yaml", BROKEN), ("b.yaml", &service("b", 3))]);
    scene.wait(1000).see(&[("a.yaml", BROKEN), ("b.yaml", &service("b", 3))]);

    assert_eq!((told.upserts, told.deletes), (vec!["b=3".to_owned()], vec![]));
    assert!(!told.codes.is_empty() && told.codes.iter().all(|code| code.ends_with(" a.yaml")));
    assert_eq!(scene.in_force(), ["a=1", "b=3"]);
}

#[test]
fn a_refused_object_leaves_its_last_good_version_and_its_neighbours_in_force() {
    let mut scene = Scene::new();
    scene.see(&[("a.yaml", &format!("{}---\n{}", service("a", 1), service("b", 2)))]);

    let told = scene.see(&[("a.yaml", &format!("{}---\n{}", refused("a"), service("b", 3)))]);
    scene.wait(1000).see(&[("a.yaml", &format!("{}---\n{}", refused("a"), service("b", 3)))]);

    assert_eq!(told.upserts, ["b=3"]);
    assert_eq!(scene.in_force(), ["a=1", "b=3"]);
}

#[test]
fn an_object_that_was_never_good_is_reported_and_not_in_force() {
    let mut scene = Scene::new();

    let told = scene.see(&[("a.yaml", &refused("a")), ("b.yaml", &service("b", 2))]);

    assert_eq!(told.upserts, ["b=2"]);
    assert!(!told.codes.is_empty());
    assert_eq!(scene.files.holders(&Key::new(Kind::Service, "default", "a")).count(), 1);
}

#[test]
fn a_mended_file_is_in_force_again_and_its_issues_are_gone() {
    let mut scene = Scene::new();
    scene.see(&[("a.yaml", &service("a", 1))]);
    scene.see(&[("a.yaml", BROKEN)]);

    let told = scene.see(&[("a.yaml", &service("a", 2))]);

    assert_eq!((told.upserts, told.codes), (vec!["a=2".to_owned()], vec![]));
}

#[test]
fn unreadable_and_oversized_files_leave_their_objects_in_force() {
    for content in [Content::Unreadable("permission denied".into()), Content::TooLarge(10_000_000)] {
        let mut scene = Scene::new();
        scene.see(&[("a.yaml", &service("a", 1))]);

        let told = scene.see_contents(vec![("a.yaml", content)]);
        scene.wait(1000).see_contents(vec![("a.yaml", Content::Same)]);

        assert_eq!(told.codes.len(), 1, "{told:?}");
        assert_eq!(scene.in_force(), ["a=1"]);
    }
}

#[test]
fn text_that_is_not_utf8_is_reported_and_leaves_its_objects_in_force() {
    let mut scene = Scene::new();
    scene.see(&[("a.yaml", &service("a", 1))]);

    let told = scene.see_contents(vec![("a.yaml", Content::Bytes(vec![0xff, 0xfe, 0x00, 0x80]))]);

    assert!(!told.codes.is_empty());
    assert_eq!(scene.in_force(), ["a=1"]);
}

#[test]
fn a_deleted_file_takes_its_objects_along_after_a_moment() {
    let mut scene = Scene::new();
    scene.see(&[("a.yaml", &service("a", 1)), ("b.yaml", &service("b", 2))]);

    let at_once = scene.see(&[("b.yaml", &service("b", 2))]);
    let deadline = scene.files.deadline();
    let later = scene.wait(100).see(&[("b.yaml", &service("b", 2))]);

    assert!(!at_once.is_change);
    assert_eq!(deadline, Some(scene.now));
    assert_eq!(later.deletes, ["a"]);
    assert_eq!(scene.files.deadline(), None);
}

#[test]
fn a_file_that_is_deleted_and_written_anew_changes_without_a_gap() {
    let mut scene = Scene::new();
    scene.see(&[("a.yaml", &service("a", 1))]);

    let gone = scene.see(&[]);
    let back = scene.wait(50).see(&[("a.yaml", &service("a", 2))]);
    let after = scene.wait(1000).see(&[("a.yaml", &service("a", 2))]);

    assert!(!gone.is_change);
    assert_eq!((back.upserts, back.deletes), (vec!["a=2".to_owned()], vec![]));
    assert!(!after.is_change);
}

#[test]
fn a_file_that_is_empty_for_a_moment_changes_nothing() {
    let mut scene = Scene::new();
    scene.see(&[("a.yaml", &service("a", 1))]);

    let empty = scene.see(&[("a.yaml", "")]);
    let full = scene.wait(50).see(&[("a.yaml", &service("a", 1))]);

    assert!(!empty.is_change);
    assert!(!full.is_change);
    assert_eq!(scene.files.deadline(), None);
}

#[test]
fn a_document_taken_out_of_its_file_is_gone_after_a_moment() {
    let mut scene = Scene::new();
    scene.see(&[("a.yaml", &format!("{}---\n{}", service("a", 1), service("b", 2)))]);

    scene.see(&[("a.yaml", &service("a", 1))]);
    let later = scene.wait(100).see_contents(vec![("a.yaml", Content::Same)]);

    assert_eq!(later.deletes, ["b"]);
}

#[test]
fn what_our_own_hand_removed_is_gone_at_once() {
    let mut scene = Scene::new();
    scene.see(&[
        ("a.yaml", &format!("{}---\n{}", service("a", 1), service("b", 2))),
        ("c.yaml", &service("c", 3)),
    ]);

    let told = scene.observe(Seen {
        files: [("a.yaml".into(), Content::Bytes(service("a", 1).into_bytes()))].into(),
        ours: ["a.yaml".into(), "c.yaml".into()].into(),
        ..Seen::default()
    });

    assert_eq!(told.deletes, ["b", "c"]);
}

#[test]
fn a_vanished_directory_leaves_everything_in_force() {
    let mut scene = Scene::new();
    scene.see(&[("mesh/a.yaml", &service("a", 1)), ("mesh/sub/b.yaml", &service("b", 2))]);
    let vanished = || Seen { closed: [("mesh".into(), "it is not there".into())].into(), ..Seen::default() };

    let told = scene.observe(vanished());
    let later = scene.wait(10_000).observe(vanished());
    let back = scene.see(&[("mesh/a.yaml", &service("a", 3)), ("mesh/sub/b.yaml", &service("b", 2))]);

    assert_eq!((told.deletes, told.codes), (vec![], vec!["unreadable-directory mesh".to_owned()]));
    assert!(!later.is_change);
    assert_eq!(scene.files.deadline(), None);
    assert_eq!((back.upserts, back.deletes, back.codes), (vec!["a=3".to_owned()], vec![], vec![]));
}

#[test]
fn a_directory_that_cannot_be_read_shields_only_what_is_below_it() {
    let mut scene = Scene::new();
    scene.see(&[("mesh/sub/a.yaml", &service("a", 1)), ("mesh/subway.yaml", &service("b", 2))]);
    let closed = || Seen { closed: [("mesh/sub".into(), "denied".into())].into(), ..Seen::default() };

    scene.observe(closed());
    let later = scene.wait(100).observe(closed());

    assert_eq!(later.deletes, ["b"]);
    assert_eq!(scene.in_force(), ["a=1"]);
}

#[test]
fn an_object_in_two_files_is_taken_from_the_first_and_both_are_named() {
    let mut scene = Scene::new();

    scene.files.observe(
        Seen {
            files: [
                ("a.yaml".into(), Content::Bytes(service("x", 1).into_bytes())),
                ("b.yaml".into(), Content::Bytes(service("x", 2).into_bytes())),
            ]
            .into(),
            ..Seen::default()
        },
        scene.now,
    );

    let issue = &scene.files.issues[0];
    assert_eq!(scene.in_force(), ["x=1"]);
    assert_eq!((issue.code.as_str(), &*issue.place.file), ("duplicate-object", "b.yaml"));
    assert_eq!((issue.place.line, issue.object.as_str()), (1, "Service/default/x"));
    assert!(issue.message.contains("a.yaml"), "{issue}");
}

#[test]
fn a_second_file_does_not_displace_the_one_in_force_even_if_it_comes_first_by_name() {
    let mut scene = Scene::new();
    scene.see(&[("b.yaml", &service("x", 2))]);

    let told = scene.see(&[("a.yaml", &service("x", 1)), ("b.yaml", &service("x", 2))]);

    assert_eq!((told.upserts, told.codes), (vec![], vec!["duplicate-object a.yaml".to_owned()]));
    assert_eq!(scene.in_force(), ["x=2"]);
}

#[test]
fn the_second_file_takes_over_when_the_first_is_gone() {
    let mut scene = Scene::new();
    let (first, second) = (service("x", 1), service("x", 2));
    scene.see(&[("a.yaml", &first), ("b.yaml", &second)]);

    scene.see(&[("b.yaml", &second)]);
    let told = scene.wait(100).see(&[("b.yaml", &second)]);

    assert_eq!((told.upserts, told.deletes, told.codes), (vec!["x=2".to_owned()], vec![], vec![]));
}

#[test]
fn an_object_moved_to_another_file_is_never_gone() {
    let mut scene = Scene::new();
    scene.see(&[("a.yaml", &service("x", 1))]);

    let moved = scene.see(&[("b.yaml", &service("x", 1))]);
    let later = scene.wait(100).see(&[("b.yaml", &service("x", 1))]);

    assert_eq!(moved.deletes.len() + later.deletes.len(), 0);
    assert_eq!(later.codes, Vec::<String>::new());
    assert_eq!(scene.in_force(), ["x=1"]);
}

#[test]
fn the_last_good_version_holds_against_a_second_file() {
    let mut scene = Scene::new();
    scene.see(&[("a.yaml", &service("x", 1))]);

    scene.see(&[("a.yaml", BROKEN), ("b.yaml", &service("x", 2))]);

    assert_eq!(scene.in_force(), ["x=1"]);
}

#[test]
fn a_broken_file_that_is_deleted_lets_go_of_its_objects_and_issues() {
    let mut scene = Scene::new();
    scene.see(&[("a.yaml", &service("a", 1))]);
    scene.see(&[("a.yaml", BROKEN)]);

    scene.see(&[]);
    let told = scene.wait(100).see(&[]);

    assert_eq!((told.deletes, told.codes), (vec!["a".to_owned()], vec![]));
}

#[test]
fn an_object_twice_in_one_file_is_taken_once() {
    let mut scene = Scene::new();

    let told = scene.see(&[("a.yaml", &format!("{}---\n{}", service("x", 1), service("x", 2)))]);

    assert_eq!(told.upserts, ["x=1"]);
    assert_eq!(told.codes.len(), 1, "{told:?}");
}

#[test]
fn an_object_is_current_only_while_its_file_says_so() {
    let mut scene = Scene::new();
    let key = Key::new(Kind::Service, "default", "a");
    scene.see(&[("a.yaml", &service("a", 1))]);
    let before = scene.files.current(&key).is_some();

    scene.see(&[("a.yaml", &refused("a"))]);

    assert!(before);
    assert!(scene.files.current(&key).is_none());
}

#[test]
fn the_file_an_object_is_taken_from_comes_first_of_those_that_hold_it() {
    let mut scene = Scene::new();
    let key = Key::new(Kind::Service, "default", "x");
    scene.see(&[("b.yaml", &service("x", 1))]);

    scene.see(&[("a.yaml", &service("x", 2)), ("b.yaml", &service("x", 1)), ("c.yaml", &refused("x"))]);

    let holders: Vec<&str> = scene.files.holders(&key).map(AsRef::as_ref).collect();
    assert_eq!(holders, ["b.yaml", "a.yaml", "c.yaml"]);
}
