//! Time limits, retries and chances at their boundaries, in a stock Envoy and in `weft-proxy`.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};
use testkit::{Echo, Recorder, wait_until};
use tests_interop::PATIENCE;
use tests_interop::exchange::{Asked, Client};
use tests_interop::pair::Pair;

/// How many requests a share is told by.
const MANY: u32 = 1000;

fn asked() -> Asked {
    Asked::get("a.test", "/")
}

/// A route, and the service behind each backend.
fn configuration(backends: &[SocketAddr], route: &Value) -> String {
    let each: Vec<&[SocketAddr]> = backends.chunks(1).collect();
    configuration_of(&each, route)
}

/// The same of services with several endpoints.
fn configuration_of(services: &[&[SocketAddr]], route: &Value) -> String {
    let endpoint = |at: &SocketAddr| json!({"address": at.ip().to_string(), "ports": {"http": at.port()}});
    let service = |(index, endpoints): (usize, &&[SocketAddr])| {
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": format!("s{index}"), "namespace": "default"},
            "spec": {
                "hosts": [format!("s{index}.test")], "location": "MESH_INTERNAL", "resolution": "STATIC",
                "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>(),
            },
        })
    };
    let mut objects = vec![
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": {"name": "edge", "namespace": "default"},
            "spec": {
                "selector": {"istio": "edge"},
                "servers": [{"port": {"number": 8080, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
            },
        }),
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "a", "namespace": "default"},
            "spec": {"hosts": ["a.test"], "gateways": ["edge"], "http": [route]},
        }),
    ];
    objects.extend(services.iter().enumerate().map(service));
    objects.iter().map(|object| format!("{object}\n")).collect::<Vec<_>>().join("---\n")
}

/// A route to the first backend with these fields.
fn to_first(fields: &Value) -> Value {
    let mut route = fields.clone();
    route["route"] = json!([{"destination": {"host": "s0.test", "port": {"number": 80}}}]);
    route
}

#[test]
fn limits_and_retries_end_alike() {
    if testkit::skip_without_envoy() {
        return;
    }
    let pair = Pair::start();
    let silent = b"";
    let failing = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n";
    // Beside each, how many attempts there are: the limits lie far enough apart for a machine that is busy.
    let cases: [(&[u8], usize, Value); 9] = [
        (silent, 1, json!({"timeout": "0.2s"})),
        (
            silent,
            3,
            json!({"timeout": "9s", "retries": {"attempts": 2, "perTryTimeout": "0.3s", "retryOn": "5xx"}}),
        ),
        (
            silent,
            3,
            json!({"timeout": "2s", "retries": {"attempts": 9, "perTryTimeout": "0.7s", "retryOn": "5xx"}}),
        ),
        (
            silent,
            1,
            json!({"timeout": "0.3s", "retries": {"attempts": 3, "perTryTimeout": "5s", "retryOn": "5xx"}}),
        ),
        (failing, 1, json!({"retries": {"attempts": 0}})),
        (failing, 2, json!({"retries": {"attempts": 1, "retryOn": "503"}})),
        (failing, 1, json!({"retries": {"attempts": 3, "retryOn": "connect-failure"}})),
        (
            failing,
            0,
            json!({"fault": {"delay": {"fixedDelay": "0.05s", "percentage": {"value": 100}},
                                      "abort": {"httpStatus": 418, "percentage": {"value": 100}}}}),
        ),
        (cut, 1, json!({"timeout": "0.2s"})),
    ];
    for (answer, attempts, fields) in &cases {
        let backend = Recorder::answering(answer).expect("a backend");
        pair.configure(&configuration(&[backend.address()], &to_first(fields)));
        let requests = || backend.connections().iter().map(|sent| count(sent)).sum::<usize>();

        let [envoy, weft] = [0, 1].map(|side| {
            let seen = pair.ask_one(side, &asked()).map_err(|error| error.kind());
            let expected = attempts * (side + 1);
            // What was sent last may be read after the answer has come.
            wait_until("every attempt at the backend", PATIENCE, || match requests() {
                found if found == expected => Ok(()),
                found => Err(format!("side {side}: {found} of {expected}; {fields}")),
            });
            seen
        });

        assert_eq!(envoy, weft, "{fields} before {:?}", String::from_utf8_lossy(answer));
    }
}

/// The mesh's settings, as the object that holds them.
fn mesh(settings: &Value) -> String {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": settings.to_string()},
    });
    format!("---\n{object}\n")
}

/// The first backend's policy.
fn policy(policy: &Value) -> String {
    let object = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
        "metadata": {"name": "s0", "namespace": "default"},
        "spec": {"host": "s0.test", "trafficPolicy": policy},
    });
    format!("---\n{object}\n")
}

