//! The bytes of an upload that are in no part yet.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use windlass_task::{Segment, SegmentKind};

use super::exchange::{Payload, Source};

/// A run of bytes: in memory, stored as a tail, or both.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) range: Range<u64>,
    memory: Option<Vec<Bytes>>,
    /// The tail's key, once it is durable.
    tail: Option<String>,
}

impl Piece {
    pub(super) fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The tail's key, if it is one.
    pub(super) fn tail(&self) -> Option<&str> {
        self.tail.as_deref()
    }

    /// It as a segment, if it is durable.
    pub(super) fn segment(&self, store: &str) -> Option<Segment> {
        Some(Segment {
            store: store.to_owned(),
            key: self.tail.clone()?,
            start: self.range.start,
            end: self.range.end,
            kind: SegmentKind::Tail,
            parts: None,
        })
    }

    fn sources(&self) -> Vec<Source> {
        match (&self.memory, &self.tail) {
            (Some(bytes), _) => bytes.iter().cloned().map(Source::Memory).collect(),
            (None, Some(key)) => vec![Source::Stored {
                key: key.clone(),
                range: 0..self.size(),
            }],
            (None, None) => Vec::new(),
        }
    }

    /// Keeps the first `size` bytes; answers the rest. Only what is in memory alone is ever cut: tails end where parts do.
    fn split_off(&mut self, size: u64) -> Self {
        let middle = self.range.start + size;
        let mut rest = Vec::new();
        let mut kept = Vec::new();
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        for mut bytes in self.memory.take().unwrap_or_default() {
            let cut = left.min(bytes.len());
            let front = bytes.split_to(cut);
            left -= cut;
            kept.extend((!front.is_empty()).then_some(front));
            rest.extend((!bytes.is_empty()).then_some(bytes));
        }
        self.memory = Some(kept);
        let end = std::mem::replace(&mut self.range.end, middle);
        Self {
            range: middle..end,
            memory: Some(rest),
            tail: None,
        }
    }
}

/// What requests carry of these pieces, in order.
pub(super) fn payload(pieces: &[Piece]) -> Payload {
    Payload::new(pieces.iter().flat_map(Piece::sources).collect())
}

/// Pieces in order, without gaps.
#[derive(Debug)]
pub(super) struct Pending {
    pieces: VecDeque<Piece>,
    /// Where the next byte belongs.
    end: u64,
}

impl Pending {
    /// Nothing, from `end` on.
    pub(super) fn new(end: u64) -> Self {
        Self {
            pieces: VecDeque::new(),
            end,
        }
    }

    pub(super) fn start(&self) -> u64 {
        self.pieces.front().map_or(self.end, |first| first.range.start)
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn size(&self) -> u64 {
        self.end - self.start()
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter()
    }

    /// Adds bytes that just came.
    pub(super) fn push(&mut self, bytes: Bytes) {
        let start = self.end;
        self.end += bytes.len() as u64;
        match self.pieces.back_mut() {
            Some(Piece {
                range,
                memory: Some(memory),
                tail: None,
            }) => {
                range.end = self.end;
                memory.push(bytes);
            }
            _ => self.pieces.push_back(Piece {
                range: start..self.end,
                memory: Some(vec![bytes]),
                tail: None,
            }),
        }
    }

    /// Adds a tail that is stored already.
    pub(super) fn push_tail(&mut self, range: Range<u64>, key: String) {
        self.end = range.end;
        self.pieces.push_back(Piece {
            range,
            memory: None,
            tail: Some(key),
        });
    }

    /// Takes the first `size` bytes out.
    pub(super) fn take(&mut self, size: u64) -> Vec<Piece> {
        let end = self.start() + size.min(self.size());
        let mut taken = Vec::new();
        while let Some(mut piece) = self.pieces.pop_front_if(|piece| piece.range.start < end) {
            if piece.range.end > end {
                let rest = piece.split_off(end - piece.range.start);
                self.pieces.push_front(rest);
            }
            taken.push(piece);
        }
        taken
    }

    /// The bytes that are in memory and nowhere else, at the end of all.
    pub(super) fn unstored(&self) -> u64 {
        let unstored = self.pieces.iter().rev().take_while(|piece| piece.tail.is_none());
        unstored.map(Piece::size).sum()
    }

    /// The number of tails.
    pub(super) fn tails(&self) -> usize {
        self.pieces.iter().filter(|piece| piece.tail.is_some()).count()
    }

    /// Whether anything is in memory.
    pub(super) fn is_in_memory(&self) -> bool {
        self.pieces.iter().any(|piece| piece.memory.is_some())
    }

    /// Puts back what was just taken.
    pub(super) fn put_back(&mut self, pieces: Vec<Piece>) {
        for piece in pieces.into_iter().rev() {
            self.pieces.push_front(piece);
        }
    }

    /// The pieces inside a range.
    pub(super) fn within(&self, range: &Range<u64>) -> Vec<Piece> {
        let inside = |piece: &&Piece| piece.range.start >= range.start && piece.range.end <= range.end;
        self.pieces.iter().filter(inside).cloned().collect()
    }

    /// The pieces from `range.start` to `range.end` are one tail now; answers the tails that they were.
    pub(super) fn replace(&mut self, range: Range<u64>, key: String) -> Vec<String> {
        let inside = |piece: &Piece| piece.range.start >= range.start && piece.range.end <= range.end;
        let at = self.pieces.iter().position(inside).unwrap_or(self.pieces.len());
        let (replaced, kept): (VecDeque<Piece>, VecDeque<Piece>) = self.pieces.drain(..).partition(inside);
        self.pieces = kept;
        let mut memory = Some(Vec::new());
        let mut tails = Vec::new();
        for piece in replaced {
            tails.extend(piece.tail);
            memory = memory.zip(piece.memory).map(|(mut all, more)| {
                all.extend(more);
                all
            });
        }
        let piece = Piece {
            range,
            memory,
            tail: Some(key),
        };
        self.pieces.insert(at, piece);
        tails
    }

    /// Lets go of the memory of whatever is stored.
    pub(super) fn forget_stored(&mut self) {
        for piece in &mut self.pieces {
            if piece.tail.is_some() {
                piece.memory = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_cut_where_a_part_ends_and_tails_take_their_place() {
        let mut pending = Pending::new(100);
        pending.push_tail(100..104, "a".to_owned());
        pending.push(Bytes::from_static(b"hello"));
        pending.push(Bytes::from_static(b"world"));
        assert_eq!((pending.start(), pending.size(), pending.unstored()), (100, 14, 10));
        assert_eq!(pending.replace(104..114, "b".to_owned()), Vec::<String>::new());
        assert_eq!((pending.tails(), pending.unstored()), (2, 0));
        assert!(pending.is_in_memory());
        pending.push(Bytes::from_static(b"!!!"));
        assert_eq!(pending.replace(100..114, "c".to_owned()), ["a", "b"]);
        pending.forget_stored();
        assert_eq!((pending.tails(), pending.unstored()), (1, 3));
        let taken = pending.take(16);
        assert_eq!(payload(&taken).size(), 16);
        assert_eq!(taken.first().and_then(Piece::tail), Some("c"));
        assert_eq!((pending.start(), pending.size()), (116, 1));
        let rest = pending.take(9);
        assert_eq!((rest.len(), payload(&rest).size(), pending.size()), (1, 1, 0));
    }
}
