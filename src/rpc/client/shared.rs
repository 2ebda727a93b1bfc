//! [`ClientShared`]: the session behind its lock, and the handles that keep it alive.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{Notify, Semaphore, watch};

use super::connection_state::ServerWelcome;
use super::session::ClientSession;
use super::transport::Transport;
use crate::config::ClientConfig;
use crate::environment;
use crate::error::Error;

/// The session behind its lock. The driver holds it too, so its reference count does not show whether
/// the connection is still wanted; that of [`ClientHandle`] does.
pub(super) struct ClientShared {
    pub(super) config: ClientConfig,
    /// How the client reaches the server.
    pub(super) transport: Transport,
    /// The runtime of the driver, which has the timers.
    pub(super) runtime: Runtime,
    session: Mutex<ClientSession>,
    /// Wakes the driver.
    pub(super) wake: Notify,
    /// Closed when the driver has ended.
    pub(super) ended: Semaphore,
    /// The reason why there is no connection; `None` while there is one.
    pub(super) lost: watch::Sender<Option<Error>>,
}

impl ClientShared {
    pub(super) fn new(
        config: ClientConfig,
        transport: Transport,
        welcome: &ServerWelcome,
    ) -> Arc<Self> {
        Arc::new(Self {
            session: Mutex::new(ClientSession::new(config.clone(), welcome)),
            wake: Notify::new(),
            ended: Semaphore::new(0),
            lost: watch::Sender::new(None),
            transport,
            runtime: Runtime::current(),
            config,
        })
    }

    /// Runs one step, then, without the lock, its effects.
    pub(super) fn with<T>(&self, step: impl FnOnce(&mut ClientSession, Instant) -> T) -> T {
        let (value, wake) = self.step(step);
        if wake {
            self.wake.notify_one();
        }
        value
    }

    /// Does the same as [`with`](Self::with) for the driver, which checks for work after each step.
    pub(super) fn drive<T>(&self, step: impl FnOnce(&mut ClientSession, Instant) -> T) -> T {
        self.step(step).0
    }

    fn step<T>(&self, step: impl FnOnce(&mut ClientSession, Instant) -> T) -> (T, bool) {
        let now = environment::now();
        let mut session = self.session.lock();
        let value = step(&mut session, now);
        let mut wake = std::mem::take(&mut session.wake);
        let effects = std::mem::take(&mut session.effects);
        drop(session);
        let unwanted = effects.deliver();
        if !unwanted.is_empty() {
            let mut session = self.session.lock();
            session.give_back(unwanted, now);
            wake |= std::mem::take(&mut session.wake);
        }
        (value, wake)
    }
}

/// Held by everything that wants the connection: the driver ends when the last one is dropped.
pub(super) struct ClientHandle(pub(super) Arc<ClientShared>);

impl Drop for ClientHandle {
    fn drop(&mut self) {
        self.0.with(|session, _| session.abandon_all());
    }
}

impl std::ops::Deref for ClientHandle {
    type Target = ClientShared;

    fn deref(&self) -> &ClientShared {
        &self.0
    }
}
