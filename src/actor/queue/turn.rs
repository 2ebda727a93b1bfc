//! A turn of [`QueueActor`]: executes a part of a message within `rpc.turn_max`, and ends.

use std::collections::BTreeMap;

use actix::{ActorFutureExt as _, AsyncContext, Context, WrapFuture as _};

use super::QueueActor;
use crate::actor::caller::{Caller, ReplyTo};
use crate::actor::message::{Finished, JobTask, JobTasks, RecordFinished};
use crate::actor::storage::{give, give_late, hand_over, sooner_due, take_expired};
use crate::error::{Error, ErrorCode};
use crate::model::{JobReply, JobRequest, Reservation};
use crate::pace::{self, Turn};
use crate::queue::{Effect, Now};

impl QueueActor {
    /// Executes the requests of a message until the turn is over, at least one. The rest is executed in
    /// the next turns, before any other message: a connection's requests are executed in order, and
    /// none after the connection is gone.
    pub(super) fn work_off(&mut self, works: JobTasks, ctx: &mut Context<Self>) {
        let turn = Turn::begin(self.turn_max);
        let now = self.now_at(turn.reading());
        let JobTasks { owner, works, sink, restriction, user, client } = works;
        let mut works = works.into_iter();
        for work in works.by_ref() {
            let to = ReplyTo::Connection(sink.clone());
            let JobTask { id, deadline, durability: asked, .. } = work;
            let caller = Caller { owner, client, id, asked, deadline, to };
            let steps = steps_of(&work.request);
            self.do_one(now, &turn, caller, work, user, restriction.as_ref());
            if turn.is_over_after(steps) {
                break;
            }
        }
        self.finish(now, ctx);
        if works.len() > 0 {
            let works = works.collect();
            let rest = JobTasks { owner, works, sink, restriction, user, client };
            let next = pace::next().into_actor(self);
            ctx.wait(next.map(|(), actor, ctx| actor.work_off(rest, ctx)));
        }
    }

    /// Ends a turn: hands out jobs, hands the changes to the journal, then sends the answers that are
    /// durable enough.
    pub(super) fn finish(&mut self, now: Now, ctx: &mut Context<Self>) {
        self.expire(now);
        self.look_for_space(now);
        let effects = self.queue.borrow_mut().finish_turn(now);
        for effect in effects {
            self.take_effect(effect);
        }
        hand_over(&mut self.durability_queue, &mut self.records, |out| {
            self.queue.borrow_mut().take_record(out)
        });
        // Requests that wait for a job which was unfinished when they came may be answered now; the
        // others find the jobs that finished in this turn.
        let (waiting, seeking): (Vec<_>, Vec<_>) =
            self.seeks.drain(..).partition(|seek| seek.query.is_of_unfinished());
        for seek in waiting {
            // bound: one for each request
            self.storage.do_send(seek);
        }
        if !self.finished.is_empty() || !self.finishing.is_empty() {
            let finished = std::mem::take(&mut self.finished);
            let answers = std::mem::take(&mut self.finishing);
            let confirmed = std::mem::take(&mut self.confirmed);
            // bound: one for each turn
            self.storage.do_send(RecordFinished { finished, confirmed, answers });
        }
        for seek in seeking {
            // bound: one for each request
            self.storage.do_send(seek);
        }
        give(&mut self.durability_queue, &mut self.answers);
        let queue = self.queue.borrow();
        if !self.drained.is_empty() && !queue.has_reserved() {
            // The caller may have stopped waiting.
            for drained in self.drained.drain(..) {
                let _ = drained.send(());
            }
        }
        let due = sooner_due(queue.next_due(now), &self.durability_queue, &self.clock, now);
        drop(queue);
        self.turns.arm(ctx, &self.clock, now.steady, due, |actor, ctx| {
            actor.turns.fired();
            let now = actor.now();
            actor.finish(now, ctx);
        });
    }

