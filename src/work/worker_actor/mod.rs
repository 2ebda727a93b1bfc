//! [`WorkerActor`]: keeps handlers busy: asks the queue for jobs, settles them, and extends the
//! reservations of running ones.

mod asking;
mod ending;
mod settling;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorFutureExt, Addr, Arbiter, AsyncContext, Context, Handler, Message, SpawnHandle,
    WrapFuture,
};
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::attempt::{AttemptEnd, panic_message};
use super::in_flight::InFlight;
use super::job_board::{AttemptReport, JobBoard, ReportsReady};
use super::result_actor::ResultActor;
use super::retry_backoff::RetryBackoff;
use super::thread_pool::ThreadPool;
use super::time::later;
use super::{Cancelled, HandlerOptions, Queue, Stopped, WorkerStats};
use crate::config::work::{BATCH_BYTES_MAX, BATCH_JOBS_MAX, ERROR_BYTES_MAX, LOOK_MAX, LOOK_MIN};
use crate::error::{Error, ErrorCode};
use crate::model::{Blob, Reservation, Verdict};

/// Ends the worker; without a grace period, at once.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct StopActor {
    pub(super) grace: Option<Duration>,
}

/// Keeps handlers busy.
pub(super) struct WorkerActor<Q: Queue> {
    queue: Arc<Q>,
    topic: Blob,
    options: HandlerOptions,
    board: Arc<JobBoard>,
    threads: ThreadPool,
    in_flight: InFlight,
    storage: Option<(Addr<ResultActor>, Arbiter)>,
    /// Pending requests for jobs, by number.
    nexts: Vec<(u64, SpawnHandle)>,
    asked: u64,
    /// The number of pending requests to settle.
    settles: usize,
    /// Maximum number of jobs in one request; lowered if the queue demands it.
    batch_max: usize,
    /// Maximum bytes in one request to settle.
    batch_bytes_max: usize,
    asking: RetryBackoff,
    settling: RetryBackoff,
    touch_at: Instant,
    look_at: Instant,
    look_every: Duration,
    phase: WorkerPhase,
    stats: Arc<Mutex<WorkerStats>>,
    ended: Option<watch::Sender<Option<Stopped>>>,
}

/// The progress of the worker's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WorkerPhase {
    Working,
    /// Handlers may finish until this time.
    Draining(Instant),
    /// All jobs are given back; that must be reported by this time.
    Clearing(Instant),
    /// The actors must end by this time.
    Retiring(Instant),
}

impl<Q: Queue> WorkerActor<Q> {
    pub(super) fn new(
        queue: Arc<Q>,
        topic: Blob,
        options: HandlerOptions,
        board: Arc<JobBoard>,
        mut threads: ThreadPool,
        stats: Arc<Mutex<WorkerStats>>,
        ended: watch::Sender<Option<Stopped>>,
    ) -> Result<Self, Error> {
        threads.grow()?;
        let storage = options.storage.clone().map(|storage| {
            let arbiter = Arbiter::try_new().map_err(|error| {
                let message = format!("cannot start a thread for the storage: {error}");
                Error::new(ErrorCode::Unavailable, message)
            })?;
            let start = move |_: &mut Context<_>| ResultActor::new(storage.0);
            Ok::<_, Error>((ResultActor::start_in_arbiter(&arbiter.handle(), start), arbiter))
        });
        let now = Instant::now();
        Ok(Self {
            queue,
            topic,
            in_flight: InFlight::new(options.concurrency),
            storage: storage.transpose()?,
            nexts: Vec::new(),
            asked: 0,
            settles: 0,
            batch_max: BATCH_JOBS_MAX,
            batch_bytes_max: BATCH_BYTES_MAX,
            asking: RetryBackoff::default(),
            settling: RetryBackoff::default(),
            touch_at: later(now, options.visibility / 3),
            look_at: now,
            look_every: look_every(&options),
            phase: WorkerPhase::Working,
            options,
            board,
            threads,
            stats,
            ended: Some(ended),
        })
    }

    /// Does all that is possible after any event.
    fn turn(&mut self, ctx: &mut Context<Self>) {
        for report in self.board.take_reports() {
            self.finish(report);
        }
        self.record(ctx);
        self.settle(ctx);
        self.ask(ctx);
        self.advance(ctx);
        self.stats.lock().running = self.in_flight.running() as u64;
    }

    fn finish(&mut self, AttemptReport { reservation, ended }: AttemptReport) {
        let Some(held) = self.in_flight.finish(reservation) else { return };
        if held.revoked {
            return self.board.forget(reservation);
        }
        let verdict = {
            let mut stats = self.stats.lock();
            let fail = |error| Verdict::Retry { after: None, error };
            match ended {
                AttemptEnd::Verdict(verdict) => verdict,
                AttemptEnd::Panicked(said) => {
                    stats.panics += 1;
                    fail(format!("panicked: {said}"))
                }
                AttemptEnd::GivenUp(Cancelled::TimedOut) => {
                    stats.timed_out += 1;
                    fail(format!("timed out after {:?}", self.options.attempt_timeout))
                }
                AttemptEnd::GivenUp(Cancelled::Stopping | Cancelled::Revoked) => Verdict::Release,
            }
        };
        match verdict {
            Verdict::Done { output } if self.storage.is_some() => {
                self.in_flight.settle_when_recorded(reservation, output, held);
            }
            verdict => self.settle_verdict(reservation, verdict),
        }
    }

