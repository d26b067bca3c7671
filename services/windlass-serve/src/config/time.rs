//! Times as people write them in files and flags.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// The longest time that is taken: more than anybody waits, and far from every overflow of a sum.
const LONGEST: Duration = Duration::from_secs(10_000 * 3_600);

/// A time such as `500ms`, `15s`, `5m`, `24h`: a whole number and a unit, at most `10000h`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Time(pub Duration);

/// A text that is no [`Time`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is a whole number with ms, s, m or h, as in 15s, and at most 10000h")]
pub struct TimeError;

impl FromStr for Time {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or(TimeError)?;
        let (number, unit) = text.split_at(unit_at);
        let number: u64 = number.parse().map_err(|_| TimeError)?;
        let time = match unit {
            "ms" => Some(Duration::from_millis(number)),
            "s" => Some(Duration::from_secs(number)),
            "m" => number.checked_mul(60).map(Duration::from_secs),
            "h" => number.checked_mul(3_600).map(Duration::from_secs),
            _ => None,
        };
        time.filter(|time| *time <= LONGEST).map(Self).ok_or(TimeError)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_other_texts_refused() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("15s", 15_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
        ] {
            assert_eq!(text.parse(), Ok(Time(Duration::from_millis(millis))), "{text}");
        }
        for bad in [
            "",
            "5",
            "s",
            "-5s",
            "5 s",
            "5d",
            "1.5s",
            "10001h",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(bad.parse::<Time>(), Err(TimeError), "{bad}");
        }
    }
}
