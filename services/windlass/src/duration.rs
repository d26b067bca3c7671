//! Durations as flags take them: `500ms`, `10s`, `2m`, `1h`, or plain seconds.

use std::time::Duration;

use windlass_serve::config::{Time, TimeError};

/// Reads a flag's text: a time as in configuration files, or plain seconds; never nothing.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let seconds = text.bytes().all(|b| b.is_ascii_digit()).then(|| format!("{text}s"));
    let Time(duration) = seconds
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|error: TimeError| error.to_string())?;
    if duration.is_zero() {
        Err("expected more than nothing".to_owned())
    } else {
        Ok(duration)
    }
}

/// A duration for people: `4.2 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, millis) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("10", 10_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "s",
            "-1s",
            "1.5s",
            "1d",
            "1 s",
            "0",
            "0ms",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_in_two_units_at_most() {
        assert_eq!(show(Duration::from_millis(4_230)), "4.2 s");
        assert_eq!(show(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(show(Duration::from_secs(7_500)), "2 h 5 min");
    }
}
