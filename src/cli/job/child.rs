//! [`Runner`]: one process for one job, from its start to a verdict.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::command_error::CommandError;
use super::ended::EndedCommand;
use super::guard::{GuardProcess, ProcessGroup};
use super::program::Program;
use super::tail::Tail;
use crate::cli::failure::Exit;
use crate::cli::stderr;
use crate::{Blob, ReservedJob, Verdict};

/// Time between SIGTERM and SIGKILL for a command.
const POLITENESS: Duration = Duration::from_secs(2);

/// How long processes that a command started may keep its output open after it exits.
const LEFTOVER: Duration = Duration::from_secs(1);

/// How long the stop signal may take to reach the worker when another sign of the stop came first:
/// a command ended by the same service manager, or a closed terminal.
pub(super) const STOP_SKEW: Duration = Duration::from_millis(200);

/// The signals with which a service manager or a user ends processes. SIGKILL is not one: the
/// kernel also uses it for a process that takes too much memory, and that is a failure of the job.
const STOPPED_BY: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

/// Runs commands for jobs.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) program: Program,
    pub(super) guard: Arc<GuardProcess>,
    /// Set when the worker was asked to stop.
    pub(super) stopping: CancellationToken,
}

/// How a command ended.
enum CommandEnd {
    Exited { status: io::Result<ExitStatus>, leftover: bool },
    Killed(Option<Verdict>),
    TimedOut(Duration),
    Cut(OutputCut),
}

/// The reason why the output is not read to the end.
enum OutputCut {
    /// The output is longer than its limit.
    TooMuch,
    Unreadable(io::Error),
}

impl Runner {
    /// Runs the command for `job` until it ends, its time is over, or `killed` reports a verdict
    /// from elsewhere.
    ///
    /// The command and the processes it started end together: they are one process group.
    ///
    /// Cancel: kills the process group.
    pub(super) async fn run(
        &self,
        job: &ReservedJob,
        killed: oneshot::Receiver<Option<Verdict>>,
    ) -> EndedCommand {
        let (mut child, group) = match self.spawn(job) {
            Ok(started) => started,
            Err(command_error) => return EndedCommand::hindered(job.reservation, command_error),
        };
        let (mut output, mut errors) = (Vec::new(), Tail::new(self.program.error_bytes_max));
        let end = {
            let (stdin, stdout, stderr) =
                (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let pipes = async {
                tokio::try_join!(
                    feed(stdin, &job.payload),
                    read_output(stdout, self.program.output_bytes_max, &mut output),
                    read_errors(stderr, &mut errors),
                )
            };
            tokio::select! {
                end = over(&mut child, pipes) => end,
                // The sender is gone, and with it the claim to the job.
                verdict = killed => CommandEnd::Killed(verdict.unwrap_or_default()),
                end = timed_out(self.program.timeout) => end,
            }
        };
        match end {
            CommandEnd::Exited { leftover: false, .. } => group.leave(),
            // Dropping the group kills it.
            CommandEnd::Exited { leftover: true, .. } => drop(group),
            _ => stop(&mut child, group).await,
        }
        self.ended(job, end, output, &errors).await
    }

    fn spawn(&self, job: &ReservedJob) -> Result<(Child, ProcessGroup), CommandError> {
        // A relative name would not be found, and any other command would run in a removed
        // directory.
        if matches!(std::env::current_dir(), Err(error) if error.kind() == io::ErrorKind::NotFound)
        {
            return Err(CommandError::without_directory());
        }
        let spawned = self.guard.spawn(self.program.command(job));
        spawned.map_err(|error| CommandError::starting(self.program.name(), &error))
    }

    async fn ended(
        &self,
        job: &ReservedJob,
        end: CommandEnd,
        output: Vec<u8>,
        errors: &Tail,
    ) -> EndedCommand {
        let (of, program) = (job.reservation, &self.program);
        let status = match end {
            CommandEnd::Killed(verdict) => return EndedCommand::new(of, verdict, Exit::Failed),
            CommandEnd::TimedOut(after) => {
                let after = crate::duration::show(after);
                let verdict = failed(with_end(format!("ran longer than {after}"), errors));
                return EndedCommand::new(of, Some(verdict), Exit::Timeout);
            }
            CommandEnd::Cut(OutputCut::TooMuch) => {
                let most = program.output_bytes_max;
                let verdict = failed(with_end(format!("printed more than {most} bytes"), errors));
                return EndedCommand::new(of, Some(verdict), Exit::Failed);
            }
            CommandEnd::Cut(OutputCut::Unreadable(error)) => {
                return EndedCommand::hindered(
                    of,
                    CommandError::watching("read the output of the command", &error),
                );
            }
            CommandEnd::Exited { status: Err(error), .. } => {
                return EndedCommand::hindered(
                    of,
                    CommandError::watching("wait for the command", &error),
                );
            }
            CommandEnd::Exited { status: Ok(status), .. } => status,
        };
        if status.success() {
            let output = Blob::from(output);
            return EndedCommand::new(of, Some(Verdict::Done { output }), Exit::Done);
        }
        let exit = exit_of(status);
        if self.stopped_too(status).await {
            return EndedCommand::new(of, Some(Verdict::Release), exit);
        }
        let error = with_end(status.to_string(), errors);
        let for_good = status.code().is_some_and(|code| program.fail_exits.contains(&code));
        let verdict = if for_good { Verdict::Fail { error } } else { failed(error) };
        EndedCommand::new(of, Some(verdict), exit)
    }

    /// Returns true if the command was ended together with its worker, as service managers do. That
    /// says nothing about the job.
    async fn stopped_too(&self, status: ExitStatus) -> bool {
        let stopped = |signal: Signal| status.signal() == Some(signal.as_raw());
        STOPPED_BY.into_iter().any(stopped)
            && timeout(STOP_SKEW, self.stopping.cancelled()).await.is_ok()
    }
}

/// Returns the exit status as a shell reports it.
fn exit_of(status: ExitStatus) -> Exit {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u8::try_from(code).ok()).map_or(Exit::Failed, Exit::Command)
}

