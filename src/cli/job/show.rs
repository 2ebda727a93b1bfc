//! The printed form of a job, for people.

use super::moment;
use super::spec::state_name;
use crate::cli::output::Output;
use crate::{Blob, JobInfo, JobState};

/// Prints one fact per line.
pub(super) fn facts(job: &JobInfo, out: &mut Output) {
    let mut fact = |name: &str, value: &str| out.line(format_args!("{name:<10} {value}"));
    fact("id", &job.id.to_string());
    fact("topic", &job.topic.to_string());
    fact("state", state_name(job.state));
    let mut maybe = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            fact(name, &value);
        }
    };
    maybe("index", job.index.as_ref().map(Blob::to_string));
    maybe("order key", job.order_key.as_ref().map(Blob::to_string));
    maybe("priority", (job.priority > 0).then(|| job.priority.to_string()));
    maybe("runs", Some(runs(job)));
    maybe("pushed", Some(moment::show(job.pushed)));
    maybe("due", job.due.map(moment::show));
    maybe("started", job.started.map(moment::show));
    maybe("finished", job.finished.map(moment::show));
    maybe("payload", job.payload.as_ref().map(Blob::to_string));
    maybe("progress", job.progress.as_ref().map(Blob::to_string));
    for error in &job.errors {
        maybe("error", Some(one_line(error)));
    }
    maybe("output", job.output.as_ref().map(Blob::to_string));
}

/// Returns `2 (1 of 25 failures, 0 losses)`
pub(super) fn runs(job: &JobInfo) -> String {
    let JobInfo { epoch, failures, losses, retry_max, .. } = job;
    format!("{epoch} ({failures} failures, {losses} losses, {retry_max} retries)")
}

/// Returns the reason why a finished job has no result.
pub(super) fn reason(job: &JobInfo) -> String {
    let id = job.id;
    match (job.state, job.errors.last()) {
        (JobState::Cancelled, _) => format!("job {id} was cancelled"),
        (_, Some(error)) => format!("job {id} is a dead letter: {}", one_line(error)),
        (_, None) => format!("job {id} is a dead letter"),
    }
}

/// Escapes control characters, so that the text of a job cannot control the terminal.
pub(super) fn one_line(text: &str) -> String {
    Blob::from(text.trim_end()).to_string()
}

/// Returns one line on a finished job's outcome, or on another job's state.
pub(super) fn line(job: &JobInfo) -> String {
    let place = job.outcome.map_or(String::new(), |outcome| format!(" (outcome {outcome})"));
    let index = job.index.as_ref().map_or(String::new(), |index| format!(" {index}"));
    let said = match job.state {
        JobState::Done => job.output.as_ref().map(Blob::to_string),
        JobState::Dead => job.errors.last().map(|error| one_line(error)),
        _ => None,
    };
    let said =
        said.filter(|said| !said.is_empty()).map_or(String::new(), |said| format!(": {said}"));
    format!("{} {}{index}{place}{said}", state_name(job.state), job.id)
}
