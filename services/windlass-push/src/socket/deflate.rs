//! Compressed messages: permessage-deflate (RFC 7692), without context takeover in either direction.
//!
//! Each message is compressed by itself. So a connection keeps nothing for it (two windows would be 64 KiB), and a publication is compressed once for all its receivers. The two tables
//! that the work needs are one a thread.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use http::{HeaderMap, HeaderValue, header};

use super::frame::{self, Opcode};
use super::reader::Violation;

/// What each message ends with and is sent without (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Shorter messages are sent as they are: the names of a JSON document alone hardly repeat below this, bytes.
const SHORTEST: usize = 96;

/// The least that a buffer grows by, bytes.
const STEP: usize = 1_024;

/// The window of our compressor, as the handshake counts it: 2^15 bytes.
const WINDOW_BITS: u8 = 15;

thread_local! {
    // The fastest: a publication waits for it, and so do those behind it.
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
    static DECOMPRESS: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// What was agreed at the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// What the client is told.
    pub header: HeaderValue,
    /// Whether we compress too: not for a client that keeps less of a message than our compressor looks back to. What it
    /// sends may be compressed all the same.
    pub both_ways: bool,
}

/// Takes the first offer that can be taken (RFC 7692 section 5).
#[must_use]
pub fn agree(request: &HeaderMap) -> Option<Agreement> {
    let offered = request.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
    offered
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(accept)
}

/// The answer to one offer; `None` when it is of another extension, or broken.
fn accept(offer: &str) -> Option<Agreement> {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("permessage-deflate") {
        return None;
    }
    let mut seen = Vec::new();
    let mut window = None;
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
            None => (part, None),
        };
        let bits = |value: &str| value.parse().ok().filter(|bits| (8..=15_u8).contains(bits));
        match (name, value) {
            _ if seen.contains(&name) => return None,
            ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => {}
            // Whatever window the client uses, ours is as large as any.
            ("client_max_window_bits", Some(value)) => _ = bits(value)?,
            ("server_max_window_bits", Some(value)) => window = Some(bits(value)?),
            (_, _) => return None,
        }
        seen.push(name);
    }
    let mut answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover".to_owned();
    if let Some(bits) = window {
        answer.push_str(&format!("; server_max_window_bits={bits}"));
    }
    Some(Agreement {
        header: HeaderValue::try_from(answer).ok()?,
        both_ways: window.is_none_or(|bits| bits == WINDOW_BITS),
    })
}

/// A whole frame of the server, compressed where that makes it shorter.
#[must_use]
pub fn build(opcode: Opcode, payload: &[u8]) -> Bytes {
    match deflate(payload) {
        Some(compressed) => frame::build_compressed(opcode, &compressed),
        None => frame::build(opcode, payload),
    }
}

/// The payload compressed; `None` when that is not shorter.
fn deflate(payload: &[u8]) -> Option<Vec<u8>> {
    if payload.len() < SHORTEST {
        return None;
    }
    COMPRESS.with_borrow_mut(|compress| {
        compress.reset();
        // More than this is not wanted, and the last four bytes are not sent.
        let most = payload.len() + TAIL.len();
        let mut compressed = Vec::new();
        loop {
            compressed.reserve_exact(STEP.max(compressed.len()));
            let rest = payload.get(usize::try_from(compress.total_in()).ok()?..)?;
            compress.compress_vec(rest, &mut compressed, FlushCompress::Sync).ok()?;
            if compressed.len() >= most {
                return None;
            }
            // Room that is left says that everything is out.
            if compressed.len() < compressed.capacity() {
                break;
            }
        }
        compressed.ends_with(&TAIL).then(|| {
            compressed.truncate(compressed.len() - TAIL.len());
            compressed
        })
    })
}

/// The message that was compressed.
///
/// # Errors
/// [`Violation::TooLarge`] as soon as it is over `bytes_max`, however large it would become; [`Violation::Protocol`]
/// when it is not deflated data.
pub(super) fn inflate(compressed: &[u8], bytes_max: usize) -> Result<Vec<u8>, Violation> {
    DECOMPRESS.with_borrow_mut(|decompress| {
        decompress.reset(false);
        let mut inflated = Vec::new();
        for mut rest in [compressed, &TAIL] {
            loop {
                // One byte more than may be shows that there is more.
                let room = bytes_max.saturating_add(1) - inflated.len();
                inflated.reserve_exact(STEP.max(inflated.len()).min(room));
                let (read, written) = (decompress.total_in(), inflated.len());
                let status = decompress
                    .decompress_vec(rest, &mut inflated, FlushDecompress::Sync)
                    .map_err(|_| BROKEN)?;
                let consumed = usize::try_from(decompress.total_in() - read).map_err(|_| BROKEN)?;
                rest = rest.get(consumed..).ok_or(BROKEN)?;
                if inflated.len() > bytes_max {
                    return Err(Violation::TooLarge);
                }
                if status == Status::StreamEnd {
                    // A sender may end its stream (section 7.2.3.4); what follows is another.
                    decompress.reset(false);
                }
                if rest.is_empty() && inflated.len() < inflated.capacity() {
                    break;
                }
                if consumed == 0 && inflated.len() == written && inflated.len() < inflated.capacity() {
                    return Err(BROKEN);
                }
            }
        }
        Ok(inflated)
    })
}

const BROKEN: Violation = Violation::Protocol("a message is not deflated data");

#[cfg(test)]
mod tests;
