use super::*;

#[test]
fn hosts_may_begin_with_a_star_and_nowhere_else() {
    for good in ["*", "*.foo.com", "*foo.com", "*-foo.com", "a", "a.b.", "A.b", "svc.ns.svc.cluster.local"] {
        assert_eq!(wildcard_host_error(good), None, "{good}");
    }
    let long = "a.".repeat(130);
    for bad in ["", "foo.*", "a..b", "-", "a_b", "1.2.3.4", "**", "*.*", "a/b", "a:80", ".", "é.com", &long]
    {
        assert!(wildcard_host_error(bad).is_some(), "{bad}");
    }
}

#[test]
fn a_percent_sign_in_a_header_is_doubled_or_begins_a_command() {
    for good in ["", "a", "100%%", "%HOSTNAME%", "x %REQ(:AUTHORITY)% y", "%REQ(X?Y):10%", "%START_TIME(%s)%"]
    {
        assert_eq!(header_value_error(good), None, "{good}");
    }
    for bad in ["%", "a%b", "%lower%", "%A", "%A(", "%A%%", "a\r\nb"] {
        assert!(header_value_error(bad).is_some(), "{bad}");
    }
}

#[test]
fn base64_is_decoded_strictly() {
    assert_eq!(base64("aGVsbG8="), Some(b"hello".to_vec()));
    assert_eq!(base64("aGVsbG8h"), Some(b"hello!".to_vec()));
    assert_eq!(base64("aGVsbA=="), Some(b"hell".to_vec()));
    assert_eq!(base64(""), Some(Vec::new()));
    for bad in ["a", "aGVsbG8", "aGV$bG8=", "====", "aGVsbA=a"] {
        assert_eq!(base64(bad), None, "{bad}");
    }
}

#[test]
fn the_nearest_word_is_near() {
    let known = || ["retries", "retryOn", "mirrorPercentage", "route"].into_iter();

    assert_eq!(nearest("retires", known()), Some("retries"));
    assert_eq!(nearest("mirror_percentage", known()), Some("mirrorPercentage"));
    assert_eq!(nearest("Routes", known()), Some("route"));
    assert_eq!(nearest("something", known()), None);
    assert_eq!(nearest(&"x".repeat(100_000), known()), None);
}

#[test]
fn addresses_and_networks_are_told_from_names() {
    for good in ["1.2.3.4", "::1", "10.0.0.0/8", "fd00::/64"] {
        assert!(is_address_or_network(good), "{good}");
    }
    for bad in ["1.2.3", "10.0.0.0/33", "a/8", "1.2.3.4/", "fd00::/129"] {
        assert!(!is_address_or_network(bad), "{bad}");
    }
}
