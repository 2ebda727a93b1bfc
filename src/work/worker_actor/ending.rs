//! How a worker ends: running jobs may finish, the rest is given back, actors and threads end.

use std::time::{Duration, Instant};

use actix::{ActorContext, AsyncContext, Context};

use super::{WorkerActor, WorkerPhase};
use crate::model::Verdict;
use crate::work::result_actor::EndResultActor;
use crate::work::threads::join;
use crate::work::time::later;
use crate::work::{Cancelled, Queue, Stopped};

impl<Q: Queue> WorkerActor<Q> {
    /// Takes no more jobs, and gives back those not begun.
    pub(super) fn drain(&mut self, ctx: &mut Context<Self>, grace: Duration) {
        let now = Instant::now();
        let until = later(now, grace);
        match self.phase {
            WorkerPhase::Working => self.phase = WorkerPhase::Draining(until),
            WorkerPhase::Draining(before) => self.phase = WorkerPhase::Draining(before.min(until)),
            WorkerPhase::Clearing(_) | WorkerPhase::Retiring(_) => {}
        }
        for (_, next) in self.nexts.drain(..) {
            ctx.cancel_future(next);
        }
        for job in self.board.take_waiting() {
            if self.in_flight.finish(job.reservation).is_some_and(|held| !held.revoked) {
                self.settle_verdict(job.reservation, Verdict::Release);
            }
        }
    }

    /// Takes the next steps towards the end, as far as possible.
    pub(super) fn advance(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        if self.phase == WorkerPhase::Working && self.queue.is_closed() {
            tracing::info!(topic = %self.topic, "the queue has ended, and its worker with it");
            self.drain(ctx, Duration::ZERO);
        }
        if let WorkerPhase::Draining(until) = self.phase
            && (self.in_flight.is_idle() && self.in_flight.is_recorded() || now >= until)
        {
            let released = self.in_flight.release_all();
            self.stats.lock().released += released as u64;
            self.board.give_up_all(Cancelled::Stopping);
            self.phase = WorkerPhase::Clearing(later(now, self.options.stuck_after));
            self.settle(ctx);
        }
        if let WorkerPhase::Clearing(until) = self.phase
            && (self.in_flight.is_quiet() || now >= until)
        {
            self.threads.retire();
            self.phase = WorkerPhase::Retiring(later(now, self.options.stuck_after));
        }
        if let WorkerPhase::Retiring(until) = self.phase
            && (self.threads.are_empty() || now >= until)
        {
            self.end(ctx);
        }
    }

    fn end(&mut self, ctx: &mut Context<Self>) {
        let Some(ended) = self.ended.take() else { return };
        let (mut threads, busy) = self.threads.end();
        if let Some((storage, arbiter)) = self.storage.take() {
            // bound: once
            storage.do_send(EndResultActor);
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
