#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;

const MODEL: &str = r#"
apiVersion: weft/v1alpha1
kind: DomainModel
project: mall
contexts:
- name: order
  aggregates: [{name: Order, path: /orders, key: id, fields: {id: Long, productId: String, qty: Integer}}]
  commands:
  - {name: PlaceOrder, aggregate: Order, method: POST, path: /orders, emits: [OrderPlaced]}
  - {name: CancelOrder, aggregate: Order, method: DELETE, path: "/orders/{id}"}
  readModels:
  - {name: MyPage, projection: cqrs, path: /myPages, fields: {orderId: Long, productId: String, deliveryStatus: String}}
  events: [{name: OrderPlaced, aggregate: Order, fields: {orderId: Long, productId: String, qty: Integer}}]
- name: delivery
  aggregates: [{name: Delivery, path: /deliveries, key: id, fields: {id: Long, orderId: Long, status: String}}]
  policies: [{name: StartDelivery, listensTo: [OrderPlaced], emits: [DeliveryStarted]}]
  events: [{name: DeliveryStarted, aggregate: Delivery, fields: {orderId: Long, productId: String}}]
"#;

fn service(context: &str, log: &Path) -> Service {
    let model = generate::read("model.yaml", MODEL.as_bytes()).model.unwrap();
    let journal = Journal::open(log).unwrap();
    Service::new(model, context, Client::default(), (journal, context.to_owned())).unwrap()
}

async fn ask(service: &Service, method: &str, path: &str, body: &str) -> Answer {
    service.answer((method, path), &HeaderMap::new(), &Bytes::from(body.to_owned())).await
}

/// Runs on one thread what a test awaits.
fn run<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what)
}

#[test]
fn what_one_version_is_told_the_other_knows() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("events");
    let (stable, canary) = (service("order", &log), service("order", &log));
    run(async {
        let made = ask(&stable, "POST", "/orders", r#"{"productId": "p1", "qty": 2}"#).await;
        let second = ask(&canary, "POST", "/orders", "").await;

        assert_eq!(
            (made.status, &made.body["id"], &made.body["qty"]),
            (StatusCode::CREATED, &json!(1), &json!(2))
        );
        assert_eq!(second.body["id"], 2);
        assert_eq!(ask(&canary, "GET", "/orders/1", "").await.body["productId"], "p1");
        assert_eq!(
            ask(&stable, "GET", "/orders", "").await.body["_embedded"]["orders"].as_array().unwrap().len(),
            2
        );
        assert_eq!(ask(&stable, "DELETE", "/orders/1", "").await.status, StatusCode::OK);
        assert_eq!(ask(&canary, "GET", "/orders/1", "").await.status, StatusCode::NOT_FOUND);
    });
}

#[test]
fn an_event_is_seen_to_once_whoever_sees_it_first() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("events");
    let order = service("order", &log);
    let (stable, canary) = (service("delivery", &log), service("delivery", &log));
    run(async {
        ask(&order, "POST", "/orders", r#"{"productId": "p1"}"#).await;

        assert!(stable.react().await.unwrap());
        assert!(!canary.react().await.unwrap());

        let deliveries = ask(&canary, "GET", "/deliveries", "").await.body;
        let all = deliveries["_embedded"]["deliveries"].as_array().unwrap().clone();
        assert_eq!(all, [json!({"id": 1, "orderId": 1, "status": "DeliveryStarted"})]);
        let page = ask(&order, "GET", "/myPages/1", "").await.body;
        assert_eq!(page, json!({"orderId": 1, "productId": "p1", "deliveryStatus": "DeliveryStarted"}));
    });
}

#[test]
fn what_is_not_there_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let order = service("order", &dir.path().join("events"));
    run(async {
        for (method, path, body, status) in [
            ("GET", "/nothing", "", StatusCode::NOT_FOUND),
            ("POST", "/nothing", "", StatusCode::NOT_FOUND),
            ("POST", "/orders", "[", StatusCode::BAD_REQUEST),
            ("GET", "/actuator/health", "", StatusCode::OK),
            ("GET", "/", "", StatusCode::OK),
            ("GET", "/orders/9", "", StatusCode::OK),
        ] {
            assert_eq!(ask(&order, method, path, body).await.status, status, "{method} {path}");
        }
    });
}
