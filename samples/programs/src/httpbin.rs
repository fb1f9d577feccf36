//! `httpbin`: answers with what it was asked.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::{Map, Value, json};

use crate::server::{Program, Reply, host, reply};

/// The longest delay that is asked for in vain.
const LONGEST_DELAY: f64 = 10.0;

/// A teapot, for those who ask for coffee.
const TEAPOT: &str = "\n    -=[ teapot ]=-\n\n       _...._\n     .'  _ _ `.\n    | .\"` ^ `\". _,\n    \\_;`\"---\"`|//\n      |       ;/\n      \\_     _/\n        `\"\"\"`\n";

/// How a header's values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderValues {
    /// As a list, however many there are.
    #[default]
    Lists,
    /// As one string.
    Strings,
}

/// The server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Httpbin {
    /// How headers are written.
    pub values: HeaderValues,
}

impl Program for Httpbin {
    fn answer<'a>(
        &'a self,
        _port: u16,
        request: &'a Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Reply> + Send + 'a>> {
        Box::pin(self.page(request))
    }
}

impl Httpbin {
    async fn page(self, request: &Request<Bytes>) -> Reply {
        let path = request.uri().path();
        let (first, rest) =
            path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
        match first {
            "" | "health" => reply(200, "text/plain", "ok"),
            "headers" => found(&json!({ "headers": self.headers(request) })),
            "ip" => found(&json!({ "origin": origin(request) })),
            "user-agent" => found(&json!({ "user-agent": text(request, "user-agent") })),
            "get" | "post" | "put" | "patch" | "delete" | "anything" => self.echo(request),
            "status" => status(rest),
            "delay" => {
                let seconds: f64 = rest.parse().unwrap_or_default();
                tokio::time::sleep(Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_DELAY))).await;
                self.echo(request)
            }
            _ => reply(404, "text/plain", "not found"),
        }
    }

    fn echo(self, request: &Request<Bytes>) -> Reply {
        let query = request.uri().query().unwrap_or_default();
        let args: Map<String, Value> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        found(&json!({
            "args": args,
            "headers": self.headers(request),
            "method": request.method().as_str(),
            "origin": origin(request),
            "url": format!("http://{}{}", host(request.headers(), request.uri()), request.uri().path()),
            "data": String::from_utf8_lossy(request.body()),
        }))
    }

    fn headers(self, request: &Request<Bytes>) -> Map<String, Value> {
        let mut found = Map::new();
        found.insert("Host".to_owned(), self.value(vec![host(request.headers(), request.uri()).to_owned()]));
        for name in request.headers().keys().filter(|name| *name != http::header::HOST) {
            let values = request.headers().get_all(name).iter();
            let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
            found.insert(canonical(name.as_str()), self.value(values));
        }
        found
    }

    fn value(self, values: Vec<String>) -> Value {
        match self.values {
            HeaderValues::Lists => json!(values),
            HeaderValues::Strings => json!(values.join(",")),
        }
    }
}

/// `x-request-id` as `X-Request-Id`.
fn canonical(name: &str) -> String {
    let part = |part: &str| {
        let mut letters = part.chars();
        letters
            .next()
            .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

fn found(value: &Value) -> Reply {
    reply(200, "application/json", format!("{value:#}\n"))
}

fn status(code: &str) -> Reply {
    match code.parse::<u16>() {
        Ok(418) => reply(418, "text/plain", TEAPOT),
        Ok(code @ 200..=599) => reply(code, "text/plain", ""),
        _ => reply(400, "text/plain", "no such status"),
    }
}

fn text<'a>(request: &'a Request<Bytes>, name: &str) -> &'a str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn origin(request: &Request<Bytes>) -> String {
    let forwarded = text(request, "x-forwarded-for");
    forwarded.split(',').next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn ask(values: HeaderValues, path: &str) -> (u16, String) {
        let request = Request::builder().uri(path).header("host", "x").header("x-a", "1").header("x-a", "2");
        let reply = Httpbin { values }.page(&request.body(Bytes::new()).expect("a request")).await;
        let status = reply.status().as_u16();
        let body = reply.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn headers_come_back_as_lists_or_as_strings() {
        let (_, lists) = ask(HeaderValues::Lists, "/headers").await;
        let (_, strings) = ask(HeaderValues::Strings, "/get?a=1").await;

        let lists: Value = serde_json::from_str(&lists).expect("JSON");
        assert_eq!(lists["headers"], json!({ "Host": ["x"], "X-A": ["1", "2"] }));
        let strings: Value = serde_json::from_str(&strings).expect("JSON");
        assert_eq!((&strings["headers"]["X-A"], &strings["args"]["a"]), (&json!("1,2"), &json!("1")));
    }

    #[tokio::test]
    async fn a_status_is_what_was_asked_for() {
        let (status, teapot) = ask(HeaderValues::Lists, "/status/418").await;

        assert_eq!(status, 418);
        assert!(teapot.contains("teapot"));
        assert_eq!(ask(HeaderValues::Lists, "/status/503").await.0, 503);
        assert_eq!(ask(HeaderValues::Lists, "/status/lots").await.0, 400);
    }
}
