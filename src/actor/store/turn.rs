//! A turn of [`StoreActor`]: its work until `rpc.turn_max` is over, and what is left to the next turn.

use std::time::{Duration, Instant};

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use tokio::sync::oneshot;

use super::{PREFETCH_GROUP, StoreActor};
use crate::actor::awaiting_durability::{StoreAnswer, late, sooner};
use crate::actor::backlog::{DeferredReply, RequestBatch, RequestWeight};
use crate::actor::durability_queue::DeferredAnswer as _;
use crate::actor::message::{Done, Show, Task, TaskAnswers, TaskRequest, WaitAnswered};
use crate::config::Durability;
use crate::environment;
use crate::error::Error;
use crate::journal::RecordSeq;
use crate::model::{CallReply, Reply};
use crate::pace::{self, Turn};
use crate::store::{Mark, StoreError};
use crate::time::Micros;
use crate::watch::NextBatch;

/// The number of events of a large write between two readings of the clock: some tens of microseconds.
const WRITTEN_GROUP: usize = 128;

/// The number of watchers notified of an event between two readings of the clock.
const NOTIFIED_GROUP: usize = 512;

/// The number of revisions that become visible between two readings of the clock.
const SHOWN_GROUP: usize = 64;

/// Durable changes that a turn was too short to make visible.
pub(super) struct PendingShow {
    /// The position up to which events become visible.
    pub(super) mark: Option<Mark>,
    /// The record up to which answers may be sent afterwards.
    pub(super) durable: RecordSeq,
}

/// The caller of a large write in progress.
pub(super) enum BegunFor {
    /// A message of a connection, whose last request so far is the write.
    Connection(Box<RequestBatch>),
    /// A caller in this process, the durability of its answer, and its deadline.
    Local(oneshot::Sender<Result<CallReply, Error>>, Option<Durability>, Option<Instant>),
}

impl StoreActor {
    /// Returns the time of the last reading of the clock in a turn.
    pub(super) fn now(&self, turn: &Turn) -> Micros {
        self.epoch.saturating_add(self.clock.steady_of(turn.reading()))
    }

    pub(super) fn begin(&self) -> Turn {
        Turn::begin(self.turn_max)
    }

    /// Ends a turn: events and answers go out before the replies of the turn, and as many batches of
    /// streams as the turn has time for.
    pub(super) fn finish(&mut self, turn: &Turn, ctx: &mut Context<Self>) {
        self.finish_with(turn, 0, ctx);
    }

    /// Does the same as [`finish`](Self::finish), but sends at least `batches_min` batches, however
    /// little time there is.
    fn finish_with(&mut self, turn: &Turn, batches_min: usize, ctx: &mut Context<Self>) {
        #[cfg(any(test, feature = "cli"))]
        environment::simulated::note_turn(self.hub.state().steps_taken(), self.requests);
        self.hand_over(turn);
        self.deliver(turn);
        self.send_answers();
        let mut looks = 0;
        while self.hub.has_batch() && (looks < batches_min || !turn.is_over()) {
            self.send_batch();
            looks += 1;
        }
        // Looking for batches notifies watchers, too.
        self.send_answers();
        self.conclude_stop();
        self.arm(turn, ctx);
    }

    pub(super) fn send_answers(&mut self) {
        for answer in self.hub.take_answers() {
            // bound: the one answer of this session
            answer.address.do_send(WaitAnswered(answer.outcome.map_err(Error::from)));
            self.answered.push(answer.address);
        }
    }

    /// Looks for the next batch of a stream, and sends it.
    pub(super) fn send_batch(&mut self) {
        if let NextBatch::Batch(stream, batch) = self.hub.next_batch()
            && let Some(session) = self.hub.address(stream)
        {
            // bound: one batch until the session's consumer is ready again
            session.do_send(Show(stream, batch));
        }
    }

