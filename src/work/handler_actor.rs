//! [`HandlerActor`]: one handler that runs, or waits for a job.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Instant;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};

use super::attempt::{Attempt, AttemptEnd};
use super::context::Notes;
use super::handler_thread::HandlerThread;
use super::job_board::{AttemptReport, JobBoard, WakeHandler};
use super::{Cancelled, JobContext, JobHandler, Schema, Topic};
use crate::config::work::TURN_JOBS;
use crate::model::ReservedJob;

/// The parts that all handlers of a worker share.
pub(super) struct HandlerShared<H: JobHandler, S> {
    pub(super) handler: Arc<H>,
    pub(super) topic: Topic<H::Job, H::Output, S>,
    pub(super) attempt_timeout: std::time::Duration,
    pub(super) notes: Arc<dyn Notes>,
    pub(super) board: Arc<JobBoard>,
}

/// Runs one handler at a time.
pub(super) struct HandlerActor<H: JobHandler, S: Schema<H::Job> + Schema<H::Output>> {
    shared: Arc<HandlerShared<H, S>>,
    place: ThreadSlot,
    /// True while a handler awaits.
    busy: bool,
}

/// The place of an actor on a thread, which is freed on drop.
pub(super) struct ThreadSlot {
    thread: Arc<HandlerThread>,
    board: Arc<JobBoard>,
    slot: Option<usize>,
}

impl ThreadSlot {
    pub(super) fn new(thread: Arc<HandlerThread>, board: Arc<JobBoard>) -> Self {
        Self { thread, board, slot: None }
    }
}

impl Drop for ThreadSlot {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.board.remove_handler(slot);
        }
        if self.thread.handler_ended() {
            self.board.notify_thread_ended();
        }
    }
}

impl<H: JobHandler, S: Schema<H::Job> + Schema<H::Output>> HandlerActor<H, S> {
    pub(super) fn new(shared: Arc<HandlerShared<H, S>>, place: ThreadSlot) -> Self {
        Self { shared, place, busy: false }
    }

    /// Processes jobs while there are any and none has to await.
    fn work(&mut self, mut report: Option<AttemptReport>, ctx: &mut Context<Self>) {
        let Some(slot) = self.place.slot else { return };
        for _ in 0..TURN_JOBS {
            if self.place.thread.is_retired() {
                report.into_iter().for_each(|report| self.shared.board.add_report(report));
                self.shared.board.notify_worker();
                return ctx.stop();
            }
            let Some(job) = self.shared.board.next(&self.place.thread, slot, report.take()) else {
                return self.shared.board.notify_worker();
            };
            report = self.begin(job, ctx);
            if report.is_none() {
                return self.shared.board.notify_worker();
            }
        }
        report.into_iter().for_each(|report| self.shared.board.add_report(report));
        self.shared.board.notify_worker();
        // bound: one for each turn
        ctx.notify(WakeHandler);
    }

    /// Begins a job; most end at once, with a report.
    fn begin(&mut self, job: ReservedJob, ctx: &mut Context<Self>) -> Option<AttemptReport> {
        let shared = &self.shared;
        let deadline = Instant::now().checked_add(shared.attempt_timeout);
        let context = JobContext::new(job, deadline, Arc::clone(&shared.notes));
        let reservation = context.reservation();
        let mut attempt = Attempt::new(&shared.handler, &shared.topic, context, &self.place.thread);
        // Without a waker: an unfinished future is polled again at once, in the actor's context.
        let mut nobody = TaskContext::from_waker(Waker::noop());
        if let Poll::Ready(ended) = Pin::new(&mut attempt).poll(&mut nobody) {
            return Some(AttemptReport { reservation, ended });
        }
        if !shared.board.add_running(&self.place.thread, attempt.context().clone()) {
            return Some(AttemptReport {
                reservation,
                ended: AttemptEnd::GivenUp(Cancelled::Stopping),
            });
        }
        self.busy = true;
        let ended = move |ended: AttemptEnd, actor: &mut Self, ctx: &mut Context<Self>| {
            actor.busy = false;
            actor.work(Some(AttemptReport { reservation, ended }), ctx);
        };
        ctx.spawn(attempt.into_actor(self).map(ended));
        None
    }
}

impl<H: JobHandler, S: Schema<H::Job> + Schema<H::Output>> Actor for HandlerActor<H, S> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let actor = ctx.address().recipient();
        self.place.slot = Some(self.shared.board.add_handler(self.place.thread.id, actor));
        self.work(None, ctx);
    }
}

impl<H: JobHandler, S: Schema<H::Job> + Schema<H::Output>> Handler<WakeHandler>
    for HandlerActor<H, S>
{
    type Result = ();

    fn handle(&mut self, _: WakeHandler, ctx: &mut Context<Self>) {
        if !self.busy {
            self.work(None, ctx);
        }
    }
}
