//! [`Worker`]: takes jobs, runs a process for each, holds on to them, and settles them.
//!
//! Four loops side by side in one task: what is taken, what is held, what is settled, and what to
//! do about signals. What they share is [`Running`].

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::child::{self, Program};
use super::ended::{Ended, fitting};
use super::plan::Plan;
use super::running::Running;
use super::{PAUSE, SLICE};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, notice};
use crate::{Config, Error, ErrorCode, Jobs, Operations, ReserveRequest, ReservedJob};

/// How long it may take to record what became of the jobs when everything was told to end.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Worker<'a, J> {
    jobs: &'a J,
    plan: &'a Plan,
    program: Arc<Program>,
    running: RefCell<Running>,
    children: RefCell<JoinSet<()>>,
    /// Bound: one for each job that is held.
    ended: mpsc::UnboundedSender<Ended>,
    /// Whether jobs are taken.
    taking: Cell<bool>,
    /// Jobs are not taken any more.
    stopped: Notify,
    /// The same, for whoever settles.
    idle: Notify,
    /// A place is free.
    freed: Notify,
    /// The connection was lost, and with it perhaps the jobs.
    doubt: Notify,
    failure: Cell<Option<Failure>>,
    /// Whether trouble with the connection was told of.
    troubled: Cell<bool>,
    quiet: bool,
}

/// Does as `plan` says until enough was done, or a signal comes from `stops`, or it cannot go on.
pub(super) async fn work<J: Operations>(
    jobs: &J,
    plan: &Plan,
    stops: &mut mpsc::Receiver<Exit>,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let (ended, endings) = mpsc::unbounded_channel();
    let worker = Worker {
        jobs,
        plan,
        program: Arc::new(plan.program.clone()),
        running: RefCell::new(Running::new(plan.concurrency, plan.jobs_max)),
        children: RefCell::default(),
        ended,
        taking: Cell::new(true),
        stopped: Notify::new(),
        idle: Notify::new(),
        freed: Notify::new(),
        doubt: Notify::new(),
        failure: Cell::new(None),
        troubled: Cell::new(false),
        quiet: out.json(),
    };
    let exit = tokio::select! {
        () = async { tokio::join!(worker.take(), worker.settle(endings, out)); } => Exit::Done,
        never = worker.touch() => never,
        never = worker.listen() => never,
        exit = worker.obey(stops) => exit,
    };
    worker.failure.take().map_or(Ok(exit), Err)
}

