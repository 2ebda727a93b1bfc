//! Time, randomness and process-wide numbers, as modules take them from their environment.
//!
//! A simulation gives its thread an environment of its own ([`simulated`]), in which all of them follow
//! from a seed. Any other use of a clock or of randomness in code that a simulation runs makes two runs
//! of one seed differ; so does a `tokio::select!` that is not `biased`.

#[cfg(any(test, feature = "cli"))]
pub(crate) mod simulated;

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::distr::{Distribution, StandardUniform};

/// Numbers connections and workers of this process; 0 is the process itself.
static NEXT_OWNER: AtomicU64 = AtomicU64::new(1);

/// Returns the time on the monotonic clock that timers use.
pub(crate) fn now() -> Instant {
    // The clock of tokio, which a simulation pauses; otherwise that of the system.
    let now = tokio::time::Instant::now().into_std();
    #[cfg(any(test, feature = "cli"))]
    if let Some(now) = simulated::now(now) {
        return now;
    }
    now
}

/// Returns the time that has passed since `earlier`.
pub(crate) fn since(earlier: Instant) -> Duration {
    now().saturating_duration_since(earlier)
}

/// Returns the machine's time of day, as the time since 1970.
pub(crate) fn time_of_day() -> Duration {
    #[cfg(any(test, feature = "cli"))]
    if let Some(time) = simulated::time_of_day() {
        return time;
    }
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

/// Draws a value at random.
pub(crate) fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    #[cfg(any(test, feature = "cli"))]
    if let Some(value) = simulated::random() {
        return value;
    }
    rand::random()
}

/// Returns the number of a connection, or of a worker of this process, never returned before.
pub(crate) fn next_owner() -> u64 {
    #[cfg(any(test, feature = "cli"))]
    if let Some(number) = simulated::next_owner() {
        return number;
    }
    NEXT_OWNER.fetch_add(1, Ordering::Relaxed)
}

/// Makes the hashers of a table, each with unguessable keys of its own.
#[derive(Debug, Clone)]
pub(crate) struct RandomState(ahash::RandomState);

impl RandomState {
    pub(crate) fn new() -> Self {
        #[cfg(any(test, feature = "cli"))]
        if let Some(seed) = simulated::random() {
            return Self(ahash::RandomState::with_seeds(seed, 1, 2, 3));
        }
        Self(ahash::RandomState::new())
    }

    #[inline]
    pub(crate) fn hash_one<T: Hash>(&self, value: T) -> u64 {
        self.0.hash_one(value)
    }
}

impl Default for RandomState {
    fn default() -> Self {
        Self::new()
    }
}

impl BuildHasher for RandomState {
    type Hasher = ahash::AHasher;

    #[inline]
    fn build_hasher(&self) -> ahash::AHasher {
        self.0.build_hasher()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// The modules that a simulation runs.
    const SIMULATED: [&str; 11] = [
        "actor",
        "front",
        "handle",
        "journal",
        "model",
        "queue",
        "rpc/client",
        "rpc/server",
        "store",
        "watch",
        "node",
    ];

    /// Calls whose results differ between two runs of one seed.
    const OUTSIDE: [&str; 6] = [
        "Instant::now()",
        "SystemTime::now()",
        ".elapsed()",
        "rand::random",
        "ahash::",
        "HashMap::new()",
    ];

    /// Calls that only threads make, of which a simulation has none, and timers of tokio, whose clock
    /// is paused.
    const ALLOWED: [(&str, &str); 2] = [
        ("journal/thread.rs", "let until = Instant::now() + RETRY;"),
        ("", "tokio::time::Instant::now()"),
    ];

    fn look(at: &Path, found: &mut Vec<String>) {
        if at.is_dir() {
            if at.ends_with("tests") {
                return;
            }
            for entry in fs::read_dir(at).unwrap() {
                look(&entry.unwrap().path(), found);
            }
            return;
        }
        let text = fs::read_to_string(at).unwrap();
        // Tests are at the end of their file.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for line in code.lines() {
            let allowed = |(file, what): &(&str, &str)| {
                line.contains(what) && at.to_string_lossy().ends_with(file)
            };
            let outside = OUTSIDE.iter().any(|it| line.contains(it));
            if outside && !line.trim_start().starts_with("//") && !ALLOWED.iter().any(allowed) {
                found.push(format!("{}: {}", at.display(), line.trim()));
            }
        }
    }

    #[test]
    fn rooms_take_time_and_randomness_from_the_environment() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = Vec::new();
        SIMULATED.iter().for_each(|module| look(&source.join(module), &mut found));
        look(&source.join("pace.rs"), &mut found);
        look(&source.join("node.rs"), &mut found);
        assert!(found.is_empty(), "two runs of one seed would differ by {found:#?}");
    }
}
