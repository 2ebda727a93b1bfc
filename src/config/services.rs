//! [`ServicesConfig`]: the limits of an application's services.

use std::time::Duration;

/// Limits of the services that an application registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicesConfig {
    /// Maximum number of services.
    pub services_max: usize,
    /// Maximum number of concurrent method calls, of all connections.
    pub calls_max: usize,
    /// Maximum number of concurrent method calls of one connection; what it sends next stays in the
    /// socket.
    pub calls_per_connection_max: usize,
    /// Longest duration of a call, if its caller waits that long.
    pub call_time_max: Duration,
    /// Longest result of a method, in bytes. Must fit in one frame of `rpc.frame_bytes_max`.
    pub output_bytes_max: usize,
}

impl ServicesConfig {
    /// Returns the defaults.
    pub(super) fn new() -> Self {
        Self {
            services_max: 1_024,
            calls_max: 10_000,
            calls_per_connection_max: 1_024,
            call_time_max: Duration::from_secs(3600),
            output_bytes_max: 1024 * 1024,
        }
    }
}

/// Longest name of a service or a method, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 128;

/// Names of Wakeful's own services in the JSON dialect.
pub(crate) const RESERVED: [&str; 2] = ["KVStoreService", "Wakeful"];
