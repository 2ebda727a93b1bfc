//! [`AtArgs`]: the time at which a job is due.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};

use super::moment;
use crate::UnixMillis;
use crate::cli::failure::Failure;

/// The time at which a job is due.
#[derive(Debug, clap::Args)]
pub(super) struct AtArgs {
    /// Delay the job until this time, as in 2030-12-01T18:00:00Z
    ///
    /// RFC 3339, or a date and a time in the zone of --tz, as in '2030-12-01 18:00'. A time in the
    /// past is refused
    // A delay counts from when the topic has room, so a push that waits for room would be due
    // later.
    #[arg(long, value_name = "TIME", value_parser = parse_time,
        conflicts_with_all = ["delay", "wait_room"])]
    at: Option<Time>,
    /// The time zone of --at [default: UTC]
    ///
    /// For a TIME without an offset, as in Europe/Berlin
    #[arg(long, value_name = "ZONE", value_parser = parse_zone, requires = "at")]
    tz: Option<TimeZone>,
}

/// A clock reading, with its offset from UTC if one was given.
#[derive(Debug, Clone, Copy)]
struct Time {
    clock: DateTime,
    offset: Option<Offset>,
}

impl AtArgs {
    /// Returns the due time, if one was given. Fails unless it is later than `now`.
    pub(super) fn due(self, now: UnixMillis) -> Result<Option<UnixMillis>, Failure> {
        let Some(time) = self.at else { return Ok(None) };
        let instant = time.instant(self.tz).map_err(Failure::usage)?;
        // Rounded up, so that the job is never early.
        let due = u128::try_from(instant.as_nanosecond()).unwrap_or(0).div_ceil(1_000_000);
        let due = UnixMillis::try_from(due).unwrap_or(UnixMillis::MAX);
        if due > now {
            return Ok(Some(due));
        }
        Err(Failure::usage(format!(
            "the time of --at, {}, has passed: it is {} now; write a later time, or omit --at for \
             a job that is due at once",
            moment::show(due),
            moment::show(now)
        )))
    }
}

impl Time {
    fn instant(self, zone: Option<TimeZone>) -> Result<Timestamp, String> {
        let Self { clock, offset } = self;
        let offset = match (offset, zone) {
            (Some(_), Some(_)) => {
                return Err("the time of --at already has an offset; omit --tz".to_owned());
            }
            (Some(offset), None) => offset,
            (None, None) => Offset::UTC,
            (None, Some(zone)) => offset_in(&zone, clock)?,
        };
        offset.to_timestamp(clock).map_err(|error| format!("--at is out of range: {error}"))
    }
}

/// Returns the offset of a zone when its clock shows `clock`. Refuses a time that occurs twice or
/// never, rather than guess.
fn offset_in(zone: &TimeZone, clock: DateTime) -> Result<Offset, String> {
    let name = zone.iana_name().unwrap_or("this zone");
    match zone.to_ambiguous_timestamp(clock).offset() {
        AmbiguousOffset::Unambiguous { offset } => Ok(offset),
        AmbiguousOffset::Fold { before, after } => Err(format!(
            "the clock of {name} shows {clock} twice; omit --tz, and write {clock}{before} or \
             {clock}{after}"
        )),
        AmbiguousOffset::Gap { before, after } => Err(format!(
            "the clock of {name} never shows {clock}: it skips from {before} to {after}; write \
             another time"
        )),
    }
}

fn parse_time(text: &str) -> Result<Time, String> {
    let refusal = || {
        format!(
            "`{text}` is not a time; write it as in 2030-12-01T18:00:00+01:00, 2030-12-01T17:00:00Z or \
             '2030-12-01 18:00'"
        )
    };
    let pieces = Pieces::parse(text).map_err(|_| refusal())?;
    let time = pieces.time().filter(|_| pieces.time_zone_annotation().is_none());
    let clock = pieces.date().to_datetime(time.ok_or_else(refusal)?);
    Ok(Time { clock, offset: pieces.to_numeric_offset() })
}

