//! A scrape as Prometheus reads it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::account::{Flags, Reporter, Security, Service, Workload, WorkloadFacts};

fn workload(name: &str) -> Arc<Workload> {
    Arc::new(Workload::new(WorkloadFacts {
        name: format!("{name}-v1"),
        namespace: "default".into(),
        app: name.into(),
        version: "v1".into(),
        canonical_service: name.into(),
        canonical_revision: "v1".into(),
        cluster: "Kubernetes".into(),
        ..WorkloadFacts::default()
    }))
}

fn scrape(metrics: &Metrics) -> String {
    let mut out = String::new();
    metrics.render_prometheus(&mut out);
    out
}

/// Every sample of a scrape: name, labels and value. Panics on a line that is none.
fn samples(scrape: &str) -> Vec<(String, BTreeMap<String, String>, f64)> {
    scrape.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    while let Some(inside) = rest.strip_prefix(['{', ',']) {
        let (label, after) = inside.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut chars = after.char_indices();
        let closed = loop {
            match chars.next().unwrap() {
                (place, '"') => break place,
                (_, '\\') => value.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, char) => value.push(char),
            }
        };
        assert_eq!(labels.insert(label.to_owned(), value), None, "a label twice in {line}");
        rest = &after[closed + 1..];
    }
    (name.to_owned(), labels, rest.trim_start_matches('}').trim().parse().unwrap())
}

fn value(scrape: &str, name: &str, wanted: &[(&str, &str)]) -> Option<f64> {
    let is = |labels: &BTreeMap<String, String>| {
        wanted.iter().all(|(label, value)| labels.get(*label).is_some_and(|got| got == value))
    };
    samples(scrape).into_iter().find(|(got, labels, _)| got == name && is(labels)).map(|(_, _, value)| value)
}

#[test]
fn workers_are_summed_and_label_sets_kept_apart() {
    let metrics = Metrics::default();
    let (productpage, reviews) = (workload("productpage"), workload("reviews"));
    let service = Arc::new(Service::new("reviews.default.svc.cluster.local", "reviews", "default"));
    let answered = Account {
        response_code: 200,
        duration: Duration::from_millis(7),
        bytes_received: 10,
        bytes_sent: 2_000,
        source: Some(&productpage),
        destination: Some(&reviews),
        service: Some(&service),
        ..Account::default()
    };
    let refused = Account { response_code: 503, flags: Flags::default().with("UF"), ..answered.clone() };

    let mut first = metrics.worker();
    let mut second = metrics.worker();
    first.record(&answered);
    first.record(&answered);
    first.record(&refused);
    second.record(&answered);
    drop(second);

    let text = scrape(&metrics);
    assert_eq!(value(&text, "istio_requests_total", &[("response_code", "200")]), Some(3.0));
    let flagged = [("response_code", "503"), ("response_flags", "UF")];
    assert_eq!(value(&text, "istio_requests_total", &flagged), Some(1.0));
    let bucket = |le| {
        value(&text, "istio_request_duration_milliseconds_bucket", &[("response_code", "200"), ("le", le)])
    };
    assert_eq!(bucket("5"), Some(0.0));
    assert_eq!(bucket("10"), Some(3.0));
    assert_eq!(bucket("+Inf"), Some(3.0));
    assert_eq!(value(&text, "istio_response_bytes_sum", &[("response_code", "200")]), Some(6_000.0));
}

#[test]
fn a_series_carries_istios_labels_in_istios_order() {
    let metrics = Metrics::default();
    let (productpage, reviews) = (workload("productpage"), workload("reviews"));
    let service = Arc::new(Service::new("reviews.default.svc.cluster.local", "reviews", "default"));
    metrics.worker().record(&Account {
        reporter: Reporter::Destination,
        response_code: 200,
        source: Some(&productpage),
        destination: Some(&reviews),
        service: Some(&service),
        security: Security::None,
        ..Account::default()
    });

    assert!(scrape(&metrics).starts_with(
        "# TYPE istio_requests_total counter\n\
         istio_requests_total{reporter=\"destination\",source_workload=\"productpage-v1\",\
         source_canonical_service=\"productpage\",source_canonical_revision=\"v1\",\
         source_workload_namespace=\"default\",source_principal=\"unknown\",source_app=\"productpage\",\
         source_version=\"v1\",source_cluster=\"Kubernetes\",destination_workload=\"reviews-v1\",\
         destination_workload_namespace=\"default\",destination_principal=\"unknown\",\
         destination_app=\"reviews\",destination_version=\"v1\",\
         destination_service=\"reviews.default.svc.cluster.local\",destination_canonical_service=\"reviews\",\
         destination_canonical_revision=\"v1\",destination_service_name=\"reviews\",\
         destination_service_namespace=\"default\",destination_cluster=\"Kubernetes\",\
         request_protocol=\"http\",response_code=\"200\",grpc_response_status=\"\",response_flags=\"-\",\
         connection_security_policy=\"none\"} 1\n"
    ));
}

