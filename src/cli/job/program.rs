//! [`Program`]: the command that a worker runs for each job.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::config::QueueConfig;
use crate::{Blob, ReservedJob};

/// The command that a worker runs for each job.
#[derive(Debug, Clone)]
pub(super) struct Program {
    command: Vec<OsString>,
    /// Maximum run time.
    pub(super) timeout: Option<Duration>,
    /// Exit codes that fail the job permanently.
    pub(super) fail_exits: Vec<i32>,
    pub(super) output_bytes_max: usize,
    pub(super) error_bytes_max: usize,
}

impl Program {
    /// Returns a program that runs `command` within the limits of a server's queue.
    pub(super) fn new(command: Vec<OsString>, queue: &QueueConfig) -> Self {
        Self {
            command,
            timeout: None,
            fail_exits: Vec::new(),
            output_bytes_max: queue.output_bytes_max,
            error_bytes_max: queue.error_bytes_max,
        }
    }

    /// Returns the command without its arguments.
    pub(super) fn name(&self) -> &OsStr {
        self.command.first().map_or(OsStr::new(""), OsString::as_os_str)
    }

    /// Returns the command for `job`, with a pipe for each standard stream.
    pub(super) fn command(&self, job: &ReservedJob) -> Command {
        let mut command = Command::new(self.name());
        command.args(self.command.iter().skip(1)).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
            .env("WAKEFUL_JOB_ID", job.reservation.id.to_string())
            .env("WAKEFUL_JOB_EPOCH", job.reservation.epoch.to_string())
            .env("WAKEFUL_JOB_TOPIC", os(&job.topic))
            .env("WAKEFUL_JOB_ATTEMPT", (u64::from(job.failures) + 1).to_string())
            .env("WAKEFUL_JOB_LOSSES", job.losses.to_string())
            .env("WAKEFUL_JOB_PUSHED_MS", job.pushed.to_string());
        for (name, value) in
            [("WAKEFUL_JOB_INDEX", &job.index), ("WAKEFUL_JOB_ORDER_KEY", &job.order_key)]
        {
            match value {
                Some(value) => command.env(name, os(value)),
                None => command.env_remove(name),
            };
        }
        command
    }
}

/// Converts bytes to an environment value; one with a zero byte cannot be represented.
fn os(bytes: &Blob) -> OsString {
    use std::os::unix::ffi::OsStringExt;
    OsString::from_vec(bytes.iter().copied().filter(|byte| *byte != 0).collect())
}
