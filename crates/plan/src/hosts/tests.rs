#![allow(clippy::unwrap_used)]

use super::*;

fn hosts(domains: &[&str]) -> Result<Hosts, String> {
    let mut hosts = Hosts::default();
    for (place, domain) in domains.iter().enumerate() {
        hosts.add(domain, place)?;
    }
    Ok(hosts)
}

#[test]
fn the_most_exact_domain_takes_an_authority() {
    let domains = [
        "*",
        "*.example",
        "*.shop.example",
        "a.shop.example",
        "shop.*",
        "shop.exa*",
        "*-dev.example",
        "[::1]",
    ];
    let hosts = hosts(&domains).unwrap();

    for (authority, expected) in [
        ("a.shop.example", "a.shop.example"),
        ("A.Shop.EXAMPLE", "a.shop.example"),
        ("b.shop.example", "*.shop.example"),
        ("shop.example", "*.example"),
        (".example", "*"),
        ("x-dev.example", "*-dev.example"),
        ("shop.org", "shop.*"),
        ("shop.exaa", "shop.exa*"),
        ("[::1]", "[::1]"),
        ("other", "*"),
        ("", "*"),
        ("ä", "*"),
    ] {
        let found = hosts.find(authority).map(|place| domains[place]);
        assert_eq!(found, Some(expected), "{authority}");
    }
}

#[test]
fn letters_beyond_ascii_break_nothing() {
    let hosts = hosts(&["*ä", "ö*"]).unwrap();

    assert_eq!(hosts.find("xä"), Some(0));
    assert_eq!(hosts.find("öx"), Some(1));
    assert_eq!(hosts.find("é"), None);
}

#[test]
fn domains_that_cannot_be_told_apart_are_refused() {
    for domains in [&["a", "A"][..], &["*", "*"], &["*.a", "*.A"], &["a.*", "a.*"], &[""], &["a*b"], &["*a*"]]
    {
        assert!(hosts(domains).is_err(), "{domains:?}");
    }
}

#[test]
fn a_port_is_taken_off_and_nothing_else() {
    for (authority, expected) in [
        ("a:80", "a"),
        ("a", "a"),
        ("a:", "a:"),
        ("a:b", "a:b"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("[fe80::80", "[fe80::80"),
    ] {
        assert_eq!(without_port(authority), expected, "{authority}");
    }
}
