//! [`ControlFrameBudget`]: how many frames a peer may send that ask for nothing.

use std::time::{Duration, Instant};

use crate::environment;
use crate::error::{Details, Error, ErrorCode};

const SECOND: Duration = Duration::from_secs(1);

/// How many frames a peer may send that ask for nothing: pings, pongs, cancels and credits.
///
/// Each request may be cancelled, and each push credited, so those earn one each. Beyond that there
/// are so many in a second: enough for anybody, and no way to keep the server busy for nothing.
pub(super) struct ControlFrameBudget {
    left: u64,
    since: Instant,
}

impl ControlFrameBudget {
    pub(super) fn new(now: Instant, per_second: u64) -> Self {
        Self { left: per_second, since: now }
    }

    /// Requests were made, or pushes sent.
    pub(super) fn earn(&mut self, frames: u64) {
        self.left = self.left.saturating_add(frames);
    }

    /// Frames came that ask for nothing.
    ///
    /// # Errors
    /// `LimitExceeded`: they are too many.
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
        let mut allowance = ControlFrameBudget::new(start, 10);
        assert!(allowance.spend_at(start, 10, 10).is_ok());
        let refusal = allowance.spend_at(start, 1, 10).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::LimitExceeded);
        assert!(allowance.spend_at(start + SECOND, 10, 10).is_ok());
        assert!(allowance.spend_at(start + 3 * SECOND, 11, 10).is_err(), "nothing is saved up");
    }

    #[test]
    fn z14_every_request_and_every_push_earns_one() {
        let start = Instant::now();
        let mut allowance = ControlFrameBudget::new(start, 10);
        allowance.earn(100);
        assert!(allowance.spend_at(start, 110, 10).is_ok());
        assert!(allowance.spend_at(start, 1, 10).is_err());
        allowance.earn(5);
        assert!(allowance.spend_at(start, 5, 10).is_ok(), "what is earned later counts");
    }
}
