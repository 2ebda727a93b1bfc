//! Shared means of tests: servers, raw clients, bodies, handlers.

pub(crate) mod body;
pub(crate) mod handlers;
pub(crate) mod jobs;
pub(crate) mod raw;
pub(crate) mod server;

use std::fs::Permissions;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Time limit of every wait, generous because builds and other tests share the machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// Writes a file with a secret, readable only by its owner.
pub(crate) fn write_secret(path: &Path, secret: impl AsRef<[u8]>) {
    std::fs::write(path, secret).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// Waits until `holds`; panics with `what` if it never does.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < TIMEOUT, "not within {TIMEOUT:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Awaits `future`, within [`TIMEOUT`].
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, future).await.expect("it does not come")
}

/// Does the same as [`eventually`], without blocking the thread.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let polled = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(TIMEOUT, polled).await.is_ok(), "not within {TIMEOUT:?}: {what}");
}
