//! Digests of what is written, and of what must make pods start anew.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// SHA-256 in hexadecimal of a JSON value; keys of objects are in order, so equal values have equal digests.
#[must_use]
pub fn of_json(value: &Value) -> String {
    of_pieces([value.to_string().as_bytes()])
}

/// SHA-256 in hexadecimal of pieces, each with its length, so that no two lists of pieces are one text.
#[must_use]
pub fn of_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update((piece.len() as u64).to_be_bytes());
        hash.update(piece);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
