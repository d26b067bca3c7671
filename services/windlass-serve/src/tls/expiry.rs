//! When a certificate ends: the one field of X.509 (RFC 5280 section 4.1) that rustls does not give a server about
//! itself. The file is the operator's own, and whatever stands in it, this gives an answer or none.

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, PrimitiveDateTime};

/// ASN.1 tags (X.690): the ones on the way to the field.
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// `notAfter`, seconds since the Unix epoch.
pub(super) fn not_after(certificate: &[u8]) -> Option<i64> {
    let (certificate, _) = expect(certificate, SEQUENCE)?;
    let (mut fields, _) = expect(certificate, SEQUENCE)?;
    if let Some((_, rest)) = expect(fields, VERSION) {
        fields = rest;
    }
    // Serial number, signature algorithm, issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, fields) = expect(fields, tag)?;
    }
    let (validity, _) = expect(fields, SEQUENCE)?;
    let (_, _, rest) = next(validity)?;
    let (tag, text, _) = next(rest)?;
    seconds(tag, std::str::from_utf8(text).ok()?)
}

/// The content of the first value, which must have this tag, and what follows it.
fn expect(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = next(bytes)?;
    (tag == wanted).then_some((content, rest))
}

/// Tag and content of the first value, and what follows it (DER: lengths are definite).
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, bytes) = bytes.split_first()?;
    let (&first, mut bytes) = bytes.split_first()?;
    let mut length = usize::from(first);
    if let Some(count) = first.checked_sub(0x80) {
        let digits = bytes.get(..usize::from(count)).filter(|digits| digits.len() <= 4)?;
        bytes = &bytes[digits.len()..];
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
    }
    let (content, rest) = bytes.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ` (RFC 5280 section 4.1.2.5).
fn seconds(tag: u8, text: &str) -> Option<i64> {
    let digits = text
        .strip_suffix('Z')
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let full = match (tag, digits.len()) {
        (UTC_TIME, 12) if digits < "50" => format!("20{digits}"),
        (UTC_TIME, 12) => format!("19{digits}"),
        (GENERALIZED_TIME, 14) => digits.to_owned(),
        _ => return None,
    };
    let part = |from: usize| &full[from..from + 2];
    let (year, rest) = (&full[..4], [part(4), part(6), part(8), part(10), part(12)]);
    let [month, day, hour, minute, second] = rest;
    let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    let time = PrimitiveDateTime::parse(&text, &Rfc3339).ok()?;
    Some(OffsetDateTime::unix_timestamp(time.assume_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn ending(year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 3, 1);
        params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .der()
            .to_vec()
    }

    #[test]
    fn the_end_is_found_in_both_ways_of_writing_it() {
        // 2050 and later is written with four digits.
        assert_eq!(not_after(&ending(2030)), Some(1_898_553_600));
        assert_eq!(not_after(&ending(2060)), Some(2_845_324_800));
        assert_eq!(seconds(UTC_TIME, "991231235959Z"), Some(946_684_799));
        for bad in ["", "Z", "991331235959Z", "9912312359Z", "991231235959", "99123123595é"] {
            assert_eq!(seconds(UTC_TIME, bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..300_usize, by in any::<u8>()) {
            let _ = not_after(&bytes);
            let mut certificate = ending(2030);
            let at = at % certificate.len();
            certificate[at] = by;
            let _ = not_after(&certificate);
            let _ = not_after(&certificate[..at]);
        }
    }
}
