//! [`ClientConfig`]: what can be set about a client.

use std::time::Duration;

use super::BODY_BYTES_LIMIT;
use crate::model::Credentials;

/// Everything that can be set about a [`Client`](crate::Client); [`ClientConfig::new`] has the
/// defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Where the server is: `host:port`. Names are looked up again at every reconnect.
    pub addr: String,
    /// What the client calls itself, for operators; at most 256 bytes, the rest is cut off.
    pub name: String,
    /// The name of the server that is meant: behind a relay, which of those there; elsewhere whoever
    /// answers under another name refuses. Empty: whoever answers. At most 256 bytes.
    pub server: String,
    /// With what to log in, at every connection before anything else is asked; `None` where the
    /// server has no users, or takes the certificate of the connection for a login.
    pub credentials: Option<Credentials>,
    /// How to speak TLS; `None` for not at all.
    #[cfg(feature = "tls")]
    pub tls: Option<super::ClientTls>,
    /// From the first packet to the server's welcome, and to the end of the login.
    pub connect_timeout: Duration,
    /// How long a call may take, the time without a connection included; `None` for ever. Goes
    /// with the request, so that the server drops it when nobody waits for it any more. Waits
    /// have their own timeout.
    pub call_deadline: Option<Duration>,
    /// How much longer than its own timeout a wait may take: the way there and back, and a
    /// reconnect in between.
    pub wait_grace: Duration,
    /// Longest pause before the first reconnect; doubled by each one that fails. The pause is
    /// drawn between 0 and this, so that the clients of a restarted server do not come at once.
    pub reconnect_backoff_min: Duration,
    /// Longest pause before any reconnect.
    pub reconnect_backoff_max: Duration,
    /// Most requests that are sent and not yet answered, those that wait excepted; the server may allow
    /// less. One more waits for its turn.
    pub requests_in_flight_max: usize,
    /// Most requests and waits that wait for their turn or for the connection; one more is
    /// refused with `LimitExceeded`.
    pub requests_queued_max: usize,
    /// Bytes of encoded output after which requests wait for their turn.
    pub output_bytes_max: usize,
    /// Bytes of pushes that the server may send ahead of the consumer of a watch.
    pub watch_window_bytes: u32,
    /// How often the server is asked to say how far a watch is complete, where the caller asked
    /// for no progress marks; zero for never. Without, a watch whose keys do not change would
    /// resume after a reconnect from its last own event, which may be compacted by then. A server
    /// that refuses marks so often is asked for as many as it allows.
    pub watch_bookmark_interval: Duration,
    /// Longest frame body, bytes, in both directions. The server's `rpc.frame_bytes_max`, which it
    /// tells in its welcome, holds where that is less.
    pub frame_bytes_max: usize,
    /// Silence after which the server is pinged.
    pub ping_interval: Duration,
    /// How long after a ping the server may stay silent before the connection counts as lost.
    pub ping_timeout: Duration,
    /// How long requests in flight may take after [`Client::close`](crate::Client::close).
    pub close_timeout: Duration,
}

impl ClientConfig {
    /// The defaults for the server at `addr`, `host:port`.
    pub fn new(addr: impl Into<String>) -> Self {
        Self {
            addr: addr.into(),
            name: String::new(),
            credentials: None,
            server: String::new(),
            #[cfg(feature = "tls")]
            tls: None,
            connect_timeout: Duration::from_secs(5),
            call_deadline: Some(Duration::from_secs(10)),
            wait_grace: Duration::from_secs(5),
            reconnect_backoff_min: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(5),
            requests_in_flight_max: 1_024,
            requests_queued_max: 1_000_000,
            output_bytes_max: 256 * 1024,
            watch_window_bytes: 256 * 1024,
            watch_bookmark_interval: Duration::from_secs(5),
            frame_bytes_max: BODY_BYTES_LIMIT,
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(15),
            close_timeout: Duration::from_secs(5),
        }
    }
}
