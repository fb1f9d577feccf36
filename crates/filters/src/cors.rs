//! `envoy.filters.http.cors`: tells browsers which other sites may read an answer.
//!
//! The policy stands on the route or virtual host. A preflight from an allowed origin is answered here; every
//! other request goes on, and the answer to an allowed origin says that it is allowed.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use filter::{
    Built, Exchange, Filter, FilterConfig, LocalReply, Phases, Session, Share, StringMatch, Verdict,
};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN,
};
use http::{HeaderValue, Method, StatusCode};
use proto::envoy::extensions::filters::http::cors::v3::CorsPolicy;

const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");
const ASKS_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");

/// Who may read answers.
#[derive(Debug)]
struct Cors {
    name: Box<str>,
    policy: Arc<Policy>,
}

#[derive(Debug)]
struct Policy {
    origins: Vec<StringMatch>,
    enabled: Share,
    methods: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
    credentials: bool,
    private_network: bool,
    /// Whether the preflight of an origin that is not allowed reaches the upstream.
    forwards_others: bool,
}

pub(crate) fn make(config: FilterConfig<'_>) -> Result<Built, String> {
    let Some(any) = config.route else { return Ok(Built::Inert) };
    let policy = Policy::compile(&proto::any::unpack(any)?)?;
    if policy.enabled == Share::NONE {
        return Ok(Built::Inert);
    }
    Ok(Built::Filter(Arc::new(Cors { name: config.name.into(), policy: Arc::new(policy) })))
}

impl Policy {
    fn compile(message: &CorsPolicy) -> Result<Self, String> {
        let origins = message.allow_origin_string_match.iter().enumerate().map(|(i, origin)| {
            StringMatch::compile(origin).map_err(|why| format!("allow_origin_string_match[{i}]: {why}"))
        });
        let value = |text: &str, field: &str| match text {
            "" => Ok(None),
            text => match HeaderValue::from_str(text) {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(format!("{field}: {text:?} is not a header value")),
            },
        };
        let enabled = message.filter_enabled.as_ref().and_then(|enabled| enabled.default_value.as_ref());
        Ok(Self {
            origins: origins.collect::<Result<_, _>>()?,
            enabled: enabled
                .map_or(Ok(Share::ALL), Share::compile)
                .map_err(|why| format!("filter_enabled: {why}"))?,
            methods: value(&message.allow_methods, "allow_methods")?,
            headers: value(&message.allow_headers, "allow_headers")?,
            exposed: value(&message.expose_headers, "expose_headers")?,
            max_age: value(&message.max_age, "max_age")?,
            credentials: message.allow_credentials.is_some_and(|allowed| allowed.value),
            private_network: message.allow_private_network_access.is_some_and(|allowed| allowed.value),
            forwards_others: message.forward_not_matching_preflights.is_none_or(|forwards| forwards.value),
        })
    }

    fn allows(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|allowed| allowed.matches(b"*") || allowed.matches(origin))
    }

    /// The answer to a preflight; an origin that is not allowed gets one that does not name it.
    fn preflight(&self, x: &Exchange, origin: Option<&HeaderValue>) -> LocalReply {
        // Envoy's filter sends it by itself: what the route does to response headers is not done to it.
        let mut reply = LocalReply::text(StatusCode::OK, Bytes::new(), "cors_response").untouched();
        let yes = || Some(HeaderValue::from_static("true"));
        let asks = x.request.headers.get(ASKS_PRIVATE_NETWORK).is_some_and(|asks| asks.as_bytes() == b"true");
        let all = [
            (ACCESS_CONTROL_ALLOW_ORIGIN, origin.cloned()),
            (ACCESS_CONTROL_ALLOW_CREDENTIALS, yes().filter(|_| self.credentials)),
            (ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone()),
            (ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone()),
            (ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.clone().filter(|_| origin.is_some())),
            (ACCESS_CONTROL_MAX_AGE, self.max_age.clone()),
            (PRIVATE_NETWORK, yes().filter(|_| asks && self.private_network)),
        ];
        reply.headers = all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        reply
    }
}

impl Filter for Cors {
    fn name(&self) -> &str {
        &self.name
    }

    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD.and(Phases::RESPONSE_HEAD)
    }

    fn open(&self) -> Option<Box<dyn Session>> {
        Some(Box::new(Allowed { policy: Arc::clone(&self.policy), origin: None }))
    }
}

/// One exchange, and the origin that may read it.
struct Allowed {
    policy: Arc<Policy>,
    origin: Option<HeaderValue>,
}

impl Session for Allowed {
    fn request_head(&mut self, x: &mut Exchange) -> Verdict {
        let Some(origin) = x.request.headers.get(ORIGIN).filter(|origin| !origin.is_empty()).cloned() else {
            return Verdict::Continue;
        };
        let is_preflight = x.request.method == Method::OPTIONS
            && x.request.headers.get(ACCESS_CONTROL_REQUEST_METHOD).is_some_and(|method| !method.is_empty());
        if !self.policy.allows(origin.as_bytes()) {
            return match is_preflight && !self.policy.forwards_others {
                true => Verdict::Reply(self.policy.preflight(x, None)),
                false => Verdict::Continue,
            };
        }
        if !self.policy.enabled.includes(x.facts.random()) {
            return Verdict::Continue;
        }
        if is_preflight {
            // The answer is complete; the response phase need not add to it.
            return Verdict::Reply(self.policy.preflight(x, Some(&origin)));
        }
        self.origin = Some(origin);
        Verdict::Continue
    }

    fn response_head(&mut self, x: &mut Exchange) -> Verdict {
        if let (Some(origin), Some(response)) = (self.origin.take(), &mut x.response) {
            response.headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            if self.policy.credentials {
                response.headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
            if let Some(exposed) = &self.policy.exposed {
                response.headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
            }
        }
        Verdict::Continue
    }
}
