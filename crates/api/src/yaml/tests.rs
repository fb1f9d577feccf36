#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn json_of(text: &str) -> serde_json::Value {
    let (root, faults) = load(text, 1, &mut Budget::default());
    assert_eq!(faults, [], "{text}");
    root.map_or(serde_json::Value::Null, |root| root.to_json())
}

#[test]
fn plain_scalars_mean_what_kubectl_reads() {
    for (text, expected) in [
        ("a: yes", r#"{"a":true}"#),
        ("y: n", r#"{"true":false}"#),
        ("a: Off", r#"{"a":false}"#),
        ("a: ~", r#"{"a":null}"#),
        ("a: 010", r#"{"a":8}"#),
        ("a: 0o10", r#"{"a":8}"#),
        ("a: 08", r#"{"a":8.0}"#),
        ("a: -0x1F", r#"{"a":-31}"#),
        ("a: 1_000", r#"{"a":1000}"#),
        ("a: 1e3", r#"{"a":1000.0}"#),
        ("a: .5", r#"{"a":0.5}"#),
        ("a: 12:30", r#"{"a":"12:30"}"#),
        ("a: 2001-01-01", r#"{"a":"2001-01-01"}"#),
        ("a: 1.2.3", r#"{"a":"1.2.3"}"#),
        ("a: e1", r#"{"a":"e1"}"#),
        ("a: +", r#"{"a":"+"}"#),
        ("a: inf", r#"{"a":"inf"}"#),
        ("a: !!str 1", r#"{"a":"1"}"#),
        ("a: ! 1", r#"{"a":"1"}"#),
        ("80: x", r#"{"80":"x"}"#),
        ("a: 'no'", r#"{"a":"no"}"#),
        ("a: 99999999999999999999", r#"{"a":1e+20}"#),
    ] {
        assert_eq!(json_of(text).to_string(), expected, "{text}");
    }
}

#[test]
fn pieces_are_all_of_the_file() {
    let text = b"a\n---\nb\r\n--- # x\r\nc\n...\n%YAML 1.2\n---x\n\r---\rd";

    let all: Vec<(u32, &[u8])> = pieces(text).map(|piece| (piece.line, piece.bytes)).collect();

    assert_eq!(
        all,
        [
            (1, b"a\n".as_slice()),
            (2, b"---\nb\r\n"),
            (4, b"--- # x\r\nc\n...\n"),
            (7, b"%YAML 1.2\n---x\n\r"),
            (10, b"---\rd"),
        ]
    );
}

#[test]
fn a_place_in_a_piece_counts_characters() {
    let piece = pieces("---\né: \u{1}".as_bytes()).next().unwrap();

    assert_eq!(mark_of(piece, 4 + 4), Mark { line: 2, column: 4 });
    assert_eq!(mark_of(piece, 0), Mark { line: 1, column: 1 });
    assert_eq!(mark_of(piece, 1000).line, 2);
}

#[test]
fn directives_and_comments_alone_are_no_document() {
    for text in ["", "# a\n", "---\n", "--- # a\n\n", "...\n"] {
        let (root, faults) = load(text, 1, &mut Budget::default());

        assert!(root.is_none() && faults.is_empty(), "{text:?} {faults:?}");
    }
}

#[test]
fn comments_are_told_from_text() {
    let loaded =
        load_written("# head\na: b # tail\nc: \"# no\"\nd: |\n  # no\n  x\ne: x#no\nf: # of f\n  - 1\n", 10);

    let comments: Vec<_> = loaded.comments.iter().map(|c| (c.line, c.text.as_str())).collect();
    assert_eq!(comments, [(10, "# head"), (11, "# tail"), (17, "# of f")]);
}

#[test]
fn places_count_from_the_start_of_the_file() {
    let pieces: Vec<_> = pieces(b"a: 1\n---\nb:\n  c: 2\n").collect();
    let root = load_written(pieces[1].text(), pieces[1].line).root.unwrap();

    assert_eq!(root.child("b").unwrap().entry("c").unwrap().at, Mark { line: 4, column: 3 });
}

#[test]
fn hostile_documents_are_faults() {
    let deep = "[".repeat(1000);
    let laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
    for text in [deep.as_str(), laughs, "a: 1\na: 2\n", "a: *b\n", "a: [\n", "{a}: 1\n\t- x"] {
        let loaded = load_written(text, 1);
        assert!(loaded.root.is_none() && !loaded.faults.is_empty(), "{text:.40}");
    }
}

#[test]
fn what_is_read_as_written_is_text_unless_it_is_nothing() {
    let root = load_written("1.0: 0x10\nyes: !odd no\n~: ~\nb: \"~\"\nc: &c []\nd: *c\n", 1).root.unwrap();

    let read: Vec<_> = root.entries().iter().map(|entry| (entry.key.as_str(), entry.node.text())).collect();
    assert_eq!(
        read,
        [("1.0", Some("0x10")), ("yes", Some("no")), ("~", None), ("b", Some("~")), ("c", None), ("d", None)]
    );
    assert!(root.entries()[2].node.is_null());
    assert_eq!(root.entries()[5].node.at, Mark { line: 6, column: 4 });
}

#[test]
fn comments_stand_above_what_they_are_about() {
    let value = serde_json::json!({"spec": {"http": [{"name": "a", "x": [[1]]}, {"name": "5"}]}});
    let lines = |text: &str| vec![text.to_owned()];
    let comments = [("", "# head"), ("spec.http[1]", "# second"), ("spec.http[0].x", "# x")];
    let comments = comments.into_iter().map(|(path, text)| (path.to_owned(), lines(text))).collect();

    let text = emit_commented(&value, &comments);

    assert_eq!(
        text,
        "# head\nspec:\n  http:\n  - name: a\n    # x\n    x:\n    - - 1\n  # second\n  - name: \"5\"\n"
    );
}

proptest! {
    #[test]
    fn what_is_emitted_reads_back_as_the_same(
        keys in prop::collection::vec("[ -~é\n\t]{0,12}", 1..5),
        texts in prop::collection::vec("(yes|~|1|0x1|- |: |#|[ -~é\n\t\u{2028}]){0,6}", 1..5),
        number in any::<i64>(),
    ) {
        let map: serde_json::Map<_, _> =
            keys.iter().zip(texts.iter().cycle()).map(|(key, text)| (key.clone(), text.as_str().into())).collect();
        let value = serde_json::json!({
            "list": [texts, [], {}, [[number, null], [true]], map.clone()],
            "map": {"inner": map, "number": number, "list": [{"a": 1, "b": [1]}]},
        });

        prop_assert_eq!(json_of(&emit(&value)), value);
    }
}