#[test]
fn limits_of_clients_connections_hold_alike() {
    if testkit::skip_without_envoy() {
        return;
    }
    let pair = Pair::start();
    let silent = Recorder::answering(b"").expect("a backend");
    let edge = json!({"defaultConfig": {"connectionSettings": {"profile": "EDGE", "httpMaxStreamDuration": "0.3s"}}});
    let dropping = json!({"defaultConfig": {"connectionSettings": {
        "httpHeadersWithUnderscoresAction": "HEADERS_WITH_UNDERSCORES_DROP_HEADER",
        "httpPathWithEscapedSlashesAction": "UNESCAPE_AND_FORWARD", "httpMergeSlashes": true,
    }}});
    let underscored = |client| Asked { client, headers: vec![("x_user", "me".into())], ..asked() };
    let echo = Echo::start("s0").expect("a backend");

    for (settings, backend, asked, status) in [
        (&edge, silent.address(), asked(), 504),
        (&edge, silent.address(), underscored(Client::Http1), 400),
        (&edge, silent.address(), Asked::get("a.test", "/a%2Fb//c?d=%2F"), 307),
        (&dropping, echo.address(), underscored(Client::Http1), 200),
        (&dropping, echo.address(), underscored(Client::Http2), 200),
        (&dropping, echo.address(), Asked::get("a.test", "/a%2Fb//c?d=%2F"), 200),
    ] {
        let text = configuration(&[backend], &to_first(&json!({})));
        pair.configure(&(text + &mesh(settings)));

        let [envoy, weft] = [0, 1].map(|side| pair.ask_one(side, &asked).map_err(|error| error.kind()));

        assert_eq!(envoy.as_ref().map(|seen| seen.status), Ok(status), "{asked:?}");
        assert_eq!(envoy, weft, "{asked:?}");
    }
    let refused = [0, 1].map(|side| {
        let text = configuration(&[silent.address()], &to_first(&json!({})));
        pair.configure(&(text + &mesh(&edge)));
        pair.ask_one(side, &underscored(Client::Http2)).is_err()
    });
    assert_eq!(refused, [true; 2], "the stream is reset");
}

#[test]
fn what_counts_as_an_error_and_what_a_budget_counts_is_alike() {
    if testkit::skip_without_envoy() {
        return;
    }
    let pair = Pair::start();
    let busy = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";
    let failing = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nmine";
    let outliers = json!({"outlierDetection": {
        "outlierDetectionHttpErrorCodes": [429, 500], "consecutive5xxErrors": 2, "interval": "600s",
        "baseEjectionTime": "600s", "maxEjectionPercent": 100,
    }});

    for (answer, end) in [(&busy[..], "no healthy upstream"), (&failing[..], "mine")] {
        let backend = Recorder::answering(answer).expect("a backend");
        let route = to_first(&json!({"retries": {"attempts": 0}}));
        pair.configure(&(configuration(&[backend.address()], &route) + &policy(&outliers)));
        for side in [0, 1] {
            let ask = || pair.ask_one(side, &asked()).expect("an answer").body;
            // Endpoints of both are judged by what each has seen itself.
            let first = [ask(), ask()];
            assert!(first.iter().all(|body| body != "no healthy upstream"), "side {side}: {first:?}");
            wait_until("the end of an endpoint, or none", PATIENCE, || match ask() {
                found if found == end => Ok(()),
                found => Err(format!("side {side}: {found:?}")),
            });
        }
    }
    // Half of what began within the hour: for the first request no retry is left, for those after it there is one.
    let budget =
        json!({"retryBudget": {"percent": 50.0, "minRetryConcurrency": 0, "budgetInterval": "3600s"}});
    let backend = Recorder::answering(failing).expect("a backend");
    let route = to_first(&json!({"retries": {"attempts": 1, "retryOn": "5xx"}}));
    pair.configure(&(configuration(&[backend.address()], &route) + &policy(&budget)));
    let requests = || backend.connections().iter().map(|sent| count(sent)).sum::<usize>();
    for side in [0, 1] {
        for expected in [1, 3, 5] {
            let seen = pair.ask_one(side, &asked()).expect("an answer");
            assert_eq!((seen.status, seen.body.as_str()), (503, "mine"));
            let all = expected + 5 * side;
            wait_until("every attempt at the backend", PATIENCE, || match requests() {
                found if found == all => Ok(()),
                found => Err(format!("side {side}: {found} of {all}")),
            });
        }
    }
}

/// How many requests stand in what a connection has sent.
fn count(sent: &[u8]) -> usize {
    String::from_utf8_lossy(sent).matches("GET / HTTP/1.1").count()
}

