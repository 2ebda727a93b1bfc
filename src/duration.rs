//! Durations as users write them: `1500ms`, `30s`, `1h30m`, `7d`, `0`.

use std::time::Duration;

/// Parses one or more numbers with units; a day has 24 hours.
///
/// A number without a unit is refused, unless it is zero, because it could mean seconds or
/// milliseconds. So are months and years, whose length varies, and fractions of a millisecond, which
/// the protocol cannot represent.
#[cfg(feature = "server")]
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    use jiff::SpanRelativeTo;
    use jiff::fmt::friendly::SpanParser;

    const PARSER: SpanParser = SpanParser::new();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let refusal = |why| {
        format!(
            "`{text}` is not a duration{why}; write numbers with their units, as in 1500ms, 30s, \
             1h30m, 7d"
        )
    };
    let span = PARSER.parse_span(text).map_err(|_| refusal(""))?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let duration = duration.map_err(|_| refusal(" of a fixed length"))?;
    if duration.subsec_nanos() % 1_000_000 != 0 {
        return Err(refusal(" of whole milliseconds"));
    }
    Duration::try_from(duration).map_err(|_| refusal(", as it is below zero"))
}

/// Formats a duration in whole seconds, or else in milliseconds, so that [`parse`] can read it.
pub(crate) fn show(duration: Duration) -> String {
    let total_ms = millis(duration);
    if total_ms.is_multiple_of(1_000) {
        format!("{}s", total_ms / 1_000)
    } else {
        format!("{total_ms}ms")
    }
}

/// Returns whole milliseconds, at most the largest number.
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
        for zero in ["0s", "0", "0ms"] {
            assert_eq!(parse(zero), Ok(Duration::ZERO));
        }
    }

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in [
            ("1h30m", 5_400),
            ("1h 30m", 5_400),
            ("1.5h", 5_400),
            ("90 minutes", 5_400),
            ("1 day, 2 hours", 26 * 3_600),
            ("2w", 14 * 86_400),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("1s500ms"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse("3650d"), Ok(Duration::from_secs(3_650 * 86_400)));
    }

    #[test]
    fn refuses_what_would_be_a_guess() {
        for text in [
            "5", "00", "", "s", "-1s", "1s ago", "1mo", "1y", "1us", "0.5ms", "ms", "30m1h",
            "PT1H30M",
        ] {
            let refusal = parse(text).unwrap_err();
            assert!(refusal.contains("1500ms"), "{text}: {refusal}");
        }
        assert!(parse("99999999999999999999s").is_err());
        assert!(parse("18446744073709551615d").is_err());
    }

    #[test]
    fn shows_what_it_reads() {
        for text in ["0s", "1500ms", "30s", "300s"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
    }
}
