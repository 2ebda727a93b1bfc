//! Ctrl-C, SIGTERM and SIGHUP.

use std::io;
use std::pin::Pin;

use super::failure::Exit;
use super::output::reader_gone;

/// Listens from when it is made, so that a signal that comes early is not lost.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Needs a tokio runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            interrupt: signal(tokio::signal::unix::SignalKind::interrupt())?,
            #[cfg(unix)]
            terminate: signal(tokio::signal::unix::SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal; tells how a process it ended should exit.
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

/// What ends a command that would go on for ever: [`Signals`], and the reader of its standard output
/// that leaves.
pub(crate) struct Ends {
    signals: Signals,
    reader_gone: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Ends {
    /// Needs a tokio runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { signals: Signals::new()?, reader_gone: Some(Box::pin(reader_gone())) })
    }

    /// Waits for the next signal.
    pub(crate) async fn signal(&mut self) -> Exit {
        self.signals.next().await
    }

    /// Waits for the next of both; returns how a process that it ended exits. A reader leaves once.
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

/// Hears SIGHUP, which from then on no longer ends the process.
pub(crate) struct Hangups {
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Hangups {
    /// Needs a tokio runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            hangup: signal(tokio::signal::unix::SignalKind::hangup())?,
        })
    }

    /// Waits for the next; for ever where there are none.
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