/// Waits for the end of the process and of its output.
async fn over(
    child: &mut Child,
    pipes: impl Future<Output = Result<((), (), ()), OutputCut>>,
) -> CommandEnd {
    tokio::pin!(pipes);
    let mut open = true;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            read = &mut pipes, if open => match read {
                Ok(_) => open = false,
                Err(cut) => return CommandEnd::Cut(cut),
            },
        }
    };
    if open {
        match timeout(LEFTOVER, pipes).await {
            Ok(Ok(_)) => open = false,
            Ok(Err(cut)) => return CommandEnd::Cut(cut),
            Err(_) => {}
        }
    }
    CommandEnd::Exited { status, leftover: open }
}

async fn timed_out(after: Option<Duration>) -> CommandEnd {
    match after {
        Some(after) => {
            sleep(after).await;
            CommandEnd::TimedOut(after)
        }
        None => std::future::pending().await,
    }
}

/// Ends the process and those it started.
async fn stop(child: &mut Child, group: ProcessGroup) {
    group.signal(Signal::TERM);
    // If waiting fails, the process is gone.
    let _ = timeout(POLITENESS, child.wait()).await;
    group.signal(Signal::KILL);
    let _ = child.wait().await;
    group.leave();
}

/// Writes the payload to the process, which need not read it.
async fn feed(stdin: Option<impl AsyncWriteExt + Unpin>, payload: &Blob) -> Result<(), OutputCut> {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(payload).await;
    }
    Ok(())
}

async fn read_output(
    stdout: Option<impl AsyncRead + Unpin>,
    bytes_max: usize,
    output: &mut Vec<u8>,
) -> Result<(), OutputCut> {
    let Some(stdout) = stdout else { return Ok(()) };
    let read = stdout.take((bytes_max as u64).saturating_add(1)).read_to_end(output).await;
    match read {
        Ok(_) if output.len() > bytes_max => Err(OutputCut::TooMuch),
        Ok(_) => Ok(()),
        // A partial result counts as none.
        Err(error) => Err(OutputCut::Unreadable(error)),
    }
}

/// Passes standard error on, and keeps the end of it.
async fn read_errors(
    stderr: Option<impl AsyncRead + Unpin>,
    errors: &mut Tail,
) -> Result<(), OutputCut> {
    let Some(mut stderr) = stderr else { return Ok(()) };
    let mut part = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut part).await {
        let bytes = part.get(..count).unwrap_or_default();
        errors.push(bytes);
        stderr::write(bytes);
    }
    Ok(())
}

fn failed(error: String) -> Verdict {
    Verdict::Retry { after: None, error }
}

/// Appends the last lines of standard error to a message.
fn with_end(what: String, errors: &Tail) -> String {
    let text = errors.text();
    if text.is_empty() { what } else { format!("{what}: {text}") }
}
