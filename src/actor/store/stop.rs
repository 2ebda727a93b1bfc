//! [`StoreStop`]: the end of every wait and watch, over several turns.

use std::time::Instant;

use tokio::sync::oneshot;

use super::StoreActor;
use crate::actor::message::Show;
use crate::buffered::Buffered;
use crate::pace::Turn;

/// The number of waits and watches that are ended between two readings of the clock.
const ENDED_GROUP: usize = 256;

/// A stop in progress.
pub(super) struct StoreStop {
    /// The time from which on the rest is done at once.
    until: Instant,
    phase: StopPhase,
    /// Receive a message when every wait and watch has ended.
    callers: Vec<oneshot::Sender<()>>,
}

/// What a stop does next.
#[derive(Debug, Clone, Copy)]
enum StopPhase {
    /// Waits until every write that is durable is visible, and all watchers are notified.
    Show,
    /// Sends the batches of this many streams at most: a ready consumer gets the events of every write
    /// that was visible before the stop. Each stream is examined once.
    SendBatches(usize),
    /// Ends waits and watches from this slot on.
    End(u32),
    Ended,
}

impl StoreActor {
    /// Begins a stop, or joins the one in progress; returns what receives a message at its end.
    pub(super) fn begin_stop(&mut self, until: Instant) -> oneshot::Receiver<()> {
        let (caller, stopped) = oneshot::channel();
        self.stopping = true;
        let new = || StoreStop { until, phase: StopPhase::Show, callers: Vec::new() };
        let stop = self.stop.get_or_insert_with(new);
        stop.until = stop.until.min(until);
        stop.callers.push(caller);
        stopped
    }

    /// Continues a stop until the turn is over.
    pub(super) fn stop_some(&mut self, turn: &Turn) {
        let Some(StoreStop { until, mut phase, .. }) = self.stop else { return };
        let is_late = until <= turn.reading_for(until);
        if is_late {
            self.show_all(turn);
        }
        while let Some(next) = self.stop_step(phase) {
            phase = next;
            if !is_late && turn.is_over() {
                break;
            }
        }
        if let Some(stop) = &mut self.stop {
            stop.phase = phase;
        }
    }

    /// Reports the end of a stop to its callers, once everything is sent.
    pub(super) fn conclude_stop(&mut self) {
        if let Some(stop) = self.stop.take_if(|stop| matches!(stop.phase, StopPhase::Ended)) {
            for caller in stop.callers {
                // It may have stopped waiting.
                let _ = caller.send(());
            }
        }
    }

    /// Completes the large write in progress, and makes everything that is durable visible, at once.
    fn show_all(&mut self, turn: &Turn) {
        self.finish_write(turn);
        let mut shown = None;
        while self.showing.is_some() {
            shown = self.show(turn).or(shown);
        }
        self.hub.finish_notifying();
        self.send_answers();
        self.release(shown);
    }

    /// Does a step of a stop; returns what comes next, or `None` if that needs another turn.
    fn stop_step(&mut self, phase: StopPhase) -> Option<StopPhase> {
        if self.hub.is_notifying() {
            // What was written meanwhile, by the expiry of leases.
            self.hub.notify_some(&mut { ENDED_GROUP });
            return Some(phase);
        }
        match phase {
            StopPhase::Show if self.hub.is_busy() || self.showing.is_some() => None,
            StopPhase::Show => Some(StopPhase::SendBatches(self.hub.open_streams())),
            StopPhase::SendBatches(left) if left > 0 && self.hub.has_batch() => {
                self.send_batch();
                Some(StopPhase::SendBatches(left - 1))
            }
            StopPhase::SendBatches(_) => Some(StopPhase::End(0)),
            StopPhase::End(first) => {
                let (last, next) = self.hub.end_some(first, ENDED_GROUP);
                for (stream, batch) in last {
                    if let Some(session) = self.hub.address(stream) {
                        // bound: one for each watch of this session
                        session.do_send(Show(stream, Buffered::uncounted(batch)));
                    }
                }
                Some(next.map_or(StopPhase::Ended, StopPhase::End))
            }
            StopPhase::Ended => None,
        }
    }
}
