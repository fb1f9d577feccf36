#![allow(clippy::unwrap_used)]

use filter::{Facts, Moment, Peer};
use proto::envoy::config::core::v3::HeaderValue as Wire;

use super::*;

fn option(name: &str, value: &str, append_action: i32) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(Wire { key: name.into(), value: value.into(), raw_value: Vec::new() }),
        append_action,
        ..HeaderValueOption::default()
    }
}

fn exchange() -> Exchange {
    let request =
        http::Request::get("http://shop.example/a?b=c").header("x-user", "jason").header("x-old", "1");
    Exchange {
        request: request.body(()).unwrap().into_parts().0,
        response: Some(
            http::Response::builder().status(201).header("x-from", "up").body(()).unwrap().into_parts().0,
        ),
        facts: Facts {
            attempt: 1,
            ..Facts::new(
                Moment::default(),
                Peer { remote: "192.0.2.7:1234".parse().unwrap(), local: "127.0.0.1:80".parse().unwrap() },
                0,
            )
        },
    }
}

fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[test]
fn each_action_does_what_it_says() {
    for (action, of_old, of_new) in
        [(0, &["1", "2"][..], &["2"][..]), (1, &["1"], &["2"]), (2, &["2"], &["2"]), (3, &["2"], &[])]
    {
        let add = [option("x-old", "2", action), option("x-new", "2", action)];
        let mut x = exchange();
        HeaderOps::compile(&add, &[], "request")
            .unwrap()
            .unwrap()
            .apply_to_request(&mut x, HeaderScope::default());

        assert_eq!(values(&x.request.headers, "x-old"), of_old, "{action}");
        assert_eq!(values(&x.request.headers, "x-new"), of_new, "{action}");
    }
}

#[test]
#[allow(deprecated)]
fn the_old_spelling_of_append_is_understood() {
    for (append, expected) in [(true, &["1", "2"][..]), (false, &["2"])] {
        let add = HeaderValueOption {
            append: Some(proto::google::protobuf::BoolValue { value: append }),
            ..option("x-old", "2", 0)
        };
        let mut x = exchange();
        HeaderOps::compile(&[add], &[], "request")
            .unwrap()
            .unwrap()
            .apply_to_request(&mut x, HeaderScope::default());

        assert_eq!(values(&x.request.headers, "x-old"), expected);
    }
}

#[test]
fn what_is_removed_can_be_added_anew() {
    let ops =
        HeaderOps::compile(&[option("x-from", "me", 0)], &["x-from".into()], "response").unwrap().unwrap();
    let mut x = exchange();

    ops.apply_to_response(&mut x, HeaderScope::default());

    assert_eq!(values(&x.response.unwrap().headers, "x-from"), ["me"]);
}

#[test]
fn what_overwrites_is_done_before_what_adds() {
    let add = [option("x-from", "added", 0), option("x-from", "set", 2)];
    let mut x = exchange();

    let ops = HeaderOps::compile(&add, &[], "response").unwrap().unwrap();
    ops.apply_to_response(&mut x, HeaderScope::default());

    assert_eq!(values(&x.response.unwrap().headers, "x-from"), ["set", "added"]);
}

#[test]
fn values_are_made_from_the_headers_as_they_were() {
    let add = [option("x-user", "set", 2), option("x-was", "%REQ(X-User)%", 0)];
    let mut x = exchange();

    let ops = HeaderOps::compile(&add, &[], "request").unwrap().unwrap();
    ops.apply_to_request(&mut x, HeaderScope::default());

    assert_eq!(values(&x.request.headers, "x-was"), ["jason"]);
    assert_eq!(values(&x.request.headers, "x-user"), ["set"]);
}

#[test]
fn the_status_of_a_reply_of_our_own_is_not_told() {
    let scope = HeaderScope { is_reply: true, ..HeaderScope::default() };

    let rendered = Template::parse("%RESPONSE_CODE%").unwrap().render(&exchange(), scope).unwrap();

    assert_eq!(rendered, "0");
}

#[test]
fn blanks_are_filled_in() {
    let upstream = "10.0.0.1:9080".parse().unwrap();
    let scope = HeaderScope { route: "r1", cluster: "c1", upstream: Some(&upstream), is_reply: false };
    for (template, expected) in [
        ("%DOWNSTREAM_REMOTE_ADDRESS%", "192.0.2.7:1234"),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "192.0.2.7"),
        ("%DOWNSTREAM_LOCAL_ADDRESS%", "127.0.0.1:80"),
        ("%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "127.0.0.1"),
        ("%DOWNSTREAM_LOCAL_PORT%", "80"),
        ("%PROTOCOL%", "HTTP/1.1"),
        ("<%REQ(X-User)%>", "<jason>"),
        ("%REQ(nope?x-user):3%", "jas"),
        ("%REQ(:path)%", "/a?b=c"),
        ("%REQ(:method)% %REQ(:authority)%", "GET shop.example"),
        ("%RESP(x-from)%", "up"),
        ("%RESPONSE_CODE%", "201"),
        ("%ROUTE_NAME%/%UPSTREAM_CLUSTER%/%UPSTREAM_HOST%", "r1/c1/10.0.0.1:9080"),
        ("100%%", "100%"),
        ("%%REQ(x)%%", "%REQ(x)%"),
    ] {
        let rendered = Template::parse(template).unwrap().render(&exchange(), scope).unwrap();
        assert_eq!(rendered.to_str().unwrap(), expected, "{template}");
    }
}

#[test]
fn an_empty_value_adds_nothing_unless_it_shall() {
    let mut keeps = option("x-kept", "%REQ(nope)%", 0);
    keeps.keep_empty_value = true;
    let add = [option("x-gone", "%REQ(nope)%", 0), keeps];
    let mut x = exchange();

    HeaderOps::compile(&add, &[], "request")
        .unwrap()
        .unwrap()
        .apply_to_request(&mut x, HeaderScope::default());

    assert!(!x.request.headers.contains_key("x-gone"));
    assert_eq!(values(&x.request.headers, "x-kept"), [""]);
}

#[test]
fn what_cannot_be_filled_in_or_changed_is_refused_with_its_place() {
    for (name, value, place) in [
        ("x", "%UNKNOWN%", "request_headers_to_add[0].header.value"),
        ("x", "50%", "request_headers_to_add[0].header.value"),
        ("x", "%REQ(a%", "request_headers_to_add[0].header.value"),
        ("x", "%REQ(a):b%", "request_headers_to_add[0].header.value"),
        ("x", "line\nbreak", "request_headers_to_add[0].header.value"),
        (":path", "/", "request_headers_to_add[0].header.key"),
        ("Host", "a", "request_headers_to_add[0].header.key"),
        ("sp ace", "a", "request_headers_to_add[0].header.key"),
    ] {
        let error = HeaderOps::compile(&[option(name, value, 0)], &[], "request").unwrap_err().to_string();
        assert!(error.starts_with(place), "{error}");
    }
    let error = HeaderOps::compile(&[], &["a".into(), ":method".into()], "response").unwrap_err().to_string();
    assert!(error.starts_with("response_headers_to_remove[1]"), "{error}");
}
