//! The guard process: waits for the death of its worker, and kills the commands it left running.
//! See [`GuardProcess`](super::guard::GuardProcess).

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::process::{Signal, kill_process_group, setsid};
use tokio::signal::unix::{SignalKind, signal};

use super::guard::{GuardMessage, NAME};

/// Runs the guard process; standard input is the socket to the worker.
pub(crate) fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        // The worker sees its socket closed.
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<()> {
    // Signals to the terminal, session or process group of the worker do not reach this process.
    setsid()?;
    // A service manager may signal every process of a service. The handlers do nothing: the guard
    // continues until its worker is gone.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    let _handlers = [
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
        signal(SignalKind::quit())?,
    ];
    // The name in `ps` and `top`, for people only.
    let _ = std::fs::write("/proc/self/comm", NAME);
    let mut line = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    line.write_all(&[1])?;
    guard(line);
    Ok(())
}

/// Tracks running commands until the worker is gone, then kills those that did not end.
pub(super) fn guard(line: impl Read) {
    let mut line = BufReader::new(line);
    // Bound: the concurrency of the worker.
    let mut running = HashMap::new();
    let mut bytes = [0; GuardMessage::BYTES];
    while line.read_exact(&mut bytes).is_ok() {
        let GuardMessage { command, group } = GuardMessage::from_bytes(bytes);
        match group {
            Some(group) => running.insert(command, group),
            None => running.remove(&command),
        };
    }
    for group in running.into_values() {
        // It may have ended by itself since.
        let _ = kill_process_group(group, Signal::KILL);
    }
}
