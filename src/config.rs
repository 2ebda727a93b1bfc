//! Every limit and default of a Wakeful, with its unit.
//!
//! All limits of the crate are here: a refusal names the field of this module that caused it
//! (`store.key_bytes_max`), so that an operator knows what to change.

pub(crate) mod auth;
mod check;
mod client;
#[cfg(feature = "tls")]
mod client_tls;
mod job_frames;
#[cfg(feature = "server")]
mod limits;
mod link;
mod queue;
pub(crate) mod record;
pub(crate) mod services;
#[cfg(feature = "server")]
mod setting;
pub(crate) mod work;

use std::time::Duration;

pub use auth::AuthConfig;
#[cfg(test)]
pub(crate) use auth::HASH_MEMORY_BYTES_MIN;
pub(crate) use check::PUSH_BYTES;
pub use client::ClientConfig;
#[cfg(feature = "tls")]
pub use client_tls::{ClientCertificate, ClientTls};
#[cfg(test)]
pub(crate) use job_frames::job_frames;
pub use link::LinkConfig;
pub(crate) use link::SERVER_NAME_BYTES_MAX;
pub use queue::QueueConfig;
pub use services::ServicesConfig;

pub use crate::model::Durability;

/// Upper bound of `rpc.frame_bytes_max`: the codec's own limit is a constant.
pub const BODY_BYTES_LIMIT: usize = 256 * 1024 * 1024;

/// The configuration of a Wakeful; [`Config::new`] returns the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Limits of the key-value store.
    pub store: StoreConfig,
    /// Limits of waits and watches.
    pub watch: WatchConfig,
    /// Limits of connections.
    pub rpc: RpcConfig,
    /// How and when writes become durable.
    pub journal: JournalConfig,
    /// Limits of the job queue, and the defaults of topics.
    pub queue: QueueConfig,
    /// Limits of the services that an application registers.
    pub services: ServicesConfig,
    /// Limits of users and logins.
    pub auth: AuthConfig,
    /// Limits of links.
    pub link: LinkConfig,
}

/// How and when writes become durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalConfig {
    /// The condition for a reply, unless its request asks for more. Has no effect without a data
    /// directory, because nothing is durable then.
    pub durability: Durability,
    /// With `interval`, the time between two syncs of written data.
    pub sync_interval: Duration,
    /// Size of one log segment, preallocated before use. Must hold everything that one revision
    /// changes, with its reply.
    pub segment_bytes: u64,
    /// Maximum size of records that are not yet written; further writes are refused.
    pub pending_bytes_max: usize,
    /// Log size (or the size of the last snapshot, if larger) at which a snapshot is written in the
    /// background and the log before it removed. Bounds the duration of a start.
    pub snapshot_log_bytes: u64,
    /// Maximum size of segments and snapshots; further writes are refused, deletes are accepted
    /// while the last segment has room. A snapshot being written, and what was accepted before it,
    /// may exceed this.
    pub disk_bytes_max: u64,
}

