//! [`run`]: one process for one job, from its start to a verdict.

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::tail::Tail;
use crate::cli::stderr;
use crate::{Blob, Config, ReservedJob, Verdict};

/// How long a process may take to end when it is told to, before it is made to.
const POLITENESS: Duration = Duration::from_secs(2);

/// How long what a process has started may hold its output open when it is over itself.
const LEFTOVER: Duration = Duration::from_secs(1);

/// What is run for each job.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) command: Vec<OsString>,
    /// How long it may run.
    pub(super) timeout: Option<Duration>,
    /// Exit codes that are a failure for good.
    pub(super) fail_exits: Vec<i32>,
    pub(super) output_bytes_max: usize,
    pub(super) error_bytes_max: usize,
}

/// How it came to an end.
enum End {
    Exited { status: io::Result<ExitStatus>, leftover: bool },
    Killed(Option<Verdict>),
    TimedOut(Duration),
    TooMuch,
}

/// It printed more than is kept.
struct TooMuch;

impl Program {
    /// Within the limits of the defaults.
    pub(super) fn new(command: Vec<OsString>) -> Self {
        let queue = Config::new().queue;
        Self {
            command,
            timeout: None,
            fail_exits: Vec::new(),
            output_bytes_max: queue.output_bytes_max,
            error_bytes_max: queue.error_bytes_max,
        }
    }
}

/// Runs `program` for `job` until it ends, its time is over, or `killed` says what becomes of the
/// job without it.
///
/// What it has started is ended with it: they are one process group.
/// Cancel: kills it, but not what it has started.
pub(super) async fn run(
    program: &Program,
    job: &ReservedJob,
    killed: oneshot::Receiver<Option<Verdict>>,
) -> Option<Verdict> {
    let mut child = match spawn(program, job) {
        Ok(child) => child,
        Err(error) => return Some(failed(format!("cannot run the command: {error}"))),
    };
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let (mut output, mut errors) = (Vec::new(), Tail::new(program.error_bytes_max));
    let end = {
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let pipes = async {
            tokio::try_join!(
                feed(stdin, &job.payload),
                read_output(stdout, program.output_bytes_max, &mut output),
                read_errors(stderr, &mut errors),
            )
        };
        tokio::select! {
            end = over(&mut child, pipes) => end,
            // Whoever could say so is gone: so is the job.
            verdict = killed => End::Killed(verdict.unwrap_or_default()),
            end = timed_out(program.timeout) => end,
        }
    };
    match end {
        End::Exited { leftover: false, .. } => {}
        End::Exited { leftover: true, .. } => signal(group, Signal::KILL),
        _ => stop(&mut child, group).await,
    }
    verdict(program, end, output, &errors)
}

fn spawn(program: &Program, job: &ReservedJob) -> io::Result<Child> {
    let mut words = program.command.iter();
    let name = words.next().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(name);
    command.args(words).process_group(0).kill_on_drop(true);
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
    command.spawn()
}

/// Bytes as the environment holds them; one with a zero in it cannot be there.
fn os(bytes: &Blob) -> OsString {
    use std::os::unix::ffi::OsStringExt;
    OsString::from_vec(bytes.iter().copied().filter(|byte| *byte != 0).collect())
}

/// Waits for its end and for all that it printed.
async fn over(
    child: &mut Child,
    pipes: impl Future<Output = Result<((), (), ()), TooMuch>>,
) -> End {
    tokio::pin!(pipes);
    let mut open = true;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            read = &mut pipes, if open => match read {
                Ok(_) => open = false,
                Err(TooMuch) => return End::TooMuch,
            },
        }
    };
    if open {
        match timeout(LEFTOVER, pipes).await {
            Ok(Ok(_)) => open = false,
            Ok(Err(TooMuch)) => return End::TooMuch,
            Err(_) => {}
        }
    }
    End::Exited { status, leftover: open }
}

async fn timed_out(after: Option<Duration>) -> End {
    match after {
        Some(after) => {
            sleep(after).await;
            End::TimedOut(after)
        }
        None => std::future::pending().await,
    }
}

/// Ends it, and what it has started.
async fn stop(child: &mut Child, group: Option<Pid>) {
    signal(group, Signal::TERM);
    // If it cannot be waited for, it is over.
    let _ = timeout(POLITENESS, child.wait()).await;
    signal(group, Signal::KILL);
    let _ = child.wait().await;
}

fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // There may be nobody left.
        let _ = kill_process_group(group, signal);
    }
}

/// Hands it the payload. It need not read it.
async fn feed(stdin: Option<impl AsyncWriteExt + Unpin>, payload: &Blob) -> Result<(), TooMuch> {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(payload).await;
    }
    Ok(())
}

async fn read_output(
    stdout: Option<impl AsyncRead + Unpin>,
    bytes_max: usize,
    output: &mut Vec<u8>,
) -> Result<(), TooMuch> {
    let Some(stdout) = stdout else { return Ok(()) };
    let read = stdout.take(bytes_max as u64 + 1).read_to_end(output).await;
    // What cannot be read is over.
    if read.is_ok() && output.len() > bytes_max { Err(TooMuch) } else { Ok(()) }
}

/// Shows what it complains about, and keeps the end of it.
async fn read_errors(
    stderr: Option<impl AsyncRead + Unpin>,
    errors: &mut Tail,
) -> Result<(), TooMuch> {
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

fn verdict(program: &Program, end: End, output: Vec<u8>, errors: &Tail) -> Option<Verdict> {
    let status = match end {
        End::Killed(verdict) => return verdict,
        End::TimedOut(after) => {
            let after = crate::duration::show(after);
            return Some(failed(with_end(format!("ran longer than {after}"), errors)));
        }
        End::TooMuch => {
            let most = program.output_bytes_max;
            return Some(failed(with_end(format!("printed more than {most} bytes"), errors)));
        }
        End::Exited { status, .. } => status,
    };
    Some(match status {
        Err(error) => failed(format!("cannot wait for the command: {error}")),
        Ok(status) if status.success() => Verdict::Done { output: Blob::from(output) },
        Ok(status) => {
            let error = with_end(status.to_string(), errors);
            let for_good = status.code().is_some_and(|code| program.fail_exits.contains(&code));
            if for_good { Verdict::Fail { error } } else { failed(error) }
        }
    })
}

/// What happened, and what it complained about last.
fn with_end(what: String, errors: &Tail) -> String {
    let text = errors.text();
    if text.is_empty() { what } else { format!("{what}: {text}") }
}
