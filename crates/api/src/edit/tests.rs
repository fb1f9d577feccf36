#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::kind::Kind;
use crate::parse;

const FILE: &str = "\
# A licence nobody may lose.

# The first service.
apiVersion: v1
kind: Service
metadata:
  name: one   # called one
spec:
  ports:
  - {name: http, port: 80}
# after one
---
# about two
apiVersion: v1
kind: Service
metadata: {name: two}
spec:
  ports:
  - port: 80
    name: \"http\"  # quoted
# after two

---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: three
spec:
  hosts: [three]
  http:
  - route:
    - destination: {host: two, subset: v1}
      weight: 90 # most
    - destination: {host: two, subset: 'v2'}
      weight: 10";

fn service(name: &str) -> Key {
    Key::new(Kind::Service, "default", name)
}

fn document(name: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  ports:\n  - port: 8080\n")
}

#[test]
fn the_objects_of_a_text_are_told_in_order() {
    let names: Vec<String> = keys(FILE).iter().map(ToString::to_string).collect();

    assert_eq!(names, ["Service/default/one", "Service/default/two", "VirtualService/default/three"]);
}

#[test]
fn replacing_keeps_the_comments_around_an_object() {
    let edited = replace(FILE, &service("two"), &document("two")).unwrap();

    let (before, after) =
        FILE.split_at(FILE.find("apiVersion: v1\nkind: Service\nmetadata: {name: two}").unwrap());
    let after = &after[after.find("# after two").unwrap()..];
    assert_eq!(edited, format!("{before}{}{after}", document("two")));
}

#[test]
fn comments_that_come_with_an_object_supplant_those_around_it() {
    let text = "# licence\n\n# old\nkind: Service\napiVersion: v1\nmetadata: {name: one}\n# behind\n---\n# old two\nkind: Service\napiVersion: v1\nmetadata: {name: two}\n---\nx: 1\n";
    let document = |comment: &str, name: &str| {
        format!("---\n{comment}kind: Service\napiVersion: v1\nmetadata: {{name: {name}}} # new\n")
    };

    let one = supplant(text, &service("one"), &document("# fresh\n", "one")).unwrap();
    let two = supplant(&one, &service("two"), &document("# fresh two\n", "two")).unwrap();
    let bare = supplant(&two, &service("two"), &document("", "two")).unwrap();

    let [first, second] = [document("# fresh\n", "one"), document("# fresh two\n", "two")];
    assert_eq!(two, format!("{}{second}---\nx: 1\n", first.trim_start_matches("---\n")));
    assert_eq!(bare, two, "what brings no comments leaves those that there are");
    assert_eq!(
        supplant(text, &service("three"), &document("", "three")),
        Err(EditError::Missing(service("three")))
    );
}

#[test]
fn replacing_the_last_object_keeps_a_missing_line_break_missing() {
    let key = Key::new(Kind::VirtualService, "default", "three");
    let fresh =
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: three}\nspec: {}\n";

    let edited = replace(FILE, &key, fresh).unwrap();

    assert!(edited.ends_with("\nmetadata: {name: three}\nspec: {}"), "{edited}");
    assert!(edited.starts_with(&FILE[..FILE.rfind("---").unwrap() + 4]));
    assert_eq!(edited.matches("---").count(), 2);
}

#[test]
fn new_comments_come_along_where_the_old_object_had_none() {
    let key = Key::new(Kind::VirtualService, "default", "three");
    let fresh = "# why\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: three}\nspec: {}\n";

    assert!(replace(FILE, &key, fresh).unwrap().contains("---\n# why\napiVersion"));
}

