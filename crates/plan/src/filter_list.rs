//! The HTTP filters of a manager, from which the chain of each route is made.

use std::sync::Arc;

use base::Digest;
use filter::{Built, Chain, Filter, FilterConfig, Registry};
use proto::Any;
use proto::envoy::config::route::v3::FilterConfig as RouteFilterConfig;
use proto::envoy::extensions::filters::http::router::v3::Router;
use proto::envoy::extensions::filters::network::http_connection_manager::v3 as wire;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;

use crate::inert::InertFilter;
use crate::read::{At, Within, Wrong, named, refuse};

/// The message that marks the end of every list of HTTP filters.
const ROUTER: &str = "envoy.extensions.filters.http.router.v3.Router";

/// The HTTP filters of a manager, from which the chain of each route is made.
#[derive(Debug)]
pub struct FilterList {
    digest: Digest,
    entries: Vec<Entry>,
    /// Those that do nothing on any route.
    pub inert: Vec<InertFilter>,
    /// Whether headers of Envoy's own kind (`x-envoy-…`) are left out.
    pub suppress_envoy_headers: bool,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    any: Any,
    disabled: bool,
}

impl FilterList {
    pub(crate) fn compile(messages: &[wire::HttpFilter], registry: &Registry) -> Result<Self, Wrong> {
        let mut list = Self {
            digest: Digest::default(),
            entries: Vec::new(),
            inert: Vec::new(),
            suppress_envoy_headers: false,
        };
        let Some((last, before)) = messages.split_last() else {
            return Err(Wrong::new("http_filters", "is empty"));
        };
        for (i, message) in before.iter().enumerate() {
            list.add(message, registry).within(format_args!("http_filters[{i}]"))?;
        }
        let path = format!("http_filters[{}]", before.len());
        let any = typed(last).within(&path)?;
        if proto::any::type_name(&any.type_url) != ROUTER {
            return Err(Wrong::new(path, "the last filter must be the router"));
        }
        let router: Router = proto::any::unpack(any).at("typed_config").within(&path)?;
        refuse(!router.upstream_http_filters.is_empty(), "upstream_http_filters").within(&path)?;
        list.suppress_envoy_headers = router.suppress_envoy_headers;
        let content: Vec<_> =
            list.entries.iter().map(|e| (&e.name, &e.any.type_url, &e.any.value, e.disabled)).collect();
        list.digest = Digest::of_value(&content);
        // A filter that cannot be made at all must be refused with its listener, not with the first route.
        list.chain(&[], registry).map_err(|why| Wrong::new("http_filters", why))?;
        Ok(list)
    }

    fn add(&mut self, message: &wire::HttpFilter, registry: &Registry) -> Result<(), Wrong> {
        let any = match typed(message) {
            Ok(any) => any,
            Err(_) if message.is_optional => return Ok(()),
            Err(wrong) => return Err(wrong),
        };
        let kind = filter::kind(any).at("typed_config")?;
        if kind == ROUTER {
            return Err(Wrong::new("typed_config", "the router must be the last filter"));
        }
        let reason = match registry.inert_reason(&kind) {
            None if message.is_optional && !registry.knows(&kind) => Some("it is optional and not known"),
            reason => reason,
        };
        if let Some(reason) = reason {
            let name = message.name.as_str().into();
            self.inert.push(InertFilter { name, message: kind.as_ref().into(), reason });
            return Ok(());
        }
        self.entries.push(Entry {
            name: named(&message.name, "name")?,
            any: any.clone(),
            disabled: message.disabled,
        });
        Ok(())
    }

    /// Lists of one digest make the same chains.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// The names of the filters that routes can configure.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.entries.iter().map(|entry| &entry.name)
    }

    /// The chain of a route, from the most specific configuration there is for each filter.
    pub(crate) fn chain(
        &self,
        overrides: &[(&Arc<str>, &Any)],
        registry: &Registry,
    ) -> Result<Chain, String> {
        let mut filters: Vec<Arc<dyn Filter>> = Vec::new();
        for entry in &self.entries {
            let found = overrides.iter().find(|(name, _)| **name == entry.name).map(|(_, any)| *any);
            let route = Override::read(found)?;
            if route.disabled.unwrap_or(entry.disabled) {
                continue;
            }
            let config =
                FilterConfig { name: &entry.name, listener: &entry.any, route: route.config.as_ref() };
            if let Built::Filter(filter) = registry.make(config)? {
                filters.push(filter);
            }
        }
        Ok(Chain::new(filters))
    }
}

/// What a route says about one filter.
struct Override {
    config: Option<Any>,
    /// None where the listener decides.
    disabled: Option<bool>,
}

impl Override {
    fn read(any: Option<&Any>) -> Result<Self, String> {
        let Some(any) = any else { return Ok(Self { config: None, disabled: None }) };
        if proto::any::type_name(&any.type_url) != "envoy.config.route.v3.FilterConfig" {
            return Ok(Self { config: Some(any.clone()), disabled: Some(false) });
        }
        let wrapped: RouteFilterConfig = proto::any::unpack(any)?;
        Ok(Self { config: wrapped.config, disabled: Some(wrapped.disabled) })
    }
}

fn typed(message: &wire::HttpFilter) -> Result<&Any, Wrong> {
    match &message.config_type {
        Some(ConfigType::TypedConfig(any)) => Ok(any),
        Some(ConfigType::ConfigDiscovery(_)) => Err(Wrong::new("config_discovery", "is not supported")),
        None => Err(Wrong::new("typed_config", "is missing")),
    }
}
