//! The next time of a cron expression, by the clock of a time zone, found by a bounded search.
//!
//! Some expressions never come (the 31st of a short month), some once in decades; croner alone searches
//! up to the year 5000, for a tenth of a second. All this happens on the store's thread.
//!
//! croner finds matching dates and times on a clock that never changes; this module decides what a
//! change of the zone's clock means, as Vixie cron does: an expression of every hour or of every minute
//! goes by the clock, which skips some times and repeats others. Any other expression comes once for
//! each time that it names: the first time that the clock shows it, or right after a change that skips
//! it.

use std::cell::Cell;
use std::cmp::Ordering;
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use croner::errors::CronError;
use croner::{CivilDate, CivilDateTime, CivilTime, Cron, CronDateTime, Resolution, Weekday};
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Span, Timestamp, ToSpan};

use crate::model::UnixMillis;

/// The compiled-in zones: looking one up does not touch the disk.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The number of times that a search examines beyond two per day: those of the last day, and around
/// changes of the clock.
const LOOKS: u64 = 4_096;

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Returns the number of days in `ahead`.
pub(super) fn days_in(ahead: Duration) -> u64 {
    ahead.as_secs() / (24 * 3600)
}

/// Returns the next time of `cron` after `after`, by the clock of `timezone`; `None` if that is more
/// than `days` days later, or never.
///
/// Returns an error text if either is invalid.
pub(super) fn next_time(
    cron: &str,
    timezone: &str,
    after: UnixMillis,
    days: u64,
) -> Result<Option<UnixMillis>, String> {
    let cron = Cron::from_str(cron).map_err(|error| {
        format!("`{cron}` is not a cron expression ({error}); write it as in `0 3 * * 1-5`")
    })?;
    let zone = ZONES.get(timezone).map_err(|_| {
        format!("`{timezone}` is not a time zone; use a name such as Europe/Berlin or UTC")
    })?;
    let after = i64::try_from(after).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    let after = after.ok_or("the time of day is out of range")?;
    // Croner goes from day to day without checking the limit: there must be a date that it can find.
    let today = zone.to_datetime(after).date();
    let last = days_after(today, days);
    let mut dates = today.series(1.day()).take_while(|date| *date <= last);
    if !dates.any(|date| has_date(&cron, date)) {
        return Ok(None);
    }
    let looks = Cell::new(days.saturating_mul(2).saturating_add(LOOKS));
    let search = CronSearch { cron: &cron, zone: &zone, bounds: SearchLimits { last, looks } };
    let next =
        if goes_by_the_clock(&cron) { search.by_the_clock(after) } else { search.once(after) };
    Ok(next.and_then(|next| UnixMillis::try_from(next.as_millisecond()).ok()))
}

fn days_after(date: Date, days: u64) -> Date {
    let days = i64::try_from(days).ok().and_then(|days| Span::new().try_days(days).ok());
    days.and_then(|days| date.checked_add(days).ok()).unwrap_or(Date::MAX)
}

fn has_date(cron: &Cron, date: Date) -> bool {
    let civil = civil_date(date);
    let (year, month, day) = (civil.year(), civil.month(), civil.day());
    let pattern = &cron.pattern;
    pattern.month_match(month).unwrap_or(false)
        && pattern.year_match(year).unwrap_or(false)
        && pattern.day_match(year, month, day, weekday(date)).unwrap_or(false)
}

/// Returns whether the expression names every hour, or every minute.
fn goes_by_the_clock(cron: &Cron) -> bool {
    let pattern = &cron.pattern;
    (0..24).all(|hour| pattern.hour_match(hour).unwrap_or(false))
        || (0..60).all(|minute| pattern.minute_match(minute).unwrap_or(false))
}

struct CronSearch<'a> {
    cron: &'a Cron,
    zone: &'a TimeZone,
    bounds: SearchLimits,
}

