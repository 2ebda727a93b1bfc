//! [`LinkConfig`]: the limits of links, on which processes serve each other the other way round.

use std::time::Duration;

use super::Config;
use crate::error::{Error, ErrorCode};

/// Maximum length of the name of a server behind a link, bytes.
pub(crate) const SERVER_NAME_BYTES_MAX: usize = 256;

/// No configuration allows more connections over one link: what they can hold is added up.
const STREAMS_LIMIT: usize = 65_536;

/// A hello of a link has room for its name and a credential, and is no way to fill memory.
const HELLO_BYTES: std::ops::RangeInclusive<usize> = 1_024..=64 * 1024;

/// Bounds of links: of both ends, whoever dials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkConfig {
    /// Most links that one listener has at once; one more is told so and closed.
    pub links_max: usize,
    /// Most connections of a listener that have not shown yet who they are; one more is told so
    /// and closed, and dials again later.
    pub handshakes_max: usize,
    /// From accept, or from connected, to the end of the handshake of a link.
    pub handshake_timeout: Duration,
    /// Longest hello of a link, bytes: before it the peer is a stranger.
    pub hello_bytes_max: usize,
    /// Most connections over one link in each direction; the end with the smaller number decides.
    /// Each may hold 256 KiB that nobody has read yet.
    pub streams_max: usize,
    /// How many bytes more the connections of a link may hold in all, where the way is long and
    /// wide and those 256 KiB would slow it down.
    pub window_bytes_max: usize,
    /// Silence on a link after which the other end is asked whether it is there.
    pub ping_interval: Duration,
    /// How long it may stay silent then.
    pub ping_timeout: Duration,
    /// How long whoever dials tries to connect.
    pub connect_timeout: Duration,
    /// Longest pause before the first attempt after a link was lost; it doubles with each failure.
    pub backoff_min: Duration,
    /// Longest pause before any attempt.
    pub backoff_max: Duration,
    /// Bytes that a relay holds of each direction of each connection.
    pub splice_bytes: usize,
}

impl LinkConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            links_max: 10_000,
            handshakes_max: 1_024,
            handshake_timeout: Duration::from_secs(5),
            hello_bytes_max: 4 * 1024,
            streams_max: 512,
            window_bytes_max: 16 * 1024 * 1024,
            ping_interval: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(10),
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            splice_bytes: 16 * 1024,
        }
    }

    /// That the limits make sense.
    ///
    /// # Errors
    /// `InvalidArgument` naming the one that does not.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |message: String| Err(Error::new(ErrorCode::InvalidArgument, message));
        if self.links_max == 0 || self.handshakes_max == 0 || self.splice_bytes == 0 {
            return refuse(
                "link.links_max, link.handshakes_max and link.splice_bytes must be at least 1"
                    .into(),
            );
        }
        if !(1..=STREAMS_LIMIT).contains(&self.streams_max) {
            return refuse(format!("link.streams_max must be from 1 to {STREAMS_LIMIT}"));
        }
        if !HELLO_BYTES.contains(&self.hello_bytes_max) {
            let (from, to) = (HELLO_BYTES.start(), HELLO_BYTES.end());
            return refuse(format!("link.hello_bytes_max must be from {from} to {to}"));
        }
        if self.ping_interval.is_zero() || self.ping_timeout.is_zero() {
            return refuse("link.ping_interval and link.ping_timeout must be above 0".into());
        }
        if self.backoff_min.is_zero() || self.backoff_min > self.backoff_max {
            return refuse(
                "link.backoff_min must be above 0, and not above link.backoff_max".into(),
            );
        }
        Ok(())
    }
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// That the limits of links make sense.
    pub(super) fn check_links(&self) -> Result<(), Error> {
        self.link.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_links_that_make_no_sense_are_refused_by_name() {
        type Change = fn(&mut LinkConfig);
        LinkConfig::new().check().unwrap();
        let refused: [(&str, Change); 6] = [
            ("link.links_max", |link| link.links_max = 0),
            ("link.streams_max", |link| link.streams_max = 0),
            ("link.streams_max", |link| link.streams_max = 65_537),
            ("link.hello_bytes_max", |link| link.hello_bytes_max = 16),
            ("link.ping_interval", |link| link.ping_interval = Duration::ZERO),
            ("link.backoff_min", |link| link.backoff_min = Duration::from_secs(60)),
        ];
        for (name, change) in refused {
            let mut config = Config::new();
            change(&mut config.link);
            let refusal = config.check().unwrap_err();
            assert!(refusal.message.contains(name), "{refusal}");
        }
    }
}