impl<J: Operations> Worker<'_, J> {
    /// Takes jobs until there are enough, or that is stopped.
    async fn take(&self) {
        let taken = tokio::select! {
            // First, so that nothing is begun after everything was told to end.
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
        loop {
            let (room, enough) = {
                let running = self.running.borrow();
                (running.room(), running.is_full())
            };
            if enough {
                return Ok(());
            }
            if room == 0 {
                self.freed.notified().await;
                continue;
            }
            let request = ReserveRequest {
                topic: self.plan.topic.clone(),
                credits: room,
                wait: Some(SLICE),
                visibility: Some(self.plan.visibility),
            };
            match self.jobs.reserve(request).await {
                Ok(jobs) => {
                    self.troubled.set(false);
                    jobs.into_iter().for_each(|job| self.start(job));
                }
                Err(error) => self.pause(error).await?,
            }
        }
    }

    fn start(&self, job: ReservedJob) {
        let killed = self.running.borrow_mut().add(job.reservation);
        let (program, ended) = (Arc::clone(&self.program), self.ended.clone());
        let mut children = self.children.borrow_mut();
        children.spawn(async move {
            let verdict = child::run(&program, &job, killed).await;
            // Nobody is left to be told of it only when the worker is gone.
            let _ = ended.send(Ended { reservation: job.reservation, verdict });
        });
        // Those that are over.
        while children.try_join_next().is_some() {}
    }

    /// Holds on to what runs.
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
            match self.jobs.touch(held.clone(), None).await {
                Ok(answers) => {
                    let lost = held.iter().zip(answers).filter(|(_, answer)| answer.is_some());
                    lost.for_each(|(lost, _)| self.running.borrow_mut().revoke(*lost));
                }
                Err(error) => {
                    if error.code == ErrorCode::StoreChanged {
                        self.running.borrow_mut().revoke_all();
                    }
                    match self.pause(error).await {
                        Ok(()) => self.doubt.notify_one(),
                        Err(failure) => {
                            self.fail(failure);
                            return std::future::pending().await;
                        }
                    }
                }
            }
        }
    }

    /// Listens for jobs that are its own no more.
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

    /// Settles what is over, until there is no more to come.
    async fn settle(&self, mut endings: mpsc::UnboundedReceiver<Ended>, out: &mut Output) {
        let queue = Config::new().queue;
        let mut over = Vec::new();
        while self.taking.get() || !self.running.borrow().is_empty() {
            tokio::select! {
                _ = endings.recv_many(&mut over, queue.push_jobs_max) => {}
                () = self.idle.notified() => {}
            }
            while !over.is_empty() {
                let rest = over.split_off(fitting(&over, queue.push_bytes_max));
                let batch = std::mem::replace(&mut over, rest);
                self.settle_batch(batch, out).await;
            }
            match out.flush().await {
                // Whoever listens for the end hears of it.
                Ok(()) | Err(Failure::ClosedPipe) => {}
                Err(failure) => self.fail(failure),
            }
        }
    }

    async fn settle_batch(&self, mut batch: Vec<Ended>, out: &mut Output) {
        while !batch.is_empty() {
            let answers = self.settled(&batch).await;
            let mut again = Vec::new();
            for (ended, refusal) in batch.into_iter().zip(answers) {
                let other = refusal.as_ref().and_then(|refusal| ended.without_result(refusal));
                if let Some(other) = other {
                    again.push(other);
                    continue;
                }
                ended.show(refusal.as_ref(), out);
                self.running.borrow_mut().remove(ended.reservation);
                self.freed.notify_one();
            }
            batch = again;
        }
    }

    /// One answer for each. Tried again for as long as the jobs may still be this worker's.
    async fn settled(&self, batch: &[Ended]) -> Vec<Option<Error>> {
        let settlements: Vec<_> = batch.iter().filter_map(Ended::settlement).collect();
        let start = Instant::now();
        let answers = loop {
            if settlements.is_empty() {
                break Ok(Vec::new());
            }
            match self.jobs.settle(settlements.clone()).await {
                Err(error) if error.retryable() && start.elapsed() < self.plan.visibility => {
                    self.doubt.notify_one();
                    // It is retryable, so this is no failure.
                    let _ = self.pause(error).await;
                }
                answers => break answers,
            }
        };
        let mut answers = answers.map(Vec::into_iter);
        let answer = |ended: &Ended| match (&ended.verdict, &mut answers) {
            (None, _) => None,
            (Some(_), Ok(answers)) => answers.next().flatten(),
            (Some(_), Err(error)) => Some(error.clone()),
        };
        batch.iter().map(answer).collect()
    }

    /// Does as signals say: at the first no more jobs are taken; at the second, or when the grace
    /// is over, everything is ended.
    async fn obey(&self, stops: &mut mpsc::Receiver<Exit>) -> Exit {
        let Some(_) = stops.recv().await else { return std::future::pending().await };
        self.stopped.notify_one();
        if !self.quiet && !self.running.borrow().is_empty() {
            let grace = crate::duration::show(self.plan.grace);
            notice(format_args!("stopping; what runs has {grace}, a second signal ends it"));
        }
        let exit = tokio::select! {
            () = sleep(self.plan.grace) => Exit::Done,
            exit = stops.recv() => exit.unwrap_or(Exit::Done),
        };
        self.running.borrow_mut().release_all();
        sleep(LAST_PATIENCE).await;
        exit
    }

    /// Ends everything for a reason.
    fn fail(&self, failure: Failure) {
        // The first is the reason for the others.
        let first = self.failure.take();
        self.failure.set(Some(first.unwrap_or(failure)));
        self.stopped.notify_one();
        self.running.borrow_mut().release_all();
    }

    /// Waits a little after an error that will pass; any other is a failure.
    async fn pause(&self, error: Error) -> Result<(), Failure> {
        // Another store has other jobs, and needs workers as well.
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
