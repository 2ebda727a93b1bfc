//! [`StopSignals`]: the causes that stop a worker.

use std::io;

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::failure::Exit;
use crate::cli::signal::EndCauses;

/// The causes that stop a worker: SIGINT, SIGTERM, SIGHUP and SIGQUIT, which without a handler
/// would end the worker but not its commands; and the reader of standard output closing it.
pub(super) struct StopSignals {
    ends: EndCauses,
    hangup: Option<Signal>,
    quit: Option<Signal>,
    /// The reader closed standard output.
    reader_gone: bool,
    /// A signal arrived.
    signalled: bool,
}

impl StopSignals {
    /// Starts to listen. Needs a tokio runtime.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            ends: EndCauses::new()?,
            hangup: unless_ignored(Number::HUP, SignalKind::hangup())?,
            quit: unless_ignored(Number::QUIT, SignalKind::quit())?,
            reader_gone: false,
            signalled: false,
        })
    }

    /// Waits for the next order to stop; returns the exit status that belongs to it.
    pub(super) async fn next(&mut self) -> Exit {
        loop {
            let exit = tokio::select! {
                exit = self.ends.next() => exit,
                () = next(&mut self.hangup) => Exit::HungUp,
                () = next(&mut self.quit) => Exit::Quit,
            };
            if self.is_new(exit) {
                return exit;
            }
        }
    }

    /// Counts a closed reader and a signal as one order: closing a terminal causes both.
    fn is_new(&mut self, exit: Exit) -> bool {
        if exit == Exit::ReaderGone {
            self.reader_gone = true;
            return !self.signalled;
        }
        std::mem::replace(&mut self.signalled, true) || !self.reader_gone
    }
}

/// Waits for one signal; forever if it is ignored.
async fn next(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

/// Keeps a signal ignored that was ignored at the start, as `nohup` does.
fn unless_ignored(number: Number, kind: SignalKind) -> io::Result<Option<Signal>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if ignores(&status, number) { Ok(None) } else { signal(kind).map(Some) }
}

/// Parses the mask of ignored signals from the status of a process.
fn ignores(status: &str, number: Number) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (number.as_raw() - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_leaves_and_a_signal_are_one_order_and_further_signals_are_more() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        for (ends, new) in [
            ([Exit::HungUp, Exit::ReaderGone, Exit::HungUp], [true, false, true]),
            ([Exit::ReaderGone, Exit::HungUp, Exit::Terminated], [true, false, true]),
            ([Exit::Terminated, Exit::Terminated, Exit::ReaderGone], [true, true, false]),
        ] {
            let mut stops = StopSignals::new().unwrap();
            assert_eq!(ends.map(|end| stops.is_new(end)), new, "{ends:?}");
        }
    }

    #[test]
    fn ignored_signals_are_read_from_their_mask() {
        let status = "Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, Number::HUP));
        assert!(!ignores(status, Number::QUIT));
        assert!(!ignores("", Number::HUP));
    }
}
