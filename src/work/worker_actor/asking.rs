//! How a worker gets jobs, extends its reservations, and learns that it lost one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::{WorkerActor, WorkerPhase, guarded};
use crate::config::work::{LOOK_MAX, NEXTS_MAX};
use crate::error::{Error, ErrorCode};
use crate::model::{Reservation, ReservedJob, Verdict};
use crate::work::time::later;
use crate::work::{Next, Queue};

impl<Q: Queue> WorkerActor<Q> {
    /// Asks for as many jobs as there are free handlers.
    pub(super) fn ask(&mut self, ctx: &mut Context<Self>) {
        while self.phase == WorkerPhase::Working && self.asking.is_over(Instant::now()) {
            let credits = self.in_flight.free().min(self.batch_max);
            // A pending request for few jobs need not be followed by another for few.
            let enough =
                if self.nexts.is_empty() { 1 } else { (self.options.concurrency / 2).max(1) };
            if self.nexts.len() >= NEXTS_MAX || credits < enough {
                return;
            }
            self.in_flight.ask(credits);
            let next = Next {
                credits: u32::try_from(credits).unwrap_or(u32::MAX),
                wait: self.options.wait,
                visibility: self.options.visibility,
            };
            self.asked += 1;
            let (queue, number, at) = (Arc::clone(&self.queue), self.asked, Instant::now());
            let jobs = guarded(async move { queue.next(next).await });
            let handle = ctx.spawn(jobs.into_actor(self).map(move |jobs, actor, ctx| {
                actor.in_flight.answered(credits);
                actor.nexts.retain(|(of, _)| *of != number);
                actor.handed_out(jobs, at);
                actor.turn(ctx);
            }));
            self.nexts.push((number, handle));
        }
    }

    fn handed_out(&mut self, jobs: Result<Vec<ReservedJob>, Error>, asked: Instant) {
        let now = Instant::now();
        match jobs {
            // A queue that does not wait must not be asked in a tight loop.
            Ok(jobs) if jobs.is_empty() && now - asked < self.options.wait / 2 => {
                self.asking.failed(now, rand::random());
            }
            Ok(jobs) => {
                self.asking.succeeded();
                self.leave(jobs);
            }
            Err(error) if self.allows_less(&error) => {}
            Err(error) => {
                self.stats.lock().queue_errors += 1;
                let pause = self.asking.failed(now, rand::random());
                tracing::warn!(topic = %self.topic, %error, ?pause, "the queue returned an error instead of jobs");
            }
        }
    }

    fn leave(&mut self, jobs: Vec<ReservedJob>) {
        if jobs.is_empty() {
            return;
        }
        if self.phase != WorkerPhase::Working {
            jobs.iter().for_each(|job| self.settle_verdict(job.reservation, Verdict::Release));
            return;
        }
        for job in &jobs {
            // For example, it was lost with its connection, and has come back before that was
            // noticed.
            for older in self.in_flight.older(job.reservation) {
                self.revoke(older);
            }
            self.in_flight.take(job);
        }
        self.board.add_jobs(jobs, self.threads.are_apart());
        if let Err(error) = self.threads.grow() {
            // The existing threads take waiting jobs, and the next check tries again.
            tracing::error!(topic = %self.topic, %error, "a worker has too few threads");
        }
    }

    /// Extends the reservations of held jobs.
    pub(super) fn touch(&mut self, ctx: &mut Context<Self>, now: Instant) {
        if now < self.touch_at {
            return;
        }
        self.touch_at = later(now, self.options.visibility / 3);
        let reservations = self.in_flight.to_touch();
        for part in reservations.chunks(self.batch_max) {
            let (queue, part) = (Arc::clone(&self.queue), part.to_vec());
            let (sent, visibility) = (part.clone(), self.options.visibility);
            let touched = guarded(async move { queue.touch(sent, visibility).await });
            ctx.spawn(touched.into_actor(self).map(move |answers, actor, ctx| {
                match answers {
                    Ok(answers) => {
                        for (reservation, answer) in part.into_iter().zip(answers) {
                            let stale = |error: Error| error.code == ErrorCode::StaleReservation;
                            if answer.is_some_and(stale) {
                                actor.revoke(reservation);
                            }
                        }
                    }
                    Err(error) => {
                        actor.stats.lock().queue_errors += 1;
                        // Tried again at the next check, while the jobs may still be held.
                        actor.touch_at = Instant::now();
                        tracing::warn!(topic = %actor.topic, %error, "cannot extend the reservations of jobs");
                    }
                }
                actor.turn(ctx);
            }));
        }
    }

    /// Listens for revoked reservations.
    pub(super) fn listen(&mut self, ctx: &mut Context<Self>, after: Duration) {
        let (queue, at) = (Arc::clone(&self.queue), Instant::now() + after);
        let revoked = guarded(async move {
            if !after.is_zero() {
                tokio::time::sleep_until(at.into()).await;
            }
            queue.revoked().await
        });
        ctx.spawn(revoked.into_actor(self).map(move |revoked, actor, ctx| {
            let pause = match &revoked {
                Ok(list) if !list.is_empty() => Duration::ZERO,
                // It waited its full time, or not at all.
                Ok(_) if at.elapsed() > LOOK_MAX => Duration::ZERO,
                _ => LOOK_MAX,
            };
            revoked.into_iter().flatten().for_each(|reservation| actor.revoke(reservation));
            actor.listen(ctx, pause);
            actor.turn(ctx);
        }));
    }

    fn revoke(&mut self, reservation: Reservation) {
        if !self.in_flight.revoke(reservation) {
            return;
        }
        self.stats.lock().revoked += 1;
        if self.board.take_back(reservation) {
            self.in_flight.finish(reservation);
        } else {
            self.board.revoke(reservation, later(Instant::now(), self.options.cancel_grace));
        }
    }
}
