//! A turn of [`StoreActor`]: what it does until `rpc.turn_max` is over, and what it leaves to the next.

use std::time::{Duration, Instant};

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use tokio::sync::oneshot;

use super::{StoreActor, WARM_GROUP};
use crate::actor::backlog::{Batch, BegunWrite, Kind, Later};
use crate::actor::ledger::Answered as _;
use crate::actor::message::{Answered, Answers, Done, Show, Task, Work};
use crate::actor::withheld::{StoreAnswered, late, sooner};
use crate::config::Durability;
use crate::environment;
use crate::error::Error;
use crate::journal::Seq as RecordSeq;
use crate::model::CallReply;
use crate::pace::{self, Turn};
use crate::store::{Mark, Micros};
use crate::watch::NextBatch;

/// Events of a large write applied between two readings of the clock: some tens of microseconds.
const WRITTEN_GROUP: usize = 128;

/// Watchers notified of an event between two readings of the clock.
const NOTIFIED_GROUP: usize = 512;

/// Revisions that are shown between two looks at the clock.
const SHOWN_GROUP: usize = 64;

/// What the journal has made durable and a turn was too short to show.
pub(super) struct Showing {
    /// Up to where events are to be shown.
    pub(super) mark: Option<Mark>,
    /// Up to which record answers may be given once they are.
    pub(super) durable: RecordSeq,
}

/// The caller of a large write that is being applied.
pub(super) enum BegunFor {
    /// A message of a connection, whose last request so far it is.
    Connection(Box<Batch>),
    /// A caller in this process, the durability of its answer, and until when it wants that.
    Local(oneshot::Sender<Result<CallReply, Error>>, Option<Durability>, Option<Instant>),
}

impl StoreActor {
    pub(super) fn now(&self) -> Micros {
        self.time_of(environment::now())
    }

    /// Returns the time of a reading of the clock that was just made.
    fn time_of(&self, reading: Instant) -> Micros {
        self.epoch.saturating_add(self.clock.steady_of(reading))
    }

    pub(super) fn begin(&self) -> Turn {
        Turn::begin(self.turn_max)
    }

    /// Ends a turn: events and answers go out before the replies of the turn do. Of the batches of
    /// streams, as many as the turn is long enough for.
    pub(super) fn finish(&mut self, turn: &Turn, ctx: &mut Context<Self>) {
        self.finish_with(turn, 0, ctx);
    }

    /// [`finish`](Self::finish), with `batches_min` batches however little time there is.
    fn finish_with(&mut self, turn: &Turn, batches_min: usize, ctx: &mut Context<Self>) {
        #[cfg(any(test, feature = "cli"))]
        environment::simulated::note_turn(self.hub.state().steps_taken(), self.requests);
        self.hand_over();
        self.deliver();
        self.send_answers();
        let mut looks = 0;
        while self.hub.has_batch() && (looks < batches_min || !turn.is_over()) {
            self.send_batch();
            looks += 1;
        }
        // Looking for batches notifies watchers, too.
        self.send_answers();
        self.arm(ctx);
    }

    fn send_answers(&mut self) {
        for answer in self.hub.take_answers() {
            // bound: the one answer of this session
            answer.party.do_send(Answered(answer.outcome.map_err(Error::from)));
            self.answered.push(answer.party);
        }
    }

    /// Looks for the next batch of a stream, and sends it.
    fn send_batch(&mut self) {
        if let NextBatch::Batch(stream, batch) = self.hub.next_batch()
            && let Some(session) = self.hub.party(stream)
        {
            // bound: one batch until the session's consumer is ready again
            session.do_send(Show(stream, batch));
        }
    }

    /// Sends the batches that turns were too short for: a consumer that is ready gets the events of every
    /// write that was done, before the stop ends its stream. Each stream is looked at once.
    pub(super) fn send_last_batches(&mut self) {
        self.hub.finish_notifying();
        for _ in 0..self.hub.open_streams() {
            if !self.hub.has_batch() {
                break;
            }
            self.send_batch();
        }
    }

    /// Hands what was changed to the journal.
    fn hand_over(&mut self) {
        if self.ledger.is_none() {
            return;
        }
        let now = self.now();
        if let Some(ledger) = &mut self.ledger {
            let due = self.snapshots.next_due(self.hub.state(), &ledger.log.get());
            if due.is_some_and(|due| due <= now) && !self.hub.is_busy() {
                // A snapshot would begin with what it deleted. Watchers that are still to be notified need it.
                self.hub.give_up_last_revision(now);
            }
            let mark = self.hub.state().mark();
            ledger.hand_over(self.hub.records(), mark);
            let rooms = &mut self.rooms;
            self.snapshots.begin(now, self.hub.state_mut(), rooms, &mut ledger.log.get_mut());
        }
    }

