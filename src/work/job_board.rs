//! [`JobBoard`]: the exchange of jobs and reports between a worker and its handlers' actors.
//!
//! Actors take jobs from here instead of receiving them, so that an actor takes its next job
//! without a message, and the worker is notified once of many reports: at hundreds of thousands of
//! jobs per second, messages between threads would be the largest cost.

use std::collections::VecDeque;
use std::time::Instant;

use actix::{Message, Recipient};
use ahash::HashMap;
use parking_lot::Mutex;
use slab::Slab;

use super::attempt::AttemptEnd;
use super::handler_thread::{HandlerThread, HandlerThreadId};
use super::{Cancelled, JobContext};
use crate::model::{Reservation, ReservedJob};

/// Makes an actor look for a job on the board, or for its retirement.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct WakeHandler;

/// Notifies the worker of reports on the board, or of the end of a thread's last actor.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ReportsReady;

/// The report of an ended attempt.
#[derive(Debug)]
pub(super) struct AttemptReport {
    pub(super) reservation: Reservation,
    pub(super) ended: AttemptEnd,
}

pub(super) struct JobBoard {
    worker: Recipient<ReportsReady>,
    state: Mutex<BoardState>,
}

#[derive(Default)]
struct BoardState {
    waiting: VecDeque<ReservedJob>,
    handlers: Slab<HandlerSlot>,
    /// The actors that wait for a job.
    idle: Vec<usize>,
    running: HashMap<Reservation, RunningAttempt>,
    /// Jobs lost during the first turn of their handlers, with the time to give them up.
    revoked: HashMap<Reservation, Instant>,
    reports: Vec<AttemptReport>,
    /// True if the worker was notified of the reports.
    notified: bool,
}

struct HandlerSlot {
    thread: HandlerThreadId,
    idle: bool,
    actor: Recipient<WakeHandler>,
}

struct RunningAttempt {
    thread: HandlerThreadId,
    context: JobContext,
    deadline: Option<Instant>,
}

impl JobBoard {
    pub(super) fn new(worker: Recipient<ReportsReady>) -> Self {
        Self { worker, state: Mutex::default() }
    }

    /// Adds jobs, and wakes idle actors: one, which wakes the next when its handler awaits; or, if
    /// each actor has a thread, as many as there are jobs.
    pub(super) fn add_jobs(&self, jobs: Vec<ReservedJob>, apart: bool) {
        let mut state = self.state.lock();
        let calls = if apart { jobs.len() } else { 1 };
        state.waiting.extend(jobs);
        for _ in 0..calls {
            state.wake_one();
        }
    }

    /// Returns the number of waiting jobs without an idle actor.
    pub(super) fn backlog(&self) -> usize {
        let state = self.state.lock();
        state.waiting.len().saturating_sub(state.idle.len())
    }

    /// Adds a new actor, which looks for a job itself.
    pub(super) fn add_handler(
        &self,
        thread: HandlerThreadId,
        actor: Recipient<WakeHandler>,
    ) -> usize {
        self.state.lock().handlers.insert(HandlerSlot { thread, idle: false, actor })
    }

    pub(super) fn remove_handler(&self, slot: usize) {
        let mut state = self.state.lock();
        state.handlers.try_remove(slot);
        state.idle.retain(|idle| *idle != slot);
    }

    /// Takes a report, if any, and returns the next job; without one the actor becomes idle.
    pub(super) fn next(
        &self,
        thread: &HandlerThread,
        slot: usize,
        report: Option<AttemptReport>,
    ) -> Option<ReservedJob> {
        let mut state = self.state.lock();
        if let Some(report) = report {
            state.report(report);
        }
        if thread.is_retired() {
            return None;
        }
        let job = state.waiting.pop_front();
        if job.is_none() {
            state.mark_idle(slot);
        }
        job
    }

    pub(super) fn add_report(&self, report: AttemptReport) {
        self.state.lock().report(report);
    }

    /// Registers a handler that awaits, so that another actor may run. Returns false if its thread
    /// was given up in the meantime.
    pub(super) fn add_running(&self, thread: &HandlerThread, context: JobContext) -> bool {
        let deadline = context.deadline();
        let reservation = context.reservation();
        let mut state = self.state.lock();
        if thread.is_retired() {
            return false;
        }
        let mut running = RunningAttempt { thread: thread.id, context, deadline };
        if let Some(until) = state.revoked.remove(&reservation) {
            running.revoke(until);
        }
        state.running.insert(reservation, running);
        if !state.waiting.is_empty() {
            state.wake_one();
        }
        true
    }

