#![allow(clippy::unwrap_used)]

use filter::{Facts, Moment, Peer};
use proto::envoy::r#type::matcher::v3::RegexMatcher;
use proto::google::protobuf::BoolValue;

use super::*;

fn regex(pattern: &str, substitution: &str) -> RegexMatchAndSubstitute {
    RegexMatchAndSubstitute {
        pattern: Some(RegexMatcher { regex: pattern.into(), engine_type: None }),
        substitution: substitution.into(),
    }
}

fn exchange(uri: &str) -> Exchange {
    let request = http::Request::get(uri).header("host", "shop.example").header("x-host", "from.header");
    let address: base::Address = "127.0.0.1:1".parse().unwrap();
    Exchange {
        request: request.body(()).unwrap().into_parts().0,
        response: None,
        facts: Facts::new(Moment::default(), Peer { remote: address.clone(), local: address }, 0),
    }
}

fn rewritten(action: &RouteAction, uri: &str, matched: usize) -> Exchange {
    let mut x = exchange(uri);
    let hosts = HostNames { weighted: None, upstream: Some("pod.example") };
    Rewrite::compile(action).unwrap().apply(&mut x, matched, hosts, true);
    x
}

#[test]
fn the_matched_part_of_the_path_is_replaced() {
    let to = |prefix: &str| RouteAction { prefix_rewrite: prefix.into(), ..RouteAction::default() };

    for (prefix, uri, matched, expected) in [
        ("/v2", "/api/x?y=/api", 4, "/v2/x?y=/api"),
        ("/", "/api", 4, "/"),
        ("/", "/api/x", 5, "/x"),
        ("v2", "/api/x", 4, "/v2/x"),
        ("/new", "/", 999, "/new"),
    ] {
        let x = rewritten(&to(prefix), uri, matched);
        assert_eq!(x.request.uri.to_string(), expected);
        assert_eq!(x.request.headers["x-envoy-original-path"], uri);
    }
}

#[test]
fn a_pattern_replaces_wherever_it_matches_but_in_the_query() {
    let action =
        RouteAction { regex_rewrite: Some(regex("/([a-z])([0-9]+)", r"/\2$\1")), ..RouteAction::default() };

    assert_eq!(rewritten(&action, "/a1/b22?c=/d3", 0).request.uri.to_string(), "/1$a/22$b?c=/d3");
    let same = rewritten(&action, "/none", 0);
    assert!(same.request.headers.contains_key("x-envoy-original-path"));
}

#[test]
fn the_host_comes_from_where_it_should() {
    let path = regex("^/([^/]+).*", r"\1.example");
    for (specifier, expected) in [
        (HostRewriteSpecifier::HostRewriteLiteral("new.example".into()), "new.example"),
        (HostRewriteSpecifier::HostRewriteHeader("x-host".into()), "from.header"),
        (HostRewriteSpecifier::HostRewritePathRegex(path), "a.example"),
        (HostRewriteSpecifier::AutoHostRewrite(BoolValue { value: true }), "pod.example"),
        (HostRewriteSpecifier::AutoHostRewrite(BoolValue { value: false }), "shop.example"),
    ] {
        let action = RouteAction {
            host_rewrite_specifier: Some(specifier),
            append_x_forwarded_host: true,
            ..RouteAction::default()
        };
        let x = rewritten(&action, "/a/b", 0);

        assert_eq!(x.request.headers["host"], expected);
        assert_eq!(x.request.headers.contains_key("x-forwarded-host"), expected != "shop.example");
    }
}

#[test]
fn an_authority_in_the_uri_is_the_host() {
    let action = RouteAction {
        host_rewrite_specifier: Some(HostRewriteSpecifier::HostRewriteLiteral("new.example:81".into())),
        ..RouteAction::default()
    };

    let x = rewritten(&action, "http://old.example/a", 0);

    assert_eq!(x.request.uri.to_string(), "http://new.example:81/a");
    assert_eq!(x.request.headers["host"], "new.example:81");
}

#[test]
fn substitutions_that_cannot_be_made_are_refused() {
    for (pattern, substitution) in [("(a)", r"\2"), ("(a", "x"), ("a", r"\"), ("a", r"\x")] {
        let action =
            RouteAction { regex_rewrite: Some(regex(pattern, substitution)), ..RouteAction::default() };
        assert!(Rewrite::compile(&action).is_err(), "{pattern} {substitution}");
    }
    let both = RouteAction {
        regex_rewrite: Some(regex("a", "b")),
        prefix_rewrite: "/".into(),
        ..RouteAction::default()
    };
    assert!(Rewrite::compile(&both).is_err());
}

fn location(action: RedirectAction, from: (&str, &str, &str)) -> String {
    Redirect::compile(&action).unwrap().location(from.0, from.1, from.2, 4)
}

#[test]
fn a_redirect_keeps_what_it_does_not_change() {
    use PathRewriteSpecifier::{PathRedirect, PrefixRewrite, RegexRewrite};
    use SchemeRewriteSpecifier::HttpsRedirect;
    let from = ("http", "shop.example:80", "/api/x?y=z");
    let path =
        |specifier| RedirectAction { path_rewrite_specifier: Some(specifier), ..RedirectAction::default() };
    for (action, expected) in [
        (RedirectAction::default(), "http://shop.example:80/api/x?y=z"),
        (RedirectAction { host_redirect: "new".into(), ..Default::default() }, "http://new/api/x?y=z"),
        (RedirectAction { port_redirect: 81, ..Default::default() }, "http://shop.example:81/api/x?y=z"),
        (RedirectAction { strip_query: true, ..Default::default() }, "http://shop.example:80/api/x"),
        (
            RedirectAction { scheme_rewrite_specifier: Some(HttpsRedirect(true)), ..Default::default() },
            "https://shop.example/api/x?y=z",
        ),
        (path(PathRedirect("/new".into())), "http://shop.example:80/new?y=z"),
        (path(PathRedirect("/new?a=b".into())), "http://shop.example:80/new?a=b"),
        (path(PrefixRewrite("/v2".into())), "http://shop.example:80/v2/x?y=z"),
        (path(RegexRewrite(regex("^/api", "/v3"))), "http://shop.example:80/v3/x?y=z"),
    ] {
        assert_eq!(location(action.clone(), from), expected, "{action:?}");
    }
}

#[test]
fn only_the_old_schemes_own_port_is_dropped() {
    let https = || RedirectAction {
        scheme_rewrite_specifier: Some(SchemeRewriteSpecifier::HttpsRedirect(true)),
        ..Default::default()
    };

    assert_eq!(location(https(), ("http", "a:8080", "/")), "https://a:8080/");
    assert_eq!(location(https(), ("http", "[::1]:80", "/")), "https://[::1]/");
    assert_eq!(location(https(), ("https", "a:443", "/")), "https://a:443/");
}