impl CronSearch<'_> {
    /// Returns the next time of an expression that comes whenever the clock shows one of its times.
    fn by_the_clock(&self, after: Timestamp) -> Option<Timestamp> {
        let now = self.zone.to_datetime(after);
        let ahead = self.ahead(now, after);
        // The clock may be about to repeat the current time and earlier ones.
        let AmbiguousOffset::Fold { after: later, .. } = self.offset_at(now) else { return ahead };
        if later.to_timestamp(now).ok()? <= after {
            return ahead;
        }
        let change = self.change_to(later, after)?;
        let again = self.matching(later.to_datetime(change).saturating_sub(SECOND));
        let again = again.filter(|again| *again <= now);
        let again = again.and_then(|again| later.to_timestamp(again).ok());
        ahead.into_iter().chain(again).min()
    }

    /// Returns the next matching time after `now` that the clock shows.
    fn ahead(&self, now: DateTime, after: Timestamp) -> Option<Timestamp> {
        let mut from = now;
        loop {
            let found = self.matching(from)?;
            match self.offset_at(found) {
                AmbiguousOffset::Unambiguous { offset } => return offset.to_timestamp(found).ok(),
                AmbiguousOffset::Fold { before, after: later } => {
                    let first = before.to_timestamp(found).ok()?;
                    let second = later.to_timestamp(found).ok()?;
                    return Some(if first > after { first } else { second });
                }
                AmbiguousOffset::Gap { after: later, .. } => {
                    let change = self.change_to(later, later.to_timestamp(found).ok()?)?;
                    from = later.to_datetime(change).saturating_sub(SECOND);
                }
            }
        }
    }

    /// Returns the next time of an expression that comes once for each of its times.
    fn once(&self, after: Timestamp) -> Option<Timestamp> {
        let mut from = self.zone.to_datetime(after);
        loop {
            let found = self.matching(from)?;
            match self.offset_at(found) {
                AmbiguousOffset::Unambiguous { offset } => return offset.to_timestamp(found).ok(),
                AmbiguousOffset::Gap { after: later, .. } => {
                    return self.change_to(later, later.to_timestamp(found).ok()?);
                }
                AmbiguousOffset::Fold { before, after: later } => {
                    let first = before.to_timestamp(found).ok()?;
                    if first > after {
                        return Some(first);
                    }
                    // This time has already come, like everything else that the clock now repeats.
                    let change = self.change_to(later, first)?;
                    from = before.to_datetime(change).saturating_sub(SECOND);
                }
            }
        }
    }

    /// Returns the first change of the clock after `after` to the offset `offset`.
    fn change_to(&self, offset: Offset, after: Timestamp) -> Option<Timestamp> {
        let mut changes = self.zone.following(after).take(2);
        changes.find(|change| change.offset() == offset).map(|change| change.timestamp())
    }

    fn offset_at(&self, time: DateTime) -> AmbiguousOffset {
        self.zone.to_ambiguous_timestamp(time).offset()
    }

    /// Returns the first matching time after `from`.
    fn matching(&self, from: DateTime) -> Option<DateTime> {
        let from = CronClock { time: from, bounds: &self.bounds };
        self.cron.find_next_occurrence(&from, false).ok().map(|found| found.time)
    }
}

/// The limits of a search.
struct SearchLimits {
    last: Date,
    /// The remaining number of times to examine.
    looks: Cell<u64>,
}

/// A clock that never changes, as croner sees it; it ends at the limits of the search.
#[derive(Clone, Copy)]
struct CronClock<'a> {
    time: DateTime,
    bounds: &'a SearchLimits,
}

impl CronDateTime for CronClock<'_> {
    fn to_civil(&self) -> CivilDateTime {
        let time = self.time.time();
        let time = [time.hour(), time.minute(), time.second()].map(i8::cast_unsigned);
        let [hour, minute, second] = time.map(u32::from);
        let time = CivilTime::from_parts_unchecked(hour, minute, second);
        CivilDateTime::new(civil_date(self.time.date()), time)
    }

    fn civil_weekday(&self) -> Weekday {
        weekday(self.time.date())
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let looks = self.bounds.looks.get();
        let time = date_time(civil).filter(|time| looks > 0 && time.date() <= self.bounds.last);
        let time = time.ok_or(CronError::TimeSearchLimitExceeded)?;
        self.bounds.looks.set(looks - 1);
        Ok(Resolution::Single(Self { time, ..*self }))
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        let time = self.time.checked_add(SignedDuration::from_secs(seconds)).ok()?;
        Some(Self { time, ..*self })
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.time.cmp(&other.time)
    }
}

