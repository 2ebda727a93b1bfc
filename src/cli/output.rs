//! [`Output`]: what a command prints, in one of its two forms.

use std::fmt::Display;
use std::io::{self, Write};

use super::failure::Failure;
use super::json::Object;

/// Standard output. Lines gather until [`flush`](Self::flush), which a command calls wherever a
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

    /// Everything printed so far.
    #[cfg(test)]
    pub(crate) fn printed(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// Whether to print objects instead of text.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    pub(crate) fn line(&mut self, line: impl Display) {
        // Writing to a vector cannot fail.
        let _ = writeln!(self.buffer, "{line}");
    }

    pub(crate) fn object(&mut self, object: Object) {
        self.line(object);
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Hands everything to standard output.
    ///
    /// A reader that stops reading blocks the write, so it happens on another thread: the
    /// connection goes on answering pings meanwhile, and Ctrl-C works.
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

    /// [`flush`](Self::flush) for where no runtime runs.
    pub(crate) fn flush_blocking(&mut self) -> Result<(), Failure> {
        write(&std::mem::take(&mut self.buffer))
    }
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::io("standard output", &error))
}

/// A line for people on standard error. If that is closed there is nobody to tell.
pub(crate) fn notice(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
