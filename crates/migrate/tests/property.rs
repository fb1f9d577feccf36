//! Whatever the files hold: no panic, nothing lost without a word, and converting twice changes nothing.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;

use base::Severity;
use migrate::{Mode, convert, old};
use proptest::prelude::*;

/// Every field of every kind, so that cutting and mixing it reaches all of the reader.
const EVERYTHING: &str = include_str!("golden/everything.in.yaml");

fn labels() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("{version: v1}".to_owned()),
        Just("{version: 1.0}".to_owned()),
        Just("{version: v2, zone: a.b}".to_owned()),
        "\\{[a-z]{1,3}: '[A-Za-z0-9]{0,4}'\\}",
    ]
}

fn service() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\{name: [a-c]\\}",
        "\\{name: [a-c], namespace: [a-c]\\}",
        "\\{service: [a-c]\\.(x\\.svc\\.cluster\\.local|consul)\\}",
        "[a-c]\\.[a-c]\\.svc\\.cluster\\.local",
    ]
}

fn conditions() -> impl Strategy<Value = String> {
    let text = "(exact|prefix): '/?[a-z]{0,3}'|regex: '[a-z]{0,2}(\\.\\*)?'";
    prop_oneof![
        Just(String::new()),
        ("(uri|cookie|method|x-y)", text)
            .prop_map(|(name, text)| format!("  match: {{request: {{headers: {{{name}: {{{text}}}}}}}}}\n")),
        (service(), labels()).prop_map(|(service, _)| format!("  match: {{source: {service}}}\n")),
        Just("  match: {tcp: {sourceSubnet: [10.0.0.0/8, 192.168.0.0/16]}}\n".to_owned()),
    ]
}

fn rule() -> impl Strategy<Value = String> {
    (service(), 0..4, conditions(), proptest::collection::vec((labels(), 0..101u32), 0..4), "[a-c]").prop_map(
        |(service, precedence, conditions, routes, name)| {
            let mut text = format!(
                "# of {name}\nkind: RouteRule\nmetadata: {{name: {name}, namespace: {name}}}\nspec:\n  destination: {service}\n  precedence: {precedence} # here\n{conditions}"
            );
            if !routes.is_empty() {
                text.push_str("  route:\n");
                for (labels, weight) in routes {
                    writeln!(text, "  - labels: {labels}\n    weight: {weight}").unwrap();
                }
            }
            text
        },
    )
}

fn document() -> impl Strategy<Value = String> {
    let other = "kind: (Service|ConfigMap|DestinationRule)\nmetadata: \\{name: [a-c]\\}\n";
    prop_oneof![
        4 => rule(),
        1 => (service(), labels()).prop_map(|(service, labels)| format!(
            "type: destination-policy\nname: p\nspec:\n  destination: {service}\n  policy:\n  - tags: {labels}\n    loadBalancing: {{name: RANDOM}}\n"
        )),
        1 => "kind: EgressRule\nmetadata: \\{name: [a-c]\\}\nspec: \\{destination: \\{service: ('\\*[a-c]\\.x'|[a-c]\\.x|10\\.0\\.0\\.0/8)\\}, ports: \\[\\{port: [1-9][0-9]{0,3}, protocol: (http|https|tcp)\\}\\], useEgressProxy: (true|false)\\}\n",
        1 => "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: \\{name: [a-c]\\}\nspec: \\{rules: \\[\\{host: '([a-c]\\.x)?', http: \\{paths: \\[\\{path: '/[a-c]{0,2}(/\\*|\\.\\*)?', backend: \\{serviceName: [a-c], servicePort: [1-9]\\}\\}\\]\\}\\}\\]\\}\n",
        1 => other,
        1 => Just("# alone\n".to_owned()),
    ]
}

