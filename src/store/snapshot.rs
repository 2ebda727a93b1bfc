//! A snapshot of [`StoreState`]: records that lead to the state at one moment, produced slice by slice while
//! the state goes on changing.
//!
//! First the leases, then every key as it was before the oldest revision of the history, then the
//! history, then the remembered replies. The state of keys is derived from the history, whose events
//! stay in memory until they are written; the state of a lease that changes before it is written is
//! saved.

use super::StoreState;
use super::change::{STORE_RECORD, StoreChange, StoreRecordHead};
use super::history::{EventSeq, History};
use super::idempotency::{IdempotentWrite, RememberedAt};
use super::journaled::{Encoded, change_of};
use crate::journal::RecordBatch;
use crate::model::Revision;
use crate::record;
use crate::time::Micros;

/// The most bytes of keys and values in one slice; the last key may exceed it.
const SLICE_BYTES_MAX: usize = 64 * 1024;

/// The most keys to reserve memory for in advance, because the number in a hostile file is not to be
/// trusted.
const RESERVE_MAX: usize = 1 << 20;

/// A revision that no store reaches.
const REVISION_MAX: Revision = 1 << 62;

/// Returns the revision before `oldest`. A new store is at revision 1, which no event made.
fn base_of(oldest: Revision) -> Revision {
    oldest.saturating_sub(1).max(1)
}

/// The progress of a snapshot.
#[derive(Debug)]
pub(crate) struct StoreSnapshot {
    time: Micros,
    /// The newest revision in the snapshot.
    revision: Revision,
    /// The oldest readable revision in the snapshot.
    oldest: Revision,
    phase: SnapshotPhase,
    /// The end of the history in the snapshot.
    history_end: EventSeq,
    /// The events so far of a revision that takes several slices: each revision is one record.
    events: Encoded,
    /// The last remembered reply in the snapshot; replies with a higher number are newer.
    last_reply: u64,
}

#[derive(Debug, Clone, Copy)]
enum SnapshotPhase {
    Begin,
    Leases,
    /// The keys from this slot on.
    Keys(usize),
    /// The history from this event on.
    History(EventSeq),
    /// The replies after this one.
    Replies(RememberedAt),
    Done,
}

impl StoreState {
    /// Begins a snapshot of the current state. Whatever it needs from the past stays until
    /// [`end_snapshot`](Self::end_snapshot).
    pub(crate) fn begin_snapshot(&mut self, now: Micros) -> StoreSnapshot {
        self.history.pin(Some(self.history.first_of(self.history.oldest())));
        self.leases.freeze();
        StoreSnapshot {
            time: now,
            revision: self.revision,
            oldest: self.history.oldest(),
            phase: SnapshotPhase::Begin,
            history_end: self.history.applied_end(),
            events: Encoded::default(),
            last_reply: self.remembered.last(),
        }
    }

    /// Returns whether the history holds the events of the last revision only.
    pub(crate) fn keeps_last_revision(&self) -> bool {
        self.history.oldest() == self.revision && self.visible == self.revision
    }

    /// Compacts the events of the last revision too, if the history holds no others, so that everything
    /// compacted so far can be freed. The revision itself stays readable.
    pub(crate) fn give_up_last_revision(&mut self) {
        if self.keeps_last_revision() {
            let revision = self.revision;
            self.history.compact(revision + 1);
            // The newest snapshot has these events: a new snapshot is made only after another record.
            self.note(|| StoreChange::Compacted { revision });
        }
    }

    /// Ends the snapshot and releases the events kept for it.
    pub(crate) fn end_snapshot(&mut self) {
        self.history.pin(None);
        self.leases.thaw();
    }

    /// Returns the bytes of the history that only a snapshot keeps.
    pub(crate) fn pinned_bytes(&self) -> u64 {
        self.history.pinned_bytes()
    }

    /// Appends the next records of a snapshot, about `slice` keys, events, leases or replies; returns
    /// false if there are no more.
    pub(crate) fn write_snapshot(
        &mut self,
        snapshot: &mut StoreSnapshot,
        slice: usize,
        out: &mut RecordBatch,
    ) -> bool {
        snapshot.phase = match snapshot.phase {
            SnapshotPhase::Begin => {
                let StoreSnapshot { oldest, .. } = *snapshot;
                let keys = self.keys.records() as u64;
                let change = StoreChange::Began { oldest, revision: snapshot.base(), keys };
                snapshot.push(out, snapshot.base(), &[change]);
                SnapshotPhase::Leases
            }
            SnapshotPhase::Leases => self.write_leases(snapshot, slice, out),
            SnapshotPhase::Keys(from) => self.write_keys(snapshot, from, slice, out),
            SnapshotPhase::History(from) => self.write_history(snapshot, from, slice, out),
            SnapshotPhase::Replies(from) => self.write_replies(snapshot, from, slice, out),
            SnapshotPhase::Done => SnapshotPhase::Done,
        };
        !matches!(snapshot.phase, SnapshotPhase::Done)
    }

    fn write_leases(
        &mut self,
        snapshot: &StoreSnapshot,
        slice: usize,
        out: &mut RecordBatch,
    ) -> SnapshotPhase {
        let leases = self.leases.tell(slice);
        if leases.is_empty() {
            self.leases.thaw();
            return SnapshotPhase::Keys(0);
        }
        let changes: Vec<StoreChange> = leases
            .into_iter()
            .map(|(id, kept)| StoreChange::LeaseKept {
                id,
                ttl: kept.ttl,
                deadline: kept.deadline,
                private: kept.private,
            })
            .collect();
        snapshot.push(out, snapshot.base(), &changes);
        SnapshotPhase::Leases
    }

