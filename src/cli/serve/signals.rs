//! [`SignalRequests`]: the orders that signals give a server.
//!
//! Signals have a thread of their own, because a second signal must end a process whose other
//! threads wait.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::sync::Notify;

use crate::cli::failure::Exit;
use crate::cli::output::notice;
use crate::cli::signal::{Hangups, Signals};
use crate::cli::stderr;

/// Signals have a thread of their own, so that a second one ends the process even while everything
/// else waits for a disk.
#[derive(Clone)]
pub(super) struct SignalRequests(Arc<SignalState>);

#[derive(Default)]
struct SignalState {
    stop: Notify,
    reload: Notify,
    /// True while there is a service to stop.
    serving: AtomicBool,
    /// True while the service stops.
    stopping: AtomicBool,
}

impl SignalRequests {
    pub(super) fn new() -> io::Result<Self> {
        let orders = Self(Arc::default());
        let (ready, begun) = sync_channel(1);
        let listening = orders.clone();
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || listening.listen(&ready))?;
        begun.recv().map_err(io::Error::other)??;
        Ok(orders)
    }

    /// Makes the next signal ask for a stop; before this call there is no service to stop.
    pub(super) fn serving(&self) {
        self.0.serving.store(true, Ordering::SeqCst);
    }

    /// Waits for the order to stop.
    pub(super) async fn stop(&self) {
        self.0.stop.notified().await;
    }

    /// Reports that the stop has begun: the next signal ends the process.
    pub(super) fn stopping(&self) {
        self.0.stopping.store(true, Ordering::SeqCst);
    }

    /// Waits for the order to reload; several pending orders count as one.
    pub(super) async fn reload(&self) {
        self.0.reload.notified().await;
    }

    fn listen(&self, ready: &SyncSender<io::Result<()>>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let told = runtime.map(|runtime| {
            runtime.block_on(async {
                let mut heard = (Signals::new()?, Hangups::new()?);
                let _ = ready.send(Ok(()));
                loop {
                    tokio::select! {
                        exit = heard.0.next() => self.stop_or_exit(exit),
                        () = heard.1.next() => self.0.reload.notify_one(),
                    }
                }
            })
        });
        let told: io::Result<()> = told.and_then(|told| told);
        let _ = ready.send(told);
    }

    fn stop_or_exit(&self, exit: Exit) {
        if !self.0.serving.load(Ordering::SeqCst) {
            notice("stopped before serving");
            stderr::exit(Exit::Done);
        }
        if self.0.stopping.swap(true, Ordering::SeqCst) {
            notice("stopped immediately by a second signal");
            stderr::exit(exit);
        }
        self.0.stop.notify_one();
    }
}
