//! Values of a file that promises nothing: what is not as expected counts as missing.

use serde_json::{Map, Value};

/// A value whose fields may be missing, null, or of another type than they should be.
pub(crate) trait Loose {
    /// A field; none where this is no map, or the field is null.
    fn at(&self, key: &str) -> Option<&Value>;

    /// A field's text, without the blanks around it; empty where there is none.
    fn word(&self, key: &str) -> &str {
        self.at(key).and_then(Value::as_str).unwrap_or_default().trim()
    }

    /// A field's number; some files write numbers as text.
    fn number(&self, key: &str) -> Option<f64> {
        let value = self.at(key)?;
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
        number.filter(|number| number.is_finite())
    }

    /// A field's port.
    fn port(&self, key: &str) -> Option<u16> {
        let number = self.number(key).filter(|number| number.fract() == 0.0)?;
        // Whatever does not fit is no port.
        format!("{number:.0}").parse().ok().filter(|port| *port != 0)
    }

    /// Whether a field is true.
    fn is(&self, key: &str) -> bool {
        self.at(key).and_then(Value::as_bool).unwrap_or_default()
    }

    /// A field's list; empty where it is none.
    fn list(&self, key: &str) -> &[Value] {
        self.at(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// The id of the element a field names: `{id: …}` or the id itself.
    fn reference(&self, key: &str) -> &str {
        match self.at(key) {
            Some(Value::String(id)) => id.trim(),
            Some(map) => map.word("id"),
            None => "",
        }
    }
}

impl Loose for Value {
    fn at(&self, key: &str) -> Option<&Value> {
        self.as_object()?.at(key)
    }
}

impl Loose for Map<String, Value> {
    fn at(&self, key: &str) -> Option<&Value> {
        self.get(key).filter(|value| !value.is_null())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_of_another_type_is_missing() {
        let value = json!({"name": " a ", "port": 8080, "far": 70000, "half": 80.5, "text": "81", "none": null, "in": {"id": "x"}});

        assert_eq!((value.word("name"), value.word("port"), value.word("none")), ("a", "", ""));
        assert_eq!(
            ["port", "far", "half", "text", "name"].map(|key| value.port(key)),
            [Some(8080), None, None, Some(81), None]
        );
        assert_eq!((value.reference("in"), value.reference("name"), value.reference("far")), ("x", "a", ""));
        assert!(value.list("name").is_empty() && !value.is("name") && value.at("none").is_none());
    }
}
