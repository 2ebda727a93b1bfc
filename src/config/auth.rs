//! [`AuthConfig`]: the limits of users and logins.

use std::time::Duration;

use crate::duration;
use crate::error::{Error, ErrorCode};

/// The minimum memory of Argon2id, in bytes.
pub(crate) const HASH_MEMORY_BYTES_MIN: usize = 8 * 1024;

/// Limits of users and logins; without users they have no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// Largest user file, in bytes.
    pub file_bytes_max: usize,
    /// Maximum number of users.
    pub users_max: usize,
    /// Maximum number of roles.
    pub roles_max: usize,
    /// Maximum number of patterns of one role, over all its grants.
    pub role_patterns_max: usize,
    /// Maximum number of tokens of one user.
    pub tokens_per_user_max: usize,
    /// Longest name of a user, role or token, in bytes.
    pub name_bytes_max: usize,
    /// Shortest password that can be set, in bytes.
    pub password_bytes_min: usize,
    /// Longest password that can be set, in bytes.
    pub password_bytes_max: usize,
    /// Memory used to hash a new password, in bytes. OWASP's recommendation for Argon2id.
    pub hash_memory_bytes: usize,
    /// Passes over that memory. OWASP's recommendation for Argon2id.
    pub hash_passes: u32,
    /// Maximum memory that the hash in the user file may require for a password check.
    pub hash_memory_bytes_max: usize,
    /// Maximum number of passes that the hash in the user file may require for a password check.
    pub hash_passes_max: u32,
    /// Number of threads that check passwords, and so of concurrent checks.
    pub hash_threads: usize,
    /// Maximum number of passwords waiting for a check; further ones are refused.
    pub hash_queue_max: usize,
    /// Number of failed logins from one address, or over a link as one user, before further ones
    /// must wait.
    pub login_failures_max: u32,
    /// Time after which one failed login of an address is forgiven, and so the rate of failures
    /// from then on.
    pub login_failure_interval: Duration,
    /// Maximum number of addresses, and of users over links, whose failed logins are remembered;
    /// beyond it, the one that would be forgiven first is forgotten.
    pub login_addresses_max: usize,
    /// Time from accept to login; with users, a connection that has not logged in by then is
    /// closed.
    pub login_timeout: Duration,
    /// How often the user file is checked for changes.
    pub reload_interval: Duration,
}

impl AuthConfig {
    /// Returns the defaults.
    pub fn new() -> Self {
        Self {
            file_bytes_max: 16 * 1024 * 1024,
            users_max: 10_000,
            roles_max: 1_000,
            role_patterns_max: 1_000,
            tokens_per_user_max: 64,
            name_bytes_max: 128,
            password_bytes_min: 8,
            password_bytes_max: 4 * 1024,
            hash_memory_bytes: 19 * 1024 * 1024,
            hash_passes: 2,
            hash_memory_bytes_max: 256 * 1024 * 1024,
            hash_passes_max: 16,
            hash_threads: 2,
            hash_queue_max: 256,
            login_failures_max: 10,
            login_failure_interval: Duration::from_secs(10),
            login_addresses_max: 65_536,
            login_timeout: Duration::from_secs(30),
            reload_interval: Duration::from_secs(1),
        }
    }

    /// Checks that the limits allow logins at all.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |message: String| Err(Error::new(ErrorCode::InvalidArgument, message));
        for (name, count) in [
            ("auth.hash_threads", self.hash_threads),
            ("auth.hash_queue_max", self.hash_queue_max),
            ("auth.login_failures_max", self.login_failures_max as usize),
            ("auth.login_addresses_max", self.login_addresses_max),
            ("auth.name_bytes_max", self.name_bytes_max),
        ] {
            if count == 0 {
                return refuse(format!("{name} must be at least 1"));
            }
        }
        if self.hash_threads > HASH_THREADS_LIMIT {
            return refuse(format!("auth.hash_threads must be at most {HASH_THREADS_LIMIT}"));
        }
        if self.password_bytes_min > self.password_bytes_max {
            return refuse(
                "auth.password_bytes_min must be at most auth.password_bytes_max".into(),
            );
        }
        let dear = self.hash_memory_bytes > self.hash_memory_bytes_max
            || self.hash_passes > self.hash_passes_max;
        let little = self.hash_memory_bytes < HASH_MEMORY_BYTES_MIN || self.hash_passes == 0;
        if dear || little {
            return refuse(
                "auth.hash_memory_bytes must be 8 KiB to auth.hash_memory_bytes_max, and \
                 auth.hash_passes 1 to auth.hash_passes_max"
                    .into(),
            );
        }
        let least = Duration::from_millis(10);
        for (name, time) in [
            ("auth.login_failure_interval", self.login_failure_interval),
            ("auth.login_timeout", self.login_timeout),
            ("auth.reload_interval", self.reload_interval),
        ] {
            if time < least || time > TIME_LIMIT {
                let (least, most) = (duration::show(least), duration::show(TIME_LIMIT));
                return refuse(format!("{name} must be from {least} to {most}"));
            }
        }
        Ok(())
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Number of keys of a lease up to which every use of the lease checks all of them again.
pub(crate) const JUDGED_KEYS_MAX: usize = 64;

/// Number of keys of larger leases that a request checks in one turn, and of keys of smaller ones that
/// it checks again at each use.
pub(crate) const JUDGED_AT_ONCE: usize = 2_048;

/// Maximum number of remembered permissions to larger leases, or twice as many as one request needs.
pub(crate) const VERDICTS_MAX: usize = 4_096;

/// Upper bound of `auth.hash_threads`.
const HASH_THREADS_LIMIT: usize = 256;

/// Longest time that can be configured; it cannot overflow a clock.
const TIME_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);