#[test]
fn removing_takes_the_touching_comment_and_leaves_the_others() {
    let edited = remove(FILE, &service("one")).unwrap();

    assert!(
        edited.starts_with("# A licence nobody may lose.\n\n# after one\n---\n# about two\n"),
        "{edited}"
    );
    assert_eq!(keys(&edited).len(), 2);

    let edited = remove(&edited, &service("two")).unwrap();

    assert!(
        edited.starts_with("# A licence nobody may lose.\n\n# after one\n# after two\n\n---\napiVersion"),
        "{edited}"
    );
    assert_eq!(keys(&edited).len(), 1);
}

#[test]
fn removing_the_only_object_leaves_nothing_of_it() {
    assert_eq!(remove(&document("one"), &service("one")).unwrap(), "");
    assert_eq!(remove(&format!("---\n{}", document("one")), &service("one")).unwrap(), "");
}

#[test]
fn appending_adds_a_separator_and_the_missing_line_break() {
    let edited = append(FILE, &document("four"));

    assert_eq!(edited, format!("{FILE}\n---\n{}", document("four")));
    assert_eq!(append("", &document("four")), document("four"));
    assert_eq!(
        append("# only a comment\n", &document("four")),
        format!("# only a comment\n{}", document("four"))
    );
    assert_eq!(append("a: b\n", "---\nc: d"), "a: b\n---\nc: d\n");
}

#[test]
fn setting_a_scalar_changes_its_characters_alone() {
    let key = Key::new(Kind::VirtualService, "default", "three");

    let edited = set(FILE, &key, "spec.http[0].route[0].weight", &json!(20)).unwrap();
    let edited = set(&edited, &key, "spec.http[0].route[1].weight", &json!(80)).unwrap();
    let edited = set(&edited, &key, "spec.http[0].route[1].destination.subset", &json!("v3")).unwrap();
    let edited = set(&edited, &service("two"), "spec.ports[0].name", &json!("grpc")).unwrap();

    let expected = FILE
        .replace("weight: 90", "weight: 20")
        .replace("weight: 10", "weight: 80")
        .replace("'v2'", "'v3'")
        .replace("\"http\"", "\"grpc\"");
    assert_eq!(edited, expected);
}

#[test]
fn text_that_would_be_read_as_something_else_is_quoted() {
    let text = document("one");

    for (value, written) in
        [("yes", "\"yes\""), ("8080", "\"8080\""), ("a: b", "\"a: b\""), ("a, b", "\"a, b\""), ("two", "two")]
    {
        let edited = set(&text, &service("one"), "metadata.name", &json!(value)).unwrap();

        assert!(edited.contains(&format!("  name: {written}\n")), "{edited}");
    }
}

#[test]
fn what_cannot_be_changed_by_itself_is_refused() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: &n one, labels: {app: *n, a: |-\n    long\n  , b: }}\nspec: {}\n";
    let text = text.replace(", a: |-\n    long\n  ", "");

    for path in ["metadata.name", "metadata.labels.app", "metadata.labels.b", "metadata.labels", "spec.x", ""]
    {
        assert!(
            matches!(set(&text, &service("one"), path, &json!("x")), Err(EditError::NotScalar { .. })),
            "{path}"
        );
    }
    assert!(set(FILE, &service("one"), "metadata.name", &json!([])).is_err());
}

#[test]
fn line_ends_stay_as_the_file_has_them() {
    let crlf = FILE.replace('\n', "\r\n");

    let edited = replace(&crlf, &service("two"), &document("two")).unwrap();
    let edited = append(&edited, &document("four"));
    let edited = set(&edited, &service("one"), "spec.ports[0].port", &json!(81)).unwrap();

    assert_eq!(edited.matches('\n').count(), edited.matches("\r\n").count());
    assert!(parse("f", edited.as_bytes()).issues.is_empty());
    let fresh = document("two").replace('\n', "\r\n");
    assert_eq!(edited, crlf_expected(&crlf, &fresh));
}

