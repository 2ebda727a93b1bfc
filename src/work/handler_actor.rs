//! [`HandlerActor`]: one handler that runs, or waits for a job.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Instant;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};

use super::attempt::{Attempt, Ended};
use super::context::Notes;
use super::desk::{Desk, Look, Report};
use super::lane::Lane;
use super::{Cancelled, JobContext, JobHandler, Schema, Topic};
use crate::config::work::TURN_JOBS;
use crate::model::ReservedJob;

/// The parts that all handlers of a worker share.
pub(super) struct Kit<H: JobHandler, S> {
    pub(super) handler: Arc<H>,
    pub(super) topic: Topic<H::Job, H::Output, S>,
    pub(super) attempt_timeout: std::time::Duration,
    pub(super) notes: Arc<dyn Notes>,
    pub(super) desk: Arc<Desk>,
}

/// Runs one handler at a time.
pub(super) struct HandlerActor<H: JobHandler, S: Schema<H::Job> + Schema<H::Output>> {
    kit: Arc<Kit<H, S>>,
    place: Place,
    /// True while a handler awaits.
    busy: bool,
}

/// Its place on a thread, which is freed on drop.
pub(super) struct Place {
    lane: Arc<Lane>,
    desk: Arc<Desk>,
    seat: Option<usize>,
}

impl Place {
    pub(super) fn new(lane: Arc<Lane>, desk: Arc<Desk>) -> Self {
        Self { lane, desk, seat: None }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(seat) = self.seat {
            self.desk.stand_up(seat);
        }
        if self.lane.stand_up() {
            self.desk.tell_empty();
        }
    }
}

impl<H: JobHandler, S: Schema<H::Job> + Schema<H::Output>> HandlerActor<H, S> {
    pub(super) fn new(kit: Arc<Kit<H, S>>, place: Place) -> Self {
        Self { kit, place, busy: false }
    }

    /// Processes jobs while there are any and none has to await.
    fn work(&mut self, mut report: Option<Report>, ctx: &mut Context<Self>) {
        let Some(seat) = self.place.seat else { return };
        for _ in 0..TURN_JOBS {
            if self.place.lane.is_retired() {
                report.into_iter().for_each(|report| self.kit.desk.leave_report(report));
                self.kit.desk.tell();
                return ctx.stop();
            }
            let Some(job) = self.kit.desk.next(&self.place.lane, seat, report.take()) else {
                return self.kit.desk.tell();
            };
            report = self.begin(job, ctx);
            if report.is_none() {
                return self.kit.desk.tell();
            }
        }
        report.into_iter().for_each(|report| self.kit.desk.leave_report(report));
        self.kit.desk.tell();
        // bound: one for each turn
        ctx.notify(Look);
    }

    /// Begins a job; most end at once, with a report.
    fn begin(&mut self, job: ReservedJob, ctx: &mut Context<Self>) -> Option<Report> {
        let kit = &self.kit;
        let deadline = Instant::now().checked_add(kit.attempt_timeout);
        let context = JobContext::new(job, deadline, Arc::clone(&kit.notes));
        let reservation = context.reservation();
        let mut attempt = Attempt::new(&kit.handler, &kit.topic, context, &self.place.lane);
        // Without a waker: an unfinished future is polled again at once, in the actor's context.
        let mut nobody = TaskContext::from_waker(Waker::noop());
        if let Poll::Ready(ended) = Pin::new(&mut attempt).poll(&mut nobody) {
            return Some(Report { reservation, ended });
        }
        if !kit.desk.await_it(&self.place.lane, attempt.context().clone()) {
            return Some(Report { reservation, ended: Ended::GivenUp(Cancelled::Stopping) });
        }
        self.busy = true;
        let ended = move |ended: Ended, actor: &mut Self, ctx: &mut Context<Self>| {
            actor.busy = false;
            actor.work(Some(Report { reservation, ended }), ctx);
        };
        ctx.spawn(attempt.into_actor(self).map(ended));
        None
    }
}

impl<H: JobHandler, S: Schema<H::Job> + Schema<H::Output>> Actor for HandlerActor<H, S> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let actor = ctx.address().recipient();
        self.place.seat = Some(self.kit.desk.sit_down(self.place.lane.id, actor));
        self.work(None, ctx);
    }
}

impl<H: JobHandler, S: Schema<H::Job> + Schema<H::Output>> Handler<Look> for HandlerActor<H, S> {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Context<Self>) {
        if !self.busy {
            self.work(None, ctx);
        }
    }
}
