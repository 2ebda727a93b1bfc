//! The input of a command: all of standard input or of a file, within a bound.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;

use super::failure::{Exit, Failure};
use super::output::notice;
use super::server_limits;
use crate::{Blob, Details, Error, ErrorCode, Operations};

/// Reads standard input to its end.
///
/// Bound: one frame of the server. Longer input is refused, never cut.
pub(crate) async fn read_stdin(store: &impl Operations) -> Result<Blob, Failure> {
    read(store, "standard input".into(), || {
        if io::stdin().is_terminal() {
            notice("reading standard input; end it with Ctrl-D");
        }
        Ok(io::stdin().lock())
    })
    .await
}

/// Reads a file, within the same bound.
pub(crate) async fn read_file(store: &impl Operations, path: &Path) -> Result<Blob, Failure> {
    let file = path.to_owned();
    read(store, path.display().to_string(), move || File::open(file)).await
}

async fn read<R: Read>(
    store: &impl Operations,
    what: String,
    open: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> Result<Blob, Failure> {
    let bytes_max = server_limits::ask(store).await?.rpc.frame_bytes_max;
    let bound = bytes_max as u64 + 1;
    // On another thread, so that Ctrl-C works while the user types nothing.
    let bytes = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        open()?.take(bound).read_to_end(&mut bytes)?;
        Ok(bytes)
    })
    .await
    .unwrap_or_else(|error| Err(io::Error::other(error)))
    .map_err(|error| Failure::io(&what, &error))?;
    if bytes.len() > bytes_max {
        let name = "rpc.frame_bytes_max";
        let message = format!("{what} is longer than a frame, {bytes_max} bytes ({name})");
        let details = Details::Limit { name: name.to_owned(), value: bytes_max as u64 };
        return Err(Error::new(ErrorCode::LimitExceeded, message).with_details(details).into());
    }
    Ok(Blob::from(bytes))
}

/// Shows the pending action and asks for confirmation.
///
/// Errors: `Refused`, unless the user types `yes`.
pub(crate) async fn agree(to: impl Display) -> Result<(), Failure> {
    notice(to);
    // On another thread, so that Ctrl-C works while the user types nothing.
    let asked = tokio::task::spawn_blocking(|| confirmed("type yes to continue:")).await;
    let failed = |error| Err(Failure::io("the question", &io::Error::other(error)));
    if asked.unwrap_or_else(failed)? {
        return Ok(());
    }
    Err(Failure::told(Exit::Failed, "Refused", "nothing was changed"))
}

/// Returns true if the user types `yes`.
pub(crate) fn confirmed(question: &str) -> Result<bool, Failure> {
    notice(question);
    let mut answer = String::new();
    let read = io::stdin().lock().take(1024).read_line(&mut answer);
    read.map_err(|error| Failure::io("standard input", &error))?;
    Ok(answer.trim() == "yes")
}
