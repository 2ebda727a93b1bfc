//! Waits of tests for what must come.

use std::future::Future;
use std::time::Duration;

/// After this, what was waited for does not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for what must come.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it does not come")
}

/// Waits until it is so, and says `what` did not come about if it never is.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let polled = async {
        while !so() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, polled).await.is_ok(), "{what}");
}
