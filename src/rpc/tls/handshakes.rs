//! [`Handshakes`]: the thread that computes handshakes.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{AbortHandle, JoinError};

/// A separate thread: keys and signatures take as long as hundreds of requests, and a peer that
/// sends many hellos should delay other hellos, not the store. A limited number runs at a time,
/// because each may hold bytes from its peer; others wait, in order, with only their socket. Ends
/// when dropped, with all running handshakes.
pub(super) struct Handshakes {
    runtime: Handle,
    places: Arc<Semaphore>,
    max: usize,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Handshakes {
    pub(super) fn start(max: usize) -> io::Result<Self> {
        let max = max.min(Semaphore::MAX_PERMITS);
        // Sockets are driven by the runtime that accepted them, which also provides timers.
        let runtime = Builder::new_current_thread().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("wakeful-tls".to_owned()).spawn(move || {
            // A sent value and a dropped sender both mean the end.
            let _ = runtime.block_on(stopped);
        })?;
        let places = Arc::new(Semaphore::new(max));
        Ok(Self { runtime: handle, places, max, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns the number of running handshakes.
    pub(super) fn under_way(&self) -> usize {
        self.max.saturating_sub(self.places.available_permits())
    }

    /// Waits for a place, then runs the future of `begin` there. Cancel: ends it.
    pub(super) async fn run<F>(&self, begin: impl FnOnce() -> F) -> Result<F::Output, JoinError>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let places = Arc::clone(&self.places);
        if places.available_permits() == 0 {
            tracing::debug!(max = self.max, "a TLS handshake waits for its turn");
        }
        // The semaphore is never closed.
        let place = places.acquire_owned().await.ok();
        let handshake = begin();
        let task = self.runtime.spawn(async move {
            let done = handshake.await;
            drop(place);
            done
        });
        let _guard = Guard(task.abort_handle());
        task.await
    }
}

/// Ends a task that is no longer awaited.
struct Guard(AbortHandle);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Takes at most one step of one handshake.
            let _ = thread.join();
        }
    }
}
