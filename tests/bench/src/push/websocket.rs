//! As much of WebSocket (RFC 6455) as a client that trusts its server needs.

/// The frame of a text.
pub const TEXT: u8 = 0x1;

/// A frame of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub opcode: u8,
    /// What it carries.
    pub payload: &'a [u8],
    /// Its size on the wire, bytes.
    pub size: usize,
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`; `None` when it is not all there.
    #[must_use]
    pub fn first(bytes: &'a [u8]) -> Option<Self> {
        let &[kind, length, ..] = bytes else { return None };
        let (length, head) = match length {
            126 => (usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
            127 => (
                usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?,
                10,
            ),
            short => (usize::from(short), 2),
        };
        Some(Self {
            opcode: kind & 0x0F,
            payload: bytes.get(head..head + length)?,
            size: head + length,
        })
    }
}

/// A text of the client in one frame. Its mask is zero: a mask protects proxies, of which there is none here.
#[must_use]
pub fn masked(text: &[u8]) -> Vec<u8> {
    frame(text, 0x80, &[0; 4])
}

/// A text of the server in one frame.
#[must_use]
pub fn unmasked(text: &[u8]) -> Vec<u8> {
    frame(text, 0, &[])
}

fn frame(text: &[u8], bit: u8, mask: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | TEXT];
    match u16::try_from(text.len()) {
        Ok(length @ 0..=125) => frame.push(bit | length as u8),
        Ok(length) => {
            frame.push(bit | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(bit | 127);
            frame.extend((text.len() as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(text);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written_once_it_is_whole() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let text = vec![b'a'; length];
            let frame = unmasked(&text);
            let read = Frame::first(&frame).unwrap();
            assert_eq!((read.opcode, read.payload, read.size), (TEXT, &*text, frame.len()));
            assert_eq!(Frame::first(&frame[..frame.len() - 1]), None);
            assert_eq!(masked(&text).len(), frame.len() + 4);
        }
    }
}
