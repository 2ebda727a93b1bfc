//! [`Output`]: the output of a command, as text or JSON.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde::Serialize;
use tokio::sync::oneshot;

use super::failure::Failure;
use super::stderr;
use crate::rpc::json::{append_object, append_outcome, append_reply};
use crate::{CallReply, Reply, WaitOutcome};

/// Standard output. Lines collect until [`flush`](Self::flush), which a command calls wherever a
/// reader should see them.
pub(crate) struct Output {
    json: bool,
    buffer: Vec<u8>,
    /// False in tests, which read the buffer.
    writes: bool,
}

impl Output {
    pub(crate) fn stdout(json: bool) -> Self {
        Self { json, buffer: Vec::new(), writes: true }
    }

    #[cfg(test)]
    pub(crate) fn memory(json: bool) -> Self {
        Self { json, buffer: Vec::new(), writes: false }
    }

    /// Returns everything printed so far.
    #[cfg(test)]
    pub(crate) fn printed(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// Returns true if objects are printed instead of text.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Returns the terminal's number of columns, if standard output is a terminal.
    pub(crate) fn width(&self) -> Option<usize> {
        let terminal = self.writes && io::stdout().is_terminal();
        let size = terminal.then(|| rustix::termios::tcgetwinsize(io::stdout()).ok())?;
        size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
    }

    pub(crate) fn line(&mut self, line: impl Display) {
        // Writing to a vector cannot fail.
        let _ = writeln!(self.buffer, "{line}");
    }

    /// Prints a value as a JSON object on one line, with bytes as in the protocol's dialect.
    pub(crate) fn object(&mut self, object: &impl Serialize) {
        // Every printed value is valid JSON, and writing to a vector cannot fail.
        let _ = append_object(&mut self.buffer, object, 0);
        self.buffer.push(b'\n');
    }

    /// Prints a reply as in the protocol's dialect.
    pub(crate) fn reply(&mut self, reply: &Reply) {
        let _ = append_reply(&mut self.buffer, reply, None);
        self.buffer.push(b'\n');
    }

    /// Prints a reply with additional `numbers` after its fields.
    pub(crate) fn reply_and(&mut self, reply: &Reply, numbers: &[(&str, u64)]) {
        let _ = append_reply(&mut self.buffer, reply, None);
        if !numbers.is_empty() && self.buffer.pop_if(|last| *last == b'}').is_some() {
            for (name, number) in numbers {
                self.buffer.extend_from_slice(format!(",\"{name}\":{number}").as_bytes());
            }
            self.buffer.push(b'}');
        }
        self.buffer.push(b'\n');
    }

    /// Prints the reply to a write and its durability.
    pub(crate) fn written(&mut self, done: &CallReply) {
        let _ = append_reply(&mut self.buffer, &done.reply, Some(done.durability));
        self.buffer.push(b'\n');
    }

    /// Prints the outcome of a wait as in the protocol's dialect.
    pub(crate) fn waited(&mut self, outcome: &WaitOutcome) {
        let _ = append_outcome(&mut self.buffer, outcome);
        self.buffer.push(b'\n');
    }

    /// Appends bytes unchanged.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Writes everything to standard output.
    ///
    /// A reader that stops reading blocks the write, so it happens on another thread: meanwhile the
    /// connection continues to answer pings, and Ctrl-C works.
    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        if !self.writes || self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let written = tokio::task::spawn_blocking(move || write(&buffer)).await;
        match written {
            Ok(result) => result,
            Err(error) => Err(Failure::io("standard output", &io::Error::other(error))),
        }
    }

    /// Does the same as [`flush`](Self::flush) without a runtime.
    pub(crate) fn flush_blocking(&mut self) -> Result<(), Failure> {
        write(&std::mem::take(&mut self.buffer))
    }

    /// Writes everything to standard output without waiting: a server continues if nobody reads its
    /// first lines, or if they cannot be written.
    pub(crate) fn announce(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        let told = |error: &dyn Display| {
            tracing::warn!(%error, "cannot write to standard output; continuing without it");
        };
        // A thread outside the runtime, because the runtime's end would wait for it.
        let thread = std::thread::Builder::new().name("stdout".to_owned());
        let spawned = thread.spawn(move || match write_all(io::stdout(), &buffer) {
            // A reader may stop reading after the first lines.
            Err(cut) if cut.error.kind() != io::ErrorKind::BrokenPipe => told(&cut.error),
            _ => {}
        });
        if let Err(error) = spawned {
            told(&error);
        }
    }
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    write_all(io::stdout(), bytes).map_err(|cut| Failure::io("standard output", &cut.error))
}

/// A failed write.
#[derive(Debug)]
pub(crate) struct WriteFailed {
    /// Number of bytes written before the failure.
    pub(crate) written: usize,
    pub(crate) error: io::Error,
}

/// Writes all bytes. Blocks even on a non-blocking descriptor, because another process that shares
/// it may have made it so.
pub(crate) fn write_all(to: impl AsFd, bytes: &[u8]) -> Result<(), WriteFailed> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        let failed = match rustix::io::write(&to, rest) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(count) => {
                written += count;
                continue;
            }
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&to, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => continue,
                Err(error) => error.into(),
            },
            Err(error) => error.into(),
        };
        return Err(WriteFailed { written, error: failed });
    }
    Ok(())
}

/// Returns when the reader of standard output has closed it; never for a file or another output
/// without a reader. The reader may be gone before this is first polled.
pub(crate) async fn reader_gone() {
    let (gone, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("stdout".to_owned()).spawn(move || {
        // No events are requested: errors and hang-ups are always reported.
        let stdout = io::stdout();
        let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
        while let Ok(0) | Err(Errno::INTR) = poll(&mut asked, None) {}
        // The receiver may be gone.
        let _ = gone.send(());
    });
    match thread {
        Ok(_) if told.await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

/// Writes a line for people to standard error. If that is closed, nobody reads the line.
pub(crate) fn notice(line: impl Display) {
    stderr::write(format!("{line}\n").as_bytes());
}
