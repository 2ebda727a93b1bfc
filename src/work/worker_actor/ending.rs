//! How a worker ends: running jobs may finish, the rest is given back, actors and threads end.

use std::time::{Duration, Instant};

use actix::{ActorContext, AsyncContext, Context};

use super::{Phase, WorkerActor};
use crate::model::Verdict;
use crate::work::recording_actor::Dismiss;
use crate::work::threads::join;
use crate::work::time::later;
use crate::work::{Cancelled, Queue, Stopped};

impl<Q: Queue> WorkerActor<Q> {
    /// Takes no more jobs, and gives back those not begun.
    pub(super) fn drain(&mut self, ctx: &mut Context<Self>, grace: Duration) {
        let now = Instant::now();
        let until = later(now, grace);
        match self.phase {
            Phase::Working => self.phase = Phase::Draining(until),
            Phase::Draining(before) => self.phase = Phase::Draining(before.min(until)),
            Phase::Clearing(_) | Phase::Retiring(_) => {}
        }
        for (_, next) in self.nexts.drain(..) {
            ctx.cancel_future(next);
        }
        for job in self.desk.take_waiting() {
            if self.books.finish(job.reservation).is_some_and(|held| !held.revoked) {
                self.say(job.reservation, Verdict::Release);
            }
        }
    }

    /// Takes the next steps towards the end, as far as possible.
    pub(super) fn advance(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        if self.phase == Phase::Working && self.queue.is_closed() {
            tracing::info!(topic = %self.topic, "the queue has ended, and its worker with it");
            self.drain(ctx, Duration::ZERO);
        }
        if let Phase::Draining(until) = self.phase
            && (self.books.is_idle() && self.books.is_recorded() || now >= until)
        {
            let released = self.books.release_all();
            self.stats.lock().released += released as u64;
            self.desk.give_up_all(Cancelled::Stopping);
            self.phase = Phase::Clearing(later(now, self.options.stuck_after));
            self.settle(ctx);
        }
        if let Phase::Clearing(until) = self.phase
            && (self.books.is_quiet() || now >= until)
        {
            self.lanes.retire();
            self.phase = Phase::Retiring(later(now, self.options.stuck_after));
        }
        if let Phase::Retiring(until) = self.phase
            && (self.lanes.are_empty() || now >= until)
        {
            self.end(ctx);
        }
    }

    fn end(&mut self, ctx: &mut Context<Self>) {
        let Some(ended) = self.ended.take() else { return };
        let (mut threads, busy) = self.lanes.end();
        if let Some((storage, arbiter)) = self.storage.take() {
            // bound: once
            storage.do_send(Dismiss);
            arbiter.stop();
            threads.push(arbiter);
        }
        let patience = self.options.stuck_after;
        actix::spawn(async move {
            let late = join(threads, patience).await;
            // The receiver may be gone.
            let _ = ended.send(Some(Stopped { stuck: busy + late }));
        });
        ctx.stop();
    }
}
