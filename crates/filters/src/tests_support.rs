//! What the tests of all filters share.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use filter::{Built, Chain, Exchange, Facts, FilterConfig, Make, Moment, Peer};
use http::{HeaderName, HeaderValue, StatusCode};
use proto::Any;

/// The chain of one filter; empty where it is inert.
pub(crate) fn made(make: Make, listener: &Any, route: Option<&Any>) -> Result<Chain, String> {
    match make(FilterConfig { name: "under test", listener, route })? {
        Built::Filter(filter) => Ok(Chain::new([filter])),
        Built::Inert => Ok(Chain::default()),
    }
}

/// A request without a response.
pub(crate) fn exchange(method: &str, headers: &[(&'static str, &'static str)]) -> Exchange {
    let mut request = http::Request::builder().method(method).uri("/").body(()).unwrap().into_parts().0;
    for (name, value) in headers {
        request.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let address = base::Address::Ip(SocketAddr::from(([127, 0, 0, 1], 1)));
    let facts = Facts::new(Moment::default(), Peer { remote: address.clone(), local: address }, 1);
    Exchange { request, response: None, facts }
}

/// Gives an exchange its response.
pub(crate) fn respond(x: &mut Exchange, status: u16, headers: &[(&'static str, &'static str)]) {
    let mut response = http::Response::new(()).into_parts().0;
    response.status = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    x.response = Some(response);
}
