//! Times as they are written in a configuration file.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

/// A time such as `500ms`, `15s`, `5m`, `24h`: a whole number and a unit, as in Centrifugo's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text(pub Duration);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text)
            .map(Self)
            .ok_or_else(|| D::Error::custom("a time is a whole number with ms, s, m or h, as in 15s"))
    }
}

fn parse(text: &str) -> Option<Duration> {
    let cut = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(cut)?;
    let number: u32 = number.parse().ok()?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3_600),
        _ => return None,
    };
    Some(unit * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_other_texts_refused() {
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("24h"), Some(Duration::from_secs(86_400)));
        for bad in ["", "5", "s", "-5s", "5 s", "5d", "1.5s", "99999999999s", "5sé"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