fn crlf_expected(crlf: &str, fresh: &str) -> String {
    let start = crlf.find("apiVersion: v1\r\nkind: Service\r\nmetadata: {name: two}").unwrap();
    let end = crlf.find("# after two").unwrap();
    let four = document("four").replace('\n', "\r\n");
    format!("{}{fresh}{}\r\n---\r\n{four}", &crlf[..start], &crlf[end..]).replace("port: 80}", "port: 81}")
}

const LIST: &str = "\
apiVersion: v1
kind: List
items:
# the first
- apiVersion: v1
  kind: Service
  metadata: {name: one}
  spec: {ports: [{port: 80}]}
# the second
- apiVersion: v1
  kind: Service
  metadata:
    name: two
    annotations:
      note: |
        # not a comment
  spec: {ports: [{port: 80}]}   # end of two
-
  apiVersion: v1
  kind: Service
  metadata: {name: three}
  spec: {ports: [{port: 80}]}
# tail
";

#[test]
fn items_of_a_list_are_edited_in_place() {
    let edited = replace(LIST, &service("two"), &document("two")).unwrap();

    let (before, rest) =
        LIST.split_at(LIST.find("- apiVersion: v1\n  kind: Service\n  metadata:\n").unwrap());
    let after = &rest[rest.find("-\n").unwrap()..];
    let item = "- apiVersion: v1\n  kind: Service\n  metadata:\n    name: two\n  spec:\n    ports:\n    - port: 8080\n";
    assert_eq!(edited, format!("{before}{item}{after}"));
}

#[test]
fn items_of_a_list_are_removed_with_their_dash() {
    let edited = remove(LIST, &service("two")).unwrap();
    assert_eq!(
        edited,
        format!("{}{}", &LIST[..LIST.find("# the second").unwrap()], &LIST[LIST.find("-\n").unwrap()..])
    );

    let crlf = remove(&LIST.replace('\n', "\r\n"), &service("two")).unwrap();
    assert_eq!(crlf, edited.replace('\n', "\r\n"));

    let edited = remove(&edited, &service("three")).unwrap();
    let edited = remove(&edited, &service("one")).unwrap();
    assert_eq!(edited, "apiVersion: v1\nkind: List\nitems:\n# tail\n");
    assert!(parse("f", edited.as_bytes()).issues.is_empty());
}

#[test]
fn json_stays_json() {
    let item = |name: &str| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    let list =
        json!({"apiVersion": "v1", "kind": "List", "items": [item("one"), item("two"), item("three")]});
    for text in [list.to_string(), serde_json::to_string_pretty(&list).unwrap().replace("  ", "\t")] {
        let edited = replace(&text, &service("two"), &document("two")).unwrap();
        let edited = remove(&edited, &service("three")).unwrap();
        let edited = remove(&edited, &service("one")).unwrap();

        let read: Json = serde_json::from_str(&edited).unwrap();
        assert_eq!(read["items"][0]["spec"]["ports"][0]["port"], 8080, "{edited}");
        assert_eq!(read["items"].as_array().unwrap().len(), 1);
    }
    let edited = replace(&item("one").to_string(), &service("one"), &document("one")).unwrap();
    assert_eq!(serde_json::from_str::<Json>(&edited).unwrap()["spec"]["ports"][0]["port"], 8080);
}

#[test]
fn a_broken_document_can_be_replaced_and_spoils_no_other() {
    let broken = format!(
        "{}---\napiVersion: v1\nkind: Service\nmetadata: {{name: bad}}\nspec: [\n# c\n---\n{}",
        document("a"),
        document("b")
    );

    let edited = replace(&broken, &service("bad"), &document("bad")).unwrap();

    assert_eq!(edited, format!("{}---\n{}# c\n---\n{}", document("a"), document("bad"), document("b")));
}

#[test]
fn a_document_beside_its_separator_moves_below_it() {
    let text =
        "--- {apiVersion: v1, kind: Service, metadata: {name: one}, spec: {ports: [{port: 80}]}} # c\n";

    let edited = replace(text, &service("one"), &document("one")).unwrap();

    assert_eq!(parse("f", edited.as_bytes()).issues, []);
}

