#![allow(clippy::unwrap_used, deprecated)]

use super::*;

fn text(pattern: MatchPattern, ignore_case: bool) -> StringMatch {
    StringMatch::compile(&StringMatcher { ignore_case, match_pattern: Some(pattern) }).unwrap()
}

fn regex_pattern(pattern: &str) -> MatchPattern {
    MatchPattern::SafeRegex(RegexMatcher { regex: pattern.into(), engine_type: None })
}

#[test]
fn a_text_is_matched_by_each_kind_of_pattern() {
    for (pattern, ignore_case, yes, no) in [
        (MatchPattern::Exact("ab".into()), false, "ab", "aB"),
        (MatchPattern::Exact("aB".into()), true, "Ab", "abc"),
        (MatchPattern::Prefix("/API".into()), true, "/api/x", "/ap"),
        (MatchPattern::Suffix(".png".into()), false, "x.png", "x.png?"),
        (MatchPattern::Contains("mid".into()), false, "amidst", "m-i-d"),
        (regex_pattern("a+"), false, "aaa", "aab"),
        (regex_pattern("a|b"), false, "b", "ab"),
        (regex_pattern(r"\d{2}"), false, "42", "٤٢"),
    ] {
        let matcher = text(pattern.clone(), ignore_case);

        assert!(matcher.matches(yes.as_bytes()), "{pattern:?} {yes}");
        assert!(!matcher.matches(no.as_bytes()), "{pattern:?} {no}");
    }
}

#[test]
fn a_pattern_that_means_nothing_is_refused() {
    for pattern in [
        None,
        Some(MatchPattern::Prefix(String::new())),
        Some(MatchPattern::Contains(String::new())),
        Some(regex_pattern("a)|(b")),
        Some(regex_pattern("(")),
        Some(regex_pattern("")),
        Some(regex_pattern("((a{1000}){1000}){1000}")),
    ] {
        let message = StringMatcher { ignore_case: false, match_pattern: pattern };

        assert!(StringMatch::compile(&message).is_err(), "{message:?}");
    }
}

fn header(specifier: Option<HeaderMatchSpecifier>, invert: bool, empty: bool) -> HeaderMatch {
    HeaderMatch::compile(&HeaderMatcher {
        name: "x-kind".into(),
        invert_match: invert,
        treat_missing_header_as_empty: empty,
        header_match_specifier: specifier,
    })
    .unwrap()
}

fn request(values: &[&str]) -> http::request::Parts {
    let mut builder = http::Request::get("http://shop.example:80/a?b=c");
    for value in values {
        builder = builder.header("x-kind", *value);
    }
    builder.body(()).unwrap().into_parts().0
}

#[test]
fn a_missing_header_fulfils_only_what_asks_for_its_absence() {
    let exact = |s: &str| Some(HeaderMatchSpecifier::ExactMatch(s.into()));
    for (specifier, invert, empty, expected) in [
        (exact("v1"), false, false, false),
        (exact("v1"), true, false, true),
        (exact(""), false, true, true),
        (exact("v1"), true, true, true),
        (Some(HeaderMatchSpecifier::PresentMatch(true)), false, false, false),
        (Some(HeaderMatchSpecifier::PresentMatch(false)), false, false, true),
        (Some(HeaderMatchSpecifier::PresentMatch(true)), true, false, true),
        (None, false, false, false),
    ] {
        let matcher = header(specifier.clone(), invert, empty);

        assert_eq!(matcher.matches(&request(&[])), expected, "{specifier:?} {invert} {empty}");
    }
}

#[test]
fn headers_of_one_name_are_one_value() {
    let matcher = header(Some(HeaderMatchSpecifier::ExactMatch("a,b".into())), false, false);

    assert!(matcher.matches(&request(&["a", "b"])));
    assert!(!matcher.matches(&request(&["a"])));
}

#[test]
fn a_range_is_half_open_and_of_numbers() {
    let range = proto::envoy::r#type::v3::Int64Range { start: -1, end: 5 };
    let matcher = header(Some(HeaderMatchSpecifier::RangeMatch(range)), false, false);

    for (value, expected) in [("-1", true), ("4", true), ("5", false), ("four", false), ("", false)] {
        assert_eq!(matcher.matches(&request(&[value])), expected, "{value}");
    }
}

#[test]
fn pseudo_headers_are_read_from_the_request_line() {
    for (name, value) in
        [(":method", "GET"), (":path", "/a?b=c"), (":authority", "shop.example:80"), (":scheme", "http")]
    {
        let matcher = HeaderMatch::compile(&HeaderMatcher {
            name: name.into(),
            header_match_specifier: Some(HeaderMatchSpecifier::ExactMatch(value.into())),
            ..HeaderMatcher::default()
        })
        .unwrap();

        assert!(matcher.matches(&request(&[])), "{name}");
    }
}

#[test]
fn a_share_counts_in_its_own_denominator() {
    let share = |numerator, denominator| Share::compile(&FractionalPercent { numerator, denominator });

    assert_eq!(share(50, 0).unwrap(), share(5_000, 1).unwrap());
    assert_eq!(share(100, 0).unwrap(), Share::ALL);
    assert_eq!(share(u32::MAX, 0).unwrap(), Share::ALL);
    assert!(share(1, 2).unwrap().includes(0));
    assert!(!share(1, 2).unwrap().includes(1));
    assert!(!Share::NONE.includes(0));
    assert!(share(1, 3).is_err());
}

#[test]
fn the_status_of_a_response_counts_as_a_header() {
    let message = HeaderMatcher {
        name: ":status".into(),
        header_match_specifier: Some(HeaderMatchSpecifier::ExactMatch("503".into())),
        ..Default::default()
    };
    let condition = HeaderMatch::compile(&message).unwrap();
    let headers = HeaderMap::new();

    assert!(condition.matches_response(StatusCode::SERVICE_UNAVAILABLE, &headers));
    assert!(!condition.matches_response(StatusCode::OK, &headers));
    assert!(!condition.matches(&request(&[])), "a request has none");
}
