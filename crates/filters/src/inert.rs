//! Filters that are understood and do nothing here, and why that is right.

#[cfg(test)]
mod tests;

use filter::{Built, FilterConfig, Registry};
use proto::envoy::config::core::v3::{async_data_source, data_source};
use proto::envoy::extensions::filters::common::set_filter_state::v3::filter_state_value::Key;
use proto::envoy::extensions::filters::http::dynamic_forward_proxy::v3::PerRouteConfig;
use proto::envoy::extensions::filters::http::set_filter_state::v3::Config as SetFilterState;
use proto::envoy::extensions::filters::http::wasm::v3::Wasm;
use proto::envoy::extensions::wasm::v3::plugin_config::Vm;

/// Messages that do nothing whatever they say.
const INERT: [(&str, &str); 9] = [
    (
        "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
        "it observes; gRPC calls are counted with all other requests",
    ),
    (
        "envoy.extensions.filters.http.router.v3.Router",
        "it marks the end of the list; routing follows every list",
    ),
    ("io.istio.http.peer_metadata.Config", "peers are told apart by the proxy itself"),
    (
        "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
        "it names protocols for TLS between workloads of the mesh, and none is spoken",
    ),
    (
        "istio.envoy.config.filter.http.alpn.v2.FilterConfig",
        "it names protocols for TLS between workloads of the mesh, and none is spoken",
    ),
    (
        "istio.envoy.config.filter.http.authn.v2alpha1.FilterConfig",
        "it describes a TLS peer to policies, and there is none that asks",
    ),
    (
        "istio.envoy.config.filter.http.authn.v2alpha2.FilterConfig",
        "it describes a TLS peer to policies, and there is none that asks",
    ),
    ("istio_authn", "it describes a TLS peer to policies, and there is none that asks"),
    ("stats.PluginConfig", "metrics are counted by the proxy itself"),
];

/// The virtual machines without a machine that Istio builds into Envoy for what later became filters of their own.
const NULL_VMS: [&str; 3] = ["envoy.wasm.metadata_exchange", "envoy.wasm.stats", "envoy.wasm.null.stats"];

pub(crate) fn register(registry: &mut Registry) {
    for (message, reason) in INERT {
        registry.register_inert(message, reason);
    }
    registry.register(
        "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig",
        dynamic_forward_proxy,
    );
    registry.register("envoy.extensions.filters.http.set_filter_state.v3.Config", set_filter_state);
    registry.register("envoy.extensions.filters.http.wasm.v3.Wasm", wasm);
}

/// The cluster resolves the host of each request itself; only another host than the request's would matter.
fn dynamic_forward_proxy(config: FilterConfig<'_>) -> Result<Built, String> {
    if let Some(any) = config.route {
        let route: PerRouteConfig = proto::any::unpack(any)?;
        if route.host_rewrite_specifier.is_some() {
            return Err("host_rewrite_specifier is not supported".into());
        }
    }
    Ok(Built::Inert)
}

/// Only the one state by which TLS between workloads of the mesh chooses its protocols.
fn set_filter_state(config: FilterConfig<'_>) -> Result<Built, String> {
    for any in [Some(config.listener), config.route].into_iter().flatten() {
        let message: SetFilterState = proto::any::unpack(any)?;
        for (i, state) in message.on_request_headers.iter().enumerate() {
            match &state.key {
                Some(Key::ObjectKey(key)) if key == "envoy.network.application_protocols" => {}
                other => return Err(format!("on_request_headers[{i}]: state {other:?} is not supported")),
            }
        }
    }
    Ok(Built::Inert)
}

/// Only the null machines that observe; real code would have to be run.
fn wasm(config: FilterConfig<'_>) -> Result<Built, String> {
    for any in [Some(config.listener), config.route].into_iter().flatten() {
        let message: Wasm = proto::any::unpack(any)?;
        let Some(Vm::VmConfig(vm)) = message.config.and_then(|plugin| plugin.vm) else {
            return Err("config.vm_config is missing".into());
        };
        let code = vm.code.and_then(|code| code.specifier);
        let name = match code {
            Some(async_data_source::Specifier::Local(source)) => match source.specifier {
                Some(data_source::Specifier::InlineString(name)) => name,
                _ => String::new(),
            },
            _ => String::new(),
        };
        if vm.runtime != "envoy.wasm.runtime.null" || !NULL_VMS.contains(&name.as_str()) {
            return Err(format!("runtime {:?} with code {name:?} is not supported", vm.runtime));
        }
    }
    Ok(Built::Inert)
}