#[test]
fn what_follows_without_a_separator_does_not_join_the_document_before() {
    let text = format!("{}---\n{}...\n  b: c\n", document("one"), document("two"));

    let edited = remove(&text, &service("two")).unwrap();

    assert_eq!(parse("f", edited.as_bytes()).resources.len(), 1);
    assert_eq!(edited, format!("{}---\n...\n  b: c\n", document("one")));
}

#[test]
fn only_the_object_itself_takes_its_place() {
    let missing = service("nobody");
    assert_eq!(replace(FILE, &missing, &document("nobody")), Err(EditError::Missing(missing.clone())));
    assert_eq!(remove(FILE, &missing), Err(EditError::Missing(missing)));
    let two = service("two");
    let both = format!("{}---\n{}", document("two"), document("x"));
    for wrong in [document("one"), both, String::new(), "a: [".into()] {
        assert_eq!(replace(FILE, &two, &wrong), Err(EditError::Mismatch(two.clone())), "{wrong}");
    }
}

#[test]
fn a_byte_order_mark_stays() {
    let text = format!("\u{feff}{}", document("é"));
    assert!(parse("f", text.as_bytes()).refused.iter().all(|key| &*key.name == "é"));
    let text = format!("\u{feff}# é\n{}", document("one"));

    let edited = set(&text, &service("one"), "spec.ports[0].port", &json!(81)).unwrap();

    assert_eq!(edited, text.replace("8080", "81"));
}

proptest! {
    #[test]
    fn edits_leave_every_other_object_as_it_was(
        blocks in prop::collection::vec((0usize..5, "[ #a-c\n]{0,12}", any::<bool>()), 1..5),
        target in 0usize..5,
        is_crlf in any::<bool>(),
    ) {
        let mut text = String::new();
        for (index, (form, noise, ends)) in blocks.iter().enumerate() {
            let comment: String = noise.lines().map(|line| format!("# {line}\n")).collect();
            let name = format!("n{index}");
            let body = match form {
                0 => document(&name),
                1 => format!("{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{ports: [{{port: 80}}]}}}}\n"),
                2 => format!("apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {{name: {name}}}\n  spec:\n    ports:\n    - port: 80\n"),
                3 => format!("apiVersion: v1\nkind: Service\nspec: {{ports: [{{port: 80}}]}}\nmetadata:\n  name: {name}\n  annotations:\n    a: |\n      # x\n\n      é\n"),
                _ => format!("kind: Service\napiVersion: v1\nspec: {{ports: [{{port: 80}}]}}\nmetadata: {{name: {name}}}\n"),
            };
            let separator = if index > 0 { "---\n" } else { "" };
            text = format!("{text}{separator}{comment}{body}{}", if *ends { comment.as_str() } else { "" });
        }
        if is_crlf {
            text = text.replace('\n', "\r\n");
        }
        let before = parse("f", text.as_bytes());
        prop_assert!(before.issues.is_empty(), "{:?}\n{text}", before.issues);
        let target = target % blocks.len();
        let key = service(&format!("n{target}"));

        for edited in [replace(&text, &key, &document(&key.name)).unwrap(), remove(&text, &key).unwrap(), append(&text, &document("new"))] {
            let after = parse("f", edited.as_bytes());
            prop_assert!(after.issues.is_empty(), "{:?}\n{text}\n=>\n{edited}", after.issues);
            for old in before.resources.iter().filter(|old| old.key() != key) {
                let new = after.resources.iter().find(|new| new.key() == old.key());
                prop_assert_eq!(new.map(|new| new.digest()), Some(old.digest()), "{}\n=>\n{}", &text, &edited);
            }
        }
    }

    #[test]
    fn editing_never_panics(text in "(---|[-:{}\\[\\]#&*!|>'\"a-c \n\r\t]|kind: Service\n|apiVersion: v1\n|metadata: \\{name: a\\}\n){0,40}") {
        let key = service("a");
        let _ = replace(&text, &key, &text);
        let _ = replace(&text, &key, &document("a"));
        let _ = remove(&text, &key);
        let _ = append(&text, &text);
        let _ = set(&text, &key, "metadata.name", &json!("b"));
        let _ = keys(&text);
    }
}

