//! [`Server`]: a Wakeful on its own thread with its own actix system.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;
use wakeful::{Config, Service, Wakeful};

use super::TIMEOUT;

/// A Wakeful on a free port. Dropping it stops it, and fails the test if it does not stop.
pub(crate) struct Server {
    addr: SocketAddr,
    wakeful: Wakeful,
    stop: Option<oneshot::Sender<()>>,
    stopped: Receiver<()>,
    thread: Option<JoinHandle<()>>,
    grace: Duration,
}

impl Server {
    /// Starts a server with the defaults.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts a server with services of the application, and a long grace period for a stop.
    pub(crate) fn offering(services: Vec<Service>) -> Self {
        Self::start_and(|config| config.rpc.shutdown_grace = TIMEOUT, services)
    }

    /// Starts a server with a changed default configuration, which stops quickly unless `change`
    /// sets another grace period.
    pub(crate) fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_and(change, Vec::new())
    }

    fn start_and(change: impl FnOnce(&mut Config), services: Vec<Service>) -> Self {
        let mut config = Config::new();
        config.rpc.shutdown_grace = Duration::from_millis(200);
        change(&mut config);
        let grace = config.rpc.shutdown_grace;
        let (started, start) = channel();
        let (ended, stopped) = channel();
        let (stop, stopping) = oneshot::channel();
        let thread = thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let wakeful = Wakeful::start(config).expect("the configuration fits itself");
                for service in services {
                    wakeful.register(service).expect("it can be offered");
                }
                let addr = wakeful.listen("127.0.0.1:0").await.expect("there is a free port");
                started.send((addr, wakeful.clone())).expect("the test waits for it");
                // A panicking test drops the sender, which also ends the wait.
                let _ = stopping.await;
                wakeful.stop().await;
                assert!(!wakeful.store().connected(), "the store outlives its stop");
            });
            let _ = ended.send(());
        });
        let (addr, wakeful) = start.recv_timeout(TIMEOUT).expect("the server starts");
        Self { addr, wakeful, stop: Some(stop), stopped, thread: Some(thread), grace }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the service; its futures must be polled inside a tokio runtime.
    pub(crate) fn wakeful(&self) -> &Wakeful {
        &self.wakeful
    }

    /// Begins the stop, and returns at once.
    pub(crate) fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).expect("it runs");
        }
    }

    /// Waits for the end of the stop, which must not take (much) longer than `limit`.
    pub(crate) fn finish_stop(&mut self, limit: Duration) {
        self.begin_stop();
        if let Some(thread) = self.thread.take() {
            let ended = self.stopped.recv_timeout(limit);
            assert!(ended.is_ok(), "the server did not stop within {limit:?}: {ended:?}");
            thread.join().expect("it did not panic");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if !thread::panicking() {
            let limit = self.grace + TIMEOUT;
            self.finish_stop(limit);
        }
    }
}
