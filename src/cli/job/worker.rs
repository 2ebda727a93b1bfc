//! [`CommandWorker`]: reserves jobs, runs a process for each, extends their reservations, and settles
//! them.
//!
//! Several loops run concurrently in one task: reserving, extending, settling
//! ([`settling`](super::settling)), printing, and handling signals. They share [`RunningJobs`].

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::child::{Runner, STOP_SKEW};
use super::command_error::CommandError;
use super::ended::{EndedCommand, SettledLine};
use super::guard::GuardProcess;
use super::plan::WorkPlan;
use super::running::RunningJobs;
use super::{PAUSE, SLICE, reap};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, notice};
use crate::{Error, ErrorCode, Jobs, Operations, Reservation, ReserveRequest, ReservedJob};

/// Maximum time to record the outcomes of jobs after the order to end.
const LAST_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum time for a reader to take the last lines after the order to end.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Maximum number of unread lines. Beyond it no jobs are reserved.
const LINES_MAX: usize = 1_000;

/// The state of a worker; see the module.
pub(super) struct CommandWorker<'a, J> {
    pub(super) jobs: &'a J,
    pub(super) plan: &'a WorkPlan,
    runner: Arc<Runner>,
    pub(super) running: RefCell<RunningJobs>,
    children: RefCell<JoinSet<()>>,
    /// Bound: one message per reserved job.
    ended: mpsc::UnboundedSender<EndedCommand>,
    /// True while jobs are reserved.
    pub(super) taking: Cell<bool>,
    /// Signals that no more jobs are reserved.
    stopped: Notify,
    /// Signals the same to the settling loop.
    pub(super) idle: Notify,
    /// Signals that a command may start.
    pub(super) freed: Notify,
    /// Signals that the server did not answer, so that the jobs may be held by others.
    pub(super) doubt: Notify,
    /// Lines about settled jobs that were not passed to the printer yet.
    pub(super) lines: RefCell<Vec<SettledLine>>,
    /// The number of unwritten lines, those in [`lines`](Self::lines) included.
    pub(super) unwritten: Cell<usize>,
    /// Signals that there are lines to print, or that no more will come.
    pub(super) printable: Notify,
    /// Set when everything is settled.
    settled: CancellationToken,
    failure: Cell<Option<Failure>>,
    /// Signals a failure that ends running commands.
    failed: Notify,
    /// Signals a failure that lets running commands finish.
    halted: Notify,
    /// A command could not be started: no jobs are reserved before this time.
    paused_until: Cell<Option<Instant>>,
    /// True once that was reported.
    pub(super) hindered: Cell<bool>,
    /// The exit status of the last job, or of a signal after it.
    pub(super) last_exit: Cell<Exit>,
    /// True once trouble with the connection was reported.
    troubled: Cell<bool>,
    quiet: bool,
}

/// Works by `plan` until it is fulfilled, a signal comes from `stops`, or the worker cannot
/// continue.
pub(super) async fn work<J: Operations>(
    jobs: &J,
    plan: &WorkPlan,
    guard: Arc<GuardProcess>,
    stops: &mut mpsc::Receiver<Exit>,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let (ended, endings) = mpsc::unbounded_channel();
    let program = plan.program.clone();
    let worker = CommandWorker {
        jobs,
        plan,
        runner: Arc::new(Runner { program, guard, stopping: CancellationToken::new() }),
        running: RefCell::new(RunningJobs::new(plan.concurrency, plan.jobs_max)),
        children: RefCell::default(),
        ended,
        taking: Cell::new(true),
        stopped: Notify::new(),
        idle: Notify::new(),
        freed: Notify::new(),
        doubt: Notify::new(),
        lines: RefCell::default(),
        unwritten: Cell::new(0),
        printable: Notify::new(),
        settled: CancellationToken::new(),
        failure: Cell::new(None),
        failed: Notify::new(),
        halted: Notify::new(),
        paused_until: Cell::new(None),
        hindered: Cell::new(false),
        last_exit: Cell::new(Exit::Done),
        troubled: Cell::new(false),
        quiet: out.json(),
    };
    let exit = tokio::select! {
        () = worker.do_all(endings, out) => {
            if plan.once { worker.last_exit.get() } else { Exit::Done }
        }
        exit = worker.obey(stops) => exit,
        never = worker.touch() => never,
        never = worker.listen() => never,
        never = worker.watch_guard() => never,
        never = worker.reap() => never,
    };
    worker.failure.take().map_or(Ok(exit), Err)
}