/// Limits of the key-value store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Longest key, in bytes. Keys are names; long ones make every index larger.
    pub key_bytes_max: usize,
    /// Longest value, in bytes. Must leave room for a request in one frame of
    /// `rpc.frame_bytes_max`.
    pub value_bytes_max: usize,
    /// Maximum number of keys that exist at once.
    pub keys_max: usize,
    /// Maximum total size of present keys and values (excluding about 250 bytes of overhead per
    /// key).
    pub total_bytes_max: u64,
    /// Maximum number of readable revisions; beyond it the oldest are compacted.
    pub history_revisions_max: u64,
    /// Maximum size of the history (keys, values and overhead); beyond it the oldest revisions are
    /// compacted.
    pub history_bytes_max: u64,
    /// Maximum number of operations, and of compares, in one transaction.
    pub txn_ops_max: usize,
    /// Maximum number of events in one revision, and of keys on one lease. Bounds what one range
    /// delete, transaction or lease expiry changes; more than `store.slice_max` events take several
    /// turns.
    pub revision_events_max: usize,
    /// Maximum number of bytes that one revision, or the end of one lease, may change (keys, new
    /// values, and up to 64 bytes for each). Such a change is one journal record and must fit in a
    /// segment.
    pub revision_bytes_max: usize,
    /// Maximum number of keys in one page of a range; a larger requested limit is refused, no limit
    /// means this one.
    pub range_keys_max: usize,
    /// Size at which a page of a range ends early, with `more` set.
    pub range_bytes_max: usize,
    /// Maximum number of keys and events that one request examines, whether they exist or not. A
    /// page ends early there; a transaction is refused; a wait continues in later turns.
    pub steps_max: usize,
    /// Maximum number of leases that exist at once, including those created by `set` with a `ttl`.
    pub leases_max: usize,
    /// Shortest time to live.
    pub lease_ttl_min: Duration,
    /// Longest time to live.
    pub lease_ttl_max: Duration,
    /// Maximum number of remembered replies to idempotency keys. Beyond it, the server forgets the
    /// oldest reply of the user (or of the anonymous connection) that has the most.
    pub idempotency_keys_max: usize,
    /// Maximum size of remembered replies to idempotency keys; eviction as above.
    pub idempotency_bytes_max: usize,
    /// How long a reply is remembered for its idempotency key.
    pub idempotency_ttl: Duration,
    /// Number of leases, waits, history entries or watchers handled in one turn before other work
    /// runs. Bounds the stall that any mass event can cause.
    pub slice_max: usize,
}

/// Limits of waits and watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchConfig {
    /// Maximum number of waits and watches in total.
    pub watches_max: usize,
    /// Maximum number of waits and watches of one connection, and of its watch streams.
    pub watches_per_connection_max: usize,
    /// Maximum number of watch streams in total.
    pub streams_max: usize,
    /// Longest timeout of a `wait`.
    pub wait_timeout_max: Duration,
    /// Timeout of a `wait` that names none.
    pub wait_timeout_default: Duration,
    /// Number of events at which a batch for one stream ends.
    pub batch_events_max: usize,
    /// Size at which a batch for one stream ends.
    pub batch_bytes_max: usize,
    /// Shortest interval between progress marks.
    pub progress_interval_min: Duration,
}

/// Limits of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcConfig {
    /// Maximum number of connections; further ones are refused with an error and closed.
    pub connections_max: usize,
    /// Maximum number of connections from one IPv4 address or one IPv6 /64 network; further ones
    /// are refused with an error and closed.
    pub connections_per_address_max: usize,
    /// File descriptors (`ulimit -n`) that connections may not use, so that the journal can always
    /// open its next segment; `wakeful serve` lowers this to half of `ulimit -n`.
    pub descriptors_reserved: usize,
    /// Maximum number of frames per second on one connection that request nothing (pings, pongs,
    /// cancels and credits), beyond one for each request and each push. One more closes the
    /// connection.
    pub control_frames_max: u64,
    /// Longest frame body in either direction, in bytes.
    pub frame_bytes_max: usize,
    /// Longest frame body from a peer that must log in and has not yet, in bytes.
    pub login_frame_bytes_max: usize,
    /// Maximum number of unanswered requests of one connection, waits excluded; further requests
    /// stay in the socket.
    pub requests_in_flight_max: usize,
    /// Maximum number of potentially slow requests (ranges, transactions, range deletes) that one
    /// connection has executed in one turn. Bounds how long one connection delays the others.
    pub heavy_requests_max: usize,
    /// How long a thread works before it polls its sockets and timers again and other work gets its
    /// turn.
    pub turn_max: Duration,
    /// Deepest nesting of arrays and objects in JSON; deeper JSON closes the connection.
    pub json_depth_max: usize,
    /// Longest request id in JSON, in bytes; a longer one closes the connection. An id is kept
    /// until its request is answered.
    pub json_id_bytes_max: usize,
    /// Bytes buffered for one peer (answers, stream batches, encoded output) at which the server
    /// stops reading from that connection.
    pub output_bytes_max: usize,
    /// Bytes buffered for all peers together at which the server stops reading from connections
    /// above their equal share; answers larger than the remaining share are refused then.
    pub total_output_bytes_max: usize,
    /// Time from accept to the complete preface and hello.
    pub handshake_timeout: Duration,
    /// Time from the first byte of a frame to its last.
    pub frame_timeout: Duration,
    /// How long a peer may read none of the output that is waiting for it.
    pub write_timeout: Duration,
    /// Silence after which the peer is pinged.
    pub ping_interval: Duration,
    /// How long the peer may stay silent after a ping.
    pub ping_timeout: Duration,
    /// How long requests in flight may take after the goodbye.
    pub shutdown_grace: Duration,
    /// Maximum number of concurrent TLS handshakes on one port; further ones wait for their turn,
    /// within `rpc.handshake_timeout`.
    pub tls_handshakes_max: usize,
    /// How often the certificate files of a TLS port are checked for changes; zero means never.
    pub tls_check_interval: Duration,
    /// Maximum number of log lines of one kind that unauthenticated peers may cause per interval;
    /// one more line reports the number of the others.
    pub stranger_lines_max: u64,
    /// The interval of `rpc.stranger_lines_max`.
    pub stranger_lines_interval: Duration,
}

