//! The end of threads that run users' code.

use std::time::{Duration, Instant};

use actix::Arbiter;
use tokio::sync::oneshot;

use super::time::later;

/// Waits until threads have ended, but at most `patience`; returns the number that have not.
pub(crate) async fn join(threads: Vec<Arbiter>, patience: Duration) -> usize {
    let until = later(Instant::now(), patience).into();
    let mut late = 0;
    for thread in threads {
        let (ended, ending) = oneshot::channel::<()>();
        // A thread of the runtime's pool would live much longer than this wait.
        let joining =
            std::thread::Builder::new().name("wakeful-join".to_owned()).spawn(move || {
                // An error means that a value a handler left behind panicked when dropped.
                let _ = thread.join();
                drop(ended);
            });
        if joining.is_ok() && tokio::time::timeout_at(until, ending).await.is_err() {
            late += 1;
        }
    }
    late
}