impl<J: Operations> CommandWorker<'_, J> {
    /// Runs every loop until the last line is printed.
    async fn do_all(&self, endings: mpsc::UnboundedReceiver<EndedCommand>, out: &mut Output) {
        let settle = async {
            self.settle(endings).await;
            self.settled.cancel();
            self.printable.notify_one();
        };
        tokio::join!(self.take(), settle, self.print(out));
    }

    /// Reserves jobs until the plan is fulfilled or reserving is stopped.
    async fn take(&self) {
        let taken = tokio::select! {
            // First, so that nothing begins after the order to end.
            biased;
            () = self.stopped.notified() => Ok(()),
            taken = self.take_on() => taken,
        };
        self.taking.set(false);
        self.idle.notify_one();
        if let Err(failure) = taken {
            self.fail(failure);
        }
    }

    async fn take_on(&self) -> Result<(), Failure> {
        let first_wait = if self.plan.drain { Duration::ZERO } else { SLICE };
        let mut wait = first_wait;
        loop {
            let (room, finished) = {
                let running = self.running.borrow();
                (running.room(), running.is_finished())
            };
            if finished {
                return Ok(());
            }
            if room == 0 || self.unwritten.get() >= LINES_MAX {
                self.freed.notified().await;
                continue;
            }
            if let Some(until) = self.paused_until.take() {
                sleep_until(until).await;
                continue;
            }
            let request = ReserveRequest {
                topic: self.plan.topic.clone(),
                credits: room.min(self.plan.queue.credits_max),
                wait: Some(wait),
                visibility: Some(self.plan.visibility),
            };
            let reserved = match self.jobs.reserve(request).await {
                Ok(jobs) => jobs,
                Err(error) => {
                    self.pause(error).await?;
                    continue;
                }
            };
            if self.troubled.replace(false) && !self.quiet {
                notice("the server answers again");
            }
            wait = first_wait;
            if self.plan.drain && reserved.is_empty() {
                if !self.running.borrow().is_empty() {
                    // The end of a running job may make another ready, such as the next of its
                    // order key.
                    self.freed.notified().await;
                    continue;
                }
                if self.is_drained().await? {
                    return Ok(());
                }
                wait = SLICE;
            }
            reserved.into_iter().for_each(|job| self.start(job));
        }
    }

    /// Returns true if no job is ready. A ready job that was not handed out may be held back by the
    /// rate or the concurrency of its topic, which is temporary.
    async fn is_drained(&self) -> Result<bool, Failure> {
        match self.jobs.topic_info(self.plan.topic.clone()).await {
            Ok(topic) => Ok(topic.ready == 0 || topic.paused),
            Err(error) if error.code == ErrorCode::TopicNotFound => Ok(true),
            Err(error) => self.pause(error).await.map(|()| false),
        }
    }

    fn start(&self, job: ReservedJob) {
        let killed = self.running.borrow_mut().add(job.reservation);
        let (runner, ended) = (Arc::clone(&self.runner), self.ended.clone());
        let mut children = self.children.borrow_mut();
        children.spawn(async move {
            // The receiver is gone only if the worker is.
            let _ = ended.send(runner.run(&job, killed).await);
        });
        // Removes the tasks that ended.
        while children.try_join_next().is_some() {}
    }

    /// Extends the reservations of running jobs.
    async fn touch(&self) -> Exit {
        loop {
            tokio::select! {
                () = sleep(self.plan.visibility / 3) => {}
                () = self.doubt.notified() => {}
            }
            let held = self.running.borrow().reservations();
            if held.is_empty() {
                continue;
            }
            for part in held.chunks(self.plan.queue.push_jobs_max.max(1)) {
                if let Err(failure) = self.touch_part(part).await {
                    self.fail(failure);
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Extends as many reservations as fit in one request.
    async fn touch_part(&self, held: &[Reservation]) -> Result<(), Failure> {
        match self.jobs.touch(held.to_vec(), None).await {
            Ok(answers) => {
                let lost = held.iter().zip(answers).filter(|(_, answer)| answer.is_some());
                lost.for_each(|(lost, _)| self.running.borrow_mut().revoke(*lost));
            }
            Err(error) => {
                if error.code == ErrorCode::StoreChanged {
                    self.running.borrow_mut().revoke_all();
                }
                self.pause(error).await?;
                self.doubt.notify_one();
            }
        }
        Ok(())
    }

    /// Listens for jobs that this worker no longer holds.
    async fn listen(&self) -> Exit {
        loop {
            match self.jobs.revoked(Some(SLICE)).await {
                Ok(revoked) => {
                    let mut running = self.running.borrow_mut();
                    revoked.into_iter().for_each(|one| running.revoke(one));
                }
                Err(error) => {
                    self.doubt.notify_one();
                    if let Err(failure) = self.pause(error).await {
                        self.fail(failure);
                        return std::future::pending().await;
                    }
                }
            }
        }
    }

    /// Ends everything when the guard is gone: commands would outlive a worker that is killed.
    async fn watch_guard(&self) -> Exit {
        self.runner.guard.lost().await;
        let message = "the guard process, which ends commands if their worker is killed, is gone";
        self.fail(Failure::told(Exit::Failed, "GuardLost", message));
        std::future::pending().await
    }

    async fn reap(&self) -> Exit {
        reap::orphans(|child| self.runner.guard.awaits(child)).await;
        std::future::pending().await
    }

    /// Prints lines about settled jobs as fast as they are read, until the last one. A slow reader
    /// delays new jobs only.
    async fn print(&self, out: &mut Output) {
        loop {
            let lines = std::mem::take(&mut *self.lines.borrow_mut());
            if !lines.is_empty() {
                lines.iter().for_each(|line| line.print(out));
                if let Err(failure) = out.flush().await {
                    self.fail_to_print(failure).await;
                }
                self.unwritten.set(self.unwritten.get().saturating_sub(lines.len()));
                self.freed.notify_one();
            } else if self.settled.is_cancelled() {
                return;
            } else {
                self.printable.notified().await;
            }
        }
    }

    /// Ends everything, unless the reader or the terminal is gone: then a stop is under way or
    /// imminent.
    async fn fail_to_print(&self, failure: Failure) {
        let stopping = self.runner.stopping.cancelled();
        let expected =
            matches!(failure, Failure::ClosedPipe) || timeout(STOP_SKEW, stopping).await.is_ok();
        if !expected {
            self.fail(failure);
        }
    }

    /// Ends everything, after the grace period following a signal, or at once after a failure.
    /// Returns if [`do_all`](Self::do_all) does not finish then.
    async fn obey(&self, stops: &mut mpsc::Receiver<Exit>) -> Exit {
        let exit = tokio::select! {
            exit = self.stop(stops) => exit,
            () = self.failed.notified() => Exit::Failed,
        };
        self.running.borrow_mut().release_all();
        // A job that is not settled by then is soon held by another worker.
        let _ = timeout(LAST_TIMEOUT, self.settled.cancelled()).await;
        sleep(LAST_LINES).await;
        if self.unwritten.get() > 0 {
            let lines = self.unwritten.get();
            notice(format_args!("{lines} lines were not printed: nobody reads standard output"));
        }
        exit
    }

    /// Reserves no more jobs after the first signal; returns at the second, or after the grace
    /// period.
    async fn stop(&self, stops: &mut mpsc::Receiver<Exit>) -> Exit {
        tokio::select! {
            Some(exit) = stops.recv() => self.last_exit.set(exit),
            () = self.halted.notified() => {}
        }
        self.runner.stopping.cancel();
        self.stopped.notify_one();
        if !self.quiet && !self.running.borrow().is_empty() {
            let grace = crate::duration::show(self.plan.grace);
            notice(format_args!(
                "stopping; running commands have {grace}, a second signal ends them"
            ));
        }
        tokio::select! {
            () = sleep(self.plan.grace) => Exit::Done,
            exit = stops.recv() => exit.unwrap_or(Exit::Done),
        }
    }

    /// Records a failure and ends everything.
    fn fail(&self, failure: Failure) {
        self.keep(failure);
        self.stopped.notify_one();
        self.failed.notify_one();
    }

    /// Keeps the first failure, which caused the others.
    fn keep(&self, failure: Failure) {
        let first = self.failure.take();
        self.failure.set(Some(first.unwrap_or(failure)));
    }

    /// Handles a command that could not be run: if none can, the worker ends when the running ones
    /// have ended; otherwise the condition is temporary.
    pub(super) fn hinder(&self, command_error: &CommandError) {
        if let Some(failure) = command_error.failure() {
            self.keep(failure);
            self.halted.notify_one();
            return;
        }
        self.paused_until.set(Some(Instant::now() + PAUSE));
        if !self.quiet && !self.hindered.replace(true) {
            let message = &command_error.message;
            notice(format_args!("{message}; its job went back at no cost; trying again"));
        }
    }

    /// Waits briefly after a temporary error; any other error is a failure.
    pub(super) async fn pause(&self, error: Error) -> Result<(), Failure> {
        // Another store has other jobs, which need workers as well.
        if !error.retryable() && error.code != ErrorCode::StoreChanged {
            return Err(error.into());
        }
        if !self.quiet && !self.troubled.replace(true) {
            notice(format_args!("{error}; trying again"));
        }
        sleep(PAUSE).await;
        Ok(())
    }
}
