//! Durations as people write them: `1500ms`, `30s`, `5m`, `1h`, `7d`.

use std::time::Duration;

/// Units, smallest first, with their length in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a whole number with its unit.
///
/// A number alone is refused: whether it meant seconds or milliseconds would be a guess.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let refusal = || {
        format!(
            "`{text}` is not a duration; write a whole number with its unit, as in 1500ms, 30s, 5m, 1h"
        )
    };
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refusal)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| refusal())?;
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refusal)?;
    let total_ms =
        number.checked_mul(*unit_ms).ok_or_else(|| format!("`{text}` is too long a time"))?;
    Ok(Duration::from_millis(total_ms))
}

/// Writes it in the largest of `ms` and `s` that fits whole, so that [`parse`] reads it back.
pub(crate) fn show(duration: Duration) -> String {
    let total_ms = millis(duration);
    if total_ms.is_multiple_of(1_000) {
        format!("{}s", total_ms / 1_000)
    } else {
        format!("{total_ms}ms")
    }
}

/// Whole milliseconds; the longest there are, if it is longer.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_whole_numbers_with_a_unit() {
        assert_eq!(parse("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn refuses_what_would_be_a_guess() {
        for text in ["5", "", "s", "1.5s", "-1s", "1 s", "1S", "5sec", "1h30m", "ms"] {
            let refusal = parse(text).unwrap_err();
            assert!(refusal.contains("1500ms"), "{text}: {refusal}");
        }
        assert!(parse("99999999999999999999s").is_err());
        assert!(parse("18446744073709551615d").unwrap_err().contains("too long"));
    }

    #[test]
    fn shows_what_it_reads() {
        for text in ["0s", "1500ms", "30s", "300s"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
    }
}
