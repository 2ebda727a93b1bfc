//! [`Pulse`]: detects a server that is gone.

use std::time::{Duration, Instant};

const SELDOM: Duration = Duration::from_secs(30 * 24 * 3600);

/// Detects a server that is gone. Everything that it sends is a sign of life; after silence, it is
/// pinged.
#[derive(Debug)]
pub(super) struct Pulse {
    interval: Duration,
    timeout: Duration,
    heard: Instant,
    asked: Option<Instant>,
}

/// The reaction to silence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Silence {
    Short,
    Ask,
    Dead,
}

impl Pulse {
    pub(super) fn new(interval: Duration, timeout: Duration, now: Instant) -> Self {
        // Capped, so that times can be added without overflow.
        let (interval, timeout) = (interval.min(SELDOM), timeout.min(SELDOM));
        Self { interval, timeout, heard: now, asked: None }
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// Returns when to check again.
    pub(super) fn due(&self) -> Instant {
        // Counted from the ping: a client that was itself suspended gives the server no less time.
        self.asked.map_or(self.heard + self.interval, |asked| asked + self.timeout)
    }

    pub(super) fn look(&mut self, now: Instant) -> Silence {
        if now < self.due() {
            Silence::Short
        } else if self.asked.is_some() {
            Silence::Dead
        } else {
            self.asked = Some(now);
            Silence::Ask
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_asked_about_once_and_then_is_death() {
        let s = Duration::from_secs;
        let start = Instant::now();
        let mut pulse = Pulse::new(s(30), s(15), start);
        assert_eq!(pulse.look(start + s(29)), Silence::Short);
        assert_eq!(pulse.look(start + s(30)), Silence::Ask);
        assert_eq!(pulse.look(start + s(44)), Silence::Short);
        assert_eq!(pulse.look(start + s(45)), Silence::Dead);
        pulse.heard(start + s(45));
        assert_eq!(pulse.look(start + s(46)), Silence::Short);
    }

    #[test]
    fn a_client_that_was_asleep_asks_before_it_gives_up() {
        let s = Duration::from_secs;
        let start = Instant::now();
        let mut pulse = Pulse::new(s(30), s(15), start);
        assert_eq!(pulse.look(start + s(1000)), Silence::Ask);
        assert_eq!(pulse.look(start + s(1014)), Silence::Short);
        assert_eq!(pulse.look(start + s(1015)), Silence::Dead);
    }
}
