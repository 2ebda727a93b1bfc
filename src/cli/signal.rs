//! Ctrl-C, SIGTERM and SIGHUP.

use std::io;
use std::pin::Pin;

use super::failure::Exit;
use super::output::reader_gone;

/// Listens from its creation on, so that an early signal is not lost.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Starts to listen. Needs a tokio runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            interrupt: signal(tokio::signal::unix::SignalKind::interrupt())?,
            #[cfg(unix)]
            terminate: signal(tokio::signal::unix::SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal; returns the exit status that belongs to it.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
    }

    /// Waits for the next Ctrl-C.
    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) -> Exit {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Exit::Interrupted
    }
}

/// The causes that end an endless command: [`Signals`], and the reader of standard output closing
/// it.
pub(crate) struct EndCauses {
    signals: Signals,
    reader_gone: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl EndCauses {
    /// Starts to listen. Needs a tokio runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { signals: Signals::new()?, reader_gone: Some(Box::pin(reader_gone())) })
    }

    /// Waits for the next signal.
    pub(crate) async fn signal(&mut self) -> Exit {
        self.signals.next().await
    }

    /// Waits for the next of both; returns the exit status that belongs to it. The reader closes
    /// once.
    pub(crate) async fn next(&mut self) -> Exit {
        let Some(reader_gone) = &mut self.reader_gone else { return self.signals.next().await };
        let exit = tokio::select! {
            exit = self.signals.next() => return exit,
            () = reader_gone => Exit::ReaderGone,
        };
        self.reader_gone = None;
        exit
    }
}

/// Receives SIGHUP, which from then on no longer ends the process.
pub(crate) struct Hangups {
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Hangups {
    /// Starts to listen. Needs a tokio runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            hangup: signal(tokio::signal::unix::SignalKind::hangup())?,
        })
    }

    /// Waits for the next SIGHUP; forever on platforms without it.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        if self.hangup.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}

#[cfg(unix)]
fn signal(kind: tokio::signal::unix::SignalKind) -> io::Result<tokio::signal::unix::Signal> {
    tokio::signal::unix::signal(kind)
}