fn civil_date(date: Date) -> CivilDate {
    let [month, day] = [date.month(), date.day()].map(|part| u32::from(part.cast_unsigned()));
    CivilDate::from_parts_unchecked(i32::from(date.year()), month, day)
}

fn date_time(civil: CivilDateTime) -> Option<DateTime> {
    let parts = [civil.month(), civil.day(), civil.hour(), civil.minute(), civil.second()];
    let [month, day, hour, minute, second] = parts.map(|part| i8::try_from(part).unwrap_or(-1));
    let year = i16::try_from(civil.year()).ok()?;
    DateTime::new(year, month, day, hour, minute, second, 0).ok()
}

fn weekday(date: Date) -> Weekday {
    let from_sunday = date.weekday().to_sunday_zero_offset();
    Weekday::from_days_from_sunday(u32::from(from_sunday.cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use proptest::sample::{Index, select, subsequence};

    use super::*;

    const DAYS: u64 = 3_650;

    fn at(text: &str) -> UnixMillis {
        text.parse::<Timestamp>().unwrap().as_millisecond() as UnixMillis
    }

    fn next(cron: &str, after: &str) -> Option<UnixMillis> {
        next_time(cron, "Europe/Berlin", at(after), DAYS).unwrap()
    }

    #[test]
    fn j10_a_schedule_goes_by_the_clock_of_its_zone() {
        // Summer time begins on 2026-03-29 and ends on 2026-10-25.
        for (after, comes) in [
            ("2026-03-27T12:00:00Z", "2026-03-28T02:30:00Z"),
            ("2026-03-29T12:00:00Z", "2026-03-30T01:30:00Z"),
            ("2026-10-25T12:00:00Z", "2026-10-26T02:30:00Z"),
        ] {
            assert_eq!(next("30 3 * * *", after), Some(at(comes)));
        }
    }

    #[test]
    fn j10_what_the_clock_leaves_out_comes_after_it_and_what_it_repeats_once() {
        assert_eq!(next("30 2 * * *", "2026-03-28T12:00:00Z"), Some(at("2026-03-29T01:00:00Z")));
        assert_eq!(next("* * 2 * * *", "2026-03-28T12:00:00Z"), Some(at("2026-03-30T00:00:00Z")));
        assert_eq!(next("30 2 * * *", "2026-10-24T12:00:00Z"), Some(at("2026-10-25T00:30:00Z")));
        assert_eq!(next("30 2 * * *", "2026-10-25T00:30:00Z"), Some(at("2026-10-26T01:30:00Z")));
    }

    /// Returns the times within two days after `from`, by the clock of `zone`.
    fn two_days(cron: &str, zone: &str, from: &str) -> Vec<String> {
        let end = at(from) + 2 * 24 * 3_600_000;
        let (mut times, mut after) = (Vec::new(), at(from) - 1);
        while let Some(time) = next_time(cron, zone, after, DAYS).unwrap().filter(|it| *it < end) {
            let shown = Timestamp::from_millisecond(time as i64).unwrap();
            times.push(
                shown
                    .to_zoned_datetime(ZONES.get(zone).unwrap())
                    .strftime("%d %H:%M%:z")
                    .to_string(),
            );
            after = time;
        }
        times
    }

    #[test]
    fn j10_lists_ranges_and_steps_come_once_for_each_time_they_name() {
        let march = |cron| two_days(cron, "Europe/Berlin", "2026-03-28T23:00:00Z");
        let october = |cron| two_days(cron, "Europe/Berlin", "2026-10-24T22:00:00Z");
        assert_eq!(
            march("30 2,14 * * *"),
            ["29 03:00+02:00", "29 14:30+02:00", "30 02:30+02:00", "30 14:30+02:00"]
        );
        assert_eq!(
            october("30 2,14 * * *"),
            ["25 02:30+02:00", "25 14:30+01:00", "26 02:30+01:00", "26 14:30+01:00"]
        );
        // Both skipped times become one, which the clock also shows itself.
        assert_eq!(march("0,30 2-3 1-29 * *"), ["29 03:00+02:00", "29 03:30+02:00"]);
        assert_eq!(march("*/15 2 1-29 * *"), ["29 03:00+02:00"]);
        assert_eq!(
            october("0 */2 25 * *")[..3],
            ["25 00:00+02:00", "25 02:00+02:00", "25 04:00+01:00"]
        );
        // Expressions of every hour or every minute go by the clock.
        assert_eq!(
            october("30 * 25 * *")[1..5],
            ["25 01:30+02:00", "25 02:30+02:00", "25 02:30+01:00", "25 03:30+01:00"]
        );
        assert_eq!(march("* 2 29 * *"), [""; 0]);
        assert_eq!(october("* 2 25 * *").len(), 120);
        // A change of half an hour: from 02:00 to 01:30, and from 02:00 to 02:30.
        let lord_howe = |cron, from| two_days(cron, "Australia/Lord_Howe", from);
        assert_eq!(lord_howe("45 1,13 5 4 *", "2026-04-04T13:00:00Z")[..1], ["05 01:45+11:00"]);
        assert_eq!(lord_howe("45 1 5 4 *", "2026-04-04T13:00:00Z").len(), 1);
        assert_eq!(
            lord_howe("45 * 5 4 *", "2026-04-04T13:00:00Z")[1..3],
            ["05 01:45+11:00", "05 01:45+10:30"]
        );
        assert_eq!(lord_howe("15 2,3 4 10 *", "2026-10-03T13:00:00Z")[0], "04 02:30+11:00");
        // A change at midnight: in Havana the day begins at 01:00.
        let havana = |cron, from| two_days(cron, "America/Havana", from);
        assert_eq!(havana("0 0,12 8 3 *", "2026-03-08T04:00:00Z")[0], "08 01:00-04:00");
        assert_eq!(
            havana("15 0,12 3 11 *", "2024-11-03T03:00:00Z")[..2],
            ["03 00:15-04:00", "03 12:15-05:00"]
        );
    }

    /// Returns the times of `cron` from `from` to `end`, found by examining each minute.
    fn walked(cron: &Cron, zone: &TimeZone, from: Timestamp, end: Timestamp) -> Vec<Timestamp> {
        let matches = |time: DateTime| {
            let civil =
                CronClock { time, bounds: &SearchLimits { last: Date::MAX, looks: Cell::new(0) } };
            let civil = civil.to_civil();
            has_date(cron, time.date())
                && cron.pattern.hour_match(civil.hour()).unwrap()
                && cron.pattern.minute_match(civil.minute()).unwrap()
        };
        let minute = SignedDuration::from_mins(1);
        let by_the_clock = goes_by_the_clock(cron);
        // The latest time that the clock has shown; starting a day earlier covers everything that may
        // be repeated.
        let mut now = from - SignedDuration::from_hours(24);
        let mut latest = zone.to_datetime(now) - minute;
        let mut times = Vec::new();
        while now < end {
            let shown = zone.to_datetime(now);
            let mut comes = matches(shown) && (by_the_clock || shown > latest);
            let mut left_out = latest + minute;
            while !by_the_clock && left_out < shown {
                comes |= matches(left_out);
                left_out += minute;
            }
            if comes && now >= from {
                times.push(now);
            }
            latest = latest.max(shown);
            now += minute;
        }
        times
    }

    /// Zones and changes of their clocks: by an hour, by half an hour, at midnight, twice a year, more
    /// often than that (Morocco), none, and of the date (Samoa skipped a day).
    const CHANGES: [(&str, &str); 14] = [
        ("Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00:00Z"),
        ("America/New_York", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-11-01T06:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("America/Havana", "2026-03-08T05:00:00Z"),
        ("America/Havana", "2024-11-03T05:00:00Z"),
        ("Asia/Beirut", "2024-03-30T22:00:00Z"),
        ("Asia/Beirut", "2024-10-26T21:00:00Z"),
        ("Africa/Casablanca", "2024-03-10T02:00:00Z"),
        ("Africa/Casablanca", "2024-04-14T02:00:00Z"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z"),
        ("UTC", "2026-03-29T01:00:00Z"),
    ];

    /// A field: all values, a step, a range, a range with a step, or a list.
    fn field(max: u32) -> impl Strategy<Value = String> {
        let values: Vec<u32> = (0..=max).collect();
        prop_oneof![
            Just("*".to_owned()),
            (2..=max).prop_map(|step| format!("*/{step}")),
            (0..=max, 0..=max).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            (0..=max, 0..=max, 1..=max).prop_map(|(a, b, step)| format!(
                "{}-{}/{step}",
                a.min(b),
                a.max(b)
            )),
            subsequence(values, 1..5).prop_map(|values| {
                values.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
            }),
        ]
    }

    proptest! {
        /// Around every kind of change, a schedule comes at the times found by a walk minute by minute.
        #[test]
        fn j10_schedules_come_as_a_walk_by_the_clock_says(
            (zone, change) in select(&CHANGES[..]),
            minute in field(59),
            hour in prop_oneof![field(23), field(3)],
            date in select(&["* * *", "*/2 * *", "* * 0", "* * 1-6"][..]),
            start in any::<Index>(),
        ) {
            let text = format!("{minute} {hour} {date}");
            let cron = Cron::from_str(&text).unwrap();
            let tz = ZONES.get(zone).unwrap();
            let change: Timestamp = change.parse().unwrap();
            // Anywhere from a day and a half before the change to half a day after it.
            let from = change - SignedDuration::from_hours(36)
                + SignedDuration::from_mins(start.index(48 * 60) as i64);
            let end = change + SignedDuration::from_hours(36);
            let expected = walked(&cron, &tz, from, end);
            let (mut times, mut after) = (Vec::new(), from.as_millisecond() as UnixMillis - 1);
            while let Some(time) = next_time(&text, zone, after, DAYS).unwrap() {
                let at = Timestamp::from_millisecond(time as i64).unwrap();
                if at >= end || times.len() > expected.len() {
                    break;
                }
                times.push(at);
                after = time;
            }
            prop_assert_eq!(times, expected, "{} in {}", text, zone);
        }
    }

    #[test]
    fn j10_what_comes_within_the_bound_is_found_and_nothing_after_it() {
        let morning = "2026-11-26T00:00:00Z";
        assert_eq!(next("0 0 29 2 *", morning), Some(at("2028-02-28T23:00:00Z")));
        // The next of these Mondays is in 2044.
        assert_eq!(next("0 0 29 2 +1", morning), None);
        assert_eq!(next("0 0 0 1 1 * 2030", morning), Some(at("2029-12-31T23:00:00Z")));
        let within = |days| next_time("0 12 28 11 *", "UTC", at(morning), days).unwrap();
        assert_eq!([within(0), within(1)], [None, None]);
        assert_eq!(within(2), Some(at("2026-11-28T12:00:00Z")));
    }

    #[test]
    fn s10_no_expression_is_looked_for_without_end() {
        // There is no such day in any month, in these months, or in this year; or the clock always
        // skips it.
        for cron in ["0 0 1 * +1#5", "0 0 31 2,4,6,9,11 *", "0 0 0 1 1 * 4999", "* * 2 * 3 7L"] {
            assert_eq!(next(cron, "2026-11-26T00:00:00Z"), None, "{cron}");
        }
        let bounds = SearchLimits { last: date(1980, 1, 1), looks: Cell::new(9) };
        let cron = Cron::from_str("0 0 31 2,4,6,9,11 *").unwrap();
        let from = CronClock { time: date(1970, 1, 1).at(0, 0, 0, 0), bounds: &bounds };
        let found = cron.find_next_occurrence(&from, false);
        assert!(found.is_err() && bounds.looks.get() == 0, "croner asks for each day it looks at");
    }

    #[test]
    fn j10_nonsense_is_refused_with_what_to_write() {
        let cron = next_time("every day", "UTC", 0, DAYS).unwrap_err();
        assert!(cron.contains("every day") && cron.contains("0 3 * * 1-5"), "{cron}");
        let zone = next_time("0 3 * * *", "Berlin", 0, DAYS).unwrap_err();
        assert!(zone.contains("Berlin") && zone.contains("Europe/Berlin"), "{zone}");
    }
}
