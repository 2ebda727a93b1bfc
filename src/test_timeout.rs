//! Bounded waits of unit tests.

use std::future::Future;
use std::time::Duration;

/// The time after which a test fails that waits for something.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Awaits `future`; panics if that takes longer than [`TEST_TIMEOUT`].
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TEST_TIMEOUT, future).await.expect("it does not come")
}

/// Waits until `so` returns true; panics with `what` if that takes longer than [`TEST_TIMEOUT`].
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let polled = async {
        while !so() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    };
    assert!(tokio::time::timeout(TEST_TIMEOUT, polled).await.is_ok(), "{what}");
}
