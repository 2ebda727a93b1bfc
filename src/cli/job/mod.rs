//! `wakeful job`: one file for each action on jobs.
//!
//! Shared arguments are in [`options`] and [`spec`], the printed form of a job is in [`show`].
//!
//! # Design
//!
//! - **`job work` is one task** (`worker`): the loops that take, hold, settle and print share
//!   `Running`, and none of them waits for a reader. Each command has a task of its own
//!   (`child`), which ends with a verdict.
//! - **A killed worker runs no code,** so a second process ends its commands (`guard`,
//!   `guard_process`): the same binary, selected by its first argument. A command registers its
//!   process group between fork and exec, so that none runs unregistered. When the worker dies,
//!   the kernel closes the socket, and the guard kills what is registered. That hook is the one
//!   `unsafe` block: if the worker registered a command after the spawn, the command would run
//!   unregistered for a moment. `PR_SET_PDEATHSIG` does not reach the processes that a command
//!   has started; a subreaper above the worker would itself be the process that is killed.
//! - **A failure of the worker is not a failure of the job:** `CommandError` is the reason why a
//!   command could not be run, and whether it is temporary.
//! - As the first process of a container, a worker reaps orphans by their ids (`reap`):
//!   `waitpid(-1)` would take the exits of commands from tokio.

mod ask;
mod at;
mod cancel;
mod child;
mod clear;
mod command_error;
mod dead;
mod dead_letters;
mod delete;
mod ended;
mod free_index;
mod get;
mod guard;
mod guard_process;
mod hold;
mod list;
mod moment;
mod options;
mod outcomes;
mod pause;
mod plan;
mod program;
mod progress;
mod push;
mod push_lines;
mod reap;
mod replay;
mod running;
mod schedule;
mod settle;
mod settling;
pub(crate) mod show;
pub(crate) mod slices;
pub(crate) mod spec;
mod stops;
mod tail;
#[cfg(test)]
mod tests;
mod wait;
mod work;
mod worker;

use std::time::Duration;

pub(crate) use guard::NAME as GUARD_NAME;
pub(crate) use guard_process::run as run_guard;

use super::OnSignal;
use super::failure::{Exit, Failure};
use super::output::Output;
use crate::Operations;

/// Push, process, inspect and replay jobs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job work shout -- tr a-z A-Z     in one shell: a worker
  ID=$(wakeful job push shout hello)       in another
  wakeful job wait $ID                     prints HELLO
  wakeful job push shout hello --wait 30s  both in one
  wakeful topics                           open jobs by topic
  wakeful job dead shout                   failed jobs, with reasons")]
pub(crate) struct JobArgs {
    #[command(subcommand)]
    action: JobCommand,
}

#[derive(Debug, clap::Subcommand)]
enum JobCommand {
    Push(push::PushArgs),
    Work(work::WorkArgs),
    Get(get::JobGetArgs),
    Wait(wait::JobWaitArgs),
    #[command(visible_alias = "list")]
    Ls(list::JobListArgs),
    Dead(dead::DeadArgs),
    Replay(replay::ReplayArgs),
    Delete(delete::JobDeleteArgs),
    Cancel(cancel::CancelArgs),
    FreeIndex(free_index::FreeIndexArgs),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    Clear(clear::ClearArgs),
    Outcomes(outcomes::OutcomesArgs),
    Reserve(hold::ReserveArgs),
    Ack(settle::AckArgs),
    Nack(settle::NackArgs),
    Touch(settle::TouchArgs),
    Progress(progress::ProgressArgs),
    Schedule(schedule::ScheduleArgs),
    Unschedule(schedule::UnscheduleArgs),
    Schedules(schedule::SchedulesArgs),
}

/// Maximum wait of one request for what a command awaits longer: within that time the server
/// notices a client that vanished silently.
const SLICE: Duration = Duration::from_secs(30);

/// Pause before a retry after a temporary failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Interval between progress reports of a long run.
const SAY_EVERY: Duration = Duration::from_secs(2);

impl JobArgs {
    /// Returns the effect of a signal on this command.
    pub(crate) fn on_signal(&self) -> OnSignal {
        match &self.action {
            JobCommand::Work(_) | JobCommand::Reserve(_) => OnSignal::Own,
            JobCommand::Outcomes(_) => OnSignal::End,
            _ => OnSignal::Interruption,
        }
    }

    /// Returns true if the command awaits the end of a job. A worker reports connection losses
    /// itself.
    pub(crate) fn waits(&self) -> bool {
        match &self.action {
            JobCommand::Push(args) => args.waits(),
            JobCommand::Wait(_) => true,
            _ => false,
        }
    }

    /// Returns the deadline of its calls, when `asked` is the deadline of calls that do not wait.
    pub(crate) fn deadline(&self, asked: Duration) -> Duration {
        let waits = match &self.action {
            JobCommand::Push(args) => args.call_waits(),
            JobCommand::Work(_)
            | JobCommand::Wait(_)
            | JobCommand::Outcomes(_)
            | JobCommand::Reserve(_) => SLICE,
            _ => Duration::ZERO,
        };
        asked.saturating_add(waits)
    }

    pub(crate) async fn run(
        self,
        jobs: &impl Operations,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        match self.action {
            JobCommand::Push(args) => args.run(jobs, out).await,
            JobCommand::Work(args) => args.run(jobs, out).await,
            JobCommand::Get(args) => args.run(jobs, out).await,
            JobCommand::Wait(args) => args.run(jobs, out).await,
            JobCommand::Ls(args) => args.run(jobs, out).await,
            JobCommand::Dead(args) => args.run(jobs, out).await,
            JobCommand::Replay(args) => args.run(jobs, out).await,
            JobCommand::Delete(args) => args.run(jobs, out).await,
            JobCommand::Cancel(args) => args.run(jobs, out).await,
            JobCommand::FreeIndex(args) => args.run(jobs, out).await,
            JobCommand::Pause(args) => args.run(jobs, out).await,
            JobCommand::Resume(args) => args.run(jobs, out).await,
            JobCommand::Clear(args) => args.run(jobs, out).await,
            JobCommand::Outcomes(args) => args.run(jobs, out).await,
            JobCommand::Reserve(args) => args.run(jobs, out).await,
            JobCommand::Ack(args) => args.run(jobs, out).await,
            JobCommand::Nack(args) => args.run(jobs, out).await,
            JobCommand::Touch(args) => args.run(jobs, out).await,
            JobCommand::Progress(args) => args.run(jobs, out).await,
            JobCommand::Schedule(args) => args.run(jobs, out).await,
            JobCommand::Unschedule(args) => args.run(jobs, out).await,
            JobCommand::Schedules(args) => args.run(jobs, out).await,
        }
    }
}
