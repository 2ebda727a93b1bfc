//! [`Ledger`]: what an actor handed to the journal, and what waits for it to be durable.

use std::collections::VecDeque;
use std::time::Instant;

use super::log::SharedLog;
use super::withheld::{Until, Withheld, sooner};
use crate::config::Durability;
use crate::error::Error;
use crate::journal::{Batch, JournalError, Progress, Seq};

/// `M` says where the actor's state stands, `A` is an answer that waits.
pub(crate) struct Ledger<M, A> {
    pub(super) log: SharedLog,
    /// Where the state stood at the end of each hand-over that is not synced yet.
    marks: VecDeque<(Seq, M)>,
    /// The last record that may be shown, and the last that the disk is known to have.
    shown: Seq,
    synced: Seq,
    /// Answers that wait until what they show may be shown.
    withheld: Withheld<A>,
    /// Answers that wait for more than that: until the disk has it.
    unsynced: Withheld<A>,
    /// Where the state stood that is synced.
    durable: M,
}

/// An answer that waits.
pub(crate) trait Answered {
    /// It shows what will never be durable, as far as is known.
    fn fail(&mut self, error: &Error);
    /// Until when it is wanted, or the first of several.
    fn deadline(&self) -> Option<Instant>;
    /// Splits it into what is wanted later than `now` and what is not.
    fn split_expired(self, now: Instant) -> (Option<Self>, Option<Self>)
    where
        Self: Sized;
    /// Sends the answers to their callers.
    fn give_all(answers: impl Iterator<Item = Self>)
    where
        Self: Sized;
}

impl<M: Copy, A: Answered> Ledger<M, A> {
    /// For a log whose records, all of them durable, led to `durable`.
    pub(crate) fn new(log: SharedLog, durable: M) -> Self {
        let last = log.get().appended();
        Self {
            log,
            marks: VecDeque::new(),
            durable,
            // Opening a journal syncs its records.
            shown: last,
            synced: last,
            withheld: Withheld::default(),
            unsynced: Withheld::default(),
        }
    }

    /// Whether what is not durable yet never will be, as far as is known.
    pub(super) fn failed(&self) -> Option<Error> {
        self.log.get().failed().cloned()
    }

    /// Hands records over; `mark` is where the state stands after them.
    pub(super) fn hand_over(&mut self, records: &mut Batch, mark: M) {
        let mut log = self.log.get_mut();
        if log.append(records) {
            self.marks.push_back((log.appended(), mark));
        }
    }

    /// Whether something was handed over that may not be shown yet.
    pub(super) fn is_pending(&self) -> bool {
        self.marks.back().is_some_and(|(seq, _)| *seq > self.shown)
    }

    /// How durable the answer will be of a request that asks for `asked`.
    pub(super) fn level(&self, asked: Option<Durability>) -> Durability {
        let default = self.log.get().durability();
        asked.map_or(default, |asked| asked.max(default))
    }

    /// What the answer to a request that was promised `level` waits for, which may
    /// `show_pending`: what may not be shown yet.
    ///
    /// Which keys have changed since the last sync is not known: who asks for more than the
    /// default waits for all of them.
    pub(super) fn until(&self, level: Durability, show_pending: bool) -> Option<Until> {
        if level == self.log.get().durability() {
            return show_pending.then_some(Until::Shown);
        }
        (show_pending || self.synced < self.shown).then_some(Until::Synced)
    }

    /// Keeps answers until everything handed over so far is as durable as they need it.
    pub(super) fn withhold(&mut self, until: Until, answered: A) {
        let appended = self.log.get().appended();
        match until {
            Until::Shown => self.withheld.push(appended, answered),
            Until::Synced => {
                self.unsynced.push(appended, answered);
                // The sync that is under way may have begun before the records were written. All
                // who ask until it ends share the next one.
                self.log.get_mut().sync();
            }
        }
    }

    /// Until when an answer is to be given at the latest, whatever the disk does.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        sooner(self.withheld.next_deadline(), self.unsynced.next_deadline())
    }

    /// Takes out the answers whose deadline is over.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<A> {
        let mut expired = self.withheld.take_expired(now);
        expired.append(&mut self.unsynced.take_expired(now));
        expired
    }

    /// Answers that were not given yet.
    pub(super) fn withheld(&self) -> impl Iterator<Item = &A> {
        self.withheld.iter().chain(self.unsynced.iter())
    }

    /// The journal has come further; tells where the state that may be shown stands then, and up
    /// to which record answers may be given.
    pub(super) fn note(&mut self, progress: &Progress) -> Option<(Seq, Option<M>)> {
        let default = self.log.get().durability();
        let shown = match (progress, default) {
            // With `interval`, the first commit of a segment is synced before it is reported as written.
            (Progress::Synced(seq), _) | (Progress::Written(seq), Durability::Interval) => {
                self.show(*seq)
            }
            (Progress::Space(no_room), _) => {
                self.log.get_mut().set_no_room(no_room.clone());
                None
            }
            (Progress::Failed(error), _) => {
                self.fail(error);
                None
            }
            _ => None,
        };
        if let Progress::Synced(seq) = progress {
            self.note_synced(*seq);
        }
        shown
    }

    /// What may be shown now that records up to `durable` are as durable as the default wants.
    fn show(&mut self, durable: Seq) -> Option<(Seq, Option<M>)> {
        let before = std::mem::replace(&mut self.shown, durable);
        let after = self.marks.partition_point(|(seq, _)| *seq <= durable);
        let mark = after.checked_sub(1).and_then(|at| self.marks.get(at));
        let mark = mark.filter(|(seq, _)| *seq > before).map(|(_, mark)| *mark);
        (mark.is_some() || self.withheld.is_due(durable)).then_some((durable, mark))
    }

    /// The disk has every record up to `seq`. All of them are shown, so their events are on their way.
    fn note_synced(&mut self, seq: Seq) {
        self.synced = seq;
        while let Some((at, mark)) = self.marks.front().copied()
            && at <= seq
        {
            self.marks.pop_front();
            self.durable = mark;
        }
        self.unsynced.release(seq);
    }

    /// Gives the answers that waited for records up to `durable`.
    pub(super) fn release(&mut self, durable: Seq) {
        self.withheld.release(durable);
    }

    /// Gives the answers that waited for records which are as durable already.
    pub(super) fn release_due(&mut self) {
        self.withheld.release(self.shown);
        self.unsynced.release(self.synced);
    }

    fn fail(&mut self, error: &JournalError) {
        let error = self.log.get_mut().fail(error);
        self.withheld.fail(&error);
        self.unsynced.fail(&error);
    }

    /// Where the state stood that is synced.
    pub(super) fn durable(&self) -> M {
        self.durable
    }

    /// Everything was written and synced, or was not: gives the answers that waited for it.
    pub(super) fn closed(&mut self, closed: &Result<(), JournalError>) {
        if let Err(error) = closed {
            self.log.get_mut().fail(error);
        }
        self.end();
    }

    /// The journal is closed: gives the answers that waited.
    pub(super) fn end(&mut self) {
        if let Some(error) = self.failed() {
            self.withheld.fail(&error);
            self.unsynced.fail(&error);
        }
        self.withheld.release(Seq::MAX);
        self.unsynced.release(Seq::MAX);
    }
}
