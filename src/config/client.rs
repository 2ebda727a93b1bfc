//! [`ClientConfig`]: the configuration of a client.

use std::time::Duration;

use super::BODY_BYTES_LIMIT;
use crate::model::Credentials;

/// The configuration of a [`Client`](crate::Client); [`ClientConfig::new`] returns the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The address of the server, `host:port`. The host name is resolved again at every reconnect.
    pub addr: String,
    /// The name that the client gives itself, for operators; truncated to 256 bytes.
    pub name: String,
    /// The name of the server to connect to. A relay routes by this name; a server with another name
    /// refuses. Empty for any server. At most 256 bytes.
    pub server: String,
    /// The credentials for the login that begins every connection; `None` if the server has no users,
    /// or accepts the certificate of the connection as a login.
    pub credentials: Option<Credentials>,
    /// The TLS settings; `None` for connections without TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<super::ClientTls>,
    /// Time from the first packet to the server's welcome, and to the end of the login.
    pub connect_timeout: Duration,
    /// How long a call may take, including the time without a connection; `None` for no limit. It is
    /// sent with the request, so that the server drops the request when nobody waits for it any more.
    /// Waits have their own timeout.
    pub call_deadline: Option<Duration>,
    /// How much longer than its own timeout a wait may take: time for the network and one reconnect.
    pub wait_grace: Duration,
    /// Longest pause before the first reconnect; doubles with each failure. The pause is drawn between 0
    /// and this value, so that the clients of a restarted server do not all reconnect at once.
    pub reconnect_backoff_min: Duration,
    /// Longest pause before any reconnect.
    pub reconnect_backoff_max: Duration,
    /// Maximum number of unanswered requests, waits excluded; the server may allow fewer. Further
    /// requests wait for their turn.
    pub requests_in_flight_max: usize,
    /// Maximum number of requests that wait for their turn or for the connection; further ones are
    /// refused with `LimitExceeded`.
    pub requests_queued_max: usize,
    /// Size of encoded output at which requests wait for their turn.
    pub output_bytes_max: usize,
    /// Bytes of pushes that the server may send before the consumer of a watch has read them.
    pub watch_window_bytes: u32,
    /// The interval of progress marks of a watch whose caller requested none; zero for none. Without
    /// them, a watch whose keys do not change would resume after a reconnect from its last event, which
    /// may be compacted by then. If the server refuses the interval, its shortest one is used.
    pub watch_bookmark_interval: Duration,
    /// Longest frame body in either direction, in bytes. The server's `rpc.frame_bytes_max`, which its
    /// welcome contains, applies if it is smaller.
    pub frame_bytes_max: usize,
    /// Silence after which the server is pinged.
    pub ping_interval: Duration,
    /// How long after a ping the server may stay silent before the connection counts as lost.
    pub ping_timeout: Duration,
    /// How long requests in flight may take after [`Client::close`](crate::Client::close).
    pub close_timeout: Duration,
}

impl ClientConfig {
    /// Returns the defaults for the server at `addr`, `host:port`.
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