fn check(text: &str) -> Result<(), TestCaseError> {
    for mode in [Mode::Compat, Mode::Modern] {
        let once = convert(&[("in.yaml", text)], mode);
        let yaml = once.to_yaml();
        let twice = convert(&[("out.yaml", &yaml)], mode);
        prop_assert_eq!(&twice.to_yaml(), &yaml);
        prop_assert!(twice.documents.iter().all(migrate::Document::is_passed_through));
    }
    let (rules, _) = old::Rules::read(&[("in.yaml", text)]);
    for probe in rules.probes() {
        old::decide(&rules, &probe);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_rules_are_converted_once_and_accepted(documents in proptest::collection::vec(document(), 0..8)) {
        let text = documents.join("---\n");
        check(&text)?;

        let converted = convert(&[("in.yaml", &text)], Mode::Modern);

        let whole = converted.to_yaml();
        for name in text.lines().filter_map(|line| line.strip_prefix("# of ")) {
            let object = format!("RouteRule/{name}/{name}");
            let mut parts = converted.documents.iter().flat_map(|document| &document.parts);
            let is_kept = parts.any(|part| part.object == object);
            let is_told = converted.issues.iter().any(|issue| issue.object == object);
            prop_assert!(is_kept || is_told, "{} is lost\n{}\n{}", object, text, whole);
            let comment = format!("# of {name}\n");
            prop_assert!(!is_kept || whole.contains(&comment), "{} is lost\n{}\n{}", comment, text, whole);
        }
        for document in converted.documents.iter().filter(|document| !document.is_passed_through()) {
            let yaml = document.to_yaml();
            let parsed = api::parse("out.yaml", yaml.as_bytes());
            let wrong = |issue: &&base::Issue| issue.severity == Severity::Error && issue.code != "refused-field";
            let wrong: Vec<_> = parsed.issues.iter().filter(wrong).collect();
            prop_assert!(wrong.is_empty(), "{}\n{:#?}\n{}", text, wrong, yaml);
            prop_assert!(!document.parts.is_empty());
        }
    }

    #[test]
    fn files_cut_short_never_panic(end in 0..EVERYTHING.len()) {
        let end = (0..=end).rev().find(|end| EVERYTHING.is_char_boundary(*end)).unwrap();
        check(&EVERYTHING[..end])?;
    }

    #[test]
    fn files_with_lines_taken_out_never_panic(lines in proptest::collection::vec(any::<bool>(), 400)) {
        let kept = EVERYTHING.split_inclusive('\n').zip(lines).filter(|(_, is_kept)| *is_kept);
        check(&kept.map(|(line, _)| line).collect::<String>())?;
    }

    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        convert(&[("in", &bytes)], Mode::Modern);
    }

    #[test]
    fn any_values_are_taken(value in "(name|kind|[{}\\[\\]:,'\"#&*!|>%@`?-]|\n| |[a-z0-9]){0,80}") {
        check(&format!("kind: RouteRule\nmetadata: {{name: a}}\nspec:\n  destination: {{name: a}}\n  {value}"))?;
    }
}

/// Whether a condition of today's API holds; only what conversion writes is looked at.
fn holds(condition: &api::virtual_service::HttpMatch, request: &old::Request) -> bool {
    use api::virtual_service::{StringMatch, ValueMatch};
    let fits = |text: &StringMatch, value: &str| match text {
        StringMatch::Exact(exact) => value == exact,
        StringMatch::Prefix(prefix) => value.starts_with(prefix.as_str()),
        StringMatch::Regex(regex) => regex::Regex::new(&format!("^(?:{regex})$")).unwrap().is_match(value),
    };
    let is = |text: &Option<StringMatch>, value: &str| text.as_ref().is_none_or(|text| fits(text, value));
    let header =
        |name: &str| request.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    is(&condition.uri, request.path.split('?').next().unwrap())
        && is(&condition.method, &request.method)
        && is(&condition.scheme, &request.scheme)
        && is(&condition.authority, &request.authority)
        && condition.headers.iter().all(|(name, value)| match (value, header(name)) {
            (_, None) => false,
            (ValueMatch::Present, Some(_)) => true,
            (ValueMatch::Value(text), Some(value)) => fits(text, value),
        })
        && condition.source_labels.selects(&base::Labels(request.caller.labels.clone()))
        && condition.source_namespace.as_ref().is_none_or(|namespace| *namespace == request.caller.namespace)
}

