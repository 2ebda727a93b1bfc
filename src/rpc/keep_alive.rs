//! [`KeepAlive`]: detects a server that is gone.

use std::time::{Duration, Instant};

const SELDOM: Duration = Duration::from_secs(30 * 24 * 3600);

/// Detects a server that is gone. Everything that it sends is a sign of life; after silence, it is
/// pinged.
#[derive(Debug)]
pub(super) struct KeepAlive {
    interval: Duration,
    timeout: Duration,
    heard: Instant,
    asked: Option<Instant>,
}

/// The reaction to silence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PeerSilence {
    Short,
    Ask,
    Dead,
}

impl KeepAlive {
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

    pub(super) fn look(&mut self, now: Instant) -> PeerSilence {
        if now < self.due() {
            PeerSilence::Short
        } else if self.asked.is_some() {
            PeerSilence::Dead
        } else {
            self.asked = Some(now);
            PeerSilence::Ask
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
        let mut keep_alive = KeepAlive::new(s(30), s(15), start);
        assert_eq!(keep_alive.look(start + s(29)), PeerSilence::Short);
        assert_eq!(keep_alive.look(start + s(30)), PeerSilence::Ask);
        assert_eq!(keep_alive.look(start + s(44)), PeerSilence::Short);
        assert_eq!(keep_alive.look(start + s(45)), PeerSilence::Dead);
        keep_alive.heard(start + s(45));
        assert_eq!(keep_alive.look(start + s(46)), PeerSilence::Short);
    }

    #[test]
    fn a_client_that_was_asleep_asks_before_it_gives_up() {
        let s = Duration::from_secs;
        let start = Instant::now();
        let mut keep_alive = KeepAlive::new(s(30), s(15), start);
        assert_eq!(keep_alive.look(start + s(1000)), PeerSilence::Ask);
        assert_eq!(keep_alive.look(start + s(1014)), PeerSilence::Short);
        assert_eq!(keep_alive.look(start + s(1015)), PeerSilence::Dead);
    }
}
