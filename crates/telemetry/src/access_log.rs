//! Access log formats: Envoy's format strings, compiled once, written into a caller's buffer.

mod operator;
#[cfg(test)]
mod tests;

use crate::account::Account;
use crate::text;
use operator::{Operator, Value};

/// Istio's default text format.
const ISTIO_DEFAULT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% ",
    "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% ",
    "\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" ",
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% ",
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ",
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n",
);

/// Why a format cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The argument of an operator makes no sense.
    #[error("%{operator}% cannot take {argument:?}")]
    Argument {
        /// The operator.
        operator: String,
        /// Its argument.
        argument: String,
    },
    /// The JSON template nests deeper than a log line may.
    #[error("the template nests too deep")]
    Depth,
    /// A `%` opens what nothing closes.
    #[error("{0:?} is not closed by a percent sign")]
    Open(String),
    /// No such operator.
    #[error("no operator %{0}%")]
    Unknown(String),
}

/// A compiled format.
#[derive(Clone, Debug)]
pub struct Format {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    /// Bytes of the format itself.
    Literal(Vec<u8>),
    /// A value within a text line; `-` where there is none.
    Text(Operator),
    /// A value within a JSON string; `-` where there is none.
    JsonPart(Operator),
    /// A whole JSON value: a number where it is one, else a string; `null` where there is none.
    JsonWhole(Operator),
}

impl Format {
    /// Istio's default text format.
    pub fn istio_default() -> Self {
        Self::text(ISTIO_DEFAULT).expect("invariant: the default format compiles, a test says so")
    }

    /// Compiles a text format. A line end belongs to the format; what has none gets none.
    ///
    /// # Errors
    /// Names the operator that is unknown or wrongly used.
    pub fn text(format: &str) -> Result<Self, FormatError> {
        let mut pieces = Pieces::default();
        for part in operator::split(format)? {
            match part {
                operator::Part::Literal(literal) => pieces.literal(literal.as_bytes()),
                operator::Part::Operator(operator) => pieces.push(Piece::Text(operator)),
            }
        }
        Ok(Self { pieces: pieces.0 })
    }

    /// Compiles a JSON format: a value whose strings are text formats. Each line ends itself.
    ///
    /// # Errors
    /// Names the operator that is unknown or wrongly used.
    pub fn json(template: &serde_json::Value) -> Result<Self, FormatError> {
        let mut pieces = Pieces::default();
        pieces.json(template, 0)?;
        pieces.literal(b"\n");
        Ok(Self { pieces: pieces.0 })
    }

    /// Whether some operator reads a request header that [`Account`] has no field for.
    pub fn reads_request_headers(&self) -> bool {
        self.operators().any(Operator::reads_request_headers)
    }

    /// Whether some operator reads a response header that [`Account`] has no field for.
    pub fn reads_response_headers(&self) -> bool {
        self.operators().any(Operator::reads_response_headers)
    }

    /// Appends the account's line. Nothing foreign in it can end the line or close a quoted field.
    pub fn write(&self, account: &Account<'_>, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Text(operator) => operator.value(account).write_text(out),
                Piece::JsonPart(operator) => operator.value(account).write_json_part(out),
                Piece::JsonWhole(operator) => operator.value(account).write_json(out),
            }
        }
    }

    fn operators(&self) -> impl Iterator<Item = &Operator> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Text(operator) | Piece::JsonPart(operator) | Piece::JsonWhole(operator) => Some(operator),
        })
    }
}

/// How deep a JSON template may nest.
const MAX_DEPTH: usize = 16;

/// Pieces under construction, neighbouring literals joined.
#[derive(Default)]
struct Pieces(Vec<Piece>);

impl Pieces {
    fn push(&mut self, piece: Piece) {
        self.0.push(piece);
    }

    fn literal(&mut self, bytes: &[u8]) {
        match self.0.last_mut() {
            Some(Piece::Literal(last)) => last.extend_from_slice(bytes),
            _ => self.0.push(Piece::Literal(bytes.to_vec())),
        }
    }

    fn json(&mut self, template: &serde_json::Value, depth: usize) -> Result<(), FormatError> {
        use serde_json::Value as Json;
        if depth > MAX_DEPTH {
            return Err(FormatError::Depth);
        }
        match template {
            Json::Array(items) => {
                self.literal(b"[");
                for (place, item) in items.iter().enumerate() {
                    self.literal(if place > 0 { b"," } else { b"" });
                    self.json(item, depth + 1)?;
                }
                self.literal(b"]");
            }
            Json::Object(fields) => {
                self.literal(b"{");
                for (place, (name, value)) in fields.iter().enumerate() {
                    self.literal(if place > 0 { b"," } else { b"" });
                    self.json_string(name.as_bytes());
                    self.literal(b":");
                    self.json(value, depth + 1)?;
                }
                self.literal(b"}");
            }
            Json::String(format) => self.json_format(format)?,
            Json::Bool(_) | Json::Null | Json::Number(_) => self.literal(template.to_string().as_bytes()),
        }
        Ok(())
    }

    fn json_format(&mut self, format: &str) -> Result<(), FormatError> {
        let mut parts = operator::split(format)?;
        if let [operator::Part::Operator(_)] = parts.as_slice()
            && let Some(operator::Part::Operator(only)) = parts.pop()
        {
            self.push(Piece::JsonWhole(only));
            return Ok(());
        }
        self.literal(b"\"");
        for part in parts {
            match part {
                operator::Part::Literal(literal) => {
                    let mut escaped = Vec::new();
                    text::json_escaped(literal.as_bytes(), &mut escaped);
                    self.literal(&escaped);
                }
                operator::Part::Operator(operator) => self.push(Piece::JsonPart(operator)),
            }
        }
        self.literal(b"\"");
        Ok(())
    }

    fn json_string(&mut self, bytes: &[u8]) {
        let mut quoted = vec![b'"'];
        text::json_escaped(bytes, &mut quoted);
        quoted.push(b'"');
        self.literal(&quoted);
    }
}

impl Value<'_> {
    fn write_text(self, out: &mut Vec<u8>) {
        match self {
            Self::Foreign(bytes) => text::escaped(bytes, out),
            other => other.write_plain(out),
        }
    }

    fn write_json_part(self, out: &mut Vec<u8>) {
        match self {
            Self::Foreign(bytes) => text::json_escaped(bytes, out),
            other => other.write_plain(out),
        }
    }

    fn write_json(self, out: &mut Vec<u8>) {
        match self {
            Self::Nothing => out.extend_from_slice(b"null"),
            Self::Number(number) => text::number(number, out),
            other => {
                out.push(b'"');
                other.write_json_part(out);
                out.push(b'"');
            }
        }
    }
}