    /// Has a turn look whether there is room for what streams wait for.
    pub(super) fn look_for_room(&mut self, ctx: &mut Context<Self>) {
        self.hub.look_for_room();
        self.arm(ctx);
    }

    /// Schedules the next turn, if something is due or left over. Called after every message, as timers
    /// starve while messages come.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        let more = !self.closing.is_empty()
            || !self.answered.is_empty()
            || !self.backlog.is_empty()
            || self.showing.is_some()
            || self.snapshots.must_tell();
        let mut deadline = self.hub.next_deadline();
        if let Some(ledger) = &self.ledger {
            let answers = sooner(ledger.next_deadline(), self.awaited.next_deadline());
            let answers = answers.map(|at| self.micros(at));
            let room = self.snapshots.next_due(self.hub.state(), &ledger.log.get());
            deadline = deadline.into_iter().chain(answers).chain(room).min();
        }
        // The clock is looked at only where something goes by it.
        let now = if deadline.is_some() { self.now() } else { 0 };
        if more || self.hub.must_advance(now) {
            if !std::mem::replace(&mut self.turn_comes, true) {
                // A message to itself would keep the mailbox busy and starve every connection;
                // a task that yields lets them all have a turn first, and the sockets be looked at.
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
        let wait = Duration::from_micros(deadline.saturating_sub(now));
        let timer = ctx.run_later(wait, |actor, ctx| {
            actor.timer = None;
            actor.take_turn(ctx);
        });
        self.timer = Some((timer, deadline));
    }

    /// A turn for what is due, and for what earlier turns were too short for: a slice of it.
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
        let now = self.now();
        self.hub.advance(now);
        // It may have completed a large write, whose caller is answered before another begins.
        self.deliver();
        self.expire();
        let shown = self.show(&turn);
        if let Some(ledger) = &mut self.ledger {
            let rooms = &mut self.rooms;
            self.snapshots.tell(self.hub.state_mut(), rooms, &mut ledger.log.get_mut());
        }
        // What is due has a part of the turn, requests and streams have one each.
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
        if let (None, Some(ledger)) = (&self.showing, &mut self.ledger) {
            // What a message wrote in an earlier turn may be durable already.
            ledger.release_due();
        }
    }

    /// Answers those whose deadline is over before the disk has what they are shown, or has done what they
    /// asked for.
    fn expire(&mut self) {
        if self.awaited.next_deadline().is_some() {
            self.awaited.expire(environment::now());
        }
        let Some(ledger) = &mut self.ledger else { return };
        if ledger.next_deadline().is_none() {
            return;
        }
        let expired = ledger.take_expired(environment::now());
        StoreAnswered::give_all(expired.into_iter().map(|mut answered| {
            answered.fail(&late());
            answered
        }));
    }

