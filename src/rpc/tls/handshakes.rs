//! [`Handshakes`]: the thread that computes handshakes.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{AbortHandle, JoinError};

use crate::address::network;
use crate::environment::RandomState;
use crate::stranger_lines::{LineKind, StrangerLines, log_stranger};

/// A separate thread: keys and signatures take as long as hundreds of requests, and a peer that
/// sends many hellos should delay other hellos, not the store. A limited number runs at a time,
/// because each may hold bytes from its peer; others wait, in order, with only their socket. One
/// address has at most half of them, so that others need not wait for the timeout of peers that
/// never finish. Ends when dropped, with all running handshakes.
pub(super) struct Handshakes {
    runtime: Handle,
    places: Arc<Semaphore>,
    of_addresses: Arc<AddressHandshakes>,
    lines: StrangerLines,
    max: usize,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Handshakes {
    pub(super) fn start(max: usize, lines: StrangerLines) -> io::Result<Self> {
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
        let of_addresses = Arc::new(AddressHandshakes::new(max.div_ceil(2), lines.clone()));
        Ok(Self {
            runtime: handle,
            lines,
            places,
            of_addresses,
            max,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Returns the number of running handshakes.
    pub(super) fn under_way(&self) -> usize {
        self.max.saturating_sub(self.places.available_permits())
    }

    /// Waits for a place for a handshake with `peer`, then runs the future of `begin` there. Cancel: ends
    /// it.
    pub(super) async fn run<F>(
        &self,
        peer: IpAddr,
        begin: impl FnOnce() -> F,
    ) -> Result<F::Output, JoinError>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let of_address = self.of_addresses.enter(peer).await;
        let place = place_among(&self.places, &self.lines).await;
        let handshake = begin();
        let task = self.runtime.spawn(async move {
            let done = handshake.await;
            drop((place, of_address));
            done
        });
        let _guard = AbortHandshake(task.abort_handle());
        task.await
    }
}

/// Places of handshakes, the same number for each address.
struct AddressHandshakes {
    each: usize,
    lines: StrangerLines,
    /// The places of each address that has running or waiting handshakes, and their number.
    known: Mutex<HashMap<IpAddr, (Arc<Semaphore>, usize), RandomState>>,
}

async fn place_among(
    places: &Arc<Semaphore>,
    lines: &StrangerLines,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        return Some(place);
    }
    log_stranger!(lines, LineKind::Handshake, DEBUG, "a TLS handshake waits for its turn");
    // The semaphore is never closed.
    Arc::clone(places).acquire_owned().await.ok()
}

/// One handshake from an address, waiting or running.
struct AddressHandshake {
    all: Arc<AddressHandshakes>,
    from: IpAddr,
    place: Option<OwnedSemaphorePermit>,
}

impl AddressHandshakes {
    fn new(each: usize, lines: StrangerLines) -> Self {
        Self { each, lines, known: Mutex::default() }
    }

    /// Waits for a place among those of the network of `peer`.
    async fn enter(self: &Arc<Self>, peer: IpAddr) -> AddressHandshake {
        let from = network(peer);
        let places = {
            let mut known = self.known.lock();
            let new = || (Arc::new(Semaphore::new(self.each)), 0);
            let (places, handshakes) = known.entry(from).or_insert_with(new);
            *handshakes += 1;
            Arc::clone(places)
        };
        let mut entered = AddressHandshake { all: Arc::clone(self), from, place: None };
        entered.place = place_among(&places, &self.lines).await;
        entered
    }
}

impl Drop for AddressHandshake {
    fn drop(&mut self) {
        drop(self.place.take());
        let mut known = self.all.known.lock();
        if let Some((_, handshakes)) = known.get_mut(&self.from) {
            *handshakes -= 1;
            if *handshakes == 0 {
                known.remove(&self.from);
            }
        }
    }
}

/// Ends a task that is no longer awaited.
struct AbortHandshake(AbortHandle);

impl Drop for AbortHandshake {
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
