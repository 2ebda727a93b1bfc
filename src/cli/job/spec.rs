//! Values written as one word: the uniqueness of an index, a backoff, a rate, a state.

use std::time::Duration;

use crate::{Backoff, JobState, Rate, Unique, duration};

/// Parses `waiting`, `unfinished`, or a time after the end of the job.
pub(crate) fn parse_unique(text: &str) -> Result<Unique, String> {
    match text {
        "waiting" => Ok(Unique::Waiting),
        "unfinished" => Ok(Unique::Unfinished),
        _ => duration::parse(text)
            .map(Unique::Finished)
            .map_err(|_| format!("`{text}` is not waiting, unfinished or a time as in 5m")),
    }
}

/// Parses `5s`, `1s,10s,1m`, or `exp:BASE:CAP[:FLOOR]`.
pub(crate) fn parse_backoff(text: &str) -> Result<Backoff, String> {
    if let Some(exponential) = text.strip_prefix("exp:") {
        let times: Vec<_> =
            exponential.split(':').map(duration::parse).collect::<Result<_, _>>()?;
        return match times[..] {
            [base, cap] => Ok(Backoff::Exponential { base, cap, floor: Duration::ZERO }),
            [base, cap, floor] => Ok(Backoff::Exponential { base, cap, floor }),
            _ => Err("write exp:BASE:CAP or exp:BASE:CAP:FLOOR, as in exp:1s:10m:100ms".into()),
        };
    }
    let times: Vec<_> = text.split(',').map(duration::parse).collect::<Result<_, _>>()?;
    Ok(match times[..] {
        [always] => Backoff::Constant(always),
        _ => Backoff::List(times),
    })
}

/// Formats a backoff so that [`parse_backoff`] reads it.
pub(crate) fn show_backoff(backoff: &Backoff) -> String {
    let show = |time: &Duration| duration::show(*time);
    match backoff {
        Backoff::Constant(always) => show(always),
        Backoff::Exponential { base, cap, floor } => {
            format!("exp:{}:{}:{}", show(base), show(cap), show(floor))
        }
        Backoff::List(times) => times.iter().map(show).collect::<Vec<_>>().join(","),
    }
}

/// Parses `JOBS/TIME` or `JOBS/TIME:BURST`, as in `10/s`, `600/1m:20`; the default burst is 1.
pub(crate) fn parse_rate(text: &str) -> Result<Rate, String> {
    let (rate, burst) = text.split_once(':').unwrap_or((text, "1"));
    let parsed = rate.split_once('/').and_then(|(jobs, per)| {
        // A unit alone means one of it.
        let one = if per.starts_with(|first: char| first.is_ascii_digit()) { "" } else { "1" };
        let per = duration::parse(&format!("{one}{per}")).ok().filter(|per| !per.is_zero())?;
        Some(Rate { jobs: at_least_1(jobs)?, per, burst: at_least_1(burst)? })
    });
    parsed.ok_or_else(|| {
        format!(
            "`{text}` is not a rate; write JOBS/TIME or JOBS/TIME:BURST, as in 10/s or 600/1m:20"
        )
    })
}

/// Formats a rate so that [`parse_rate`] reads it.
pub(crate) fn show_rate(rate: &Rate) -> String {
    format!("{}/{}:{}", rate.jobs, duration::show(rate.per), rate.burst)
}

fn at_least_1(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number > 0)
}

/// Returns the name of a job state, as typed and printed.
pub(crate) fn state_name(state: JobState) -> &'static str {
    match state {
        JobState::Ready => "ready",
        JobState::Delayed => "delayed",
        JobState::Reserved => "reserved",
        JobState::Done => "done",
        JobState::Dead => "dead",
        JobState::Cancelled => "cancelled",
    }
}

pub(crate) fn parse_state(text: &str) -> Result<JobState, String> {
    let named = JobState::ALL.into_iter().find(|state| state_name(*state) == text);
    named.ok_or_else(|| {
        let names = JobState::ALL.map(state_name).join(", ");
        format!("`{text}` is not a state; the states are {names}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_is_a_time_a_list_or_exponential() {
        for text in ["5s", "1s,10s,60s", "exp:1s:600s:100ms"] {
            assert_eq!(show_backoff(&parse_backoff(text).unwrap()), text);
        }
        let no_floor = Backoff::Exponential {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(9),
            floor: Duration::ZERO,
        };
        assert_eq!(parse_backoff("exp:1s:9s"), Ok(no_floor));
        for text in ["", "5", "1s,", "exp:", "exp:1s", "exp:1s:2s:3s:4s"] {
            assert!(parse_backoff(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_has_a_burst_of_one_unless_it_says_more() {
        assert_eq!(show_rate(&parse_rate("10/1s").unwrap()), "10/1s:1");
        assert_eq!(show_rate(&parse_rate("10/1500ms:20").unwrap()), "10/1500ms:20");
        assert_eq!(show_rate(&parse_rate("10/s").unwrap()), "10/1s:1");
        assert_eq!(show_rate(&parse_rate("600/m:20").unwrap()), "600/60s:20");
        assert_eq!(show_rate(&parse_rate("1/1h30m").unwrap()), "1/5400s:1");
        for text in
            ["10", "0/1s", "10/0s", "10/1s:0", "10/1", "/1s", "10/1s:", "10/", "10/0", "10/-s"]
        {
            assert!(parse_rate(text).unwrap_err().contains("600/1m:20"), "{text}");
        }
    }

    #[test]
    fn every_state_has_a_name_that_is_read_back() {
        for state in JobState::ALL {
            assert_eq!(parse_state(state_name(state)), Ok(state));
        }
        assert!(parse_state("running").unwrap_err().contains("reserved"));
    }

    #[test]
    fn an_index_is_taken_while_waiting_until_finished_or_for_a_time() {
        assert_eq!(parse_unique("waiting"), Ok(Unique::Waiting));
        assert_eq!(parse_unique("unfinished"), Ok(Unique::Unfinished));
        assert_eq!(parse_unique("5m"), Ok(Unique::Finished(Duration::from_secs(300))));
        assert!(parse_unique("for ever").is_err());
    }
}