    /// Hands the changes to the journal.
    fn hand_over(&mut self, turn: &Turn) {
        if self.durability_queue.is_none() {
            return;
        }
        let now = self.now(turn);
        if let Some(durability_queue) = &mut self.durability_queue {
            let due = self.snapshots.next_due(self.hub.state(), &durability_queue.log.get());
            if due.is_some_and(|due| due <= now) && !self.hub.is_busy() {
                // A snapshot would begin with the events of what it deleted. Watchers that are still to
                // be notified need them.
                self.hub.give_up_last_revision(now);
            }
            let mark = self.hub.state().mark();
            durability_queue.hand_over(self.hub.records(), mark);
            let other_state = &mut self.other_state;
            self.snapshots.begin(
                now,
                self.hub.state_mut(),
                other_state,
                &mut durability_queue.log.get_mut(),
            );
        }
    }

    /// Schedules a turn that checks whether paused streams can resume.
    pub(super) fn look_for_space(&mut self, ctx: &mut Context<Self>) {
        let turn = self.begin();
        self.hub.look_for_capacity();
        self.arm(&turn, ctx);
    }

    /// Schedules the next turn, if something is due or left over. Called after every message, because
    /// timers starve while messages arrive.
    fn arm(&mut self, turn: &Turn, ctx: &mut Context<Self>) {
        let more = !self.closing.is_empty()
            || !self.answered.is_empty()
            || !self.backlog.is_empty()
            || self.showing.is_some()
            || self.stop.is_some()
            || self.snapshots.must_write();
        let mut deadline = self.hub.next_deadline();
        if let Some(durability_queue) = &self.durability_queue {
            let answers = sooner(durability_queue.next_deadline(), self.awaited.next_deadline());
            let answers = answers.map(|at| self.micros(at));
            let room = self.snapshots.next_due(self.hub.state(), &durability_queue.log.get());
            deadline = deadline.into_iter().chain(answers).chain(room).min();
        }
        // Read only where something goes by it.
        let now = if deadline.is_some() { self.now(turn) } else { 0 };
        if more || self.hub.must_advance(now) {
            if !std::mem::replace(&mut self.turn_comes, true) {
                // A message to itself would keep the mailbox busy and starve every connection; a task
                // that yields lets all of them run first, and the sockets be polled.
                let turn = pace::next().into_actor(self);
                ctx.spawn(turn.map(|(), actor, ctx| {
                    actor.turn_comes = false;
                    actor.take_turn(ctx);
                }));
            }
            return;
        }
        let Some(deadline) = deadline else { return };
        if self.timer.is_some_and(|(_, fires)| fires <= deadline) {
            return;
        }
        if let Some((timer, _)) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        // A timer counts from now, not from the last reading.
        let now = self.micros(environment::now());
        let wait = Duration::from_micros(deadline.saturating_sub(now));
        let timer = ctx.run_later(wait, |actor, ctx| {
            actor.timer = None;
            actor.take_turn(ctx);
        });
        self.timer = Some((timer, deadline));
    }

    /// Runs a turn for due work, and for work that earlier turns were too short for: a slice of it.
    fn take_turn(&mut self, ctx: &mut Context<Self>) {
        let turn = self.begin();
        if self.settle(&turn) {
            self.backlog.release();
        }
        let slice = self.hub.state().config().slice_max;
        if let Some(stream) = self.closing.pop_front()
            && !self.hub.close_stream(stream, slice)
        {
            self.closing.push_back(stream);
        }
        self.answered.truncate(self.answered.len().saturating_sub(slice));
        let now = self.now(&turn);
        self.hub.advance(now);
        // This may have completed a large write, whose caller is answered before another one begins.
        self.deliver(&turn);
        self.expire(&turn);
        let shown = self.show(&turn);
        self.stop_some(&turn);
        if let Some(durability_queue) = &mut self.durability_queue {
            let other_state = &mut self.other_state;
            self.snapshots.write(
                self.hub.state_mut(),
                other_state,
                &mut durability_queue.log.get_mut(),
            );
        }
        // Due work gets one part of the turn; requests and streams get one each.
        let turn = turn.anew();
        let done = self.work_off(&turn);
        let turn = turn.anew();
        self.finish_with(&turn, 1, ctx);
        self.release(shown);
        for mut batch in done {
            let sender = batch.take_sender();
            let answers = self.conclude(batch);
            // The connection may be gone.
            drop(sender.map(|sender| sender.send(answers)));
        }
        if let (None, Some(durability_queue)) = (&self.showing, &mut self.durability_queue) {
            // What a message wrote in an earlier turn may already be durable.
            durability_queue.release_due();
        }
    }

