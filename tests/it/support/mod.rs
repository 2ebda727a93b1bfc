//! What tests stand on: a server to talk to, and someone who talks to it.

pub(crate) mod body;
pub(crate) mod jobs;
pub(crate) mod raw;
pub(crate) mod server;

use std::thread;
use std::time::{Duration, Instant};

/// After this, what was waited for does not come: generous, as builds and other tests share the
/// machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `holds`, and says `what` did not come about if it never does.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
