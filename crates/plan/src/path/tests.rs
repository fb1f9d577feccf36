use super::*;

const ALL: PathRules =
    PathRules { normalises: true, merges_slashes: true, escaped_slashes: EscapedSlashes::UnescapeAndForward };
const NORMAL: PathRules =
    PathRules { normalises: true, merges_slashes: false, escaped_slashes: EscapedSlashes::Keep };

fn result(path: &str, rules: PathRules) -> String {
    match normalise(path, rules) {
        Normalised::Changed(new) => new,
        Normalised::Redirect(new) => format!("redirect {new}"),
        Normalised::Reject => "reject".into(),
        Normalised::Same => path.into(),
    }
}

#[test]
fn dot_segments_and_needless_escapes_go_and_the_query_stays() {
    for (path, expected) in [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/../../a", "/a"),
        ("/..", "/"),
        ("/a/%2e%2E/b", "/b"),
        ("/%61%2Db", "/a-b"),
        ("/a%2Fb", "/a%2Fb"),
        ("/a%20b", "/a%20b"),
        ("/a\\..\\b", "/b"),
        ("/a//b", "/a//b"),
        ("/.hidden/..x", "/.hidden/..x"),
        ("/a/../b?x=/../y", "/b?x=/../y"),
        ("/ä", "/%C3%A4"),
        ("/100%", "/100%"),
        ("/%zz", "/%zz"),
        ("/a%00b", "reject"),
        ("*", "*"),
    ] {
        assert_eq!(result(path, NORMAL), expected, "{path}");
    }
}

#[test]
fn double_slashes_are_merged_after_all_else() {
    for (path, expected) in
        [("//a///b/", "/a/b/"), ("/a/.//b", "/a/b"), ("/a%2F%2fb", "/a/b"), ("/a%5c..%5Cb", "/b")]
    {
        assert_eq!(result(path, ALL), expected, "{path}");
    }
}

#[test]
fn escaped_slashes_are_refused_or_redirected_as_configured() {
    let with = |escaped_slashes| PathRules { escaped_slashes, ..NORMAL };

    assert_eq!(result("/a%2fb", with(EscapedSlashes::Reject)), "reject");
    assert_eq!(result("/a%2fb?c%2fd", with(EscapedSlashes::UnescapeAndRedirect)), "redirect /a/b?c%2fd");
    assert_eq!(result("/a/b", with(EscapedSlashes::Reject)), "/a/b");
}

#[test]
fn without_rules_nothing_happens() {
    for path in ["/a/../b", "//", "/%2e", "/a\\b"] {
        assert_eq!(normalise(path, PathRules::default()), Normalised::Same);
    }
}

#[test]
fn what_was_normalised_stays() {
    for path in ["/%252e%252e/a", "/a/%2e%2e%2fb", "/a/..%2f..%2fb", "/%25%32%65"] {
        let once = result(path, NORMAL);
        assert!(!once.split('/').any(|segment| segment == ".."), "{once}");
    }
}
