//! What a route does with a request: rewrite it, redirect it or answer it.

use super::{DirectResponse, Redirect, RedirectPath, RedirectPort, RegexRewrite, Rewrite};
use crate::check;
use crate::read::At;

pub(super) fn rewrite(at: &At<'_>) -> Rewrite {
    let uri_regex = at.field("uriRegexRewrite").map(|field| regex_rewrite(&field));
    let uri = at.text("uri").map(str::to_owned);
    let authority = at.text("authority").map(str::to_owned);
    if uri.is_some() && uri_regex.is_some() {
        at.error("conflict", "`uri` and `uriRegexRewrite` exclude each other");
    } else if uri.is_none() && uri_regex.is_none() && authority.is_none() {
        at.missing("uri", "a rewrite needs `uri`, `uriRegexRewrite` or `authority`");
    }
    Rewrite { uri, authority, uri_regex }
}

fn regex_rewrite(at: &At<'_>) -> RegexRewrite {
    let pattern = at.text("match").unwrap_or_default();
    let substitution = at.text("rewrite").unwrap_or_default();
    if pattern.is_empty() {
        at.missing("match", "a regular expression is missing");
    } else if let Some(message) = check::regex_error(pattern) {
        at.error("wrong-value", message);
    } else if let Some(message) = substitution_error(pattern, substitution) {
        at.error("wrong-value", message);
    }
    RegexRewrite { pattern: pattern.into(), substitution: substitution.into() }
}

/// A substitution may name the groups the expression has, and holds no other backslash than `\\`.
fn substitution_error(pattern: &str, substitution: &str) -> Option<String> {
    let groups = regex::Regex::new(pattern).map_or(0, |regex| regex.captures_len().saturating_sub(1));
    let mut chars = substitution.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            continue;
        }
        match chars.next() {
            Some('\\') => {}
            Some(digit @ '0'..='9') => {
                let group = digit.to_digit(10).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
                if group > groups {
                    return Some(format!("`\\{digit}` names a group that {pattern:?} does not have"));
                }
            }
            _ => return Some("a backslash must be followed by a digit or a backslash".into()),
        }
    }
    None
}

pub(super) fn redirect(at: &At<'_>) -> Option<Redirect> {
    let (uri, prefix) = (at.text("uri"), at.text("prefixRewrite"));
    let port = match (at.port("port"), at.text("derivePort")) {
        (Some(_), Some(_)) => {
            at.error("conflict", "`port` and `derivePort` exclude each other");
            None
        }
        (Some(number), None) => Some(RedirectPort::Number(number)),
        (None, Some("FROM_REQUEST_PORT")) => Some(RedirectPort::FromRequestPort),
        (None, Some(_)) => Some(RedirectPort::FromProtocolDefault),
        (None, None) => None,
    };
    let path = match (uri, prefix) {
        (Some(_), Some(_)) => {
            at.error("conflict", "`uri` and `prefixRewrite` exclude each other");
            None
        }
        (Some(uri), None) => Some(RedirectPath::Full(uri.into())),
        (None, Some(prefix)) => Some(RedirectPath::Prefix(prefix.into())),
        (None, None) => None,
    };
    let (authority, scheme) = (at.text("authority"), at.text("scheme"));
    if uri.is_none() && prefix.is_none() && authority.is_none() && port.is_none() && scheme.is_none() {
        at.missing("uri", "a redirect needs `uri`, `prefixRewrite`, `authority`, `port` or `scheme`");
    }
    if let Some(field) = at.field("scheme")
        && !matches!(scheme, None | Some("http" | "https"))
    {
        field.error("wrong-value", "a redirect's scheme is http or https");
    }
    let code = match at.whole::<u16>("redirectCode").unwrap_or(0) {
        0 => 301,
        code @ (301 | 302 | 303 | 307 | 308) => code,
        code => {
            at.error("wrong-value", format!("{code} is no redirect; write 301, 302, 303, 307 or 308"));
            301
        }
    };
    Some(Redirect {
        path,
        authority: authority.map(str::to_owned),
        port,
        scheme: scheme.map(str::to_owned),
        code,
    })
}

pub(super) fn direct_response(at: &At<'_>) -> Option<DirectResponse> {
    let Some(status) = at.field("status") else {
        at.missing("status", "a direct response needs a status");
        return None;
    };
    let status = check::status(&status)?;
    let Some(body) = at.field("body") else { return Some(DirectResponse { status, body: Vec::new() }) };
    let body = match (body.field("string"), body.field("bytes")) {
        (Some(_), Some(_)) => {
            body.error("conflict", "`string` and `bytes` exclude each other");
            return None;
        }
        (Some(text), None) => text.node.text().unwrap_or_default().as_bytes().to_vec(),
        (None, Some(bytes)) => {
            let decoded = check::base64(bytes.node.text().unwrap_or_default());
            if decoded.is_none() {
                bytes.error("wrong-value", "this is not base64");
            }
            decoded?
        }
        (None, None) => {
            body.missing("string", "a body needs `string` or `bytes`");
            return None;
        }
    };
    if body.len() > MAX_BODY {
        at.error("wrong-value", format!("the body is larger than {MAX_BODY} bytes"));
    }
    Some(DirectResponse { status, body })
}

/// As much as a route configuration carries for one route.
const MAX_BODY: usize = 1024 * 1024;
