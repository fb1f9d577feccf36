//! What a listener does with the first bytes of a connection, before a filter chain is chosen.

#[cfg(test)]
mod tests;

use proto::envoy::config::listener::v3 as wire;
use proto::envoy::config::listener::v3::listener_filter_chain_match_predicate::Rule;
use proto::envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol;

use crate::read::{At, Within, Wrong, each, refuse};

/// The listener filters of one listener.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListenerFilters {
    pub(crate) restores_destination: bool,
    pub(crate) proxy_protocol: Option<AcceptsProxy>,
    pub(crate) tls_inspector: Option<Inspector>,
    pub(crate) http_inspector: Option<Inspector>,
}

/// The PROXY header that stands before everything else on a connection and says where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptsProxy {
    /// Whether a connection without one is taken as it is, instead of being closed.
    pub allows_without: bool,
    /// Whether the version in text is understood.
    pub v1: bool,
    /// Whether the binary version is.
    pub v2: bool,
}

/// A look at the first bytes that may be switched off for some ports.
#[derive(Clone, Debug, Default)]
pub struct Inspector {
    disabled: Option<Predicate>,
}

#[derive(Clone, Debug)]
enum Predicate {
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    Fixed(bool),
    Not(Box<Predicate>),
    /// Half open.
    Ports(i32, i32),
}

impl ListenerFilters {
    pub(crate) fn compile(messages: &[wire::ListenerFilter], is_transparent: bool) -> Result<Self, Wrong> {
        let mut filters = Self::default();
        each(messages, "listener_filters", |message| filters.add(message, is_transparent))?;
        Ok(filters)
    }

    fn add(&mut self, message: &wire::ListenerFilter, is_transparent: bool) -> Result<(), Wrong> {
        let Some(wire::listener_filter::ConfigType::TypedConfig(any)) = &message.config_type else {
            return Err(Wrong::new("typed_config", "is missing"));
        };
        let disabled = match &message.filter_disabled {
            Some(predicate) => Some(Predicate::compile(predicate, 0).within("filter_disabled")?),
            None => None,
        };
        match proto::any::type_name(&any.type_url) {
            "envoy.extensions.filters.listener.original_dst.v3.OriginalDst" => {
                refuse(disabled.is_some(), "filter_disabled")?;
                self.restores_destination = true;
            }
            "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol" => {
                refuse(disabled.is_some(), "filter_disabled")?;
                if self.tls_inspector.is_some() || self.http_inspector.is_some() {
                    // An inspector before it would see the header instead of what it looks for.
                    return Err(Wrong::new("", "must stand before the inspectors"));
                }
                let message = proto::any::unpack(any).at("typed_config")?;
                self.proxy_protocol = Some(AcceptsProxy::compile(&message).within("typed_config")?);
            }
            "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector" => {
                self.tls_inspector = Some(Inspector { disabled });
            }
            "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector" => {
                self.http_inspector = Some(Inspector { disabled });
            }
            // The client's own address is kept by the transparent socket; a listener without one is refused there.
            "envoy.extensions.filters.listener.original_src.v3.OriginalSrc" if is_transparent => {}
            other => {
                return Err(Wrong::new("typed_config", format!("listener filter {other} is not supported")));
            }
        }
        Ok(())
    }
}

impl AcceptsProxy {
    fn compile(message: &ProxyProtocol) -> Result<Self, Wrong> {
        refuse(!message.rules.is_empty(), "rules")?;
        refuse(message.pass_through_tlvs.is_some(), "pass_through_tlvs")?;
        let accepts = |version: i32| !message.disallowed_versions.contains(&version);
        let accepts = Self {
            allows_without: message.allow_requests_without_proxy_protocol,
            v1: accepts(0),
            v2: accepts(1),
        };
        match accepts.v1 || accepts.v2 {
            true => Ok(accepts),
            false => Err(Wrong::new("disallowed_versions", "leaves no version")),
        }
    }
}

impl Inspector {
    /// Whether connections to this port are looked at.
    pub fn is_on(&self, port: u16) -> bool {
        !self.disabled.as_ref().is_some_and(|predicate| predicate.matches(port))
    }
}

impl Predicate {
    fn compile(message: &wire::ListenerFilterChainMatchPredicate, depth: usize) -> Result<Self, Wrong> {
        if depth > 16 {
            return Err(Wrong::new("", "is nested too deeply"));
        }
        let all = |set: &[wire::ListenerFilterChainMatchPredicate]| {
            each(set, "rules", |rule| Self::compile(rule, depth + 1))
        };
        match &message.rule {
            Some(Rule::AndMatch(set)) => Ok(Self::All(all(&set.rules)?)),
            Some(Rule::AnyMatch(value)) => Ok(Self::Fixed(*value)),
            Some(Rule::DestinationPortRange(range)) => Ok(Self::Ports(range.start, range.end)),
            Some(Rule::NotMatch(rule)) => Ok(Self::Not(Box::new(Self::compile(rule, depth + 1)?))),
            Some(Rule::OrMatch(set)) => Ok(Self::Any(all(&set.rules)?)),
            None => Err(Wrong::new("rule", "is missing")),
        }
    }

    fn matches(&self, port: u16) -> bool {
        match self {
            Self::All(rules) => rules.iter().all(|rule| rule.matches(port)),
            Self::Any(rules) => rules.iter().any(|rule| rule.matches(port)),
            Self::Fixed(value) => *value,
            Self::Not(rule) => !rule.matches(port),
            Self::Ports(start, end) => (*start..*end).contains(&i32::from(port)),
        }
    }
}
