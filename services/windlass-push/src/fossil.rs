//! The delta of one text from another, in the format of the Fossil version control system
//! (<https://fossil-scm.org/home/doc/tip/www/delta_format.wiki>): what clients of the Centrifuge protocol can apply.
//!
//! ```text
//! <length of the text after>\n
//! <count>@<offset>,    copy `count` bytes from `offset` of the text before
//! <count>:<bytes>      insert these bytes
//! <checksum>;
//! ```
//!
//! Numbers stand in base 64. A delta travels in a JSON string, so it is a text itself: what is inserted begins and ends
//! between characters. Making one takes time in proportion to the two texts, whatever is in them.

use std::ops::Range;

/// The digits of numbers.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/// Texts longer than this have no delta, bytes. A delta is made while the channel's other publications wait: at this
/// size for about a millisecond.
const BYTES_MAX: usize = 256 * 1024;

/// The text before is known by its blocks of this many bytes (Fossil's `NHASH`). Shorter matches would be cheaper to
/// insert than to copy: a copy's two numbers alone take up to twelve bytes.
const BLOCK: usize = 16;

/// At most so many blocks that look alike are compared to find the longest match.
const PROBES: usize = 8;

/// Bytes that are no delta, or none from this text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a delta from these bytes")]
pub struct Malformed;

/// The delta from `before` to `after`; `None` when there is none that is shorter than `after` itself.
#[must_use]
pub fn diff(before: &str, after: &str) -> Option<String> {
    if before.len().max(after.len()) > BYTES_MAX {
        return None;
    }
    let (source, target) = (before.as_bytes(), after.as_bytes());
    let prefix = common(source.iter(), target.iter());
    let suffix = common(source[prefix..].iter().rev(), target[prefix..].iter().rev());
    let middle = prefix..target.len() - suffix;

    let mut delta = Writer::new(after);
    delta.copy(0, 0..prefix);
    // Most publications differ from the one before in one place, and nothing more is to be looked for.
    if middle.len() >= BLOCK && source.len() >= BLOCK {
        copy_matches(&Blocks::of(source), middle.end, &mut delta);
    }
    delta.copy(source.len() - suffix, middle.end..target.len());
    let delta = delta.finish();
    (delta.len() < after.len()).then_some(delta)
}

/// The text that `delta` makes of `before`, as every client does it.
///
/// # Errors
/// [`Malformed`].
pub fn apply(before: &[u8], delta: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut reader = Reader(delta);
    let length = reader.number()?;
    reader.expect(b'\n')?;
    let mut after = Vec::new();
    loop {
        let number = reader.number()?;
        match reader.byte()? {
            b'@' => {
                let offset = reader.number()?;
                reader.expect(b',')?;
                let end = offset.checked_add(number).ok_or(Malformed)?;
                after.extend_from_slice(before.get(offset..end).ok_or(Malformed)?);
            }
            b':' => after.extend_from_slice(reader.take(number)?),
            b';' if after.len() == length && number == checksum(&after) as usize && reader.0.is_empty() => {
                return Ok(after);
            }
            _ => return Err(Malformed),
        }
        if after.len() > length {
            return Err(Malformed);
        }
    }
}

/// Copies what the rest of the text after, up to `end`, has in common with the text before.
fn copy_matches(blocks: &Blocks<'_>, end: usize, delta: &mut Writer<'_>) {
    let target = delta.after.as_bytes();
    let mut at = delta.written;
    while at + BLOCK <= end {
        let shifted = delta.shift.and_then(|shift| at.checked_add_signed(shift));
        at += match blocks.longest(target, delta.written, at, shifted) {
            Some((offset, range)) => {
                delta.copy(offset, range);
                delta.written.saturating_sub(at).max(1)
            }
            None => 1,
        };
    }
}

/// How many items two sequences have in common at their beginnings.
fn common<'a>(left: impl Iterator<Item = &'a u8>, right: impl Iterator<Item = &'a u8>) -> usize {
    left.zip(right).take_while(|(left, right)| left == right).count()
}

/// The sum of the big-endian words of 32 bits, the last one filled up with zeros.
fn checksum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain([&last]);
    words.fold(0, |sum, word| sum.wrapping_add(u32::from_be_bytes(*word)))
}

/// Where each block of a text stands.
struct Blocks<'a> {
    source: &'a [u8],
    /// The first block of each hash.
    first: Vec<Option<u32>>,
    /// For each block the next of the same hash.
    next: Vec<Option<u32>>,
    bits: u32,
}

