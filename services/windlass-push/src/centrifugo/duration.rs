//! Durations as Go writes them, which Centrifugo's files have: `1h30m`, `720h`, `1.5s`, `500ms`.

use std::time::Duration;

/// Nanoseconds of each unit of Go's `time.ParseDuration`.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// Reads one; `None` for what Go would refuse, and for negative ones.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanoseconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanoseconds += number.parse::<f64>().ok()? * size;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(nanoseconds / 1e9).ok())?
}

/// As our files have it: whole milliseconds, and never none of something.
pub(super) fn ours(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let milliseconds = milliseconds.max(u128::from(!duration.is_zero()));
    if milliseconds % 1000 == 0 {
        format!("{}s", milliseconds / 1000)
    } else {
        format!("{milliseconds}ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_writes_is_read_and_written_as_ours() {
        for (text, expected) in [
            ("25s", "25s"),
            ("1000ms", "1s"),
            ("1h30m", "5400s"),
            ("720h", "2592000s"),
            ("1.5s", "1500ms"),
            ("2m0.25s", "120250ms"),
            ("300us", "1ms"),
            ("0", "0s"),
        ] {
            assert_eq!(parse(text).map(ours).as_deref(), Some(expected), "{text}");
        }
        for wrong in ["", "5", "s", "1d", "-1s", "1..5s", "5 s", "١s"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
