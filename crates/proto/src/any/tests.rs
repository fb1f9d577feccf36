#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use super::*;
use crate::envoy::config::core::v3::Metadata;
use crate::envoy::config::route::v3::{Route, RouteConfiguration, VirtualHost};
use crate::google::protobuf::{Struct, Value, value};

fn text(text: &str) -> Value {
    Value { kind: Some(value::Kind::StringValue(text.to_owned())) }
}

/// A struct whose hash maps, two deep, iterate differently each time one is made.
fn deep(fields: usize) -> Struct {
    let inner = || Struct { fields: (0..fields).map(|i| (format!("inner{i}"), text("x"))).collect() };
    let value = |_| Value { kind: Some(value::Kind::StructValue(inner())) };
    Struct { fields: (0..fields).map(|i| (format!("outer{i}"), value(i))).collect() }
}

fn routes() -> RouteConfiguration {
    let filter_metadata: HashMap<_, _> = (0..20).map(|i| (format!("filter{i}"), deep(8))).collect();
    let metadata = Some(Metadata { filter_metadata, ..Default::default() });
    let typed_per_filter_config = (0..20).map(|i| (format!("filter{i}"), pack(&deep(3)))).collect();
    let route = Route { name: "r".to_owned(), metadata, typed_per_filter_config, ..Default::default() };
    let host = VirtualHost { name: "h".to_owned(), routes: vec![route.clone(), route], ..Default::default() };
    RouteConfiguration { name: "80".to_owned(), virtual_hosts: vec![host], ..Default::default() }
}

#[test]
fn equal_messages_with_maps_at_any_depth_are_packed_into_equal_bytes() {
    let packed: Vec<Any> = (0..8).map(|_| pack(&routes())).collect();

    assert!(packed.iter().all(|any| any == &packed[0]));
    assert_eq!(unpack::<RouteConfiguration>(&packed[0]).unwrap(), routes());
}

#[test]
fn sorting_leaves_malformed_bytes_as_they_are_and_does_not_panic() {
    let whole = encode(&routes());

    for end in 0..whole.len().min(600) {
        let mut cut = whole[..end].to_vec();
        sort("envoy.config.route.v3.RouteConfiguration", &mut cut);
        assert_eq!(cut.len(), end);
    }
    for seed in 0..=255u8 {
        let mut noise: Vec<u8> = (0..64u8).map(|i| i.wrapping_mul(seed).wrapping_add(seed >> 3)).collect();
        sort("google.protobuf.Struct", &mut noise);
        assert_eq!(noise.len(), 64);
    }
}

#[test]
fn another_type_and_truncated_bytes_are_refused_by_name() {
    let any = pack(&routes());
    let cut = Any { value: any.value[..any.value.len() - 1].to_vec(), ..any.clone() };

    let other = unpack::<Route>(&any).unwrap_err();
    let broken = unpack::<RouteConfiguration>(&cut).unwrap_err();

    assert!(other.contains("v3.Route,") && other.contains("v3.RouteConfiguration"), "{other}");
    assert!(broken.contains("RouteConfiguration"), "{broken}");
}