    fn settle_verdict(&mut self, reservation: Reservation, mut verdict: Verdict) {
        verdict.cut_error(ERROR_BYTES_MAX);
        let mut stats = self.stats.lock();
        match verdict {
            Verdict::Done { .. } => stats.done += 1,
            Verdict::Retry { .. } | Verdict::Fail { .. } => stats.failed += 1,
            Verdict::Snooze { .. } => stats.snoozed += 1,
            Verdict::Release => stats.released += 1,
        }
        self.in_flight.settle_later(reservation, verdict);
    }

    /// Handles what is due: timed-out attempts, stuck threads, reservations to extend.
    fn look(&mut self, ctx: &mut Context<Self>, now: Instant) {
        self.look_at = now + self.look_every;
        self.board.give_up_late(now);
        let HandlerOptions { stuck_after, stuck_max, attempt_timeout, .. } = self.options;
        for given_up in self.threads.give_up_stuck(now, stuck_after, stuck_max) {
            tracing::error!(
                topic = %self.topic,
                id = given_up.culprit.id,
                "a handler blocks its thread beyond its time; another thread takes its place"
            );
            self.board.forget(given_up.culprit);
            // It is not awaited: a later report is about a job no longer held.
            if self.in_flight.finish(given_up.culprit).is_some_and(|held| !held.revoked) {
                let error =
                    format!("timed out after {attempt_timeout:?}, and still blocks its thread");
                self.settle_verdict(given_up.culprit, Verdict::Retry { after: None, error });
                self.stats.lock().timed_out += 1;
            }
            for other in given_up.others {
                if self.in_flight.finish(other).is_some_and(|held| !held.revoked) {
                    self.settle_verdict(other, Verdict::Release);
                }
            }
            self.stats.lock().replaced += 1;
        }
        self.threads.sweep();
        if self.phase == WorkerPhase::Working
            && let Err(error) = self.threads.grow()
        {
            tracing::error!(topic = %self.topic, %error, "a worker has too few threads");
        }
        let endured = self.threads.endured(now, stuck_after);
        self.stats.lock().stuck = (self.threads.stuck() + endured.len()) as u64;
        for reservation in endured {
            self.show_stuck(ctx, reservation);
        }
        self.touch(ctx, now);
    }

    /// Reports a stuck job in its progress: jobs whose threads were replaced have failed with an
    /// error that says so, but this one is still held.
    fn show_stuck(&mut self, ctx: &mut Context<Self>, reservation: Reservation) {
        if !self.in_flight.note_stuck(reservation) {
            return;
        }
        let note = "stuck: its handler blocks its thread beyond its time, like too many others";
        let queue = Arc::clone(&self.queue);
        let noted = guarded(async move { queue.progress(reservation, note.into()).await });
        ctx.spawn(noted.into_actor(self).map(move |noted, actor, _| {
            if let Err(error) = noted {
                tracing::warn!(topic = %actor.topic, id = reservation.id, %error, "cannot report a stuck job");
            }
        }));
    }

    /// Schedules the next check. Not by an interval, which would make up for missed ticks.
    fn look_later(&mut self, ctx: &mut Context<Self>) {
        ctx.run_later(self.look_every, |actor, ctx| {
            let now = Instant::now();
            if now >= actor.look_at {
                actor.look(ctx, now);
            }
            actor.turn(ctx);
            actor.look_later(ctx);
        });
    }
}

impl<Q: Queue> Actor for WorkerActor<Q> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.listen(ctx, Duration::ZERO);
        self.look_later(ctx);
        self.turn(ctx);
    }
}

impl<Q: Queue> Handler<ReportsReady> for WorkerActor<Q> {
    type Result = ();

    fn handle(&mut self, _: ReportsReady, ctx: &mut Context<Self>) {
        // Timers starve while messages arrive.
        let now = Instant::now();
        if now >= self.look_at {
            self.look(ctx, now);
        }
        self.turn(ctx);
    }
}

impl<Q: Queue> Handler<StopActor> for WorkerActor<Q> {
    type Result = ();

    fn handle(&mut self, StopActor { grace }: StopActor, ctx: &mut Context<Self>) {
        self.drain(ctx, grace.unwrap_or_default());
        self.turn(ctx);
    }
}

/// Turns a panic of a queue's method into an error.
async fn guarded<T>(method: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    AssertUnwindSafe(method).catch_unwind().await.unwrap_or_else(|panic| {
        let message = format!("the queue panicked: {}", panic_message(&*panic));
        Err(Error::new(ErrorCode::Internal, message))
    })
}

/// Returns an interval short enough that due work is not late by much.
fn look_every(options: &HandlerOptions) -> Duration {
    let HandlerOptions { attempt_timeout, visibility, stuck_after, cancel_grace, .. } = options;
    let shortest = (*attempt_timeout).min(*visibility / 3).min(*stuck_after).min(*cancel_grace);
    (shortest / 4).clamp(LOOK_MIN, LOOK_MAX)
}