/// The object of `FILE` with `change` made to it, merged in.
fn merged(key: &Key, change: impl FnOnce(&mut Json)) -> String {
    let mut wanted = find(FILE, key).unwrap().json;
    change(&mut wanted);
    let edited = merge(FILE, key, &wanted).unwrap();
    assert_eq!(find(&edited, key).unwrap().json, wanted, "{edited}");
    assert_eq!(merge(&edited, key, &wanted).unwrap(), edited, "merging again changes nothing");
    edited
}

#[test]
fn merging_touches_what_differs_and_nothing_else() {
    let key = Key::new(Kind::VirtualService, "default", "three");

    let weights = merged(&key, |json| {
        json["spec"]["http"][0]["route"][0]["weight"] = json!(80);
        json["spec"]["http"][0]["route"][1]["weight"] = json!(20);
    });
    let subset =
        merged(&key, |json| json["spec"]["http"][0]["route"][1]["destination"]["subset"] = json!("v3"));

    assert_eq!(
        weights,
        FILE.replace("weight: 90 # most", "weight: 80 # most").replace("weight: 10", "weight: 20")
    );
    assert_eq!(subset, FILE.replace("'v2'", "'v3'"));
}

#[test]
fn merging_adds_and_takes_out_fields_and_items() {
    let key = Key::new(Kind::VirtualService, "default", "three");

    let added = merged(&key, |json| {
        json["spec"]["http"][0]["timeout"] = json!("5s");
        json["spec"]["http"][0]["route"].as_array_mut().unwrap().push(json!({"weight": 0}));
    });
    let fewer = merged(&key, |json| {
        json["spec"]["http"][0]["route"].as_array_mut().unwrap().remove(0);
    });
    let flow = merged(&service("one"), |json| json["spec"]["ports"][0]["port"] = json!(81));

    assert!(added.ends_with("      weight: 10\n    - weight: 0\n    timeout: 5s"), "{added}");
    assert!(
        !fewer.contains("v1}") && fewer.contains("  - route:\n    - destination: {host: two, subset: 'v2'}"),
        "{fewer}"
    );
    assert_eq!(flow, FILE.replace("port: 80}", "port: 81}"));
}

#[test]
fn merging_another_object_is_refused() {
    let other = find(FILE, &service("one")).unwrap().json;

    assert!(matches!(merge(FILE, &service("two"), &other), Err(EditError::Mismatch(_))));
    assert!(matches!(merge(FILE, &service("four"), &other), Err(EditError::Missing(_))));
}

/// A small value of any shape.
fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Json::from),
        (-99..99i64).prop_map(Json::from),
        "[a-c #:'\"-]{0,4}".prop_map(Json::from)
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            prop::collection::btree_map("[a-c]{1,2}", inner, 0..3)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_merged_reads_as_wanted(first in any_json(), second in any_json(), third in any_json()) {
        let key = service("one");
        let mut text = FILE.to_owned();
        for spec in [first, second, third] {
            let mut wanted = find(&text, &key).unwrap().json;
            wanted["spec"] = json!({ "a": spec, "ports": [{"port": 80}] });

            text = merge(&text, &key, &wanted).unwrap();

            prop_assert_eq!(&find(&text, &key).unwrap().json, &wanted);
            prop_assert!(text.starts_with("# A licence nobody may lose.\n\n# The first service.\n"));
            prop_assert!(text.contains("# about two") && text.contains("weight: 90 # most"));
        }
    }
}
