//! Frames of RFC 6455 section 5: the header of one that comes in, the whole of one that goes out.

use bytes::{BufMut, Bytes, BytesMut};

/// The longest payload of a control frame (RFC 6455 section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with the message before.
    Continuation = 0x0,
    /// A text, or its beginning.
    Text = 0x1,
    /// Bytes, or their beginning.
    Binary = 0x2,
    /// The sender closes.
    Close = 0x8,
    /// The sender wants a pong.
    Ping = 0x9,
    /// The answer to a ping.
    Pong = 0xA,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// Whether it may come between the frames of a message, and is short and whole itself.
    #[must_use]
    pub fn is_control(self) -> bool {
        match self {
            Self::Close | Self::Ping | Self::Pong => true,
            Self::Continuation | Self::Text | Self::Binary => false,
        }
    }
}

/// The header of a client's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether the message ends with this frame.
    pub last: bool,
    /// Whether the message that begins with it is compressed (RFC 7692 section 6).
    pub compressed: bool,
    /// What it is.
    pub opcode: Opcode,
    /// The payload's length in bytes.
    pub length: u64,
    /// What the payload is masked with.
    pub mask: [u8; 4],
    /// The header's own size in bytes.
    pub size: usize,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` when it is not all there.
    ///
    /// # Errors
    /// The rule of RFC 6455 that the frame breaks.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, &'static str> {
        let &[first, second, ..] = bytes else { return Ok(None) };
        if first & 0x30 != 0 {
            return Err("reserved bits are set");
        }
        let last = first & 0x80 != 0;
        let opcode = Opcode::from_bits(first & 0x0F).ok_or("unknown opcode")?;
        if second & 0x80 == 0 {
            return Err("a client's frame is not masked");
        }
        let (length, length_size) = match second & 0x7F {
            126 => {
                let Some(field) = bytes.get(2..).and_then(<[u8]>::first_chunk) else {
                    return Ok(None);
                };
                (u64::from(u16::from_be_bytes(*field)), 2)
            }
            127 => {
                let Some(field) = bytes.get(2..).and_then(<[u8]>::first_chunk) else {
                    return Ok(None);
                };
                (u64::from_be_bytes(*field), 8)
            }
            short => (u64::from(short), 0),
        };
        let shortest = match length {
            0..=125 => 0,
            126..=0xFFFF => 2,
            _ => 8,
        };
        if length_size != shortest || length >> 63 != 0 {
            return Err("the length is not encoded in the fewest bytes");
        }
        if opcode.is_control() && (!last || length > CONTROL_BYTES_MAX as u64) {
            return Err("a control frame is long or fragmented");
        }
        let Some(mask) = bytes.get(2 + length_size..).and_then(<[u8]>::first_chunk) else {
            return Ok(None);
        };
        Ok(Some(Self {
            last,
            compressed: first & COMPRESSED != 0,
            opcode,
            length,
            mask: *mask,
            size: 6 + length_size,
        }))
    }
}

/// Removes (or puts on) a mask.
pub fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

/// The bit of a header's first byte by which a compressed message begins.
const COMPRESSED: u8 = 0x40;

/// A whole frame of the server: header and payload, not masked.
#[must_use]
pub fn build(opcode: Opcode, payload: &[u8]) -> Bytes {
    build_with(0, opcode, payload)
}

/// The same of a payload that is compressed.
#[must_use]
pub fn build_compressed(opcode: Opcode, payload: &[u8]) -> Bytes {
    build_with(COMPRESSED, opcode, payload)
}

fn build_with(bits: u8, opcode: Opcode, payload: &[u8]) -> Bytes {
    const LAST: u8 = 0x80;
    let mut frame = BytesMut::with_capacity(payload.len() + 10);
    frame.put_u8(LAST | bits | opcode as u8);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => frame.put_u8(length),
        (_, Ok(length)) => {
            frame.put_u8(126);
            frame.put_u16(length);
        }
        _ => {
            frame.put_u8(127);
            frame.put_u64(payload.len() as u64);
        }
    }
    frame.put_slice(payload);
    frame.freeze()
}

/// A text message in one frame.
#[must_use]
pub fn text(payload: &[u8]) -> Bytes {
    build(Opcode::Text, payload)
}

/// A close frame. A reason that does not fit is cut.
#[must_use]
pub fn close(code: u16, reason: &str) -> Bytes {
    let reason = &reason[..reason.floor_char_boundary(CONTROL_BYTES_MAX - 2)];
    build(Opcode::Close, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_encoded_in_the_fewest_bytes() {
        assert_eq!(text(b"").as_ref(), [0x81, 0]);
        assert_eq!(text(&[0; 125])[..2], [0x81, 125]);
        assert_eq!(text(&[0; 126])[..4], [0x81, 126, 0, 126]);
        assert_eq!(text(&[0; 65_535])[..4], [0x81, 126, 255, 255]);
        assert_eq!(text(&[0; 65_536])[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_mask_covers_every_byte_of_every_length() {
        let mask = [1, 2, 3, 4];
        for length in 0..40 {
            let mut payload: Vec<u8> = (0..length).collect();
            unmask(&mut payload, mask);
            let expected: Vec<u8> = (0..length).map(|at| at ^ mask[usize::from(at) % 4]).collect();
            assert_eq!(payload, expected);
        }
    }

    #[test]
    fn a_reason_that_is_too_long_is_cut_between_characters() {
        let frame = close(3000, &"é".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }
}
