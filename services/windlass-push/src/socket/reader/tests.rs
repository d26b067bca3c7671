use super::*;
use proptest::prelude::*;

/// A masked frame as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=65_535 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [7, 11, 13, 17];
    bytes.extend(mask);
    let mut payload = payload.to_vec();
    unmask(&mut payload, mask);
    bytes.extend(payload);
    bytes
}

fn read(limit: usize, bytes: &[u8]) -> Result<Vec<Message>, Violation> {
    let mut reader = Reader::new(limit);
    reader.feed(bytes);
    let mut messages = Vec::new();
    while let Some(message) = reader.next_message()? {
        messages.push(message);
    }
    Ok(messages)
}

#[test]
fn fragments_with_a_ping_between_them_are_one_message() {
    let bytes = [
        frame(0x01, b"he"),
        frame(0x89, b"p"),
        frame(0x00, b"l"),
        frame(0x80, b"lo"),
    ]
    .concat();
    assert_eq!(
        read(100, &bytes),
        Ok(vec![Message::Ping(b"p".to_vec()), Message::Text("hello".into())])
    );
}

#[test]
fn what_breaks_the_rfc_is_named() {
    let unmasked = [0x81, 0x02, b'h', b'i'];
    let long_form = [0x81, 0x80 | 126, 0, 5, 0, 0, 0, 0, 1, 2, 3, 4, 5];
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("unmasked", unmasked.to_vec()),
        ("long form of a short length", long_form.to_vec()),
        ("reserved bit", frame(0xC1, b"")),
        ("reserved opcode", frame(0x83, b"")),
        ("fragmented ping", frame(0x09, b"")),
        ("long ping", frame(0x89, &[0; 126])),
        ("continuation of nothing", frame(0x80, b"")),
        ("text inside a text", [frame(0x01, b""), frame(0x81, b"")].concat()),
        ("half a close code", frame(0x88, &[3])),
        ("close code that may not be sent", frame(0x88, &1005_u16.to_be_bytes())),
        ("negative length", vec![0x82, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (name, bytes) in cases {
        let violation = read(1000, &bytes).unwrap_err();
        assert_eq!(violation.disconnect(), Disconnect::ProtocolError, "{name}");
    }
}

#[test]
fn a_text_that_is_not_utf8_is_refused_also_when_the_cut_is_inside_a_character() {
    let whole = [frame(0x01, &[0xC3]), frame(0x80, &[0xA9])].concat();
    assert_eq!(read(100, &whole), Ok(vec![Message::Text("é".into())]));
    assert_eq!(read(100, &frame(0x81, &[0xFF])), Err(Violation::Text));
    assert_eq!(read(100, &frame(0x88, &[0x03, 0xE8, 0xFF])), Err(Violation::Text));
}

#[test]
fn a_message_over_the_limit_is_refused_by_its_header() {
    let header_only = &frame(0x82, &[0; 101])[..6];
    assert_eq!(read(100, header_only), Err(Violation::TooLarge));
    let in_fragments = [frame(0x02, &[0; 60]), frame(0x80, &[0; 41])].concat();
    assert_eq!(read(100, &in_fragments), Err(Violation::TooLarge));
    let huge = [0x82, 0x80 | 127, 0x7F, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
    assert_eq!(read(100, &huge), Err(Violation::TooLarge));
}

#[test]
fn nothing_is_held_between_messages() {
    let mut reader = Reader::new(1000);
    reader.feed(&frame(0x81, &[b'a'; 900]));
    assert!(reader.next_message().unwrap().is_some());
    assert!(reader.next_message().unwrap().is_none());
    assert_eq!(reader.bytes.capacity(), 0);
}

proptest! {
    #[test]
    fn messages_do_not_depend_on_how_the_bytes_are_cut(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
        cuts in prop::collection::vec(1_usize..50, 1..80),
    ) {
        let bytes: Vec<u8> = payloads.iter().flat_map(|payload| frame(0x82, payload)).collect();
        let mut reader = Reader::new(1000);
        let (mut messages, mut rest) = (Vec::new(), &bytes[..]);
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (head, tail) = rest.split_at((*cut).min(rest.len()));
            rest = tail;
            reader.feed(head);
            while let Some(message) = reader.next_message().unwrap() {
                messages.push(message);
            }
        }
        let expected: Vec<Message> = payloads.into_iter().map(Message::Binary).collect();
        prop_assert_eq!(messages, expected);
    }

    #[test]
    fn no_bytes_make_it_panic_or_hold_more_than_they_are(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut reader = Reader::new(64);
        reader.feed(&bytes);
        while let Ok(Some(_)) = reader.next_message() {}
        prop_assert!(reader.bytes.len() <= bytes.len());
    }
}

/// "Hello", compressed (RFC 7692 section 7.2.3.1).
const HELLO: [u8; 7] = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];

fn read_compressed(limit: usize, bytes: &[u8]) -> Result<Vec<Message>, Violation> {
    let mut reader = Reader::new(limit).inflating();
    reader.feed(bytes);
    std::iter::from_fn(|| reader.next_message().transpose()).collect()
}

#[test]
fn compressed_messages_are_read_where_they_were_agreed() {
    let hello = || vec![Message::Text("Hello".into())];
    assert_eq!(read_compressed(100, &frame(0xC1, &HELLO)), Ok(hello()));
    let fragments = [frame(0x41, &HELLO[..3]), frame(0x89, b""), frame(0x80, &HELLO[3..])].concat();
    let expected = [vec![Message::Ping(Vec::new())], hello()].concat();
    assert_eq!(read_compressed(100, &fragments), Ok(expected));
    assert_eq!(read_compressed(100, &frame(0x81, b"Hello")), Ok(hello()), "need not be");
    assert_eq!(
        read_compressed(100, &frame(0xC2, &HELLO)),
        Ok(vec![Message::Binary(b"Hello".to_vec())])
    );
    let reserved = Err(Violation::Protocol("reserved bits are set"));
    assert_eq!(read(100, &frame(0xC1, &HELLO)), reserved, "not agreed");
    assert_eq!(
        read_compressed(100, &frame(0xC9, b"")),
        reserved,
        "no ping is compressed"
    );
    let continued = [frame(0x41, &HELLO[..3]), frame(0xC0, &HELLO[3..])].concat();
    assert_eq!(
        read_compressed(100, &continued),
        reserved,
        "the first frame says it for all"
    );
    // What it becomes is over the limit, and is not text.
    assert_eq!(
        read_compressed(4, &frame(0xC1, &[])),
        Ok(vec![Message::Text(String::new())])
    );
    let long = [0x4A, 0x4C, 0x24, 0x15, 0x00, 0x00];
    assert_eq!(read_compressed(5, &frame(0xC1, &long)), Err(Violation::TooLarge));
    assert_eq!(
        read_compressed(100, &frame(0xC1, &[0xFA, 0x0F, 0x00])),
        Err(Violation::Text)
    );
}
