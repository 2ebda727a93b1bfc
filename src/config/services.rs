//! [`ServicesConfig`]: the limits of services of one's own.

use std::time::Duration;

/// Bounds of the services that an application registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicesConfig {
    /// Most services.
    pub services_max: usize,
    /// Most calls of methods that are under way, of all connections.
    pub calls_max: usize,
    /// Most calls of one connection that are under way; what it sends after them waits in the socket.
    pub calls_per_connection_max: usize,
    /// Longest a call may take, if its caller waits that long.
    pub call_time_max: Duration,
    /// Longest result of a method, bytes. Must fit in one `rpc.frame_bytes_max` frame.
    pub output_bytes_max: usize,
}

impl ServicesConfig {
    /// The defaults.
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

/// Longest name of a service or a method, bytes.
pub(crate) const NAME_BYTES_MAX: usize = 128;

/// Names of services that are Wakeful's own at the JSON door.
pub(crate) const RESERVED: [&str; 2] = ["KVStoreService", "Wakeful"];
