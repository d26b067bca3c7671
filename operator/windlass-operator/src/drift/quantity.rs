//! Kubernetes' quantities (`500m`, `1Gi`, `1e3`), by value.

/// Whether two texts are the same quantity. Texts that are none are not.
pub(super) fn are_equal(one: &str, other: &str) -> bool {
    matches!((nano(one), nano(other)), (Some(one), Some(other)) if one == other)
}

/// The value in billionths, which is the smallest unit that there is (`n`).
fn nano(text: &str) -> Option<i128> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let scale: i128 = match unit {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => 1_000_000_000,
        "k" => 10_i128.pow(12),
        "M" => 10_i128.pow(15),
        "G" => 10_i128.pow(18),
        "T" => 10_i128.pow(21),
        "P" => 10_i128.pow(24),
        "E" => 10_i128.pow(27),
        "Ki" => 1_000_000_000 << 10,
        "Mi" => 1_000_000_000 << 20,
        "Gi" => 1_000_000_000 << 30,
        "Ti" => 1_000_000_000 << 40,
        "Pi" => 1_000_000_000 << 50,
        "Ei" => 1_000_000_000 << 60,
        exponent => {
            let power: u32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            10_i128.checked_pow(power.checked_add(9)?)?
        }
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let places = u32::try_from(part.len()).ok()?;
    let digits: i128 = format!("{whole}{part}").parse().ok()?;
    // Rounded up, as the API server does.
    let scaled = digits.checked_mul(scale)?;
    let divisor = 10_i128.checked_pow(places)?;
    Some(scaled.div_euclid(divisor) + i128::from(scaled.rem_euclid(divisor) != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_equal_by_value() {
        for (one, other) in [
            ("0.5", "500m"),
            ("1", "1000m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1e3", "1k"),
        ] {
            assert!(are_equal(one, other), "{one} {other}");
        }
        for (one, other) in [("1", "2"), ("1Gi", "1G"), ("", ""), ("x", "x"), ("1.2.3", "1.2.3")] {
            assert!(!are_equal(one, other), "{one} {other}");
        }
    }
}
