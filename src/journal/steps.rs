//! [`Steps`]: the work of the journal's threads, done one step at a time by the caller.
//!
//! For simulations, in which nothing happens concurrently. Each step is what a thread does between two
//! waits, by the same code.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::keeper::Left;
use super::snapshot::Writing;
use super::thread::{Made, RETRY, Workers, make_next};
use crate::environment;

/// Called when there is work. Must not block, nor take a step.
pub(crate) type Wake = Box<dyn Fn() + Send + Sync>;

/// The thread whose step is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hand {
    /// Writes and syncs the log.
    Writer,
    /// Creates segments.
    Maker,
    /// Writes snapshots.
    Keeper,
}

/// The work of the threads. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Steps(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    wake: Wake,
}

struct State {
    workers: Workers,
    written: bool,
    /// When to retry the creation of a segment.
    retry_at: Option<Instant>,
    /// What the snapshot thread waits for.
    kept: Kept,
}

enum Kept {
    Order,
    Rest(Instant),
    Sync(Writing),
}

impl Steps {
    pub(super) fn new(workers: Workers, wake: Wake) -> Self {
        workers.writer.want();
        let state = State { workers, written: false, retry_at: None, kept: Kept::Order };
        let steps = Self(Arc::new(Inner { state: Mutex::new(state), wake }));
        steps.wake();
        steps
    }

    pub(super) fn wake(&self) {
        (self.0.wake)();
    }

    /// Takes one step; returns whether there was one to take.
    pub(crate) fn take(&self, hand: Hand) -> bool {
        let mut state = self.0.state.lock();
        match hand {
            Hand::Writer => state.write(),
            Hand::Maker => state.make(),
            Hand::Keeper => state.keep(),
        }
    }

    /// Returns when there is work even without a request; `None` for never.
    pub(crate) fn due(&self) -> Option<Instant> {
        let state = self.0.state.lock();
        let rest = match state.kept {
            Kept::Rest(until) => Some(until),
            _ => None,
        };
        let writer = state.workers.writer.due().filter(|_| !state.written);
        [writer, state.retry_at, rest].into_iter().flatten().min()
    }

    /// Writes until the log ends.
    pub(super) fn write_to_the_end(&self) {
        let mut state = self.0.state.lock();
        while !state.written && (state.write() || state.make()) {}
    }

    /// Executes the remaining orders for snapshots.
    pub(super) fn keep_to_the_end(&self) {
        let mut state = self.0.state.lock();
        if let Kept::Rest(until) = &mut state.kept {
            *until = environment::now();
        }
        while state.keep() {}
    }
}

impl State {
    fn write(&mut self) -> bool {
        if self.written {
            return false;
        }
        let shared = Arc::clone(&self.workers.shared);
        let looked = self.workers.writer.look(&mut shared.state.lock());
        let ended = match looked {
            Ok(None) => return false,
            Ok(Some(turn)) => self.workers.writer.take(turn),
            Err(error) => Err(error),
        };
        match ended {
            Ok(ended) => self.written = ended,
            Err(error) => {
                self.written = true;
                self.workers.writer.fail(error);
            }
        }
        true
    }

    fn make(&mut self) -> bool {
        let Workers { shared, maker, disk_bytes_max, .. } = &self.workers;
        let mut state = shared.state.lock();
        let rests = self.retry_at.is_some_and(|until| environment::now() < until);
        if state.done || (rests && !state.retry && !state.look) {
            return false;
        }
        self.retry_at = None;
        match make_next(shared, maker, *disk_bytes_max, &mut state) {
            Made::Nothing => return false,
            Made::Segment => {}
            Made::Failed => self.retry_at = Some(environment::now() + RETRY),
        }
        true
    }

    fn keep(&mut self) -> bool {
        let keeper = &mut self.workers.keeper;
        match std::mem::replace(&mut self.kept, Kept::Order) {
            Kept::Order => match self.workers.orders.try_recv() {
                Ok(order) => match keeper.take(order) {
                    Left::Nothing => {}
                    Left::Rest(Duration::ZERO) => keeper.taken(),
                    Left::Rest(pause) => self.kept = Kept::Rest(environment::now() + pause),
                    Left::Sync(writing) => self.kept = Kept::Sync(writing),
                },
                Err(_) => return false,
            },
            Kept::Rest(until) if environment::now() < until => {
                self.kept = Kept::Rest(until);
                return false;
            }
            Kept::Rest(_) => keeper.taken(),
            Kept::Sync(writing) if keeper.is_settled(writing.seq) => {
                keeper.finish(writing);
            }
            waits @ Kept::Sync(_) => {
                self.kept = waits;
                return false;
            }
        }
        true
    }
}
