//! [`LocalWorkers`]: the workers of a service, which end with it.

use std::time::Duration;

use parking_lot::Mutex;

use super::Worker;
use super::worker::WorkerEnd;

/// The workers of a service in its own process.
#[derive(Default)]
pub(crate) struct LocalWorkers {
    inner: Mutex<LocalWorkersState>,
}

#[derive(Default)]
struct LocalWorkersState {
    /// True if no more workers may start.
    closed: bool,
    ends: Vec<WorkerEnd>,
}

impl LocalWorkers {
    /// Starts a worker through `start` and lists it; `None` if the service stops.
    pub(crate) fn enter<E>(
        &self,
        start: impl FnOnce() -> Result<Worker, E>,
    ) -> Option<Result<Worker, E>> {
        // Held during the start, so that a stop either finds the worker or refuses it.
        let mut inner = self.inner.lock();
        if inner.closed {
            return None;
        }
        let worker = start();
        if let Ok(worker) = &worker {
            inner.ends.retain(|end| !end.has_ended());
            inner.ends.push(worker.end().clone());
        }
        Some(worker)
    }

    /// Stops all workers as [`Worker::stop`] does, and refuses later ones.
    pub(crate) fn stop(&self, grace: Duration) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        inner.ends.iter().for_each(|end| end.stop(grace));
    }

    /// Waits until all have ended.
    pub(crate) async fn ended(&self) {
        let ends = self.inner.lock().ends.clone();
        for mut end in ends {
            end.ended().await;
        }
    }
}
