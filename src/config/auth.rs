//! [`AuthConfig`]: the limits of users, logins and what they may cost.

use std::time::Duration;

use crate::duration;
use crate::error::{Error, ErrorCode};

/// What Argon2id needs at least, bytes.
pub(crate) const HASH_MEMORY_BYTES_MIN: usize = 8 * 1024;

/// Bounds of users and logins; of effect only where there are users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// Longest file of users, bytes.
    pub file_bytes_max: usize,
    /// Most users.
    pub users_max: usize,
    /// Most roles.
    pub roles_max: usize,
    /// Most patterns of one role, all its grants together.
    pub role_patterns_max: usize,
    /// Most tokens of one user.
    pub tokens_per_user_max: usize,
    /// Longest name of a user, a role or a token, bytes.
    pub name_bytes_max: usize,
    /// Shortest password that can be set, bytes.
    pub password_bytes_min: usize,
    /// Longest password that can be set, bytes.
    pub password_bytes_max: usize,
    /// Memory that hashing a new password takes, bytes; OWASP's advice for Argon2id.
    pub hash_memory_bytes: usize,
    /// Passes over that memory; OWASP's advice for Argon2id.
    pub hash_passes: u32,
    /// Most memory that checking a password may take, as its hash in the file says.
    pub hash_memory_bytes_max: usize,
    /// Most passes that checking a password may take, as its hash in the file says.
    pub hash_passes_max: u32,
    /// Threads that check passwords, and so how many at once.
    pub hash_threads: usize,
    /// Most passwords that wait to be checked; one more is refused.
    pub hash_queue_max: usize,
    /// How many logins from one address, or over a link as one user, may fail before it has to wait.
    pub login_failures_max: u32,
    /// After how long one failed login of an address is forgiven, and so how often it may fail from
    /// then on.
    pub login_failure_interval: Duration,
    /// Most addresses, and users over links, of failed logins that are remembered; past this, what will be forgiven first
    /// is at once.
    pub login_addresses_max: usize,
    /// From accept to a login; where there are users, a connection that has not logged in by then is
    /// closed.
    pub login_timeout: Duration,
    /// How often it is looked whether the file of users has changed.
    pub reload_interval: Duration,
}

impl AuthConfig {
    /// The defaults.
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

    /// That somebody could log in at all.
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

/// A lease with no more keys than this is looked at anew each time somebody uses it.
pub(crate) const JUDGED_KEYS_MAX: usize = 64;

/// Keys of a larger lease that are judged in one turn.
pub(crate) const JUDGED_AT_ONCE: usize = 2_048;

/// Most of the others of which it is remembered what somebody may do with them.
pub(crate) const VERDICTS_MAX: usize = 4_096;

/// More threads than this do not check more passwords.
const HASH_THREADS_LIMIT: usize = 256;

/// Longest time that can be configured: added to a clock, it is far from where that ends.
const TIME_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);