    /// Answers requests whose deadline has passed before the disk has what the answers show, or has
    /// finished what they asked for.
    fn expire(&mut self, turn: &Turn) {
        self.awaited.expire(turn.reading());
        let Some(durability_queue) = &mut self.durability_queue else { return };
        let expired = durability_queue.take_expired(turn.reading());
        StoreAnswer::give_all(expired.into_iter().map(|mut answered| {
            answered.fail(&late());
            answered
        }));
    }

    /// Continues messages that wait: light ones first, and at least one request of each kind. Returns
    /// the messages that are complete.
    fn work_off(&mut self, turn: &Turn) -> Vec<RequestBatch> {
        let mut done = Vec::new();
        for kind in [RequestWeight::Light, RequestWeight::Heavy] {
            while let Some(mut batch) = self.backlog.next(kind) {
                if self.do_some(&mut batch, turn) {
                    done.push(batch);
                } else {
                    self.put_off(batch);
                }
                if turn.is_over() {
                    break;
                }
            }
        }
        done
    }

    /// Executes requests of a message until the turn is over, at least one; returns whether the message
    /// is complete, or its answers have reached their limit.
    pub(super) fn do_some(&mut self, batch: &mut RequestBatch, turn: &Turn) -> bool {
        let now = self.now(turn);
        let mut warmed = 0;
        while batch.works.len() > 0 {
            if warmed == 0 {
                self.prefetch(batch.works.as_slice(), &batch.keys);
                warmed = PREFETCH_GROUP;
            }
            warmed -= 1;
            if !self.may_do_next(batch, turn) {
                return false;
            }
            let Some(work) = batch.works.next() else { break };
            let steps = if work.task.is_heavy() { usize::MAX } else { 1 };
            self.do_one(now, turn, batch, work);
            if batch.begun.is_some() {
                return false;
            }
            if batch.is_full() {
                return true;
            }
            if batch.works.len() > 0 && turn.is_over_after(steps) {
                return false;
            }
        }
        true
    }

    /// Does the work that the next request of a message has to wait for, as far as the turn permits;
    /// returns whether none is left.
    fn may_do_next(&mut self, batch: &RequestBatch, turn: &Turn) -> bool {
        if self.must_hold(batch) && (self.backlog.is_holding() || !self.settle(turn)) {
            return false;
        }
        // A request that names leases with very many keys waits until the keys are judged.
        let access = batch.restriction.as_ref();
        let next = batch.works.as_slice().first();
        next.is_none_or(|work| self.leases.judge_some(access, self.hub.state(), &work.task))
    }

    /// Keeps a message for its next turn, or until the end of the large write that it began.
    pub(super) fn put_off(&mut self, mut batch: RequestBatch) -> DeferredReply {
        if batch.begun.is_some() {
            let later = batch.later();
            self.begun_for.push_back(BegunFor::Connection(Box::new(batch)));
            return later;
        }
        if self.must_hold(&batch) { self.backlog.hold(batch) } else { self.backlog.push(batch) }
    }

    /// Returns whether the next request of a message must wait for the end of a large write, or until
    /// all watchers are notified of it. Look-ups need not wait.
    fn must_hold(&self, batch: &RequestBatch) -> bool {
        (self.hub.is_busy() || self.backlog.is_holding())
            && batch.works.as_slice().first().is_some_and(|work| match &work.task {
                Task::Key(request) => !self.hub.key_may_pass(request.action),
                Task::Store(task) => !self.hub.may_pass(&task.request),
                Task::Wait { .. } | Task::Watch { .. } => true,
                Task::OpenStream { .. } | Task::CancelWatch { .. } | Task::Refused(_) => false,
            })
    }

    /// Applies a large write, and notifies watchers, until the turn is over; returns whether both are
    /// complete.
    fn settle(&mut self, turn: &Turn) -> bool {
        while self.hub.is_busy() {
            if self.hub.go_on(self.now(turn), WRITTEN_GROUP) {
                self.deliver(turn);
                self.hub.notify_some(&mut { NOTIFIED_GROUP });
            }
            if turn.is_over() {
                return !self.hub.is_busy();
            }
        }
        true
    }

