use proptest::prelude::*;

use super::*;

fn agreed(offers: &[&'static str]) -> Option<(String, bool)> {
    let mut headers = HeaderMap::new();
    for offer in offers {
        headers.append(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(offer));
    }
    let Agreement { header, both_ways } = agree(&headers)?;
    Some((header.to_str().unwrap().to_owned(), both_ways))
}

/// What is offered, and what is answered.
type Case = (&'static [&'static str], Option<(&'static str, bool)>);

const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

#[test]
fn the_first_offer_that_can_be_taken_is() {
    let table: [Case; 12] = [
        (&[], None),
        (&["x-webkit-deflate-frame"], None),
        (&["permessage-deflate"], Some((PLAIN, true))),
        (&["permessage-deflate; client_max_window_bits"], Some((PLAIN, true))),
        (&["Permessage-Deflate;client_max_window_bits=9"], Some((PLAIN, true))),
        (
            &["permessage-deflate; client_no_context_takeover; server_no_context_takeover"],
            Some((PLAIN, true)),
        ),
        (&["permessage-deflate; server_max_window_bits"], None),
        (&["permessage-deflate; server_max_window_bits=7"], None),
        (&["permessage-deflate; client_max_window_bits=16"], None),
        (&["permessage-deflate; something"], None),
        (
            &["permessage-deflate; client_max_window_bits; client_max_window_bits"],
            None,
        ),
        (
            &["permessage-deflate; something, x", "permessage-deflate"],
            Some((PLAIN, true)),
        ),
    ];
    for (offers, expected) in table {
        let expected = expected.map(|(header, both_ways)| (header.to_owned(), both_ways));
        assert_eq!(agreed(offers), expected, "{offers:?}");
    }
    let narrow = agreed(&[r#"permessage-deflate; server_max_window_bits="9""#]).unwrap();
    assert_eq!(narrow, (format!("{PLAIN}; server_max_window_bits=9"), false));
    let wide = agreed(&["permessage-deflate; server_max_window_bits=15"]).unwrap();
    assert_eq!(wide, (format!("{PLAIN}; server_max_window_bits=15"), true));
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    // RFC 7692 section 7.2.3: one block, no compression, a final block, two blocks.
    for bytes in [
        &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00][..],
        &[0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00],
        &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00],
        &[
            0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00,
        ],
    ] {
        assert_eq!(inflate(bytes, 5).as_deref(), Ok(&b"Hello"[..]), "{bytes:x?}");
    }
    assert_eq!(inflate(&[0x00], 5).as_deref(), Ok(&b""[..]), "an empty message");
}

#[test]
fn a_bomb_is_refused_when_the_bound_is_reached_and_no_later() {
    let bomb = deflate(&vec![b'0'; 4 * 1024 * 1024]).unwrap();
    assert!(bomb.len() < 64 * 1024, "{} bytes", bomb.len());
    assert_eq!(inflate(&bomb, 64 * 1024), Err(Violation::TooLarge));
    let exact = deflate(&[b'0'; 1_000]).unwrap();
    assert_eq!(inflate(&exact, 1_000).map(|message| message.len()), Ok(1_000));
    assert_eq!(inflate(&exact, 999), Err(Violation::TooLarge));
}

#[test]
fn what_is_not_deflated_data_is_refused() {
    assert_eq!(inflate(&[0xFF, 0xFF, 0xFF], 1_000), Err(BROKEN));
}

#[test]
fn only_what_becomes_shorter_is_compressed() {
    let text = r#"{"id":1,"name":"somebody","value":7},"#.repeat(20);
    let frame = build(Opcode::Text, text.as_bytes());
    assert_eq!(frame[0], 0xC1, "the first reserved bit says that it is compressed");
    assert!(frame.len() < text.len() / 4, "{} of {} bytes", frame.len(), text.len());
    assert_eq!(build(Opcode::Text, b"short")[0], 0x81);
    let mut noise = vec![0; 4_096];
    getrandom::fill(&mut noise).unwrap();
    assert_eq!(build(Opcode::Binary, &noise), frame::build(Opcode::Binary, &noise));
}

proptest! {
    #[test]
    fn what_is_compressed_is_read_again(pieces in prop::collection::vec("[a-z]{1,9}", 1..9), times in 1_usize..400) {
        let text = pieces.concat().repeat(times);
        if let Some(compressed) = deflate(text.as_bytes()) {
            prop_assert!(compressed.len() < text.len());
            prop_assert_eq!(inflate(&compressed, text.len()), Ok(text.into_bytes()));
        }
    }

    #[test]
    fn no_bytes_make_the_decompressor_panic_or_exceed_the_bound(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let inflated = inflate(&bytes, 500);
        prop_assert!(inflated.map_or(0, |message| message.len()) <= 500);
    }
}
