//! When a cron expression comes next, by the clock of a time zone: a search that ends.
//!
//! Some never come (the 31st of a short month), some once in decades; croner alone looks for them up
//! to the year 5000, a tenth of a second. All this is done on the store's thread.

use std::cell::Cell;
use std::cmp::Ordering;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};
use chrono_tz::Tz;
use croner::errors::CronError;
use croner::{CivilDate, CivilDateTime, Cron, CronDateTime, Resolution, Weekday};

use crate::model::UnixMillis;

/// No clock is put forward by more at once: so many times of day at most are looked at in vain.
const GAP_SECONDS: u64 = 2 * 3600;

/// Days in `ahead`.
pub(super) fn days_in(ahead: Duration) -> u64 {
    ahead.as_secs() / (24 * 3600)
}

/// When `cron` says is next after `after`, by the clock of `timezone`; `None` if that is more than
/// `days` days later, or never.
///
/// Errors: a sentence, if either makes no sense.
pub(super) fn next_time(
    cron: &str,
    timezone: &str,
    after: UnixMillis,
    days: u64,
) -> Result<Option<UnixMillis>, String> {
    let cron = Cron::from_str(cron).map_err(|error| {
        format!("`{cron}` is no cron expression ({error}); write it as in `0 3 * * 1-5`")
    })?;
    let zone = Tz::from_str(timezone)
        .map_err(|_| format!("`{timezone}` is no time zone; name it as in Europe/Berlin or UTC"))?;
    let after = i64::try_from(after).ok().and_then(DateTime::<Utc>::from_timestamp_millis);
    let after = after.ok_or("the time of day is out of range")?.with_timezone(&zone);
    // Croner goes from day to day without asking: there must be one that it can find.
    let today = after.date_naive();
    let last = today.checked_add_days(Days::new(days)).unwrap_or(NaiveDate::MAX);
    let mut dates = today.iter_days().take_while(|date| *date <= last);
    if !dates.any(|date| has_date(&cron, date)) {
        return Ok(None);
    }
    let bounds =
        Bounds { last: civil_of(last), looks: Cell::new(days.saturating_add(GAP_SECONDS)) };
    let next = cron.find_next_occurrence(&Clock { at: after, bounds: &bounds }, false).ok();
    Ok(next.and_then(|next| UnixMillis::try_from(next.at.timestamp_millis()).ok()))
}

fn has_date(cron: &Cron, date: NaiveDate) -> bool {
    let (year, month, day) = (date.year(), date.month(), date.day());
    let weekday = Weekday::from_days_from_sunday(date.weekday().num_days_from_sunday());
    let pattern = &cron.pattern;
    pattern.month_match(month).unwrap_or(false)
        && pattern.year_match(year).unwrap_or(false)
        && pattern.day_match(year, month, day, weekday).unwrap_or(false)
}

fn civil_of(date: NaiveDate) -> CivilDate {
    CivilDate::from_parts_unchecked(date.year(), date.month(), date.day())
}

/// Where a search ends.
struct Bounds {
    last: CivilDate,
    /// How many more times are looked at.
    looks: Cell<u64>,
}

/// A time by the clock of a zone, as croner asks for it; past the bounds there is none.
#[derive(Clone, Copy)]
struct Clock<'a> {
    at: DateTime<Tz>,
    bounds: &'a Bounds,
}

impl CronDateTime for Clock<'_> {
    fn to_civil(&self) -> CivilDateTime {
        self.at.to_civil()
    }

    fn civil_weekday(&self) -> Weekday {
        self.at.civil_weekday()
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let looks = self.bounds.looks.get();
        if looks == 0 || civil.date() > self.bounds.last {
            return Err(CronError::TimeSearchLimitExceeded);
        }
        self.bounds.looks.set(looks - 1);
        let clock = |at| Self { at, ..*self };
        Ok(match self.at.resolve_civil(civil)? {
            Resolution::Single(at) => Resolution::Single(clock(at)),
            Resolution::Ambiguous(earlier, later) => {
                Resolution::Ambiguous(clock(earlier), clock(later))
            }
            Resolution::Gap => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        Some(Self { at: self.at.checked_add_seconds(seconds)?, ..*self })
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.at.cmp_instant(&other.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS: u64 = 3_650;

    fn at(text: &str) -> UnixMillis {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis() as UnixMillis
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
        // No such day of any month, of these months, of this year; always left out by the clock.
        for cron in ["0 0 1 * +1#5", "0 0 31 2,4,6,9,11 *", "0 0 0 1 1 * 4999", "* * 2 * 3 7L"] {
            assert_eq!(next(cron, "2026-11-26T00:00:00Z"), None, "{cron}");
        }
        let at = DateTime::<Utc>::UNIX_EPOCH.with_timezone(&Tz::UTC);
        let bounds =
            Bounds { last: CivilDate::from_parts_unchecked(1980, 1, 1), looks: Cell::new(9) };
        let cron = Cron::from_str("0 0 31 2,4,6,9,11 *").unwrap();
        let found = cron.find_next_occurrence(&Clock { at, bounds: &bounds }, false);
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