    /// Goes on with messages that wait: those with nothing heavy first, and of each kind one request
    /// at least. Returns the messages that are done.
    fn work_off(&mut self, turn: &Turn) -> Vec<Batch> {
        let mut done = Vec::new();
        for kind in [Kind::Light, Kind::Heavy] {
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

    /// Does what a message asks for until the turn is over, one request at least; returns whether
    /// that was all, or as much as may be answered at once.
    pub(super) fn do_some(&mut self, batch: &mut Batch, turn: &Turn) -> bool {
        // A turn is short: a second reading would cost a lone request more than it says.
        let now = self.time_of(turn.began());
        while batch.works.len() > 0 {
            self.warm(batch.works.as_slice());
            for _ in 0..WARM_GROUP {
                if self.must_hold(batch) && (self.backlog.is_holding() || !self.settle(turn)) {
                    return false;
                }
                // A request that names leases with very many keys waits until the keys are judged.
                if let (Some(access), Some(work)) =
                    (&batch.restriction, batch.works.as_slice().first())
                    && !self.leases.judge_some(Some(access), self.hub.state(), &work.task)
                {
                    return false;
                }
                let Some(work) = batch.works.next() else { break };
                let steps = if work.task.is_heavy() { usize::MAX } else { 1 };
                let (id, deadline) = (work.id, work.deadline);
                self.do_one(now, batch, work);
                if let Some(level) = self.begun.take() {
                    batch.begun = Some(BegunWrite { id, deadline, level });
                    return false;
                }
                if batch.is_full() {
                    return true;
                }
                if batch.works.len() > 0 && turn.is_over_after(steps) {
                    return false;
                }
            }
        }
        true
    }

    /// Keeps a message for its next turn, or for the end of the large write that it began.
    pub(super) fn put_off(&mut self, mut batch: Batch) -> Later {
        if batch.begun.is_some() {
            let later = batch.later();
            debug_assert!(self.begun_for.is_none(), "one large write at a time");
            self.begun_for = Some(BegunFor::Connection(Box::new(batch)));
            return later;
        }
        if self.must_hold(&batch) { self.backlog.hold(batch) } else { self.backlog.push(batch) }
    }

    /// Whether the next request of a message must wait for the end of a large write, or until all watchers
    /// are notified of it. Look-ups need not.
    fn must_hold(&self, batch: &Batch) -> bool {
        (self.hub.is_busy() || self.backlog.is_holding())
            && batch.works.as_slice().first().is_some_and(|work| match &work.task {
                Task::Store { request, .. } => !self.hub.may_pass(request),
                Task::Wait { .. } | Task::Watch { .. } => true,
                Task::OpenStream { .. } | Task::CancelWatch { .. } | Task::Refused(_) => false,
            })
    }

    /// Applies a large write, and notifies watchers, until the turn is over; returns whether nothing of
    /// either is left.
    fn settle(&mut self, turn: &Turn) -> bool {
        while self.hub.is_busy() {
            if self.hub.go_on(self.now(), WRITTEN_GROUP) {
                self.deliver();
                self.hub.notify_some(NOTIFIED_GROUP);
            }
            if turn.is_over() {
                return !self.hub.is_busy();
            }
        }
        true
    }

    /// Applies the rest of a large write at once, because a request of this process follows it.
    pub(super) fn finish_write(&mut self, now: Micros) {
        self.hub.finish_write(now);
        self.deliver();
    }

    /// Sends the reply to a complete large write to its caller; the message of a connection continues.
    fn deliver(&mut self) {
        let Some(reply) = self.hub.take_finished() else { return };
        // A withheld answer waits for the records handed over so far.
        self.hand_over();
        if let Some(ledger) = &self.ledger {
            ledger.log.get_mut().large_ends();
        }
        let until = |level: Option<Durability>| {
            let ledger = self.ledger.as_ref().zip(level);
            ledger.and_then(|(ledger, level)| ledger.until(level, true))
        };
        let failed = self.ledger.as_ref().and_then(|ledger| ledger.failed());
        let reply =
            |durability| reply.map(|reply| CallReply { reply, durability }).map_err(Error::from);
        match self.begun_for.take() {
            Some(BegunFor::Connection(mut batch)) => {
                if let Some(begun) = batch.begun.take() {
                    let until = until(begun.level);
                    let answer = reply(begun.level).map(Done::Reply);
                    batch.note_begun(begun, until, answer);
                }
                self.backlog.push_front(*batch);
            }
            Some(BegunFor::Local(caller, level, deadline)) => {
                match (until(level), &mut self.ledger, failed) {
                    // The caller may have stopped waiting.
                    (Some(_), _, Some(error)) => drop(caller.send(Err(error))),
                    (Some(until), Some(ledger), None) => {
                        let answer = StoreAnswered::Local(caller, reply(level), deadline);
                        ledger.withhold(until, answer);
                    }
                    _ => drop(caller.send(reply(level))),
                }
            }
            None => {}
        }
    }

    /// Inlined, as a request is large to hand on.
    #[inline(always)]
    fn do_one(&mut self, now: Micros, batch: &mut Batch, work: Work) {
        let access = batch.restriction.as_ref();
        let hidden = self.leases.hidden(access, self.hub.state(), &work.task);
        let hides = !hidden.is_empty();
        if hides {
            self.hub.state_mut().hide_leases(hidden);
        }
        let Batch { owner, answers, sink, withheld, .. } = batch;
        let answer = self.answer(now, owner, work, answers, sink, withheld);
        if hides {
            self.hub.state_mut().hide_leases(Vec::new());
        }
        self.leases.done(batch.restriction.as_ref(), self.hub.state());
        batch.note(answer);
    }

    /// The answers to a message that is done; those that show what is not durable yet are withheld.
    pub(super) fn conclude(&mut self, mut batch: Batch) -> Answers {
        let rest = batch.take_rest();
        let Batch { sink, answers, withheld, .. } = batch;
        if let Some(ledger) = &mut self.ledger {
            let failed = ledger.failed();
            for (until, mut answered) in withheld.into_answered(&sink) {
                match &failed {
                    None => ledger.withhold(until, answered),
                    Some(error) => {
                        answered.fail(error);
                        StoreAnswered::give_all(std::iter::once(answered));
                    }
                }
            }
        }
        Answers { done: answers, rest }
    }

    /// Shows what has become durable until the turn is over; returns up to which record answers may be
    /// given, if that was all.
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

    /// Gives the answers that waited for records up to `shown`.
    pub(super) fn release(&mut self, shown: Option<RecordSeq>) {
        if let (Some(durable), Some(ledger)) = (shown, &mut self.ledger) {
            ledger.release(durable);
        }
    }
}
