#![allow(clippy::unwrap_used)]

use filter::{Built, FilterConfig, Registry};
use proto::Any;
use proto::envoy::config::core::v3::{AsyncDataSource, DataSource};
use proto::envoy::extensions::filters::common::set_filter_state::v3::FilterStateValue;
use proto::envoy::extensions::wasm::v3::{PluginConfig, VmConfig};

use super::*;

fn build(any: &Any) -> Result<Built, String> {
    let mut registry = Registry::default();
    crate::register(&mut registry);
    registry.make(FilterConfig { name: "x", listener: any, route: None })
}

fn any(name: &str) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: Vec::new() }
}

#[test]
fn every_inert_filter_says_why() {
    let mut registry = Registry::default();
    crate::register(&mut registry);

    for (message, _) in INERT {
        assert!(matches!(build(&any(message)), Ok(Built::Inert)), "{message}");
        assert!(!registry.inert_reason(message).unwrap().is_empty());
    }
}

#[test]
fn an_authorisation_is_never_left_out() {
    for name in ["rbac.v3.RBAC", "jwt_authn.v3.JwtAuthentication", "ext_authz.v3.ExtAuthz", "lua.v3.Lua"] {
        let error = build(&any(&format!("envoy.extensions.filters.http.{name}"))).unwrap_err();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_typed_struct_is_what_it_stands_for() {
    for (inner, is_known) in
        [("io.istio.http.peer_metadata.Config", true), ("envoy.extensions.filters.http.rbac.v3.RBAC", false)]
    {
        let message =
            proto::istio::TypedStruct { type_url: format!("type.googleapis.com/{inner}"), value: None };
        assert_eq!(build(&proto::any::pack(&message)).is_ok(), is_known, "{inner}");
    }
    let broken = Any { value: vec![0xff], ..any("udpa.type.v1.TypedStruct") };
    assert!(build(&broken).is_err());
}

#[test]
fn only_null_machines_that_observe_are_accepted() {
    let wasm = |runtime: &str, code: &str| {
        let source = DataSource {
            specifier: Some(data_source::Specifier::InlineString(code.into())),
            ..DataSource::default()
        };
        let vm = VmConfig {
            runtime: runtime.into(),
            code: Some(AsyncDataSource { specifier: Some(async_data_source::Specifier::Local(source)) }),
            ..VmConfig::default()
        };
        let plugin = PluginConfig { vm: Some(Vm::VmConfig(vm)), ..PluginConfig::default() };
        build(&proto::any::pack(&Wasm { config: Some(plugin) }))
    };

    assert!(matches!(wasm("envoy.wasm.runtime.null", "envoy.wasm.stats"), Ok(Built::Inert)));
    assert!(wasm("envoy.wasm.runtime.null", "my.authz").is_err());
    assert!(wasm("envoy.wasm.runtime.v8", "envoy.wasm.stats").is_err());
    assert!(build(&any("envoy.extensions.filters.http.wasm.v3.Wasm")).is_err());
}

#[test]
fn only_the_state_of_a_tls_greeting_may_be_set() {
    let state = |key: &str| {
        let value = FilterStateValue { key: Some(Key::ObjectKey(key.into())), ..FilterStateValue::default() };
        build(&proto::any::pack(&SetFilterState {
            on_request_headers: vec![value],
            ..SetFilterState::default()
        }))
    };

    assert!(matches!(state("envoy.network.application_protocols"), Ok(Built::Inert)));
    assert!(state("my.identity").is_err());
}
