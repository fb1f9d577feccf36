//! Pieces of long responses, written once for all the streams that send the same resources at a time.
//!
//! A piece lives for as long as some stream has it under way, so that many streams that begin together take the
//! memory of one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::{Bytes, BytesMut};

use super::dialect::Dialect;
use crate::Served;

/// The press is swept when it has grown this much beyond what was under way at the last sweep.
const SWEEP: usize = 64;

/// The pieces under way; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Press(Arc<Mutex<Plates>>);

#[derive(Debug, Default)]
struct Plates {
    pieces: HashMap<Key, Weak<Piece>>,
    in_use: usize,
}

/// Where a run of resources begins and ends, and how it is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    dialect: Dialect,
    first: usize,
    last: usize,
    count: usize,
}

/// A run of resources as it is sent.
#[derive(Debug)]
struct Piece {
    type_url: String,
    run: Vec<Arc<Served>>,
    bytes: BytesMut,
}

/// One stream's hold on a piece.
struct Hold(Arc<Piece>);

impl AsRef<[u8]> for Hold {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl Press {
    /// A run of resources, `length` bytes long.
    pub(super) fn piece(
        &self,
        dialect: Dialect,
        type_url: &str,
        run: &[Arc<Served>],
        length: usize,
    ) -> Bytes {
        let address = |served: Option<&Arc<Served>>| served.map_or(0, |served| Arc::as_ptr(served).addr());
        let key = Key { dialect, first: address(run.first()), last: address(run.last()), count: run.len() };
        let mut plates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |piece: &Arc<Piece>| {
            let mut pairs = piece.run.iter().zip(run);
            piece.type_url == type_url && pairs.all(|(one, other)| Arc::ptr_eq(one, other))
        };
        if let Some(known) = plates.pieces.get(&key).and_then(Weak::upgrade).filter(is_same) {
            return Bytes::from_owner(Hold(known));
        }
        let mut bytes = BytesMut::with_capacity(length);
        dialect.write_all(type_url, run, &mut bytes);
        let piece = Arc::new(Piece { type_url: type_url.to_owned(), run: run.to_vec(), bytes });
        plates.pieces.insert(key, Arc::downgrade(&piece));
        if plates.pieces.len() > plates.in_use * 2 + SWEEP {
            plates.pieces.retain(|_, piece| piece.strong_count() > 0);
            plates.in_use = plates.pieces.len();
        }
        drop(plates);
        Bytes::from_owner(Hold(piece))
    }
}
