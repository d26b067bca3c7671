//! One HTTP/2 request as bytes (RFC 9113), for connections that are cut anywhere in it. Answers are not read.

/// What a client sends first (section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Frame types (section 6) and flags that are used.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The first stream of a client.
const STREAM: u32 = 1;

/// A connection's first bytes: preface, settings, the request's fields, and its body in frames of at most `frame` bytes,
/// the last of which ends the stream. The body must fit the window that a server grants unasked, 65,535 bytes.
///
/// # Panics
/// When a field is longer than 126 bytes: such a length would take more than one byte (RFC 7541 section 5.1).
#[must_use]
pub fn request(fields: &[(&str, &str)], body: &[u8], frame: usize) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    push_frame(&mut bytes, SETTINGS, 0, 0, &[]);
    let mut block = Vec::new();
    for (name, value) in fields {
        // Literal, not indexed, not Huffman-coded (RFC 7541 section 6.2.2).
        block.push(0);
        for text in [name, value] {
            assert!(text.len() <= 126, "a field of {} bytes", text.len());
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    push_frame(&mut bytes, HEADERS, END_HEADERS, STREAM, &block);
    let mut rest = body.chunks(frame).peekable();
    while let Some(piece) = rest.next() {
        let flags = if rest.peek().is_none() { END_STREAM } else { 0 };
        push_frame(&mut bytes, DATA, flags, STREAM, piece);
    }
    bytes
}

fn push_frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a frame is small").to_be_bytes();
    bytes.extend_from_slice(&length[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}