impl<'a> Blocks<'a> {
    fn of(source: &'a [u8]) -> Self {
        let (list, _) = source.as_chunks::<BLOCK>();
        let bits = list.len().next_power_of_two().ilog2().max(1);
        let mut blocks = Self {
            source,
            first: vec![None; 1 << bits],
            next: vec![None; list.len()],
            bits,
        };
        // Backwards, so that those that look alike are compared in their order.
        for (number, block) in list.iter().enumerate().rev() {
            let first = &mut blocks.first[hash(block, bits)];
            blocks.next[number] = first.replace(number as u32);
        }
        blocks
    }

    /// The longest match round the block of `target` at `at`: where it stands in the source, and which part of the target
    /// it is, from `from` on. `shifted` is the place to look at first.
    fn longest(&self, target: &[u8], from: usize, at: usize, shifted: Option<usize>) -> Option<(usize, Range<usize>)> {
        let block: &[u8; BLOCK] = target.get(at..)?.first_chunk()?;
        let mut alike = self.first[hash(block, self.bits)];
        let chain = std::iter::from_fn(|| {
            let number = alike?;
            alike = self.next[number as usize];
            Some(number as usize * BLOCK)
        });
        let places = shifted.into_iter().chain(chain.take(PROBES));
        let matches = places.filter_map(|offset| {
            let (before, behind) = self.source.split_at_checked(offset)?;
            let length = common(behind.iter(), target[at..].iter());
            let back = common(before.iter().rev(), target[from..at].iter().rev());
            (length >= BLOCK).then(|| (offset - back, at - back..at + length))
        });
        // The first of the longest.
        matches.reduce(|best, next| if next.1.len() > best.1.len() { next } else { best })
    }
}

/// A number below `2^bits` that equal blocks share, and different ones seldom.
fn hash(block: &[u8; BLOCK], bits: u32) -> usize {
    let word = u128::from_le_bytes(*block);
    let folded = (word as u64) ^ ((word >> 64) as u64).rotate_left(32);
    // Fibonacci hashing: 2^64 by the golden ratio spreads the low bits over the high ones.
    (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits)) as usize
}

/// A delta in the making.
struct Writer<'a> {
    after: &'a str,
    delta: String,
    /// Up to here the text after is in the delta.
    written: usize,
    /// How far what was copied last has moved.
    shift: Option<isize>,
}

impl<'a> Writer<'a> {
    fn new(after: &'a str) -> Self {
        let mut writer = Self {
            after,
            delta: String::new(),
            written: 0,
            shift: None,
        };
        writer.number(after.len());
        writer.delta.push('\n');
        writer
    }

    /// Copies this part of the text after, which stands at `offset` before, if it is worth it. It shrinks to whole
    /// characters, for what is left of it is inserted.
    fn copy(&mut self, offset: usize, part: Range<usize>) {
        let start = self.after.ceil_char_boundary(part.start.max(self.written));
        let end = self.after.floor_char_boundary(part.end);
        if end < start + BLOCK {
            return;
        }
        self.insert_until(start);
        let offset = offset + (start - part.start);
        self.number(end - start);
        self.delta.push('@');
        self.number(offset);
        self.delta.push(',');
        self.written = end;
        self.shift = Some(offset.cast_signed() - start.cast_signed());
    }

    fn insert_until(&mut self, end: usize) {
        let text = &self.after[self.written..end];
        if !text.is_empty() {
            self.number(text.len());
            self.delta.push(':');
            self.delta.push_str(text);
        }
        self.written = end;
    }

    fn finish(mut self) -> String {
        self.insert_until(self.after.len());
        self.number(checksum(self.after.as_bytes()) as usize);
        self.delta.push(';');
        self.delta
    }

    fn number(&mut self, number: usize) {
        let digits = number.checked_ilog2().map_or(1, |bits| bits / 6 + 1);
        for place in (0..digits).rev() {
            self.delta.push(char::from(DIGITS[(number >> (6 * place)) & 63]));
        }
    }
}

/// A delta that is being read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Result<usize, Malformed> {
        let mut number = 0_usize;
        let mut digits = 0;
        while let Some((first, rest)) = self.0.split_first()
            && let Some(digit) = DIGITS.iter().position(|digit| digit == first)
        {
            number = number.checked_mul(64).ok_or(Malformed)? | digit;
            digits += 1;
            self.0 = rest;
        }
        if digits == 0 { Err(Malformed) } else { Ok(number) }
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.byte()? == byte { Ok(()) } else { Err(Malformed) }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests;
