//! Sessions: a service whose label asks for it keeps each client with one endpoint.

use base::Labels;

use crate::slice::Session;

/// Istio's label: the cookie's name, and after a colon the path it is set for.
const COOKIE: &str = "istio.io/persistent-session";
/// Istio's label: the header's name.
const HEADER: &str = "istio.io/persistent-session-header";

/// How a service with these labels keeps sessions; None where it does not.
pub(crate) fn of_labels(labels: &Labels) -> Option<Session> {
    let named = |key: &str| labels.value(key).filter(|value| !value.is_empty());
    if let Some(cookie) = named(COOKIE) {
        let (name, path) = cookie.split_once(':').unwrap_or((cookie, "/"));
        return Some(Session::Cookie { name: name.to_owned(), path: path.to_owned() });
    }
    named(HEADER).map(|name| Session::Header(name.to_owned()))
}
