//! What clients accept, and what caches must be told.

use http::header::{ACCEPT_ENCODING, ETAG, HeaderName};
use http::{HeaderMap, HeaderValue};

/// Whether a client takes gzip at least as gladly as the plain text.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any, mut plain) = (None, None, 0.0);
    for (name, quality) in items(headers, &ACCEPT_ENCODING).map(quality) {
        match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = Some(quality),
            "*" => any = Some(quality),
            "identity" => plain = quality,
            _ => {}
        }
    }
    gzip.or(any).is_some_and(|gzip| gzip > 0.0 && gzip >= plain)
}

/// Whether one of a header's comma-separated items is this, whatever the case of its letters.
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(token))
}

/// A compressed answer is not byte for byte the one that a strong tag stands for.
pub(super) fn adapt_etag(headers: &mut HeaderMap, weaken: bool) {
    let Some(tag) = headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/")) else { return };
    match HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()) {
        Ok(weak) if weaken => drop(headers.insert(ETAG, weak)),
        _ => drop(headers.remove(ETAG)),
    }
}

fn items<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let texts = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

fn quality(item: &str) -> (&str, f32) {
    let mut parts = item.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse().ok());
    (name, quality.unwrap_or(1.0))
}