    fn write_keys(
        &self,
        snapshot: &StoreSnapshot,
        from: usize,
        slice: usize,
        out: &mut RecordBatch,
    ) -> SnapshotPhase {
        let end = self.keys.places();
        let before = snapshot.oldest.saturating_sub(1);
        let (mut changes, mut bytes, mut at) = (Vec::with_capacity(slice), 0, from);
        while at < end && at < from + slice && bytes < SLICE_BYTES_MAX {
            let record = self.keys.record(at as u32);
            at += 1;
            // A key that is newer than the snapshot, or reuses a freed slot, has no earlier state.
            if let Some(kv) = record.and_then(|record| self.at(record, before).0) {
                bytes += kv.bytes();
                changes.push(StoreChange::Kept { kv: kv.clone() });
            }
        }
        if !changes.is_empty() {
            snapshot.push(out, snapshot.base(), &changes);
        }
        if at < end {
            SnapshotPhase::Keys(at)
        } else {
            SnapshotPhase::History(self.history.pinned())
        }
    }

    /// Appends revisions, each as one record like that of the log. A large one takes several slices.
    fn write_history(
        &mut self,
        snapshot: &mut StoreSnapshot,
        from: EventSeq,
        slice: usize,
        out: &mut RecordBatch,
    ) -> SnapshotPhase {
        let (mut at, mut bytes) = (from, 0);
        let stop = from + slice as EventSeq;
        while at < snapshot.history_end && at < stop && bytes < SLICE_BYTES_MAX {
            let Some(entry) = self.history.entry(at) else { break };
            let revision = entry.event.revision();
            bytes += entry.event.kv.bytes();
            snapshot.events.add(&change_of(&entry.event));
            at += 1;
            let next = self.history.entry(at).filter(|_| at < snapshot.history_end);
            if next.is_none_or(|next| next.event.revision() != revision) {
                let Encoded { changes, bytes, .. } = std::mem::take(&mut snapshot.events);
                push(out, StoreRecordHead { time: snapshot.time, revision, changes }, |out| {
                    out.extend_from_slice(&bytes);
                });
            }
        }
        if at < snapshot.history_end && at > from {
            self.history.pin(Some(at));
            return SnapshotPhase::History(at);
        }
        self.history.pin(None);
        SnapshotPhase::Replies((0, 0))
    }

    /// Appends remembered replies; some may have been forgotten since the snapshot began.
    fn write_replies(
        &self,
        snapshot: &StoreSnapshot,
        from: RememberedAt,
        slice: usize,
        out: &mut RecordBatch,
    ) -> SnapshotPhase {
        let (mut told, mut bytes, mut last) = (0, 0, from);
        for (place, key, kept) in self.remembered.after(from) {
            if told == slice || bytes >= SLICE_BYTES_MAX {
                return SnapshotPhase::Replies(last);
            }
            (told, last) = (told + 1, place);
            if place.1 <= snapshot.last_reply {
                bytes += kept.bytes;
                let (fingerprint, reply) = (kept.fingerprint, kept.reply.clone());
                let once = IdempotentWrite { key, client: kept.client };
                let change = StoreChange::Remembered { once, fingerprint, reply };
                let head =
                    StoreRecordHead { time: place.0, revision: snapshot.revision, changes: 1 };
                push(out, head, |out| change.encode(out));
            }
        }
        SnapshotPhase::Done
    }

    /// Applies a change that only snapshots contain; refuses any other.
    pub(super) fn replay_kept(&mut self, change: StoreChange) -> Result<(), String> {
        let fresh = self.history.applied_end() == 1;
        match change {
            StoreChange::Began { oldest, revision, keys }
                if fresh
                    && self.keys.is_empty()
                    && (1..REVISION_MAX).contains(&oldest)
                    && revision == base_of(oldest) =>
            {
                (self.revision, self.visible) = (revision, revision);
                self.history = History::new(oldest);
                self.keys.reserve(usize::try_from(keys).unwrap_or(usize::MAX).min(RESERVE_MAX));
            }
            StoreChange::LeaseKept { id, ttl, deadline, private } if fresh => {
                self.leases.put(id, ttl, deadline, private);
            }
            StoreChange::Kept { kv }
                if fresh
                    && kv.version <= kv.mod_revision
                    && kv.mod_revision <= self.revision
                    && self.keys.find(&kv.key).is_none() =>
            {
                let slot = self.keys.insert(&kv.key);
                self.keys.put(slot, kv);
            }
            _ => {
                return Err(
                    "a change that only snapshots contain, in a place where none can be".to_owned()
                );
            }
        }
        Ok(())
    }
}

impl StoreSnapshot {
    /// Returns the revision before the history.
    fn base(&self) -> Revision {
        base_of(self.oldest)
    }

    fn push(&self, out: &mut RecordBatch, revision: Revision, changes: &[StoreChange]) {
        let head = StoreRecordHead { time: self.time, revision, changes: changes.len() as u32 };
        push(out, head, |out| changes.iter().for_each(|change| change.encode(out)));
    }
}

fn push(out: &mut RecordBatch, head: StoreRecordHead, encode: impl FnOnce(&mut Vec<u8>)) {
    out.push_if(|out| {
        out.extend_from_slice(&STORE_RECORD);
        record::encode(&head, out);
        encode(out);
        true
    });
}
