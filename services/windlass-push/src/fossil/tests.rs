use proptest::prelude::*;

use super::*;

fn round(before: &str, after: &str) -> Option<String> {
    let delta = diff(before, after)?;
    assert!(delta.len() < after.len());
    assert_eq!(
        apply(before.as_bytes(), delta.as_bytes()).as_deref(),
        Ok(after.as_bytes())
    );
    Some(delta)
}

/// A document of many numbers, as a dashboard gets it.
fn document(numbers: &[u32]) -> String {
    let row = |(id, number): (usize, &u32)| format!(r#"{{"id":{id},"name":"Größe {id}","value":{number}}}"#);
    let rows: Vec<_> = numbers.iter().enumerate().map(row).collect();
    format!("[{}]", rows.join(","))
}

#[test]
fn a_delta_names_what_is_copied_and_holds_what_is_not() {
    let before = r#"{"unchanged":"at the beginning","n":1,"more":"unchanged at the end"}"#;
    let after = r#"{"unchanged":"at the beginning","n":23,"more":"unchanged at the end"}"#;
    // 69 bytes of text; 36 from 0, 2 of its own, 31 from 37.
    let delta = round(before, after).unwrap();
    assert!(delta.starts_with("15\n_@0,2:23V@a,"), "{delta}");
}

#[test]
fn what_has_nothing_in_common_has_no_delta() {
    assert_eq!(diff("", ""), None);
    assert_eq!(diff("", "something"), None);
    assert_eq!(diff("abcdefghijklmnopqrstuvwxyz", "0123456789"), None);
    assert_eq!(
        diff(&"a".repeat(BYTES_MAX + 1), &"a".repeat(9)),
        None,
        "too long to look at"
    );
}

#[test]
fn the_same_text_again_is_hardly_anything() {
    let text = document(&[7; 50]);
    assert!(round(&text, &text).unwrap().len() < 20);
}

#[test]
fn what_is_inserted_is_cut_between_characters() {
    // `è` and `é` begin with the same byte and end with different ones; `©` ends with the same byte as `é`.
    let (start, end) = ("x".repeat(20), "y".repeat(20));
    for (old, new) in [("è", "é"), ("é", "©"), ("€ä", "€ö"), ("🎈", "🎉")] {
        let delta = round(&format!("{start}{old}{end}"), &format!("{start}{new}{end}")).unwrap();
        assert!(delta.contains(new.trim_start_matches('€')), "{delta}");
    }
}

#[test]
fn what_is_changed_in_many_places_is_copied_between_them() {
    let mut numbers: Vec<u32> = (0..200).map(|number| number * 7_919 % 10_007).collect();
    let before = document(&numbers);
    for place in [3, 50, 51, 120, 199] {
        numbers[place] += 1;
    }
    let after = document(&numbers);
    let delta = round(&before, &after).unwrap();
    println!("{} bytes, as a delta {}", after.len(), delta.len());
    assert!(delta.len() < after.len() / 20, "{delta}");
}

#[test]
fn what_moved_is_found_where_it_was() {
    let (a, b) = (document(&[1; 30]), document(&[123_456; 30]));
    let delta = round(&format!("{a}{b}"), &format!("{b}{a}")).unwrap();
    assert!(delta.len() < a.len() / 10, "{delta}");
}

#[test]
fn a_delta_of_something_else_is_refused() {
    let before = document(&[1; 9]);
    let after = document(&[2; 9]);
    let delta = round(&before, &after).unwrap();
    assert_eq!(
        apply(&before.as_bytes()[1..], delta.as_bytes()),
        Err(Malformed),
        "another base"
    );
    for length in 0..delta.len() {
        assert_eq!(apply(before.as_bytes(), &delta.as_bytes()[..length]), Err(Malformed));
    }
    for bad in [
        "",
        "\n",
        "0\n",
        "1\n2;",
        "1\n1@0;",
        "1\n1@9,0;",
        "1\n9:a",
        "~~~~~~~~~~~~\n",
        "1\n2@0,",
        "0\n0;x",
    ] {
        assert_eq!(apply(b"ab", bad.as_bytes()), Err(Malformed), "{bad:?}");
    }
    assert_eq!(apply(b"ab", b"0\n0;"), Ok(Vec::new()));
}

/// Texts with much in common, of all widths of characters.
fn texts() -> impl Strategy<Value = (String, String)> {
    let piece = prop_oneof!["[a-c]{1,40}", "[aä€🎈]{1,20}", r#"\{"k":[0-9]{1,4},"v":"[a-zé]{3}"\}"#];
    let pieces = prop::collection::vec(piece, 1..12);
    (pieces, prop::collection::vec((0_usize..12, any::<bool>()), 0..16)).prop_map(|(pieces, picked)| {
        let pick = |(place, changed): (usize, bool)| {
            let piece = &pieces[place % pieces.len()];
            if changed {
                piece.replace(['a', '1'], "ö")
            } else {
                piece.clone()
            }
        };
        let after = picked.into_iter().map(pick).collect();
        (pieces.concat(), after)
    })
}

proptest! {
    #[test]
    fn whatever_the_texts_the_delta_makes_the_one_of_the_other((before, after) in texts()) {
        round(&before, &after);
        round(&after, &before);
    }

    #[test]
    fn no_bytes_make_the_reader_panic_or_grow(before in "[a-z]{0,40}", delta in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = apply(before.as_bytes(), &delta);
        let delta: Vec<u8> = delta.iter().map(|byte| DIGITS[usize::from(byte % 64)]).collect();
        let _ = apply(before.as_bytes(), &delta);
    }
}
