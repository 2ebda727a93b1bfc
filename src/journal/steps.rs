//! [`JournalSteps`]: the work of the journal's threads, done one step at a time by the caller.
//!
//! For simulations, in which nothing happens concurrently. Each step is what a thread does between two
//! waits, by the same code.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::snapshot::UnfinishedSnapshot;
use super::snapshot_writer::CommandRest;
use super::thread::{JournalTasks, PreallocationResult, RETRY, make_next};
use crate::environment;

/// Called when there is work. Must not block, nor take a step.
pub(crate) type WakeFn = Box<dyn Fn() + Send + Sync>;

/// The thread whose step is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JournalWorker {
    /// Writes and syncs the log.
    Writer,
    /// Creates segments.
    Preallocator,
    /// Writes snapshots.
    SnapshotWriter,
}

/// The work of the threads. Cheap to clone.
#[derive(Clone)]
pub(crate) struct JournalSteps(Arc<StepsShared>);

struct StepsShared {
    state: Mutex<StepsState>,
    wake: WakeFn,
}

struct StepsState {
    workers: JournalTasks,
    written: bool,
    /// When to retry the creation of a segment.
    retry_at: Option<Instant>,
    /// The step that the snapshot thread waits for.
    kept: SnapshotStep,
}

enum SnapshotStep {
    Order,
    Rest(Instant),
    Sync(UnfinishedSnapshot),
}

impl JournalSteps {
    pub(super) fn new(workers: JournalTasks, wake: WakeFn) -> Self {
        workers.writer.want();
        let state =
            StepsState { workers, written: false, retry_at: None, kept: SnapshotStep::Order };
        let steps = Self(Arc::new(StepsShared { state: Mutex::new(state), wake }));
        steps.wake();
        steps
    }

    pub(super) fn wake(&self) {
        (self.0.wake)();
    }

    /// Takes one step; returns whether there was one to take.
    pub(crate) fn take(&self, worker: JournalWorker) -> bool {
        let mut state = self.0.state.lock();
        match worker {
            JournalWorker::Writer => state.write(),
            JournalWorker::Preallocator => state.make(),
            JournalWorker::SnapshotWriter => state.keep(),
        }
    }

    /// Returns when there is work even without a request; `None` for never.
    pub(crate) fn due(&self) -> Option<Instant> {
        let state = self.0.state.lock();
        let rest = match state.kept {
            SnapshotStep::Rest(until) => Some(until),
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
        if let SnapshotStep::Rest(until) = &mut state.kept {
            *until = environment::now();
        }
        while state.keep() {}
    }
}

impl StepsState {
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
        let JournalTasks { shared, preallocator, disk_bytes_max, .. } = &self.workers;
        let mut state = shared.state.lock();
        let rests = self.retry_at.is_some_and(|until| environment::now() < until);
        if state.done || (rests && !state.retry && !state.look) {
            return false;
        }
        self.retry_at = None;
        match make_next(shared, preallocator, *disk_bytes_max, &mut state) {
            PreallocationResult::Nothing => return false,
            PreallocationResult::Segment => {}
            PreallocationResult::Failed => self.retry_at = Some(environment::now() + RETRY),
        }
        true
    }

    fn keep(&mut self) -> bool {
        let snapshot_writer = &mut self.workers.snapshot_writer;
        match std::mem::replace(&mut self.kept, SnapshotStep::Order) {
            SnapshotStep::Order => match self.workers.orders.try_recv() {
                Ok(order) => match snapshot_writer.take(order) {
                    CommandRest::Nothing => {}
                    CommandRest::Rest(Duration::ZERO) => snapshot_writer.taken(),
                    CommandRest::Rest(pause) => {
                        self.kept = SnapshotStep::Rest(environment::now() + pause)
                    }
                    CommandRest::Sync(writing) => self.kept = SnapshotStep::Sync(writing),
                },
                Err(_) => return false,
            },
            SnapshotStep::Rest(until) if environment::now() < until => {
                self.kept = SnapshotStep::Rest(until);
                return false;
            }
            SnapshotStep::Rest(_) => snapshot_writer.taken(),
            SnapshotStep::Sync(writing) if snapshot_writer.is_settled(writing.seq) => {
                snapshot_writer.finish(writing);
            }
            waits @ SnapshotStep::Sync(_) => {
                self.kept = waits;
                return false;
            }
        }
        true
    }
}