impl Config {
    /// Returns the defaults, which suit a machine with a few GiB to spare.
    pub fn new() -> Self {
        Self {
            store: StoreConfig {
                key_bytes_max: 4 * 1024,
                value_bytes_max: 1024 * 1024,
                keys_max: 10_000_000,
                total_bytes_max: 8 * 1024 * 1024 * 1024,
                history_revisions_max: 1_000_000,
                history_bytes_max: 512 * 1024 * 1024,
                txn_ops_max: 1_024,
                revision_events_max: 100_000,
                revision_bytes_max: 12 * 1024 * 1024,
                range_keys_max: 10_000,
                range_bytes_max: 2 * 1024 * 1024,
                steps_max: 16_384,
                leases_max: 4_000_000,
                lease_ttl_min: Duration::from_millis(100),
                lease_ttl_max: Duration::from_secs(10 * 365 * 24 * 3600),
                idempotency_keys_max: 100_000,
                idempotency_bytes_max: 64 * 1024 * 1024,
                idempotency_ttl: Duration::from_secs(600),
                slice_max: 512,
            },
            watch: WatchConfig {
                watches_max: 4_000_000,
                watches_per_connection_max: 100_000,
                streams_max: 1_000_000,
                wait_timeout_max: Duration::from_secs(24 * 3600),
                wait_timeout_default: Duration::from_secs(30),
                batch_events_max: 1_024,
                batch_bytes_max: 256 * 1024,
                progress_interval_min: Duration::from_millis(100),
            },
            rpc: RpcConfig {
                connections_max: 20_000,
                connections_per_address_max: 10_000,
                descriptors_reserved: 256,
                control_frames_max: 1_000,
                frame_bytes_max: 8 * 1024 * 1024,
                login_frame_bytes_max: 16 * 1024,
                requests_in_flight_max: 4_096,
                heavy_requests_max: 16,
                turn_max: Duration::from_millis(1),
                json_depth_max: 64,
                json_id_bytes_max: 256,
                output_bytes_max: 256 * 1024,
                total_output_bytes_max: 256 * 1024 * 1024,
                handshake_timeout: Duration::from_secs(30),
                frame_timeout: Duration::from_secs(10),
                write_timeout: Duration::from_secs(30),
                ping_interval: Duration::from_secs(30),
                ping_timeout: Duration::from_secs(15),
                shutdown_grace: Duration::from_secs(30),
                tls_handshakes_max: 1_000,
                tls_check_interval: Duration::from_secs(5),
                stranger_lines_max: 20,
                stranger_lines_interval: Duration::from_secs(60),
            },
            journal: JournalConfig {
                durability: Durability::Fsync,
                sync_interval: Duration::from_millis(50),
                segment_bytes: 32 * 1024 * 1024,
                pending_bytes_max: 64 * 1024 * 1024,
                snapshot_log_bytes: 256 * 1024 * 1024,
                disk_bytes_max: 64 * 1024 * 1024 * 1024,
            },
            queue: QueueConfig::new(),
            services: ServicesConfig::new(),
            auth: AuthConfig::new(),
            link: LinkConfig::new(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}
