//! The wire format of Protocol Buffers, as far as the Centrifuge protocol uses it: varints and what is delimited by a
//! length. Unknown fields are skipped, whatever their type, so that a client of tomorrow is understood.

use crate::centrifuge::codec::Malformed;

/// A 64-bit varint has at most this many bytes.
const VARINT_BYTES_MAX: usize = 10;

/// The fields of one message, in the order in which they stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    /// A varint.
    Number(u64),
    /// A text, bytes or a message.
    Bytes(&'a [u8]),
    /// A fixed-size number, of which the protocol has none.
    Fixed,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes that were not read yet.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The next field's number and value; `None` at the end.
    pub(super) fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| Malformed)?;
        if number == 0 {
            return Err(Malformed);
        }
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => Value::Bytes(self.delimited()?),
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed),
        };
        Ok(Some((number, value)))
    }

    /// The next message of a stream in which each is preceded by its length.
    pub(super) fn delimited(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        self.take(length)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for (place, byte) in self.0.iter().take(VARINT_BYTES_MAX).enumerate() {
            let bits = u64::from(byte & 0x7F);
            // The tenth byte has room for one bit only.
            if place == VARINT_BYTES_MAX - 1 && bits > 1 {
                return Err(Malformed);
            }
            value |= bits << (7 * place);
            if byte & 0x80 == 0 {
                self.0 = &self.0[place + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

impl<'a> Value<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) | Self::Fixed => Err(Malformed),
        }
    }

    pub(super) fn text(self) -> Result<String, Malformed> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)?;
        Ok(text.to_owned())
    }

    pub(super) fn message(self) -> Result<Reader<'a>, Malformed> {
        self.bytes().map(Reader)
    }

    pub(super) fn number(self) -> Result<u64, Malformed> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) | Self::Fixed => Err(Malformed),
        }
    }

    /// A field of 32 bits; what a sender put beyond them is cut off, as every reader of the format does.
    pub(super) fn number32(self) -> Result<u32, Malformed> {
        self.number().map(|number| number as u32)
    }

    /// An `int32`: negative ones stand as 64-bit two's complement.
    pub(super) fn signed32(self) -> Result<i32, Malformed> {
        self.number32().map(u32::cast_signed)
    }

    pub(super) fn flag(self) -> Result<bool, Malformed> {
        self.number().map(|number| number != 0)
    }
}

/// A message that is being written. Zero values are left out, which is what proto3 means by them.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn number(&mut self, field: u32, number: impl Into<u64>) {
        let number = number.into();
        if number != 0 {
            self.key(field, 0);
            self.varint(number);
        }
    }

    pub(super) fn flag(&mut self, field: u32, flag: bool) {
        self.number(field, flag);
    }

    pub(super) fn bytes(&mut self, field: u32, bytes: impl AsRef<[u8]>) {
        if !bytes.as_ref().is_empty() {
            self.delimited(field, bytes.as_ref());
        }
    }

    /// A message; an empty one is there as well, which says something for itself.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let mut message = Self::default();
        write(&mut message);
        self.delimited(field, &message.0);
    }

    /// Appends the message to `out`, preceded by its length.
    pub(super) fn append_delimited(self, out: &mut Vec<u8>) {
        let mut length = Self::default();
        length.varint(self.0.len() as u64);
        out.extend_from_slice(&length.0);
        out.extend_from_slice(&self.0);
    }

    fn delimited(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn key(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    fn varint(&mut self, mut number: u64) {
        while number > 0x7F {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_has_at_most_64_bits() {
        let mut longest = Writer::default();
        longest.number(1, u64::MAX);
        let mut reader = Reader::new(&longest.0);
        assert!(matches!(reader.field(), Ok(Some((1, Value::Number(u64::MAX))))));
        let wide = [&[0x08][..], &[0xFF; 9], &[0x02]].concat();
        assert_eq!(Reader::new(&wide).field().err(), Some(Malformed));
        let endless = [&[0x08][..], &[0x80; 20]].concat();
        assert_eq!(Reader::new(&endless).field().err(), Some(Malformed));
    }

    #[test]
    fn what_is_unknown_is_skipped_and_what_is_cut_off_is_malformed() {
        // Field 9 as fixed64, field 8 as fixed32, field 7 as a group, which nobody writes any more.
        let skipped = [&[0x49][..], &[1; 8], &[0x45], &[1; 4]].concat();
        let mut reader = Reader::new(&skipped);
        assert!(matches!(reader.field(), Ok(Some((9, Value::Fixed)))));
        assert!(matches!(reader.field(), Ok(Some((8, Value::Fixed)))));
        assert!(matches!(reader.field(), Ok(None)));
        for cut in [&[0x3B][..], &[0x0A], &[0x0A, 2, 0], &[0x49, 1], &[0x00, 0]] {
            assert_eq!(Reader::new(cut).field().err(), Some(Malformed), "{cut:x?}");
        }
    }
}
