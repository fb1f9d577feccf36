//! `details`: what a catalogue knows about a book.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::json;

use crate::reply::{self, Reply};

/// Answers `/health` and `/details/ID`.
pub fn answer(request: &Request<Bytes>) -> Reply {
    if request.method() != Method::GET {
        return reply::refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET is served");
    }
    match request.uri().path() {
        "/health" => reply::json(StatusCode::OK, &json!({ "status": "Details is healthy" })),
        path => match path.strip_prefix("/details/").map(str::parse::<i32>) {
            Some(Ok(id)) => reply::json(StatusCode::OK, &book(id)),
            Some(Err(_)) => reply::refusal(StatusCode::BAD_REQUEST, "please provide numeric product id"),
            None => reply::not_found(),
        },
    }
}

fn book(id: i32) -> serde_json::Value {
    json!({
        "id": id,
        "author": "William Shakespeare",
        "year": 1595,
        "type": "paperback",
        "pages": 200,
        "publisher": "PublisherA",
        "language": "English",
        "ISBN-10": "1234567890",
        "ISBN-13": "123-1234567890",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::get;

    #[test]
    fn a_book_is_asked_for_by_number() {
        assert_eq!(answer(&get("/details/0")).status(), StatusCode::OK);
        assert_eq!(answer(&get("/details/zero")).status(), StatusCode::BAD_REQUEST);
        assert_eq!(answer(&get("/detail")).status(), StatusCode::NOT_FOUND);
        assert_eq!(answer(&get("/health")).status(), StatusCode::OK);
    }
}
