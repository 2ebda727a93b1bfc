//! Requests that change jobs a slice at a time.

use std::time::Instant;

use super::{SAY_EVERY, ask};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, notice};
use crate::{JobReply, JobRequest, Operations, Reply};

/// Repeats `request` until the server has no more jobs to change, or until `most` jobs and the rest
/// of a slice are changed, because others may add jobs forever. Prints the progress, also before
/// the error of a later slice. Returns the number of changed jobs, and whether there may be more.
pub(crate) async fn all(
    request: &JobRequest,
    most: u64,
    jobs: &impl Operations,
    quiet: bool,
) -> Result<(u64, bool), Failure> {
    let (mut total, mut said) = (0, Instant::now());
    loop {
        let changed = ask::changed(jobs, request.clone()).await;
        let (count, more) = changed.inspect_err(|_| {
            if total > 0 && !quiet {
                notice(format_args!("{total} jobs were changed before this error:"));
            }
        })?;
        total += count;
        if !more || total >= most {
            return Ok((total, more));
        }
        if said.elapsed() >= SAY_EVERY && !quiet {
            said = Instant::now();
            notice(format_args!("{total} jobs"));
        }
    }
}

/// Prints the number of changed jobs, and in JSON whether there may be more.
pub(crate) fn show((count, more): (u64, bool), out: &mut Output) {
    if out.json() {
        out.reply(&Reply::Job(JobReply::Changed { count, more }));
    } else {
        out.line(count);
    }
}
