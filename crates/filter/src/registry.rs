//! How configured filters become [`Filter`]s: by type URL first, by name second.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use proto::istio::TypedStruct;
use proto::{Any, Message};

use crate::Filter;

/// What a filter is made from: its place in the listener and its override on the route, if any.
#[derive(Clone, Copy, Debug)]
pub struct FilterConfig<'a> {
    /// The name in the listener's list; free text.
    pub name: &'a str,
    /// The listener's own configuration.
    pub listener: &'a Any,
    /// The most specific `typed_per_filter_config` of weight, route and virtual host.
    pub route: Option<&'a Any>,
}

/// What came of a [`FilterConfig`].
#[derive(Clone, Debug)]
pub enum Built {
    /// It does something on this route.
    Filter(Arc<dyn Filter>),
    /// It is understood and does nothing on this route, so it costs nothing.
    Inert,
}

/// Makes one kind of filter; the error says which field is wrong and why.
pub type Make = fn(FilterConfig<'_>) -> Result<Built, String>;

/// The kinds of filters a machine knows.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    makers: HashMap<&'static str, Make>,
    inert: HashMap<&'static str, &'static str>,
}

impl Registry {
    /// Adds one kind under the message name behind its type URL (no `type.googleapis.com/`).
    pub fn register(&mut self, message: &'static str, make: Make) {
        self.makers.insert(message, make);
    }

    /// Adds one kind that is accepted and knowingly does nothing; the reason is shown in `/config_dump`.
    pub fn register_inert(&mut self, message: &'static str, reason: &'static str) {
        self.inert.insert(message, reason);
    }

    /// Makes a filter.
    ///
    /// # Errors
    /// The kind is unknown, or its configuration is wrong.
    pub fn make(&self, config: FilterConfig<'_>) -> Result<Built, String> {
        let kind = kind(config.listener)?;
        if let Some(make) = self.makers.get(&*kind) {
            return make(config).map_err(|e| format!("filter {:?}: {e}", config.name));
        }
        if self.inert.contains_key(&*kind) {
            return Ok(Built::Inert);
        }
        Err(format!("filter {:?}: no implementation of {kind} is registered", config.name))
    }

    /// Why a kind does nothing here, if it is one that knowingly does nothing.
    pub fn inert_reason(&self, message: &str) -> Option<&'static str> {
        self.inert.get(message).copied()
    }

    /// Whether a kind is registered at all.
    pub fn knows(&self, message: &str) -> bool {
        self.makers.contains_key(message) || self.inert.contains_key(message)
    }

    /// The message names of all kinds, for the node's extension list.
    pub fn messages(&self) -> impl Iterator<Item = &'static str> {
        self.makers.keys().chain(self.inert.keys()).copied()
    }
}

/// The message a configuration is of: that of its type URL, or the one a `TypedStruct` stands for.
///
/// # Errors
/// A `TypedStruct` that is none.
pub fn kind(any: &Any) -> Result<Cow<'_, str>, String> {
    match proto::any::type_name(&any.type_url) {
        "udpa.type.v1.TypedStruct" | "xds.type.v3.TypedStruct" => {
            let inner =
                TypedStruct::decode(any.value.as_slice()).map_err(|e| format!("{}: {e}", any.type_url))?;
            Ok(Cow::Owned(proto::any::type_name(&inner.type_url).to_owned()))
        }
        name => Ok(Cow::Borrowed(name)),
    }
}
