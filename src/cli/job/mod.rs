//! `wakeful job`: one file for each thing that can be done with jobs.
//!
//! What several of them take is in [`options`] and [`spec`], what they print of a job in [`show`].

mod ask;
mod at;
mod cancel;
mod child;
mod clear;
mod dead;
mod dead_letters;
mod delete;
mod ended;
mod free_index;
mod get;
mod guard;
mod guard_process;
mod hindrance;
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

/// Push, work on, look at and repeat jobs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful job work shout -- tr a-z A-Z     in one shell: a worker that runs a command for each job
  ID=$(wakeful job push shout hello)       in another
  wakeful job wait $ID                     prints HELLO
  wakeful job push shout hello --wait 30s  both in one
  wakeful topics                           what there is to do
  wakeful job dead shout                   what failed for good, and why")]
pub(crate) struct JobArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Push(push::PushArgs),
    Work(work::WorkArgs),
    Get(get::GetArgs),
    Wait(wait::WaitArgs),
    #[command(visible_alias = "list")]
    Ls(list::ListArgs),
    Dead(dead::DeadArgs),
    Replay(replay::ReplayArgs),
    Delete(delete::DeleteArgs),
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

/// How long one request waits at most for what a command waits for longer: so the server learns
/// in that time of a caller that is gone without a word.
const SLICE: Duration = Duration::from_secs(30);

/// How long to pause before what failed for now is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// How often a long run says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(2);

impl JobArgs {
    /// What a signal is to it.
    pub(crate) fn on_signal(&self) -> OnSignal {
        match &self.action {
            Action::Work(_) | Action::Reserve(_) => OnSignal::Own,
            Action::Outcomes(_) => OnSignal::End,
            _ => OnSignal::Interruption,
        }
    }

    /// Whether it awaits what becomes of a job. A worker reports its troubles itself.
    pub(crate) fn waits(&self) -> bool {
        match &self.action {
            Action::Push(args) => args.waits(),
            Action::Wait(_) => true,
            _ => false,
        }
    }

    /// How long its calls may take, when `asked` is for those that do not wait.
    pub(crate) fn deadline(&self, asked: Duration) -> Duration {
        let waits = match &self.action {
            Action::Push(args) => args.call_waits(),
            Action::Work(_) | Action::Wait(_) | Action::Outcomes(_) | Action::Reserve(_) => SLICE,
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
            Action::Push(args) => args.run(jobs, out).await,
            Action::Work(args) => args.run(jobs, out).await,
            Action::Get(args) => args.run(jobs, out).await,
            Action::Wait(args) => args.run(jobs, out).await,
            Action::Ls(args) => args.run(jobs, out).await,
            Action::Dead(args) => args.run(jobs, out).await,
            Action::Replay(args) => args.run(jobs, out).await,
            Action::Delete(args) => args.run(jobs, out).await,
            Action::Cancel(args) => args.run(jobs, out).await,
            Action::FreeIndex(args) => args.run(jobs, out).await,
            Action::Pause(args) => args.run(jobs, out).await,
            Action::Resume(args) => args.run(jobs, out).await,
            Action::Clear(args) => args.run(jobs, out).await,
            Action::Outcomes(args) => args.run(jobs, out).await,
            Action::Reserve(args) => args.run(jobs, out).await,
            Action::Ack(args) => args.run(jobs, out).await,
            Action::Nack(args) => args.run(jobs, out).await,
            Action::Touch(args) => args.run(jobs, out).await,
            Action::Progress(args) => args.run(jobs, out).await,
            Action::Schedule(args) => args.run(jobs, out).await,
            Action::Unschedule(args) => args.run(jobs, out).await,
            Action::Schedules(args) => args.run(jobs, out).await,
        }
    }
}