#[test]
fn unknown_peers_are_called_unknown() {
    let metrics = Metrics::default();
    metrics.worker().record(&Account { response_code: 404, ..Account::default() });

    let text = scrape(&metrics);
    let wanted = [
        ("source_workload", "unknown"),
        ("destination_service", "unknown"),
        ("connection_security_policy", "unknown"),
    ];
    assert_eq!(value(&text, "istio_requests_total", &wanted), Some(1.0));
}

#[test]
fn label_values_from_peers_cannot_forge_a_series() {
    let metrics = Metrics::default();
    let hostile = "a\"} 9\nistio_requests_total{x=\"\\";
    let source = Arc::new(Workload::new(WorkloadFacts { name: hostile.into(), ..WorkloadFacts::default() }));
    metrics.worker().record(&Account { response_code: 200, source: Some(&source), ..Account::default() });

    let text = scrape(&metrics);

    assert_eq!(value(&text, "istio_requests_total", &[("source_workload", hostile)]), Some(1.0));
    assert_eq!(samples(&text).iter().filter(|(name, ..)| name == "istio_requests_total").count(), 1);
}

#[test]
fn peers_that_never_repeat_themselves_are_folded() {
    let metrics = Metrics::default();
    let mut worker = metrics.worker_keeping(4);
    for number in 0..100 {
        let source = Arc::new(Workload::new(WorkloadFacts {
            name: format!("peer-{number}"),
            ..WorkloadFacts::default()
        }));
        worker.record(&Account { response_code: 200, source: Some(&source), ..Account::default() });
    }

    let text = scrape(&metrics);
    let counts = samples(&text);
    let requests: Vec<_> = counts.iter().filter(|(name, ..)| name == "istio_requests_total").collect();
    assert_eq!(requests.len(), 5);
    assert_eq!(requests.iter().map(|(_, _, count)| count).sum::<f64>(), 100.0);
    assert_eq!(value(&text, "istio_requests_total", &[("source_workload", "unknown")]), Some(96.0));
    assert_eq!(value(&text, "weft_metric_series_folded_total", &[]), Some(96.0));
}

#[test]
fn grpc_tells_its_status_and_messages_and_http_does_not() {
    let metrics = Metrics::default();
    let mut worker = metrics.worker();
    let call =
        Account { response_code: 200, grpc_status: Some(14), request_messages: 3, ..Account::default() };
    worker.record(&Account { traffic: Traffic::Grpc, ..call.clone() });
    worker.record(&call);

    let text = scrape(&metrics);
    let grpc = [("request_protocol", "grpc"), ("grpc_response_status", "14")];
    assert_eq!(value(&text, "istio_request_messages_total", &grpc), Some(3.0));
    let http = [("request_protocol", "http")];
    assert_eq!(value(&text, "istio_requests_total", &http), Some(1.0));
    assert_eq!(value(&text, "istio_request_messages_total", &http), None);
}

#[test]
fn a_tcp_connection_is_counted_as_it_goes() {
    let metrics = Metrics::default();
    let mut worker = metrics.worker();
    let connection = Account { traffic: Traffic::Tcp, ..Account::default() };
    worker.tcp_opened(&connection);
    worker.tcp_moved(&connection, 10, 100);
    worker.tcp_moved(&connection, 1, 1);
    worker.tcp_closed(&connection);

    let text = scrape(&metrics);
    let tcp = [("request_protocol", "tcp")];
    assert_eq!(value(&text, "istio_tcp_connections_opened_total", &tcp), Some(1.0));
    assert_eq!(value(&text, "istio_tcp_connections_closed_total", &tcp), Some(1.0));
    assert_eq!(value(&text, "istio_tcp_received_bytes_total", &tcp), Some(11.0));
    assert_eq!(value(&text, "istio_tcp_sent_bytes_total", &tcp), Some(101.0));
    assert!(!text.contains("response_code"));
}

#[test]
fn every_bucket_bound_holds_its_own_value() {
    for (place, bound) in crate::names::BUCKETS.iter().enumerate().skip(1) {
        let metrics = Metrics::default();
        let duration = Duration::from_secs_f64(bound / 1000.0);
        metrics.worker().record(&Account { duration, ..Account::default() });

        let text = scrape(&metrics);
        let bucket = |bound: f64| {
            let le = bound.to_string();
            value(&text, "istio_request_duration_milliseconds_bucket", &[("le", &le)])
        };
        assert_eq!(bucket(*bound), Some(1.0), "{bound}");
        assert_eq!(bucket(crate::names::BUCKETS[place - 1]), Some(0.0), "{bound}");
    }
}
