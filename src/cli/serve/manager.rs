//! [`Manager`]: the service manager that started the server, if any (systemd, or another with its
//! protocol). It receives the server's state, and may pass listening sockets.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use crate::{Operations, Wakeful};

/// Maximum number of passed sockets.
const SOCKETS_MAX: usize = 64;

/// Maximum time for a notification to the manager.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Notifies the manager. Without one, every method does nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manager;

impl Manager {
    /// Reports that the server is ready.
    pub(super) async fn ready(self, status: &str) {
        self.notify_soon(&[NotifyState::Ready, NotifyState::Status(status)]).await;
    }

    /// Reports that the server reloads; must be followed by [`ready`](Self::ready).
    pub(super) async fn reloading(self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.notify_soon(&[NotifyState::Reloading, now]).await,
            Err(error) => tracing::warn!(%error, "there is no monotonic clock"),
        }
    }

    /// Reports that the server stops.
    pub(super) async fn stopping(self, status: &str) {
        self.notify_soon(&[NotifyState::Stopping, NotifyState::Status(status)]).await;
    }

    async fn notify_soon(self, states: &[NotifyState<'_>]) {
        if tokio::time::timeout(TIMEOUT, self.notify(states)).await.is_err() {
            tracing::warn!("notify socket unavailable: the service manager takes no messages");
        }
    }

    /// Sends on a separate thread: a manager that does not read must not block the store.
    async fn notify(self, states: &[NotifyState<'_>]) {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return;
        }
        let line = |state: &NotifyState<'_>| state.to_string().replace('\n', " ");
        let lines: Vec<String> = states.iter().map(line).collect();
        let message = lines.join("\n");
        let (done, told) = oneshot::channel();
        let thread = std::thread::Builder::new().name("notify".to_owned()).spawn(move || {
            // The receiver may have timed out.
            let _ = done.send(sd_notify::notify(&[NotifyState::Custom(&message)]));
        });
        let told = match thread {
            Ok(_) => told.await.unwrap_or(Ok(())),
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            tracing::warn!(%error, "cannot notify the service manager");
        }
    }

    /// Pings the systemd watchdog at the requested interval, only while the store answers: the
    /// manager restarts a server that does not.
    pub(super) async fn keep_watch(self, wakeful: Wakeful) {
        let Some(patience) = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero())
        else {
            return;
        };
        tracing::info!(patience_ms = patience.as_millis(), "systemd watchdog enabled");
        let mut ticks = tokio::time::interval((patience / 3).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // A stopping service is alive too, and shows it by refusing.
            let _ = wakeful.status().await;
            self.notify(&[NotifyState::Watchdog]).await;
        }
    }
}

/// Takes the passed sockets. Must be called before any thread starts, because it changes the
/// environment.
///
/// # Errors
///
/// If one is not a listening TCP socket.
pub(super) fn passed_sockets() -> io::Result<Vec<TcpListener>> {
    let said = std::env::var("LISTEN_FDS").unwrap_or_default();
    match said.parse::<usize>() {
        _ if said.is_empty() => return Ok(Vec::new()),
        Ok(..=SOCKETS_MAX) => {}
        _ => {
            let what = format!("LISTEN_FDS={said} is not a number up to {SOCKETS_MAX}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
    }
    let mut passed = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for nth in 0..passed.len() {
        listeners.extend(passed.take_tcp_listener(nth)?);
    }
    for listener in &listeners {
        if !socket2::SockRef::from(listener).is_listener()? {
            let what = "a passed socket does not listen";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
    }
    Ok(listeners)
}
