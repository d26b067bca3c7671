//! The `Range` header of a download (RFC 9110 section 14.1.2): one range of bytes, or the whole.

/// What a `Range` header asks of a representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Not one range of bytes: the whole is sent, as the standard allows.
    Ignored,
    /// Nothing of it is there.
    Outside,
    /// From the first, up to but not including the second.
    Inside(u64, u64),
}

/// Reads the header's value against the representation's length in bytes.
#[must_use]
pub fn parse(text: &str, length: u64) -> Range {
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    // Names of units know no case (section 14.1).
    let spec = text
        .split_once('=')
        .filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes"));
    let Some((first, last)) = spec.and_then(|(_, spec)| spec.split_once('-')) else {
        return Range::Ignored;
    };
    match (number(first.trim()), number(last.trim())) {
        (Some(first), Some(last)) if first > last => Range::Ignored,
        (Some(first), _) if first >= length && (last.trim().is_empty() || number(last.trim()).is_some()) => {
            Range::Outside
        }
        (Some(first), Some(last)) => Range::Inside(first, last.saturating_add(1).min(length)),
        (Some(first), None) if last.trim().is_empty() => Range::Inside(first, length),
        (None, Some(suffix)) if first.trim().is_empty() => {
            if suffix == 0 || length == 0 {
                Range::Outside
            } else {
                Range::Inside(length.saturating_sub(suffix), length)
            }
        }
        _ => Range::Ignored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_standard() {
        for (text, expected) in [
            ("bytes=0-0", Range::Inside(0, 1)),
            ("bytes=5-", Range::Inside(5, 10)),
            ("Bytes=5-", Range::Inside(5, 10)),
            ("bytes=-3", Range::Inside(7, 10)),
            ("bytes=-30", Range::Inside(0, 10)),
            ("bytes=3-99", Range::Inside(3, 10)),
            ("bytes=10-", Range::Outside),
            ("bytes=10-12", Range::Outside),
            ("bytes=-0", Range::Outside),
            ("bytes=5-2", Range::Ignored),
            ("bytes=0-1,3-4", Range::Ignored),
            ("bytes=a-", Range::Ignored),
            ("bytes=-", Range::Ignored),
            ("lines=1-2", Range::Ignored),
            ("bytes=99999999999999999999-", Range::Outside),
        ] {
            assert_eq!(parse(text, 10), expected, "{text}");
        }
        assert_eq!(parse("bytes=0-", 0), Range::Outside);
    }
}
