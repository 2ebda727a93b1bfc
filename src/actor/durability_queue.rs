//! [`DurabilityQueue`]: the records that an actor handed to the journal, and the answers that wait for them to
//! be durable.

use std::collections::VecDeque;
use std::time::Instant;

use super::awaiting_durability::{AwaitingDurability, Barrier, sooner};
use super::log::SharedLog;
use crate::config::Durability;
use crate::error::Error;
use crate::journal::{JournalError, JournalProgress, RecordBatch, RecordSeq};

/// Records and waiting answers of an actor; `M` is a position in the actor's state, `A` an answer.
pub(crate) struct DurabilityQueue<M, A> {
    pub(super) log: SharedLog,
    /// The durability of answers to requests that ask for no more.
    default: Durability,
    /// The position of the state after each hand-over that is not synced yet.
    marks: VecDeque<(RecordSeq, M)>,
    /// The last record that may be visible, and the last one known to be on the disk.
    shown: RecordSeq,
    synced: RecordSeq,
    /// Answers that wait until everything they show may be visible.
    withheld: AwaitingDurability<A>,
    /// Answers that wait for more: until the disk has everything they show.
    unsynced: AwaitingDurability<A>,
    /// The position of the synced state.
    durable: M,
}

/// An answer that waits.
pub(crate) trait DeferredAnswer {
    /// Turns the answer into an error: what it shows will probably never be durable.
    fn fail(&mut self, error: &Error);
    /// Returns the deadline, or the earliest of several.
    fn deadline(&self) -> Option<Instant>;
    /// Splits the answer into the part with deadlines after `now` and the rest.
    fn split_expired(self, now: Instant) -> (Option<Self>, Option<Self>)
    where
        Self: Sized;
    /// Sends the answers to their callers.
    fn give_all(answers: impl Iterator<Item = Self>)
    where
        Self: Sized;
}

impl<M: Copy, A: DeferredAnswer> DurabilityQueue<M, A> {
    /// Makes the ledger for a log whose records, all of them durable, led to `durable`.
    pub(crate) fn new(log: SharedLog, durable: M) -> Self {
        let (last, default) = {
            let log = log.get();
            (log.appended(), log.durability())
        };
        Self {
            log,
            default,
            marks: VecDeque::new(),
            durable,
            // Opening a journal syncs its records.
            shown: last,
            synced: last,
            withheld: AwaitingDurability::default(),
            unsynced: AwaitingDurability::default(),
        }
    }

    /// Returns the failure of the journal, after which pending records will probably never be durable.
    pub(super) fn failed(&self) -> Option<Error> {
        self.log.get().failed().cloned()
    }

    /// Hands records over; `mark` is the position of the state after them.
    pub(super) fn hand_over(&mut self, records: &mut RecordBatch, mark: M) {
        let mut log = self.log.get_mut();
        if log.append(records) {
            self.marks.push_back((log.appended(), mark));
        }
    }

    /// Returns whether something was handed over that may not be visible yet.
    pub(super) fn is_pending(&self) -> bool {
        self.marks.back().is_some_and(|(seq, _)| *seq > self.shown)
    }

    /// Returns the durability of the answer to a request that asks for `asked`.
    pub(super) fn level(&self, asked: Option<Durability>) -> Durability {
        asked.map_or(self.default, |asked| asked.max(self.default))
    }

    /// Returns what the answer to a request of durability `level` must wait for; with `show_pending`,
    /// it may show what is not durable yet.
    ///
    /// It is not known which keys have changed since the last sync, so a request that asks for more
    /// than the default waits for all of them.
    pub(super) fn until(&self, level: Durability, show_pending: bool) -> Option<Barrier> {
        if level == self.default {
            return show_pending.then_some(Barrier::Shown);
        }
        (show_pending || self.synced < self.shown).then_some(Barrier::Synced)
    }