/// Host, labels and share of each destination that today's objects choose.
fn decide_today(set: &[api::Resource], request: &old::Request) -> Option<Vec<(String, base::Labels, f64)>> {
    let of = |host: &str, namespace: &str| {
        base::Host::resolve(host, namespace, "cluster.local").as_str().to_owned()
    };
    let service = set.iter().find_map(|resource| match resource {
        api::Resource::VirtualService(service) => {
            let is_about =
                service.hosts.iter().any(|host| of(host, &service.meta().namespace) == request.host);
            is_about.then_some(service)
        }
        _ => None,
    })?;
    if service.http.is_empty() {
        // Routes of connections alone leave requests as they were.
        return Some(vec![(request.host.clone(), base::Labels::default(), 100.0)]);
    }
    let route = service
        .http
        .iter()
        .find(|route| route.matches.is_empty() || route.matches.iter().any(|m| holds(m, request)))?;
    let api::virtual_service::HttpAction::Forward(targets) = &route.action else { return None };
    let sum: u32 = targets.iter().map(|target| target.weight).sum();
    let share = |target: &api::virtual_service::RouteDestination| {
        let host = of(&target.destination.host, &service.meta().namespace);
        let labels = target.destination.subset.as_ref().map(|name| {
            let subset = set.iter().find_map(|resource| match resource {
                api::Resource::DestinationRule(rule) if of(&rule.host, &rule.meta().namespace) == host => {
                    rule.subsets.iter().find(|subset| subset.name == *name)
                }
                _ => None,
            });
            subset.unwrap().labels.clone()
        });
        (host, labels.unwrap_or_default(), f64::from(target.weight) * 100.0 / f64::from(sum))
    };
    Some(targets.iter().map(share).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn new_objects_decide_as_the_old_rules_did(rules in proptest::collection::vec(rule(), 1..8)) {
        let text = rules.join("---\n");
        let (rules, _) = old::Rules::read(&[("in.yaml", &text)]);
        let yaml = convert(&[("in.yaml", &text)], Mode::Modern).to_yaml();
        let parsed = api::parse("out.yaml", yaml.as_bytes());
        prop_assert_eq!(&parsed.refused, &[], "{}", yaml);

        for mut probe in rules.probes() {
            // Without a Service a caller's label is taken to be its service's name, so one label makes it part of the
            // service of its namespace and of the one outside that have this name.
            if let Some(service) = probe.caller.services.first() {
                let app = service.split('.').next().unwrap().to_owned();
                probe.caller.services =
                    vec![format!("{app}.{}.svc.cluster.local", probe.caller.namespace), format!("{app}.consul")];
                probe.caller.labels.entry("app".into()).or_insert(app);
            }
            let old::Action::Forward { shares, .. } = old::decide(&rules, &probe).action else { continue };
            let Some(today) = decide_today(&parsed.resources, &probe) else {
                prop_assert!(false, "nothing decides {:?}\n{}\n{}", probe, text, yaml);
                continue;
            };
            let before: Vec<_> = shares
                .into_iter()
                .map(|share| (share.destination.host, base::Labels(share.destination.labels), share.percent))
                .collect();
            prop_assert_eq!(today, before, "{:?}\n{}\n{}", probe, text, yaml);
        }
    }
}

/// An Ingress for ingress-nginx with some of its annotations.
fn nginx() -> impl Strategy<Value = String> {
    let names: Vec<&str> = migrate::annotations().iter().map(|annotation| annotation.name).collect();
    let value = "true|false|0|5|60|300|HTTPS|GRPC|cookie|ewma|off|error http_503|/\\$1|/x|https://a.example/b|\\$arg_q|x-a|a.example, b|.{0,8}";
    let annotation = (proptest::sample::select(names), value).prop_map(|(name, value)| {
        format!("    nginx.ingress.kubernetes.io/{name}: {}\n", serde_json::json!(value))
    });
    let path = ("|/|/a|/a/|/a/b|/a(/|\\$)(.*)|/\\[", "Exact|Prefix|ImplementationSpecific", "a|b").prop_map(|(path, kind, service)| {
        let path = serde_json::json!(path);
        format!("      - {{path: {path}, pathType: {kind}, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}\n")
    });
    (
        "[a-c]",
        proptest::collection::vec(annotation, 0..4),
        "|a.example|b.example",
        proptest::collection::vec(path, 1..4),
        any::<bool>(),
    )
        .prop_map(|(name, mut annotations, host, paths, has_certificate)| {
            let mut seen = std::collections::BTreeSet::new();
            annotations.retain(|line| seen.insert(line.split(": ").next().unwrap().to_owned()));
            let tls = if has_certificate { "  tls: [{hosts: [a.example], secretName: a}]\n" } else { "" };
            format!(
                "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  annotations:\n    x: y\n{}spec:\n{tls}  \
                 rules:\n  - host: {host:?}\n    http:\n      paths:\n{}",
                annotations.concat(),
                paths.concat()
            )
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ingresses_of_nginx_are_refused_or_become_what_is_accepted(all in proptest::collection::vec(nginx(), 1..4)) {
        let text = all.join("---\n");
        let converted = convert(&[("in.yaml", &text)], Mode::NginxIngress);

        let yaml = converted.to_yaml();
        let parsed = api::parse("out.yaml", yaml.as_bytes());
        let told: Vec<_> = converted.issues.iter().filter(|issue| issue.severity == Severity::Error).collect();
        let wrong: Vec<_> = parsed.issues.iter().filter(|issue| issue.severity == Severity::Error).collect();
        prop_assert!(wrong.is_empty() || !told.is_empty(), "{}\n{:#?}\n{}", text, wrong, yaml);
        let again = convert(&[("out.yaml", &yaml)], Mode::NginxIngress);
        prop_assert_eq!(again.to_yaml(), yaml);
    }
}
