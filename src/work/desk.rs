//! [`Desk`]: the exchange of jobs and reports between a worker and its handlers' actors.
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

use super::attempt::Ended;
use super::lane::{Lane, LaneId};
use super::{Cancelled, JobContext};
use crate::model::{Reservation, ReservedJob};

/// Tells an actor to look for a job on the desk, or for its retirement.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Look;

/// Tells the worker that there are reports on the desk, or that a thread's last actor has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Reported;

/// The report of an ended attempt.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) reservation: Reservation,
    pub(super) ended: Ended,
}

pub(super) struct Desk {
    worker: Recipient<Reported>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<ReservedJob>,
    seats: Slab<Seat>,
    /// The actors that wait for a job.
    idle: Vec<usize>,
    running: HashMap<Reservation, Running>,
    /// Jobs lost during the first turn of their handlers, with the time to give them up.
    revoked: HashMap<Reservation, Instant>,
    reports: Vec<Report>,
    /// True if the worker was notified of the reports.
    told: bool,
}

struct Seat {
    lane: LaneId,
    idle: bool,
    actor: Recipient<Look>,
}

struct Running {
    lane: LaneId,
    context: JobContext,
    deadline: Option<Instant>,
}

impl Desk {
    pub(super) fn new(worker: Recipient<Reported>) -> Self {
        Self { worker, state: Mutex::default() }
    }

    /// Adds jobs, and wakes idle actors: one, which wakes the next when its handler awaits; or, if
    /// each actor has a thread, as many as there are jobs.
    pub(super) fn leave_jobs(&self, jobs: Vec<ReservedJob>, apart: bool) {
        let mut state = self.state.lock();
        let calls = if apart { jobs.len() } else { 1 };
        state.waiting.extend(jobs);
        for _ in 0..calls {
            state.call_one();
        }
    }

    /// Returns the number of waiting jobs without an idle actor.
    pub(super) fn crowd(&self) -> usize {
        let state = self.state.lock();
        state.waiting.len().saturating_sub(state.idle.len())
    }

    /// Adds a new actor, which looks for a job itself.
    pub(super) fn sit_down(&self, lane: LaneId, actor: Recipient<Look>) -> usize {
        self.state.lock().seats.insert(Seat { lane, idle: false, actor })
    }

    pub(super) fn stand_up(&self, seat: usize) {
        let mut state = self.state.lock();
        state.seats.try_remove(seat);
        state.idle.retain(|idle| *idle != seat);
    }

    /// Takes a report, if any, and returns the next job; without one the actor becomes idle.
    pub(super) fn next(
        &self,
        lane: &Lane,
        seat: usize,
        report: Option<Report>,
    ) -> Option<ReservedJob> {
        let mut state = self.state.lock();
        if let Some(report) = report {
            state.report(report);
        }
        if lane.is_retired() {
            return None;
        }
        let job = state.waiting.pop_front();
        if job.is_none() {
            state.sit_idle(seat);
        }
        job
    }

    pub(super) fn leave_report(&self, report: Report) {
        self.state.lock().report(report);
    }

    /// Registers a handler that awaits, so that another actor may run. Returns false if its thread
    /// was given up in the meantime.
    pub(super) fn await_it(&self, lane: &Lane, context: JobContext) -> bool {
        let deadline = context.deadline();
        let reservation = context.reservation();
        let mut state = self.state.lock();
        if lane.is_retired() {
            return false;
        }
        let mut running = Running { lane: lane.id, context, deadline };
        if let Some(until) = state.revoked.remove(&reservation) {
            running.revoke(until);
        }
        state.running.insert(reservation, running);
        if !state.waiting.is_empty() {
            state.call_one();
        }
        true
    }

    /// Notifies the worker of reports, unless it was notified already.
    pub(super) fn tell(&self) {
        let tell = {
            let mut state = self.state.lock();
            let tell = !state.told && !state.reports.is_empty();
            state.told |= tell;
            tell
        };
        if tell {
            // bound: one until the reports are taken
            self.worker.do_send(Reported);
        }
    }

    /// Notifies the worker that the last actor of a thread has ended.
    pub(super) fn tell_empty(&self) {
        // bound: one for each thread
        self.worker.do_send(Reported);
    }

    pub(super) fn take_reports(&self) -> Vec<Report> {
        let mut state = self.state.lock();
        state.told = false;
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
        let late = |running: &&Running| running.deadline.is_some_and(|deadline| deadline <= now);
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
    pub(super) fn clear_out(&self, lane: &Lane, why: Cancelled) -> Vec<Reservation> {
        let mut state = self.state.lock();
        let State { seats, idle, running, .. } = &mut *state;
        // Under the lock, so that no actor takes a job afterwards.
        lane.retire();
        let lane = lane.id;
        idle.retain(|seat| seats.get(*seat).is_some_and(|seat| seat.lane != lane));
        for (_, seat) in seats.iter().filter(|(_, seat)| seat.lane == lane) {
            // bound: one for each actor, once
            seat.actor.do_send(Look);
        }
        let mut had = Vec::new();
        running.retain(|_, attempt| {
            if attempt.lane == lane {
                attempt.context.give_up(why);
                had.push(attempt.context.reservation());
            }
            attempt.lane != lane
        });
        had
    }
}

impl Running {
    fn revoke(&mut self, until: Instant) {
        self.deadline = Some(self.deadline.map_or(until, |at| at.min(until)));
        self.context.cancel(Cancelled::Revoked);
    }
}

impl State {
    fn report(&mut self, report: Report) {
        self.running.remove(&report.reservation);
        self.reports.push(report);
    }

    fn sit_idle(&mut self, seat: usize) {
        if let Some(place) = self.seats.get_mut(seat)
            && !place.idle
        {
            place.idle = true;
            self.idle.push(seat);
        }
    }

    fn call_one(&mut self) {
        let Some(seat) = self.idle.pop() else { return };
        if let Some(seat) = self.seats.get_mut(seat) {
            seat.idle = false;
            // bound: one for each idle actor, which is then no longer idle
            seat.actor.do_send(Look);
        }
    }
}
