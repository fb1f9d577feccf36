//! `envoy.filters.http.stateful_session`: the requests of one session go to one endpoint.
//!
//! The client keeps the endpoint's address for us, in a cookie or a header; an answer tells it whenever the endpoint
//! is another one than it said.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::sync::Arc;

use base::Address;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use filter::{Built, Exchange, Filter, FilterConfig, Phases, Session, Verdict, Wanted};
use http::header::{COOKIE, HeaderName, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use proto::envoy::extensions::filters::http::stateful_session::v3::stateful_session_per_route::Override;
use proto::envoy::extensions::filters::http::stateful_session::v3::{
    StatefulSession as Message, StatefulSessionPerRoute,
};
use proto::envoy::extensions::http::stateful_session::cookie::v3::CookieBasedSessionState;
use proto::envoy::extensions::http::stateful_session::header::v3::HeaderBasedSessionState;
use proto::envoy::r#type::http::v3::Cookie;
use proto::google::protobuf::Duration;

/// Keeps sessions at their endpoints.
#[derive(Debug)]
struct StatefulSession {
    name: Box<str>,
    rule: Arc<Rule>,
}

#[derive(Debug)]
struct Rule {
    place: Place,
    /// What is answered where the endpoint is gone; none to go on with another.
    otherwise: Option<StatusCode>,
}

/// Where the client keeps the address.
#[derive(Debug)]
enum Place {
    Cookie {
        name: Box<str>,
        path: Box<str>,
        /// In seconds; 0 for as long as the client's own session.
        ttl: u64,
        /// What follows a cookie's value.
        tail: Box<str>,
    },
    Header(HeaderName),
}

pub(crate) fn make(config: FilterConfig<'_>) -> Result<Built, String> {
    let mut message: Message = proto::any::unpack(config.listener)?;
    if let Some(any) = config.route {
        let route: StatefulSessionPerRoute = proto::any::unpack(any)?;
        match route.r#override {
            Some(Override::Disabled(true)) => return Ok(Built::Inert),
            Some(Override::Disabled(false)) => return Err("disabled can only be true".into()),
            Some(Override::StatefulSession(own)) => message = own,
            None => {}
        }
    }
    match Rule::compile(&message)? {
        Some(rule) => {
            Ok(Built::Filter(Arc::new(StatefulSession { name: config.name.into(), rule: Arc::new(rule) })))
        }
        None => Ok(Built::Inert),
    }
}

impl Rule {
    fn compile(message: &Message) -> Result<Option<Self>, String> {
        let Some(state) = &message.session_state else { return Ok(None) };
        let any = state.typed_config.as_ref().ok_or("session_state.typed_config is missing")?;
        let place = match proto::any::type_name(&any.type_url) {
            "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState" => {
                let state: CookieBasedSessionState = proto::any::unpack(any)?;
                Place::cookie(state.cookie.as_ref().ok_or("session_state.cookie is missing")?)?
            }
            "envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState" => {
                let state: HeaderBasedSessionState = proto::any::unpack(any)?;
                let wrong = |_| format!("session_state.name: {:?} is not a header name", state.name);
                Place::Header(HeaderName::try_from(state.name.as_str()).map_err(wrong)?)
            }
            other => return Err(format!("session_state: {other} is not supported")),
        };
        let status = match message.status_on_strict_destination_not_found {
            0 => 503,
            own => own,
        };
        let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.ok_or("status_on_strict_destination_not_found is not a status")?;
        Ok(Some(Self { place, otherwise: message.strict.then_some(status) }))
    }
}

impl Place {
    fn cookie(message: &Cookie) -> Result<Self, String> {
        if message.name.is_empty() {
            return Err("session_state.cookie.name is empty".into());
        }
        let ttl = match message.ttl {
            None => 0,
            Some(Duration { seconds, nanos }) => u64::try_from(seconds)
                .ok()
                .filter(|_| nanos >= 0)
                .ok_or("session_state.cookie.ttl is not a duration of zero or more")?,
        };
        let mut tail = String::new();
        // Writing to memory cannot fail.
        if ttl > 0 {
            let _ = write!(tail, "; Max-Age={ttl}");
        }
        if !message.path.is_empty() {
            let _ = write!(tail, "; Path={}", message.path);
        }
        for attribute in &message.attributes {
            let _ = match attribute.value.is_empty() {
                true => write!(tail, "; {}", attribute.name),
                false => write!(tail, "; {}={}", attribute.name, attribute.value),
            };
        }
        tail.push_str("; HttpOnly");
        HeaderValue::try_from(&tail).map_err(|_| "session_state.cookie is not a cookie".to_owned())?;
        Ok(Self::Cookie {
            name: message.name.as_str().into(),
            path: message.path.as_str().into(),
            ttl,
            tail: tail.into(),
        })
    }