#[test]
fn mirrors_get_their_share() {
    if testkit::skip_without_envoy() {
        return;
    }
    let pair = Pair::start();
    let first = Echo::start("s0").expect("a backend");
    let copies = [0, 1].map(|_| Recorder::start().expect("a backend"));
    let route = to_first(&json!({"mirrors": [
        {"destination": {"host": "s1.test", "port": {"number": 80}}, "percentage": {"value": 25.0}},
    ]}));
    for side in [0, 1] {
        pair.configure(&configuration(&[first.address(), copies[side].address()], &route));
        for _ in 0..MANY {
            pair.ask_one(side, &asked()).expect("an answer");
        }

        let five_sigma = 5.0 * (f64::from(MANY) * 0.25 * 0.75).sqrt();
        let off = || {
            let found = copies[side].connections().iter().map(|sent| count(sent)).sum::<usize>();
            f64::from(u32::try_from(found).expect("a small number")) - f64::from(MANY) * 0.25
        };
        // Nobody waits for a copy: the last may still be on their way.
        wait_until("the copies", PATIENCE, || match off() {
            off if off >= -five_sigma => Ok(()),
            off => Err(format!("side {side}: {off} of a quarter of {MANY}")),
        });
        assert!(off() <= five_sigma, "side {side}: {} more than a quarter of {MANY}", off());
    }
}

#[test]
fn what_is_drawn_has_its_share() {
    if testkit::skip_without_envoy() {
        return;
    }
    let pair = Pair::start();
    let backends = ["s0", "s1"].map(|name| Echo::start(name).expect("a backend"));
    let addresses = [backends[0].address(), backends[1].address()];
    let weighted = json!({"route": [
        {"destination": {"host": "s0.test", "port": {"number": 80}}, "weight": 80},
        {"destination": {"host": "s1.test", "port": {"number": 80}}, "weight": 20},
    ]});
    let aborted = to_first(&json!({"fault": {"abort": {"httpStatus": 555, "percentage": {"value": 12.5}}}}));

    for (route, share, is_it) in [
        (&weighted, 0.2, (|_: u16, body: &str| body.contains("\"s1\"")) as fn(u16, &str) -> bool),
        (&aborted, 0.125, |status, _| status == 555),
    ] {
        pair.configure(&configuration(&addresses, route));
        for side in [0, 1] {
            let hits = (0..MANY)
                .filter(|_| pair.ask_one(side, &asked()).is_ok_and(|seen| is_it(seen.status, &seen.body)))
                .count();

            let (n, hits) = (f64::from(MANY), f64::from(u32::try_from(hits).expect("a small number")));
            let five_sigma = 5.0 * (n * share * (1.0 - share)).sqrt();
            assert!((hits - n * share).abs() <= five_sigma, "side {side}: {hits} of {n} for {share}");
        }
    }
}

#[test]
fn ten_thousand_keys_lead_to_the_same_endpoints() {
    if testkit::skip_without_envoy() {
        return;
    }
    let pair = Pair::start();
    let backends: Vec<Echo> = (0..5).map(|n| Echo::start(&format!("e{n}")).expect("a backend")).collect();
    let addresses: Vec<SocketAddr> = backends.iter().map(Echo::address).collect();
    let text = configuration_of(&[&addresses], &to_first(&json!({})));
    for policy in ["ringHash", "maglev"] {
        let rule = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": "s0", "namespace": "default"},
            "spec": {"host": "s0.test", "trafficPolicy": {"loadBalancer": {
                "consistentHash": {"httpHeaderName": "x-user", policy: {}},
            }}},
        });
        pair.configure(&format!("{text}---\n{rule}\n"));

        let met: Vec<[String; 2]> = (0..5000)
            .map(|key| {
                let mut asked = asked();
                asked.headers.push(("x-user", format!("key-{key}")));
                [0, 1].map(|side| {
                    let seen = pair.ask_one(side, &asked).unwrap_or_else(|error| panic!("{key}: {error}"));
                    let told: Value = serde_json::from_str(&seen.body).unwrap_or_default();
                    told["name"].as_str().unwrap_or_default().to_owned()
                })
            })
            .collect();

        let differ: Vec<_> = met.iter().enumerate().filter(|(_, [one, other])| one != other).collect();
        assert!(differ.is_empty(), "{policy}: {} of {}: {:?}", differ.len(), met.len(), differ.first());
        let names: BTreeSet<&String> = met.iter().map(|[name, _]| name).collect();
        assert_eq!(names.len(), backends.len(), "{policy}: {names:?}");
    }
}
