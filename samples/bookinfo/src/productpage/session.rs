//! Who is logged in: a name in a cookie, no password checked, as in Istio's sample.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Request, Uri};

use crate::reply::{self, Reply};

/// The cookie's name.
const COOKIE: &str = "session";

/// The longest name that is taken.
const NAME_LIMIT: usize = 64;

/// The user of a request, if one is logged in.
pub fn user(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .and_then(|(_, value)| decoded(value))
        .filter(|user| is_name(user))
}

/// Takes the form's `username` and sends the browser back to where it came from.
pub fn login(request: &Request<Bytes>) -> Reply {
    let form = std::str::from_utf8(request.body()).unwrap_or_default();
    let name = form
        .split('&')
        .filter_map(|field| field.split_once('='))
        .find(|(field, _)| *field == "username")
        .and_then(|(_, value)| decoded(&value.replace('+', " ")))
        .map(|name| name.trim().to_owned())
        .filter(|name| is_name(name));
    match name {
        Some(name) => back(request, &format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax", encoded(&name))),
        None => back(request, &forgotten()),
    }
}

/// Forgets the user and sends the browser back to where it came from.
pub fn logout(request: &Request<Bytes>) -> Reply {
    back(request, &forgotten())
}

fn forgotten() -> String {
    format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")
}

fn back(request: &Request<Bytes>, cookie: &str) -> Reply {
    let mut reply = reply::redirect(&came_from(request.headers()));
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        reply.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    reply
}

/// The path of the page that linked here; only its path, so that no one is sent to another host.
fn came_from(headers: &HeaderMap) -> String {
    headers
        .get(header::REFERER)
        .and_then(|referrer| referrer.to_str().ok()?.parse::<Uri>().ok())
        .and_then(|uri| Some(uri.path_and_query()?.as_str().to_owned()))
        .filter(|path| path.starts_with('/') && !path.starts_with("//") && !path.starts_with("/\\"))
        .unwrap_or_else(|| "/productpage".to_owned())
}

/// Whether a name can travel in the header `end-user`.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_LIMIT && name.chars().all(|c| !c.is_control())
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { hex(rest.next()?)? << 4 | hex(rest.next()?)? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posted(form: &'static str) -> Request<Bytes> {
        Request::post("/login").body(Bytes::from(form)).expect("invariant: the request is well formed")
    }

    fn with(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn who_logs_in_is_known_afterwards() {
        let reply = login(&posted("username=J%C3%B6rg+S.&passwd=x"));

        let cookie = reply.headers()[header::SET_COOKIE].to_str().expect("invariant: the cookie is text");
        let (pair, attributes) = cookie.split_once(';').expect("invariant: the cookie has attributes");
        let pair = HeaderValue::from_str(pair).expect("invariant: the pair is text");
        assert!(attributes.contains("HttpOnly"));
        assert_eq!(user(&HeaderMap::from_iter([(header::COOKIE, pair)])).as_deref(), Some("Jörg S."));
    }

    #[test]
    fn hostile_names_and_cookies_are_nobody() {
        for cookie in
            ["session=%0d%0aevil: 1", "session=%zz", "session=%", "session=", "other=jason", "session"]
        {
            assert_eq!(user(&with(header::COOKIE, cookie)), None, "{cookie}");
        }
        let reply = login(&posted("username=%0a"));
        assert!(
            reply.headers()[header::SET_COOKIE].to_str().is_ok_and(|cookie| cookie.contains("Max-Age=0"))
        );
    }

    #[test]
    fn nobody_is_sent_to_another_host() {
        assert_eq!(
            came_from(&with(header::REFERER, "http://evil.example/productpage?u=1")),
            "/productpage?u=1"
        );
        assert_eq!(came_from(&with(header::REFERER, "http://a//evil.example")), "/productpage");
        assert_eq!(came_from(&HeaderMap::new()), "/productpage");
    }
}
