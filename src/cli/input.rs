//! What a command reads: standard input or a file, whole, but never without a bound.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;

use super::failure::{Exit, Failure};
use super::output::notice;
use crate::{Blob, Config};

/// Reads standard input to its end.
///
/// Bound: what fits in one frame. Not `store.value_bytes_max`, which the server may have set
/// higher; and longer input is refused, never cut.
pub(crate) async fn read_stdin() -> Result<Blob, Failure> {
    read("standard input".into(), || {
        if io::stdin().is_terminal() {
            notice("reading standard input; end it with Ctrl-D");
        }
        Ok(io::stdin().lock())
    })
    .await
}

/// Reads a file, within the same bound.
pub(crate) async fn read_file(path: &Path) -> Result<Blob, Failure> {
    let file = path.to_owned();
    read(path.display().to_string(), move || File::open(file)).await
}

async fn read<R: Read>(
    what: String,
    open: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> Result<Blob, Failure> {
    let bytes_max = Config::new().rpc.frame_bytes_max;
    let bound = bytes_max as u64 + 1;
    // On another thread, so that Ctrl-C works while nobody types.
    let bytes = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        open()?.take(bound).read_to_end(&mut bytes)?;
        Ok(bytes)
    })
    .await
    .unwrap_or_else(|error| Err(io::Error::other(error)))
    .map_err(|error| Failure::io(&what, &error))?;
    if bytes.len() > bytes_max {
        let message = format!("{what} has more than {bytes_max} bytes, which is all a frame holds");
        return Err(Failure::told(Exit::Failed, "LimitExceeded", message));
    }
    Ok(Blob::from(bytes))
}

/// Whether whoever is at the keyboard types `yes`.
pub(crate) fn confirmed(question: &str) -> Result<bool, Failure> {
    notice(question);
    let mut answer = String::new();
    let read = io::stdin().lock().take(1024).read_line(&mut answer);
    read.map_err(|error| Failure::io("standard input", &error))?;
    Ok(answer.trim() == "yes")
}
