//! Puts the map entries of an encoded message in order, without decoding it.
//!
//! Sorting changes no length, so it is done in place; a table made from the descriptors says where maps occur,
//! and messages without any are not even walked.

use std::ops::Range;

use prost::encoding::{WireType, decode_key, decode_varint};

include!(concat!(env!("OUT_DIR"), "/shapes.rs"));

/// A message inside which a map can occur: its name, and the fields that lead to maps by number.
struct Shape {
    name: &'static str,
    fields: &'static [(u32, Field)],
}

/// A field that is a map or leads to one; the index is that of the shape inside.
#[derive(Clone, Copy)]
enum Field {
    Map(Option<usize>),
    Message(usize),
}

/// Sorts all map entries of an encoded message; bytes that are no such message stay as they are from the place
/// where that shows.
pub(super) fn sort(message: &str, bytes: &mut [u8]) {
    if let Ok(index) = SHAPES.binary_search_by(|shape| shape.name.cmp(message)) {
        let _ = walk(index, bytes);
    }
}

/// Walks one message; `None` when it is malformed.
fn walk(index: usize, bytes: &mut [u8]) -> Option<()> {
    let shape = SHAPES.get(index)?;
    let mut run: Option<Run> = None;
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let (number, wire, body) = field(bytes, &mut at)?;
        let leads = shape.fields.binary_search_by_key(&number, |(number, _)| *number).ok();
        let leads = leads.filter(|_| wire == WireType::LengthDelimited).and_then(|i| shape.fields.get(i));
        let map = match leads {
            Some((_, Field::Message(inner))) => walk(*inner, bytes.get_mut(body)?).map(|()| None)?,
            Some((_, Field::Map(value))) => {
                if let Some(value) = value {
                    walk_value(*value, bytes.get_mut(body)?)?;
                }
                Some(number)
            }
            None => None,
        };
        match (&mut run, map) {
            (Some(run), Some(number)) if run.number == number => run.ends.push(at),
            (run, map) => {
                if let Some(done) = run.take() {
                    done.sort(bytes)?;
                }
                *run = map.map(|number| Run { number, start, ends: vec![at] });
            }
        }
    }
    run.map_or(Some(()), |run| run.sort(bytes))
}

/// Walks the value of a map entry, its field 2.
fn walk_value(index: usize, entry: &mut [u8]) -> Option<()> {
    let mut at = 0;
    while at < entry.len() {
        let (number, wire, body) = field(entry, &mut at)?;
        if number == 2 && wire == WireType::LengthDelimited {
            walk(index, entry.get_mut(body)?)?;
        }
    }
    Some(())
}

/// Neighbouring entries of one map: where the first begins and where each ends.
struct Run {
    number: u32,
    start: usize,
    ends: Vec<usize>,
}

impl Run {
    fn sort(self, bytes: &mut [u8]) -> Option<()> {
        let mut entries = Vec::with_capacity(self.ends.len());
        let mut start = self.start;
        for end in self.ends {
            entries.push(bytes.get(start..end)?);
            start = end;
        }
        entries.sort_unstable();
        let sorted = entries.concat();
        bytes.get_mut(self.start..start)?.copy_from_slice(&sorted);
        Some(())
    }
}

/// Reads one field's head and steps over its body: its number, wire type, and where a length-delimited body is.
fn field(bytes: &[u8], at: &mut usize) -> Option<(u32, WireType, Range<usize>)> {
    let mut rest = bytes.get(*at..)?;
    let (number, wire) = decode_key(&mut rest).ok()?;
    let length = match wire {
        WireType::Varint => {
            decode_varint(&mut rest).ok()?;
            0
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(&mut rest).ok()?).ok()?,
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let start = bytes.len() - rest.len();
    let end = start.checked_add(length).filter(|end| *end <= bytes.len())?;
    *at = end;
    Some((number, wire, start..end))
}