    /// Keeps answers until everything handed over so far is as durable as they require.
    pub(super) fn withhold(&mut self, until: Barrier, answered: A) {
        let appended = self.log.get().appended();
        match until {
            Barrier::Shown => self.withheld.push(appended, answered),
            Barrier::Synced => {
                self.unsynced.push(appended, answered);
                // The sync in progress may have begun before the records were written. All requests
                // until its end share the next one.
                self.log.get_mut().sync();
            }
        }
    }

    /// Returns the earliest deadline of an answer, to be met whatever the disk does.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        sooner(self.withheld.next_deadline(), self.unsynced.next_deadline())
    }

    /// Takes the answers whose deadline has passed.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<A> {
        let mut expired = self.withheld.take_expired(now);
        expired.append(&mut self.unsynced.take_expired(now));
        expired
    }

    /// Returns the answers that were not sent yet.
    pub(super) fn withheld(&self) -> impl Iterator<Item = &A> {
        self.withheld.iter().chain(self.unsynced.iter())
    }

    /// Notes the journal's progress; returns the record up to which answers may be sent, and the
    /// position up to which the state may be visible.
    pub(super) fn note(&mut self, progress: &JournalProgress) -> Option<(RecordSeq, Option<M>)> {
        let shown = match (progress, self.default) {
            // With `interval`, the first commit of a segment is synced before it is reported as
            // written.
            (JournalProgress::Synced(seq), _)
            | (JournalProgress::Written(seq), Durability::Interval) => self.show(*seq),
            (JournalProgress::Space(no_room), _) => {
                self.log.get_mut().set_no_space(no_room.clone());
                None
            }
            (JournalProgress::Failed(error), _) => {
                self.fail(error);
                None
            }
            _ => None,
        };
        if let JournalProgress::Synced(seq) = progress {
            self.note_synced(*seq);
        }
        shown
    }

    /// Returns what may be visible now that records up to `durable` have the default durability.
    fn show(&mut self, durable: RecordSeq) -> Option<(RecordSeq, Option<M>)> {
        let before = std::mem::replace(&mut self.shown, durable);
        let after = self.marks.partition_point(|(seq, _)| *seq <= durable);
        let mark = after.checked_sub(1).and_then(|at| self.marks.get(at));
        let mark = mark.filter(|(seq, _)| *seq > before).map(|(_, mark)| *mark);
        (mark.is_some() || self.withheld.is_due(durable)).then_some((durable, mark))
    }

    /// Notes that the disk has every record up to `seq`. All of them are visible, so their events are
    /// on their way.
    fn note_synced(&mut self, seq: RecordSeq) {
        self.synced = seq;
        while let Some((at, mark)) = self.marks.front().copied()
            && at <= seq
        {
            self.marks.pop_front();
            self.durable = mark;
        }
        self.unsynced.release(seq);
    }

    /// Sends the answers that waited for records up to `durable`.
    pub(super) fn release(&mut self, durable: RecordSeq) {
        self.withheld.release(durable);
    }

    /// Sends the answers that waited for records which are already durable enough.
    pub(super) fn release_due(&mut self) {
        self.withheld.release(self.shown);
        self.unsynced.release(self.synced);
    }

    fn fail(&mut self, error: &JournalError) {
        let error = self.log.get_mut().fail(error);
        self.withheld.fail(&error);
        self.unsynced.fail(&error);
    }

    /// Returns the position of the synced state.
    pub(super) fn durable(&self) -> M {
        self.durable
    }

    /// Handles the result of closing the journal: sends the answers that waited for it.
    pub(super) fn closed(&mut self, closed: &Result<(), JournalError>) {
        if let Err(error) = closed {
            self.log.get_mut().fail(error);
        }
        self.end();
    }

    /// Handles the end of the journal: sends the answers that waited.
    pub(super) fn end(&mut self) {
        if let Some(error) = self.failed() {
            self.withheld.fail(&error);
            self.unsynced.fail(&error);
        }
        self.withheld.release(RecordSeq::MAX);
        self.unsynced.release(RecordSeq::MAX);
    }
}
