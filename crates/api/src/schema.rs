//! What every kind's fields are called and look like, and the walk that holds a document against it.
//!
//! The walk reports everything that can be told from one field alone: unknown names, wrong types, values out of
//! range, fields this version warns of or refuses. What readers do afterwards need not look at these again.

use std::time::Duration;

use base::duration;

use crate::check;
use crate::read::At;
use crate::yaml::{Node, Value};

/// What becomes of a field that a user writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does what it says.
    Supported,
    /// It does what it says, but for some values, of which it is said what becomes of them.
    SupportedBut(&'static str),
    /// Taken with the warning `unsupported-field`: it does nothing, which lets through no more than its author
    /// asked. The reason says what happens instead.
    Warned(&'static str),
    /// Taken with that warning unless it has one of these values.
    WarnedUnless(&'static [&'static str], &'static str),
    /// Refused with the error `refused-field`: without it, more would be let through, exposed or unencrypted
    /// than its author asked.
    Refused(&'static str),
    /// Refused unless it has one of these values.
    RefusedUnless(&'static [&'static str], &'static str),
}

/// One field of an object.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) support: Support,
}

/// What a field's value looks like.
pub(crate) enum Shape {
    /// Anything; it is not read.
    Any,
    /// A boolean.
    Bool,
    /// A duration of whole milliseconds, zero or at least the given number of them.
    Duration { least: u64, may_be_zero: bool },
    /// A whole number between these.
    Int(i64, i64),
    /// A port's number or its name.
    IntOrText,
    /// A list.
    List(&'static Shape),
    /// A map from any text.
    Map(&'static Shape),
    /// A number between these.
    Number(f64, f64),
    /// A map with these fields.
    Object(&'static [Field]),
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// What becomes of some protocols' ports.
pub(crate) const CARRIED: &str =
    "Mongo, MySQL and Redis are carried as TCP, with a warning; UDP is left alone";

/// What becomes of a mark that is for whoever writes the object.
pub(crate) const ANY_WRITER: &str = "taken, and nothing hangs on it: the object can be written anew";

pub(crate) const PORT: Shape = Shape::Int(1, 65535);
pub(crate) const U32: Shape = Shape::Int(0, u32::MAX as i64);
pub(crate) const U64: Shape = Shape::Int(0, i64::MAX);
pub(crate) const I32: Shape = Shape::Int(i32::MIN as i64, i32::MAX as i64);
pub(crate) const COUNT: Shape = Shape::Int(0, i32::MAX as i64);
pub(crate) const DURATION: Shape = Shape::Duration { least: 1, may_be_zero: false };
pub(crate) const DURATION_OR_ZERO: Shape = Shape::Duration { least: 1, may_be_zero: true };
pub(crate) const TEXTS: Shape = Shape::List(&Shape::Text);
pub(crate) const LABELS: Shape = Shape::Map(&Shape::Text);
pub(crate) const PERCENT: Shape = Shape::Object(&[ok("value", Shape::Number(0.0, 100.0))]);

/// A field that does what it says.
pub(crate) const fn ok(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, support: Support::Supported }
}

/// A field that does what it says but for some values, which its reader tells apart.
pub(crate) const fn partly(name: &'static str, shape: Shape, but: &'static str) -> Field {
    Field { name, shape, support: Support::SupportedBut(but) }
}

/// A field that is refused unless it has one of these values.
pub(crate) const fn refused_unless(
    name: &'static str,
    shape: Shape,
    values: &'static [&'static str],
    why: &'static str,
) -> Field {
    Field { name, shape, support: Support::RefusedUnless(values, why) }
}

/// A field that is taken with a warning unless it has one of these values.
pub(crate) const fn warned_unless(
    name: &'static str,
    shape: Shape,
    values: &'static [&'static str],
    why: &'static str,
) -> Field {
    Field { name, shape, support: Support::WarnedUnless(values, why) }
}

/// A field that is taken with a warning.
pub(crate) const fn warned(name: &'static str, shape: Shape, why: &'static str) -> Field {
    Field { name, shape, support: Support::Warned(why) }
}

/// A field that is refused.
pub(crate) const fn refused(name: &'static str, shape: Shape, why: &'static str) -> Field {
    Field { name, shape, support: Support::Refused(why) }
}

/// Holds an object against its fields and reports what does not fit.
pub(crate) fn walk(at: &At<'_>, fields: &[Field]) {
    walk_fields(at, fields, true);
}

/// Holds the top of an object against fields that stand in several tables.
pub(crate) fn walk_root(at: &At<'_>, tables: &[&[Field]]) {
    walk_tables(at, tables, true);
}

/// `judged` is whether support is still to be reported: below a field that was warned of or refused it is not.
fn walk_fields(at: &At<'_>, fields: &[Field], judged: bool) {
    walk_tables(at, &[fields], judged);
}

fn walk_tables(at: &At<'_>, tables: &[&[Field]], judged: bool) {
    let fields = || tables.iter().copied().flatten();
    if !matches!(at.node.value, Value::Map(_)) {
        at.wrong_type("a map of fields");
        return;
    }
    for child in at.entries() {
        let name = child.name();
        let Some(field) = fields().find(|field| field.name == name) else {
            let known = fields().map(|field| field.name);
            let near = if at.context.log.is_full() { None } else { check::nearest(name, known) };
            let hint = match near {
                Some(near) => format!("; did you mean `{near}`?"),
                None => String::new(),
            };
            child.error_at_key("unknown-field", format!("there is no field `{name}` here{hint}"));
            continue;
        };
        if child.node.is_null() {
            continue;
        }
        let is_judged = judged && judge(&child, field);
        walk_shape(&child, &field.shape, is_judged);
    }
}

/// Reports a field that is not supported; whether what stands below it is still to be judged.
fn judge(at: &At<'_>, field: &Field) -> bool {
    match field.support {
        Support::Supported | Support::SupportedBut(_) => return true,
        _ if is_unset(at.node) => {}
        Support::Warned(why) => at.warn_at_key("unsupported-field", format!("this has no effect: {why}")),
        Support::Refused(why) => at.error_at_key("refused-field", format!("this version refuses it: {why}")),
        Support::WarnedUnless(values, why) => {
            if !all_among(at.node, values) {
                at.warn_at_key("unsupported-field", format!("this value has no effect: {why}"));
            }
        }
        Support::RefusedUnless(values, why) => {
            if !all_among(at.node, values) {
                at.error_at_key("refused-field", format!("this version refuses this value: {why}"));
            }
        }
    }
    false
}

/// Whether a value says the same as nothing.
fn is_unset(node: &Node) -> bool {
    match &node.value {
        Value::Bool(value) => !value,
        Value::List(items) => items.is_empty(),
        Value::Null => true,
        Value::Text(text) => text.is_empty(),
        Value::Float(_) | Value::Int(_) | Value::Map(_) => false,
    }
}

/// Whether a text, or every text of a list, is one of these; case does not count.
fn all_among(node: &Node, values: &[&str]) -> bool {
    match &node.value {
        Value::List(items) => items.iter().all(|item| all_among(item, values)),
        Value::Text(text) => values.iter().any(|value| value.eq_ignore_ascii_case(text)),
        _ => false,
    }
}

fn walk_shape(at: &At<'_>, shape: &Shape, judged: bool) {
    match (shape, &at.node.value) {
        (Shape::Any, _) | (Shape::Bool, Value::Bool(_)) | (Shape::Text, Value::Text(_)) => {}
        (Shape::Bool, _) => at.wrong_type("true or false"),
        (Shape::Text, _) => at.wrong_type("text"),
        (Shape::Duration { least, may_be_zero }, Value::Text(text)) => {
            walk_duration(at, text, *least, *may_be_zero);
        }
        (Shape::Duration { .. }, _) => at.wrong_type("a duration such as 1.5s"),
        (Shape::Int(low, high), _) => match at.int() {
            Some(value) if (*low..=*high).contains(&value) => {}
            Some(value) => at.error("wrong-value", format!("{value} is not between {low} and {high}")),
            None => at.wrong_type("a whole number"),
        },
        (Shape::Number(low, high), _) => match at.number() {
            Some(value) if (*low..=*high).contains(&value) => {}
            Some(value) => at.error("wrong-value", format!("{value} is not between {low} and {high}")),
            None => at.wrong_type("a number"),
        },
        (Shape::IntOrText, Value::Text(_)) => {}
        (Shape::IntOrText, _) => walk_shape(at, &PORT, judged),
        (Shape::Word(words), Value::Text(text)) => walk_word(at, text, words),
        (Shape::Word(words), _) => at.wrong_type(&format!("one of {}", words.join(", "))),
        (Shape::List(item), Value::List(_)) => at.items().for_each(|child| walk_shape(&child, item, judged)),
        (Shape::List(_), _) => at.wrong_type("a list"),
        (Shape::Map(value), Value::Map(_)) => {
            for child in at.entries() {
                // A key without a value is empty text where text is due, as Kubernetes reads it.
                if !(child.node.is_null() && matches!(value, Shape::Text)) {
                    walk_shape(&child, value, judged);
                }
            }
        }
        (Shape::Map(_), _) => at.wrong_type("a map"),
        (Shape::Object(fields), _) => walk_fields(at, fields, judged),
    }
}

fn walk_duration(at: &At<'_>, text: &str, least: u64, may_be_zero: bool) {
    match duration::parse(text) {
        Err(message) => at.error("wrong-value", message),
        Ok(Duration::ZERO) if may_be_zero => {}
        Ok(value) if value < Duration::from_millis(least) => {
            at.error("wrong-value", format!("{text:?} is too short; the least is {least}ms"));
        }
        Ok(value) if value.subsec_nanos() % 1_000_000 != 0 => {
            at.error("wrong-value", format!("{text:?} is finer than a millisecond"));
        }
        Ok(_) => {}
    }
}

fn walk_word(at: &At<'_>, text: &str, words: &[&str]) {
    if !words.contains(&text) {
        let hint = match check::nearest(text, words.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("it is one of {}", words.join(", ")),
        };
        at.error("wrong-value", format!("{text:?} has no meaning here; {hint}"));
    }
}
