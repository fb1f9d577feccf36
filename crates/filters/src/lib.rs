//! The HTTP filters Weft has: Envoy's, under Envoy's messages.
//!
//! Start at [`registry`]; each filter is a module of its name. What is known and knowingly does nothing stands
//! in `inert`, with the reason; a filter that is in neither place is refused by whoever asks for it, since to
//! leave out an authorisation would let through what its author meant to stop.
//!
//! Never: a filter that speaks to the world itself.

mod compressor;
mod cors;
mod fault;
mod inert;
mod stateful_session;
#[cfg(test)]
mod tests_support;

use filter::Registry;

/// A registry of every filter of this crate: what a proxy knows, and whoever simulates one.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    register(&mut registry);
    registry
}

/// Adds every filter of this crate to a registry.
pub fn register(registry: &mut Registry) {
    registry.register("envoy.extensions.filters.http.compressor.v3.Compressor", compressor::make);
    registry.register("envoy.extensions.filters.http.cors.v3.Cors", cors::make);
    registry.register("envoy.extensions.filters.http.fault.v3.HTTPFault", fault::make);
    registry.register(
        "envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
        stateful_session::make,
    );
    inert::register(registry);
}
