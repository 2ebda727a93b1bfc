//! [`journal_driver`]: performs the journal's work in a simulation, at times that follow from the seed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;

use super::trace::{Trace, TraceEvent};
use crate::journal::{FaultyDisk, JournalRunner, JournalSteps, JournalWorker};

/// Maximum duration of a step, milliseconds: for most steps, and for some.
const STEP_MS_MAX: u64 = 2;
const LONG_STEP_MS_MAX: u64 = 50;

/// The steps of a journal, once it is open.
pub(super) struct JournalDriver {
    steps: Arc<Mutex<Option<JournalSteps>>>,
    wake: Arc<Notify>,
}

/// Returns the runner to open a journal with, and the worker that performs its steps.
pub(super) fn journal_driver() -> (JournalRunner, JournalDriver) {
    let (steps, wake) = (Arc::new(Mutex::new(None)), Arc::new(Notify::new()));
    let (given, woken) = (Arc::clone(&steps), Arc::clone(&wake));
    let take = Box::new(move |taken| *given.lock() = Some(taken));
    (
        JournalRunner::Steps(Box::new(move || woken.notify_one()), take),
        JournalDriver { steps, wake },
    )
}

impl JournalDriver {
    /// Works until the disk has ended.
    pub(super) async fn work(self, disk: FaultyDisk, trace: Trace, seed: u64) {
        let mut chance = StdRng::seed_from_u64(seed);
        let Some(steps) = self.steps.lock().take() else { return };
        loop {
            let max = if chance.random_bool(0.02) { LONG_STEP_MS_MAX } else { STEP_MS_MAX };
            tokio::time::sleep(Duration::from_millis(chance.random_range(0..=max))).await;
            let mut hands =
                [JournalWorker::Writer, JournalWorker::Preallocator, JournalWorker::SnapshotWriter];
            let first = chance.random_range(0..hands.len());
            hands.rotate_left(first);
            if let Some(hand) = hands.into_iter().find(|hand| steps.take(*hand)) {
                trace.note(TraceEvent::Step(hand));
                if disk.has_ended() {
                    return;
                }
                continue;
            }
            match steps.due() {
                Some(due) => {
                    // A step is due, whether the timeout passed or not.
                    let _ = tokio::time::timeout_at(due.into(), self.wake.notified()).await;
                }
                None => self.wake.notified().await,
            }
        }
    }
}
