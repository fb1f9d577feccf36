#![allow(clippy::unwrap_used)]

use migrate::{Mode, convert};

use super::*;

const RULES: &str = "\
kind: RouteRule
metadata: {name: all-v1}
spec:
  destination: {name: reviews}
  precedence: 1
  route: [{labels: {version: v1}}]
---
kind: RouteRule
metadata: {name: jason}
spec:
  destination: {name: reviews}
  precedence: 2
  match:
    source: {name: productpage}
    request: {headers: {cookie: {regex: '^(.*?;)?(user=jason)(;.*)?$'}, uri: {prefix: /api}}}
  route: [{labels: {version: v2}, weight: 25}, {labels: {version: v3}, weight: 75}]
  rewrite: {uri: /v2}
  httpReqTimeout: {simpleTimeout: {timeout: 4s}}
  httpReqRetries: {simpleRetry: {attempts: 3, perTryTimeout: 1s}}
  mirror: {name: audit}
  appendHeaders: {x-from: mesh}
---
kind: RouteRule
metadata: {name: faulty}
spec:
  destination: {name: ratings}
  match: {request: {headers: {end-user: {exact: kim}}}}
  httpFault: {delay: {percent: 100, fixedDelay: 7s}, abort: {percent: 50, httpStatus: 418}}
---
kind: RouteRule
metadata: {name: moved}
spec:
  destination: {name: details}
  match: {request: {headers: {uri: {exact: /old}}}}
  redirect: {uri: /new, authority: other}
";

fn files() -> [(&'static str, &'static str); 1] {
    [("rules.yaml", RULES)]
}

#[test]
fn what_is_converted_decides_as_the_rules_did() {
    let proof = prove(&files(), &convert(&files(), Mode::Modern)).unwrap();

    assert_eq!((proof.first.as_ref(), proof.different), (None, 0), "{proof}");
    assert!(proof.compared >= 12, "{proof}");
    assert_eq!(proof.hosts, 3);
}

#[test]
fn the_first_request_that_differs_is_told() {
    let other = RULES.replace("weight: 25", "weight: 35").replace("weight: 75", "weight: 65");
    let converted = convert(&[("rules.yaml", &other)], Mode::Modern);

    let proof = prove(&files(), &converted).unwrap();

    let first = proof.first.as_ref().unwrap();
    assert_eq!(
        (first.field.as_str(), first.rule.as_deref()),
        ("destinations", Some("RouteRule/default/jason"))
    );
    assert!(
        first.before.contains("[version=v2] 25.00%") && first.now.contains("[version=v2] 35.00%"),
        "{proof}"
    );
    assert!(proof.to_string().contains("the first of them: GET http://reviews/api"), "{proof}");
}

#[test]
fn peers_rules_decide_as_they_did() {
    let Some(suites) = testkit::suites() else { return };
    let folder = suites.join("legacy");
    let (mut cases, mut compared) = (0, 0);
    for table in ["convert.json", "bookinfo.json"] {
        let text = std::fs::read_to_string(folder.join(table)).unwrap();
        let all: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        for case in all {
            let inputs = case["inputs"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
            let texts: Vec<(&str, String)> =
                inputs.map(|name| (name, std::fs::read_to_string(folder.join(name)).unwrap())).collect();
            let files: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();

            let proof = prove(&files, &convert(&files, Mode::Modern)).unwrap();

            assert_eq!(proof.first, None, "{} {proof}", case["id"]);
            (cases, compared) = (cases + 1, compared + proof.compared);
        }
    }
    assert!(cases == 22 && compared > 100, "{compared} requests of {cases} cases");
}
