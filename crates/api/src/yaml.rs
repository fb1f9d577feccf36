//! YAML and JSON as a tree that knows where everything stands, and JSON written back as YAML.
//!
//! A file is cut into [`pieces`] first, and each piece is read by itself. This crate reads for meaning: `1.0` is a
//! number and `yes` is true. Whoever reads other kinds of objects takes [`load_written`], for which both are text
//! until a field says what it wants, and which gives the comments too. [`emit_commented`] puts those where they
//! belong in what is written.
//!
//! ```
//! use api::yaml::{load_written, pieces};
//!
//! let piece = pieces(b"# of a\na: 1.0 # why\n").next().expect("invariant: the file is not empty");
//! let loaded = load_written(piece.text(), piece.line);
//!
//! assert_eq!(loaded.root.map(|root| root.entries()[0].node.text() == Some("1.0")), Some(true));
//! assert_eq!(loaded.comments[1].line, 2);
//! assert_eq!(loaded.comments[1].text, "# why");
//! ```

mod comment;
mod emit;
mod load;
mod scalar;
mod split;
mod tree;

pub use comment::Comment;
pub use emit::{emit, emit_commented};
pub use load::{Fault, Loaded, load_written};
pub use split::{Piece, pieces, without_marker};
pub use tree::{Entry, Mark, Node, Value};

pub(crate) use load::{Budget, load};
pub(crate) use split::{line_end, mark_of, readable};
pub(crate) use tree::Document;

/// Whether plain text is read as text, not as a number, a boolean or nothing.
pub(crate) fn is_text(plain: &str) -> bool {
    matches!(scalar::resolve(plain), Value::Text(_))
}

#[cfg(test)]
mod tests;
