//! The guard process: waits for the death of its worker, and kills what the worker left running. See
//! [`Guard`](super::guard::Guard).

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::process::{Signal, kill_process_group, setsid};
use tokio::signal::unix::{SignalKind, signal};

use super::guard::{Entry, NAME};

/// Runs the guard process; standard input is the socket to the worker.
pub(crate) fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        // The worker finds its socket closed.
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<()> {
    // What is sent to the terminal, the session or the process group of the worker does not come here.
    setsid()?;
    // A service manager may signal every process of a service. The handlers do nothing, and the guard
    // goes on until its worker is gone.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    let _handlers = [
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
        signal(SignalKind::quit())?,
    ];
    // What `ps` and `top` show; of use to people only.
    let _ = std::fs::write("/proc/self/comm", NAME);
    let mut line = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    line.write_all(&[1])?;
    guard(line);
    Ok(())
}

/// Reads what begins and ends until the worker is gone, and kills what did not end.
pub(super) fn guard(line: impl Read) {
    let mut line = BufReader::new(line);
    // Bound: the concurrency of the worker.
    let mut running = HashMap::new();
    let mut bytes = [0; Entry::BYTES];
    while line.read_exact(&mut bytes).is_ok() {
        let Entry { command, group } = Entry::from_bytes(bytes);
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
