//! [`LinkConfig`]: the limits of links.

use std::time::Duration;

use super::Config;
use crate::error::{Error, ErrorCode};

/// Longest name of a server behind a link, in bytes.
pub(crate) const SERVER_NAME_BYTES_MAX: usize = 256;

/// Upper bound of `link.streams_max`, because the buffers of all connections of a link are added up.
const STREAMS_LIMIT: usize = 65_536;

/// Bounds of `link.hello_bytes_max`: room for a name and a credential, but not to fill memory.
const HELLO_BYTES: std::ops::RangeInclusive<usize> = 1_024..=64 * 1024;

/// Limits of links, for both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkConfig {
    /// Maximum number of links of one listener; further ones are refused with an error and closed.
    pub links_max: usize,
    /// Maximum number of connections of a listener that have not authenticated yet; further ones
    /// are refused with an error and closed, and dial again later.
    pub handshakes_max: usize,
    /// Time from accept, or from connect, to the end of the handshake of a link.
    pub handshake_timeout: Duration,
    /// Longest hello of a link, in bytes; the peer is unauthenticated until then.
    pub hello_bytes_max: usize,
    /// Maximum number of connections over one link in each direction; the smaller value of the two
    /// ends applies. Each may buffer 256 KiB that nobody has read yet.
    pub streams_max: usize,
    /// How many bytes beyond 256 KiB each the connections of a link may buffer in total, for paths
    /// with high bandwidth and latency.
    pub window_bytes_max: usize,
    /// Silence on a link after which the other end is pinged.
    pub ping_interval: Duration,
    /// How long the other end may stay silent after a ping.
    pub ping_timeout: Duration,
    /// Timeout of a dialing end's attempt to connect.
    pub connect_timeout: Duration,
    /// Longest pause before the first attempt after a link was lost; doubles with each failure.
    pub backoff_min: Duration,
    /// Longest pause before any attempt.
    pub backoff_max: Duration,
    /// Bytes that a relay buffers in each direction of each connection.
    pub splice_bytes: usize,
}

impl LinkConfig {
    /// Returns the defaults.
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

    /// Checks that the limits make sense.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the limit that does not.
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
    /// Checks that the limits of links make sense.
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