    /// Notifies the worker of reports, unless it was notified already.
    pub(super) fn notify_worker(&self) {
        let tell = {
            let mut state = self.state.lock();
            let tell = !state.notified && !state.reports.is_empty();
            state.notified |= tell;
            tell
        };
        if tell {
            // bound: one until the reports are taken
            self.worker.do_send(ReportsReady);
        }
    }

    /// Notifies the worker that the last actor of a thread has ended.
    pub(super) fn notify_thread_ended(&self) {
        // bound: one for each thread
        self.worker.do_send(ReportsReady);
    }

    pub(super) fn take_reports(&self) -> Vec<AttemptReport> {
        let mut state = self.state.lock();
        state.notified = false;
        std::mem::take(&mut state.reports)
    }

    /// Takes back a job, if no actor has begun it.
    pub(super) fn take_back(&self, reservation: Reservation) -> bool {
        let mut state = self.state.lock();
        let before = state.waiting.len();
        state.waiting.retain(|job| job.reservation != reservation);
        state.waiting.len() < before
    }

    /// Takes back all jobs that no actor has begun.
    pub(super) fn take_waiting(&self) -> Vec<ReservedJob> {
        self.state.lock().waiting.drain(..).collect()
    }

    /// Gives up the attempts whose time is over.
    pub(super) fn give_up_late(&self, now: Instant) {
        let state = self.state.lock();
        let late =
            |running: &&RunningAttempt| running.deadline.is_some_and(|deadline| deadline <= now);
        for running in state.running.values().filter(late) {
            running.context.give_up(Cancelled::TimedOut);
        }
    }

    pub(super) fn give_up_all(&self, why: Cancelled) {
        self.state.lock().running.values().for_each(|running| running.context.give_up(why));
    }

    /// Notifies a handler that its job is no longer held; it is given up at `until`.
    pub(super) fn revoke(&self, reservation: Reservation, until: Instant) {
        let mut state = self.state.lock();
        match state.running.get_mut(&reservation) {
            Some(running) => running.revoke(until),
            None => {
                state.revoked.insert(reservation, until);
            }
        }
    }

    /// Returns the time at which a running attempt is given up, as far as is known here.
    pub(super) fn given_up_at(&self, reservation: Reservation) -> Option<Instant> {
        let state = self.state.lock();
        let running = state.running.get(&reservation).and_then(|running| running.deadline);
        running.or_else(|| state.revoked.get(&reservation).copied())
    }

    /// Removes a handler that was notified, or about to be, and has ended.
    pub(super) fn forget(&self, reservation: Reservation) {
        self.state.lock().revoked.remove(&reservation);
    }

    /// Gives up a thread: its actors end at their next turn. Returns its attempts.
    pub(super) fn retire_thread(&self, thread: &HandlerThread, why: Cancelled) -> Vec<Reservation> {
        let mut state = self.state.lock();
        let BoardState { handlers: slots, idle, running, .. } = &mut *state;
        // Under the lock, so that no actor takes a job afterwards.
        thread.retire();
        let thread = thread.id;
        idle.retain(|slot| slots.get(*slot).is_some_and(|slot| slot.thread != thread));
        for (_, slot) in slots.iter().filter(|(_, slot)| slot.thread == thread) {
            // bound: one for each actor, once
            slot.actor.do_send(WakeHandler);
        }
        let mut had = Vec::new();
        running.retain(|_, attempt| {
            if attempt.thread == thread {
                attempt.context.give_up(why);
                had.push(attempt.context.reservation());
            }
            attempt.thread != thread
        });
        had
    }
}

impl RunningAttempt {
    fn revoke(&mut self, until: Instant) {
        self.deadline = Some(self.deadline.map_or(until, |at| at.min(until)));
        self.context.cancel(Cancelled::Revoked);
    }
}

impl BoardState {
    fn report(&mut self, report: AttemptReport) {
        self.running.remove(&report.reservation);
        self.reports.push(report);
    }

    fn mark_idle(&mut self, slot: usize) {
        if let Some(place) = self.handlers.get_mut(slot)
            && !place.idle
        {
            place.idle = true;
            self.idle.push(slot);
        }
    }

    fn wake_one(&mut self) {
        let Some(slot) = self.idle.pop() else { return };
        if let Some(slot) = self.handlers.get_mut(slot) {
            slot.idle = false;
            // bound: one for each idle actor, which is then no longer idle
            slot.actor.do_send(WakeHandler);
        }
    }
}