    /// Answers requests whose deadline has passed before the disk has what the answers show. Jobs that
    /// were handed out to them go back.
    fn expire(&mut self, now: Now) {
        let expired = take_expired(&mut self.durability_queue, &self.clock, now);
        let jobs = expired.iter().filter_map(|answered| match &answered.result {
            Ok(JobReply::Reserved(jobs)) => Some(jobs),
            _ => None,
        });
        let unseen: Vec<Reservation> = jobs.flatten().map(|job| job.reservation).collect();
        if !unseen.is_empty() {
            self.queue.borrow_mut().undeliver(now, unseen);
        }
        let mut unreported: BTreeMap<u64, Vec<&[Reservation]>> = BTreeMap::new();
        for answered in &expired {
            if let Ok(JobReply::Revoked(lost)) = &answered.result {
                unreported.entry(answered.caller.owner).or_default().push(lost);
            }
        }
        for (owner, lost) in unreported {
            self.queue.borrow_mut().report_again(owner, lost.into_iter().flatten().copied());
        }
        give_late(expired);
    }

    /// Checks whether the disk has space for a due push of a schedule, because there is no caller to
    /// refuse.
    fn look_for_space(&mut self, now: Now) {
        let Some(durability_queue) = &self.durability_queue else { return };
        let mut queue = self.queue.borrow_mut();
        let Some(bytes) = queue.due_push_bytes(now) else { return };
        let checked = durability_queue.log.get_mut().check_growth(bytes, || true);
        queue.set_disk_full(checked.is_err_and(|error| error.code == ErrorCode::NoSpace));
    }

    fn take_effect(&mut self, effect: Effect) {
        let (park, result) = match effect {
            Effect::Reserved(park, jobs) => (park, Ok(JobReply::Reserved(jobs))),
            Effect::Pushed(park, pushed) => (park, pushed.map(JobReply::Pushed)),
            Effect::Revoked(park, reservations) => (park, Ok(JobReply::Revoked(reservations))),
            Effect::Refused(park, error) => (park, Err(error)),
            Effect::Record(info) => {
                let reservation = Reservation { id: info.id, epoch: info.epoch };
                self.finished.push(Finished::Done(reservation, info));
                return;
            }
            Effect::Note(info) => {
                self.finished.push(Finished::Noted(info));
                return;
            }
            Effect::Cleared(info) => {
                self.finished.push(Finished::Cleared(info));
                return;
            }
        };
        if let Some(caller) = self.callers.take(park) {
            self.answers.push((caller, result.map_err(Error::from)));
        }
    }
}

/// Returns the number of jobs that a request moves, for [`Turn::is_over_after`]; requests that may
/// examine any number of jobs count as a whole turn.
fn steps_of(request: &JobRequest) -> usize {
    match request {
        JobRequest::Push { jobs, .. } => jobs.len(),
        JobRequest::Settle(settlements) => settlements.len(),
        JobRequest::Reserve(reserve) => reserve.credits as usize,
        JobRequest::Touch { reservations, .. } => reservations.len(),
        JobRequest::Get(_) | JobRequest::Progress { .. } => 1,
        JobRequest::Revoked { .. }
        | JobRequest::Await { .. }
        | JobRequest::Outcomes { .. }
        | JobRequest::Resume(_)
        | JobRequest::List { .. }
        | JobRequest::Cancel(_)
        | JobRequest::Replay { .. }
        | JobRequest::DeleteDead { .. }
        | JobRequest::FreeIndex { .. }
        | JobRequest::SetTopic { .. }
        | JobRequest::PauseTopic { .. }
        | JobRequest::ClearTopic(_)
        | JobRequest::DeleteTopic { .. }
        | JobRequest::Topic(_)
        | JobRequest::Topics { .. }
        | JobRequest::SetSchedule(_)
        | JobRequest::RemoveSchedule(_)
        | JobRequest::Schedules => usize::MAX,
    }
}