    /// Applies the rest of a large write at once, because a request of this process follows it.
    pub(super) fn finish_write(&mut self, turn: &Turn) {
        self.hub.finish_write(self.now(turn));
        self.deliver(turn);
    }

    /// Sends the replies to complete large writes to their callers; the message of a connection continues.
    fn deliver(&mut self, turn: &Turn) {
        while let Some(reply) = self.hub.take_finished() {
            self.deliver_one(turn, reply);
        }
    }

    fn deliver_one(&mut self, turn: &Turn, reply: Result<Reply, StoreError>) {
        // A withheld answer waits for the records handed over so far.
        self.hand_over(turn);
        if let Some(durability_queue) = &self.durability_queue {
            durability_queue.log.get_mut().large_ends();
        }
        let until = |level: Option<Durability>| {
            let durability_queue = self.durability_queue.as_ref().zip(level);
            durability_queue
                .and_then(|(durability_queue, level)| durability_queue.until(level, true))
        };
        let failed =
            self.durability_queue.as_ref().and_then(|durability_queue| durability_queue.failed());
        let reply =
            |durability| reply.map(|reply| CallReply { reply, durability }).map_err(Error::from);
        match self.begun_for.pop_front() {
            Some(BegunFor::Connection(mut batch)) => {
                if let Some(begun) = batch.begun.take() {
                    let until = until(begun.level);
                    let answer = reply(begun.level).map(Done::Reply);
                    batch.note_begun(begun, until, answer);
                }
                self.backlog.push_front(*batch);
            }
            Some(BegunFor::Local(caller, level, deadline)) => {
                match (until(level), &mut self.durability_queue, failed) {
                    // The caller may have stopped waiting.
                    (Some(_), _, Some(error)) => drop(caller.send(Err(error))),
                    (Some(until), Some(durability_queue), None) => {
                        let answer = StoreAnswer::Local(caller, reply(level), deadline);
                        durability_queue.withhold(until, answer);
                    }
                    _ => drop(caller.send(reply(level))),
                }
            }
            None => {}
        }
    }

    /// Executes one request. Inlined, because a request is large to pass on.
    #[inline(always)]
    fn do_one(&mut self, now: Micros, turn: &Turn, batch: &mut RequestBatch, work: TaskRequest) {
        let access = batch.restriction.as_ref();
        let hidden = self.leases.hidden(access, self.hub.state(), &work.task);
        let hides = !hidden.is_empty();
        if hides {
            self.hub.state_mut().hide_leases(hidden);
        }
        let worked = self.answer(now, turn, batch, work);
        if hides {
            self.hub.state_mut().hide_leases(Vec::new());
        }
        batch.note(worked);
    }

    /// Returns the answers to a complete message; those that show something that is not durable yet are
    /// withheld.
    pub(super) fn conclude(&mut self, mut batch: RequestBatch) -> TaskAnswers {
        let rest = batch.take_rest();
        let RequestBatch { keys, sink, answers, withheld, replies, .. } = batch;
        if let Some(durability_queue) = &mut self.durability_queue {
            for (until, mut answered) in withheld.into_answered(&sink) {
                match durability_queue.failed() {
                    None => durability_queue.withhold(until, answered),
                    Some(error) => {
                        answered.fail(&error);
                        StoreAnswer::give_all(std::iter::once(answered));
                    }
                }
            }
        }
        TaskAnswers { done: answers, rest, keys, replies }
    }

    /// Makes durable changes visible until the turn is over; returns the record up to which answers may
    /// be sent, if everything is visible.
    pub(super) fn show(&mut self, turn: &Turn) -> Option<RecordSeq> {
        let showing = self.showing.as_ref()?;
        let durable = showing.durable;
        if let Some(mark) = showing.mark {
            while !self.hub.show_some(mark, SHOWN_GROUP) {
                if turn.is_over() {
                    return None;
                }
            }
        }
        self.showing = None;
        Some(durable)
    }

    /// Sends the answers that waited for records up to `shown`.
    pub(super) fn release(&mut self, shown: Option<RecordSeq>) {
        if let (Some(durable), Some(durability_queue)) = (shown, &mut self.durability_queue) {
            durability_queue.release(durable);
        }
    }
}
