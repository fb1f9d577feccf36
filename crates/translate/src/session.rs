//! Sessions: clients that stay with the endpoint they came to first.

use std::time::Duration;

use proto::Any;
use proto::envoy::config::core::v3::TypedExtensionConfig;
use proto::envoy::extensions::filters::http::stateful_session::v3::{
    StatefulSession, StatefulSessionPerRoute, stateful_session_per_route::Override,
};
use proto::envoy::extensions::http::stateful_session::cookie::v3::CookieBasedSessionState;
use proto::envoy::extensions::http::stateful_session::header::v3::HeaderBasedSessionState;
use proto::envoy::r#type::http::v3::Cookie;

use mesh::Session;

use crate::wire;

/// The filter that keeps sessions.
pub(crate) const FILTER: &str = "envoy.filters.http.stateful_session";

/// The filter's configuration where nothing says how.
pub(crate) fn off() -> Any {
    proto::any::pack(&StatefulSession::default())
}

/// The filter's configuration for the routes of one service.
pub(crate) fn config(session: &Session) -> Any {
    let (name, state) = match session {
        Session::Cookie { name, path } => {
            let cookie = Cookie {
                name: name.clone(),
                path: path.clone(),
                // Istio's: a cookie that ends with the client's session.
                ttl: wire::duration(Duration::ZERO),
                ..Default::default()
            };
            ("cookie", proto::any::pack(&CookieBasedSessionState { cookie: Some(cookie) }))
        }
        Session::Header(name) => {
            ("header", proto::any::pack(&HeaderBasedSessionState { name: name.clone() }))
        }
    };
    let state = TypedExtensionConfig {
        name: format!("envoy.http.stateful_session.{name}"),
        typed_config: Some(state),
    };
    proto::any::pack(&StatefulSessionPerRoute {
        r#override: Some(Override::StatefulSession(StatefulSession {
            session_state: Some(state),
            ..Default::default()
        })),
    })
}