fn parse_zone(name: &str) -> Result<TimeZone, String> {
    TimeZoneDatabase::bundled()
        .get(name)
        .map_err(|_| format!("`{name}` is not a time zone; write it as in Europe/Berlin or UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01T00:00:00Z
    const NOW: UnixMillis = 1_767_225_600_000;

    fn due(at: &str, zone: Option<&str>) -> Result<String, String> {
        let tz = zone.map(parse_zone).transpose()?;
        let due = AtArgs { at: Some(parse_time(at)?), tz }.due(NOW);
        due.map(|due| moment::show(due.unwrap())).map_err(|failure| failure.message().to_owned())
    }

    #[test]
    fn a_time_has_an_offset_or_is_of_a_zone_which_is_utc_unless_one_is_named() {
        for (at, zone, expected) in [
            ("2030-12-01T18:00:00Z", None, "2030-12-01T18:00:00Z"),
            ("2030-12-01T18:00:00+01:00", None, "2030-12-01T17:00:00Z"),
            ("2030-12-01t18:00:00.5-00:30", None, "2030-12-01T18:30:00Z"),
            ("2030-12-01 18:00", None, "2030-12-01T18:00:00Z"),
            ("2030-12-01T18:00:07", Some("UTC"), "2030-12-01T18:00:07Z"),
            ("2030-12-01 18:00", Some("Europe/Berlin"), "2030-12-01T17:00:00Z"),
            ("2026-07-01 18:00", Some("europe/berlin"), "2026-07-01T16:00:00Z"),
            ("2026-10-25 02:30+02:00", None, "2026-10-25T00:30:00Z"),
        ] {
            assert_eq!(due(at, zone).as_deref(), Ok(expected), "{at}");
        }
    }

    #[test]
    fn a_time_is_rounded_up_to_milliseconds() {
        for (at, ms) in [("00:00:00.001", 1), ("00:00:00.001000001", 2), ("00:00:00.0000001", 1)] {
            let at = Some(parse_time(&format!("2026-01-01T{at}Z")).unwrap());
            assert_eq!(AtArgs { at, tz: None }.due(NOW).unwrap(), Some(NOW + ms));
        }
    }

    #[test]
    fn what_would_be_a_guess_is_refused() {
        let twice = due("2026-10-25 02:30", Some("Europe/Berlin")).unwrap_err();
        assert!(twice.contains("twice") && twice.contains("2026-10-25T02:30:00+02"), "{twice}");
        assert!(due("2026-10-25T02:30:00+02", None).is_ok(), "the suggestion is accepted");
        let never = due("2026-03-29 02:30", Some("Europe/Berlin")).unwrap_err();
        assert!(never.contains("never shows 2026-03-29T02:30:00"), "{never}");
        let both = due("2030-12-01T18:00:00Z", Some("Europe/Berlin")).unwrap_err();
        assert!(both.contains("omit --tz"), "{both}");
        for text in [
            "",
            "soon",
            "18:00",
            "2030-12-01",
            "2026-13-01 18:00",
            "2030-12-01 25:00",
            "1796140800",
            "2030-12-01T18:00[Europe/Berlin]",
            "01.12.2026 18:00",
        ] {
            let refusal = parse_time(text).unwrap_err();
            assert!(refusal.contains("'2030-12-01 18:00'"), "{text}: {refusal}");
        }
        for text in ["-009999-01-01 00:00", "9999-12-31 23:59"] {
            let outside = due(text, None).unwrap_err();
            assert!(outside.contains("--at is out of range"), "{text}: {outside}");
        }
        assert!(parse_zone("Nowhere/Land").unwrap_err().contains("Europe/Berlin"));
    }

    #[test]
    fn a_time_that_has_passed_is_refused() {
        for at in
            ["2026-01-01T00:00:00Z", "2025-12-31 23:59", "1969-01-01 00:00", "-000001-01-02 00:00"]
        {
            let passed = due(at, None).unwrap_err();
            assert!(
                passed.contains("has passed: it is 2026-01-01T00:00:00Z now"),
                "{at}: {passed}"
            );
        }
    }
}
