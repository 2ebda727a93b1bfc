//! [`ControlFrameBudget`]: limits the frames of a peer that request nothing.

use std::time::{Duration, Instant};

use crate::environment;
use crate::error::{Details, Error, ErrorCode};

const SECOND: Duration = Duration::from_secs(1);

/// Limits the frames of a peer that request nothing: pings, pongs, cancels and credits.
///
/// A request may be cancelled, and a push credited, so each earns one control frame. Beyond that,
/// `rpc.control_frames_max` per second are enough for a regular client, and too few to keep the
/// server busy.
pub(super) struct ControlFrameBudget {
    left: u64,
    since: Instant,
}

impl ControlFrameBudget {
    pub(super) fn new(now: Instant, per_second: u64) -> Self {
        Self { left: per_second, since: now }
    }

    /// Adds one control frame for each request received and each push sent.
    pub(super) fn earn(&mut self, frames: u64) {
        self.left = self.left.saturating_add(frames);
    }

    /// Subtracts received control frames.
    ///
    /// # Errors
    /// `LimitExceeded` if they exceed the budget.
    pub(super) fn spend(&mut self, frames: u64, per_second: u64) -> Result<(), Error> {
        if frames == 0 {
            return Ok(());
        }
        self.spend_at(environment::now(), frames, per_second)
    }

    fn spend_at(&mut self, now: Instant, frames: u64, per_second: u64) -> Result<(), Error> {
        if now.saturating_duration_since(self.since) >= SECOND {
            (self.left, self.since) = (self.left.max(per_second), now);
        }
        let left = self.left.checked_sub(frames).ok_or_else(|| {
            let message = format!(
                "too many pings, pongs, cancels and credits: the limit rpc.control_frames_max is \
                 {per_second} in a second beyond one for each request and each push; the connection \
                 closes"
            );
            let name = "rpc.control_frames_max".to_owned();
            let details = Details::Limit { name, value: per_second };
            Error::new(ErrorCode::LimitExceeded, message).with_details(details)
        })?;
        self.left = left;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn z15_frames_that_ask_for_nothing_are_limited_by_the_second() {
        let start = Instant::now();
        let mut budget = ControlFrameBudget::new(start, 10);
        assert!(budget.spend_at(start, 10, 10).is_ok());
        let refusal = budget.spend_at(start, 1, 10).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::LimitExceeded);
        assert!(budget.spend_at(start + SECOND, 10, 10).is_ok());
        assert!(budget.spend_at(start + 3 * SECOND, 11, 10).is_err(), "nothing is saved up");
    }

    #[test]
    fn z14_every_request_and_every_push_earns_one() {
        let start = Instant::now();
        let mut budget = ControlFrameBudget::new(start, 10);
        budget.earn(100);
        assert!(budget.spend_at(start, 110, 10).is_ok());
        assert!(budget.spend_at(start, 1, 10).is_err());
        budget.earn(5);
        assert!(budget.spend_at(start, 5, 10).is_ok(), "what is earned later counts");
    }
}
