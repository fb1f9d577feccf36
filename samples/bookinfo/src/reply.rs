//! The few shapes of answer the services give.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

/// What every service answers with.
pub type Reply = Response<Full<Bytes>>;

/// A JSON document.
pub fn json(status: StatusCode, document: &Value) -> Reply {
    whole(status, "application/json", document.to_string())
}

/// An HTML page.
pub fn html(page: String) -> Reply {
    whole(StatusCode::OK, "text/html; charset=utf-8", page)
}

/// A line of text.
pub fn text(status: StatusCode, line: &'static str) -> Reply {
    whole(status, "text/plain; charset=utf-8", line.to_owned())
}

/// A refusal, as JSON with one field `error`.
pub fn refusal(status: StatusCode, why: &str) -> Reply {
    json(status, &json!({ "error": why }))
}

/// What an unknown path gets.
pub fn not_found() -> Reply {
    refusal(StatusCode::NOT_FOUND, "no such page")
}

/// Sends the browser to another page of this server.
pub fn redirect(to: &str) -> Reply {
    let mut reply = whole(StatusCode::FOUND, "text/plain; charset=utf-8", String::new());
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/productpage"));
    reply.headers_mut().insert(header::LOCATION, to);
    reply
}

fn whole(status: StatusCode, kind: &'static str, body: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}
