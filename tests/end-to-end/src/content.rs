//! Files that need no disk: any byte of them follows from a seed and its position.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::random::mix;

/// A file of `length` bytes that no other seed has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    seed: u64,
    /// Bytes.
    pub length: u64,
}

/// How much is made at once.
const PIECE_BYTES: u64 = 256 * 1024;

impl Content {
    /// The file of this seed and length.
    #[must_use]
    pub fn new(seed: u64, length: u64) -> Self {
        Self { seed, length }
    }

    /// The bytes at `range`, which may lie beyond the end: a client that sends too much sends these.
    #[must_use]
    pub fn bytes(&self, range: Range<u64>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(usize::try_from(range.end - range.start + 16).expect("a piece fits memory"));
        for word in range.start / 8..range.end.div_ceil(8) {
            bytes.extend_from_slice(&mix(self.seed ^ mix(word)).to_le_bytes());
        }
        bytes.drain(..usize::try_from(range.start % 8).expect("less than 8"));
        bytes.truncate(usize::try_from(range.end - range.start).expect("a piece fits memory"));
        bytes
    }

    /// All of it.
    #[must_use]
    pub fn whole(&self) -> Vec<u8> {
        self.bytes(0..self.length)
    }

    /// SHA-256 in hex.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut digest = Digest::default();
        let mut at = 0;
        while at < self.length {
            let end = self.length.min(at + PIECE_BYTES);
            digest.update(&self.bytes(at..end));
            at = end;
        }
        digest.finish().1
    }
}

/// SHA-256 and length of what comes piece by piece.
#[derive(Debug, Default)]
pub struct Digest {
    hasher: Sha256,
    length: u64,
}

impl Digest {
    /// Takes what follows.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// The length, and the digest in hex.
    #[must_use]
    pub fn finish(self) -> (u64, String) {
        let hex = self
            .hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        (self.length, hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_a_piece_of_the_whole() {
        let content = Content::new(3, 1_000);
        let whole = content.whole();
        assert_eq!(whole.len(), 1_000);
        for range in [0..0, 0..1, 3..17, 8..16, 7..9, 993..1_000] {
            let piece = content.bytes(range.clone());
            assert_eq!(piece, whole[range.start as usize..range.end as usize], "{range:?}");
        }
        assert_ne!(Content::new(4, 1_000).whole(), whole);
        let mut digest = Digest::default();
        digest.update(&whole[..500]);
        digest.update(&whole[500..]);
        assert_eq!(digest.finish(), (1_000, content.digest()));
    }
}