    /// Whether requests for a path have sessions: a cookie is for its path and what lies below.
    fn concerns(&self, path: &str) -> bool {
        let Self::Cookie { path: own, .. } = self else { return true };
        match path.strip_prefix(&**own) {
            Some(rest) => own.is_empty() || own.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }

    /// The address a request brings.
    fn address(&self, x: &Exchange) -> Option<Address> {
        match self {
            Self::Cookie { name, .. } => {
                let bytes = STANDARD.decode(cookie(&x.request.headers, name)?).ok()?;
                // The address alone, as it was written before sessions had an end.
                match std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()) {
                    Some(address) => Some(address),
                    None => Kept::read(&bytes)?.address(x.facts.began.0.as_secs()),
                }
            }
            Self::Header(name) => {
                let bytes = STANDARD.decode(x.request.headers.get(name)?.as_bytes()).ok()?;
                std::str::from_utf8(&bytes).ok()?.parse().ok()
            }
        }
    }

    /// Tells the client an address.
    fn tell(&self, address: &Address, now: u64, headers: &mut HeaderMap) {
        match self {
            Self::Cookie { name, ttl, tail, .. } => {
                let expires = if *ttl > 0 { now.saturating_add(*ttl) } else { 0 };
                let value = STANDARD.encode(Kept { address: address.to_string(), expires }.write());
                if let Ok(value) = HeaderValue::try_from(format!("{name}=\"{value}\"{tail}")) {
                    headers.append(SET_COOKIE, value);
                }
            }
            Self::Header(name) => {
                if let Ok(value) = HeaderValue::try_from(STANDARD.encode(address.to_string())) {
                    headers.insert(name.clone(), value);
                }
            }
        }
    }
}

/// What a cookie keeps.
#[derive(Clone, PartialEq, proto::Message)]
struct Kept {
    #[prost(string, tag = "1")]
    address: String,
    /// In seconds since the epoch; 0 for never.
    #[prost(uint64, tag = "2")]
    expires: u64,
}

impl Kept {
    fn read(bytes: &[u8]) -> Option<Self> {
        proto::Message::decode(bytes).ok()
    }

    fn write(&self) -> Vec<u8> {
        proto::Message::encode_to_vec(self)
    }

    fn address(&self, now: u64) -> Option<Address> {
        let is_over = self.expires != 0 && self.expires < now;
        self.address.parse().ok().filter(|_| !is_over)
    }
}

/// The value of a request's cookie, without quotes.
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(known, _)| known.trim() == name)?;
    let value = value.trim();
    Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

impl Filter for StatefulSession {
    fn name(&self) -> &str {
        &self.name
    }

    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD.and(Phases::RESPONSE_HEAD)
    }

    fn open(&self) -> Option<Box<dyn Session>> {
        Some(Box::new(Member { rule: Arc::clone(&self.rule), is_concerned: false, said: None }))
    }
}

/// One exchange of a session.
struct Member {
    rule: Arc<Rule>,
    is_concerned: bool,
    /// The address the client said.
    said: Option<Address>,
}

impl Session for Member {
    fn request_head(&mut self, x: &mut Exchange) -> Verdict {
        self.is_concerned = self.rule.place.concerns(x.request.uri.path());
        if self.is_concerned {
            self.said = self.rule.place.address(x);
            let otherwise = self.rule.otherwise;
            x.facts.wanted = self.said.clone().map(|address| Wanted { address, otherwise });
        }
        Verdict::Continue
    }

    fn response_head(&mut self, x: &mut Exchange) -> Verdict {
        if let (true, Some(upstream), Some(response)) =
            (self.is_concerned, &x.facts.upstream, &mut x.response)
            && self.said.as_ref() != Some(upstream)
        {
            self.rule.place.tell(upstream, x.facts.began.0.as_secs(), &mut response.headers);
        }
        Verdict::Continue
    }
}
