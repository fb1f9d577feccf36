#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn compile(json: &Value) -> Result<HeaderCase, String> {
    HeaderCase::compile(Some(&proto::json::from_json(json).unwrap())).map_err(|wrong| wrong.to_string())
}

#[test]
fn names_of_headers_are_written_as_asked() {
    let formatter = |name: &str| {
        let any = json!({"@type": format!("type.googleapis.com/envoy.extensions.{name}")});
        json!({"header_key_format": {"stateful_formatter": {"name": "x", "typed_config": any}}})
    };
    let preserve = formatter("http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig");

    assert_eq!(compile(&json!({})), Ok(HeaderCase::Lower));
    assert_eq!(compile(&json!({"header_key_format": {"proper_case_words": {}}})), Ok(HeaderCase::Proper));
    assert_eq!(compile(&preserve), Ok(HeaderCase::Preserved));
    let other = compile(&formatter("filters.http.router.v3.Router")).unwrap_err();
    assert!(other.starts_with("header_key_format.stateful_formatter"), "{other}");
    assert!(compile(&json!({"send_fully_qualified_url": true})).is_err());
}
