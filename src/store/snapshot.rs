//! A snapshot of [`State`]: records that lead to the state at one moment, produced slice by slice while
//! the state goes on changing.
//!
//! First the leases, then every key as it was before the oldest revision of the history, then the
//! history, then the remembered replies. The state of keys is derived from the history, whose events
//! stay in memory until they are written; the state of a lease that changes before it is written is
//! saved.

use super::change::{Change, Head, STORE_RECORD};
use super::history::{History, Seq};
use super::idempotency::{Once, Place};
use super::journaled::{Encoded, change_of};
use super::{Micros, State};
use crate::journal::Batch;
use crate::model::Revision;
use crate::record;

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
pub(crate) struct Snapshot {
    time: Micros,
    /// The newest revision in the snapshot.
    revision: Revision,
    /// The oldest readable revision in the snapshot.
    oldest: Revision,
    phase: Phase,
    /// The end of the history in the snapshot.
    history_end: Seq,
    /// The events so far of a revision that takes several slices: each revision is one record.
    events: Encoded,
    /// The last remembered reply in the snapshot; replies with a higher number are newer.
    last_reply: u64,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Begin,
    Leases,
    /// The keys from this slot on.
    Keys(usize),
    /// The history from this event on.
    History(Seq),
    /// The replies after this one.
    Replies(Place),
    Done,
}

impl State {
    /// Begins a snapshot of the current state. Whatever it needs from the past stays until
    /// [`end_snapshot`](Self::end_snapshot).
    pub(crate) fn begin_snapshot(&mut self, now: Micros) -> Snapshot {
        self.history.pin(Some(self.history.first_of(self.history.oldest())));
        self.leases.freeze();
        Snapshot {
            time: now,
            revision: self.revision,
            oldest: self.history.oldest(),
            phase: Phase::Begin,
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
            self.note(|| Change::Compacted { revision });
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
    pub(crate) fn tell_snapshot(
        &mut self,
        snapshot: &mut Snapshot,
        slice: usize,
        out: &mut Batch,
    ) -> bool {
        snapshot.phase = match snapshot.phase {
            Phase::Begin => {
                let Snapshot { oldest, .. } = *snapshot;
                let keys = self.keys.records() as u64;
                let change = Change::Began { oldest, revision: snapshot.base(), keys };
                snapshot.push(out, snapshot.base(), &[change]);
                Phase::Leases
            }
            Phase::Leases => self.tell_leases(snapshot, slice, out),
            Phase::Keys(from) => self.tell_keys(snapshot, from, slice, out),
            Phase::History(from) => self.tell_history(snapshot, from, slice, out),
            Phase::Replies(from) => self.tell_replies(snapshot, from, slice, out),
            Phase::Done => Phase::Done,
        };
        !matches!(snapshot.phase, Phase::Done)
    }

    fn tell_leases(&mut self, snapshot: &Snapshot, slice: usize, out: &mut Batch) -> Phase {
        let leases = self.leases.tell(slice);
        if leases.is_empty() {
            self.leases.thaw();
            return Phase::Keys(0);
        }
        let changes: Vec<Change> = leases
            .into_iter()
            .map(|(id, kept)| Change::LeaseKept {
                id,
                ttl: kept.ttl,
                deadline: kept.deadline,
                private: kept.private,
            })
            .collect();
        snapshot.push(out, snapshot.base(), &changes);
        Phase::Leases
    }

    fn tell_keys(&self, snapshot: &Snapshot, from: usize, slice: usize, out: &mut Batch) -> Phase {
        let end = self.keys.places();
        let before = snapshot.oldest.saturating_sub(1);
        let (mut changes, mut bytes, mut at) = (Vec::with_capacity(slice), 0, from);
        while at < end && at < from + slice && bytes < SLICE_BYTES_MAX {
            let record = self.keys.record(at as u32);
            at += 1;
            // A key that is newer than the snapshot, or reuses a freed slot, has no earlier state.
            if let Some(kv) = record.and_then(|record| self.at(record, before).0) {
                bytes += kv.bytes();
                changes.push(Change::Kept { kv: kv.clone() });
            }
        }
        if !changes.is_empty() {
            snapshot.push(out, snapshot.base(), &changes);
        }
        if at < end { Phase::Keys(at) } else { Phase::History(self.history.pinned()) }
    }

    /// Appends revisions, each as one record like that of the log. A large one takes several slices.
    fn tell_history(
        &mut self,
        snapshot: &mut Snapshot,
        from: Seq,
        slice: usize,
        out: &mut Batch,
    ) -> Phase {
        let (mut at, mut bytes) = (from, 0);
        let stop = from + slice as Seq;
        while at < snapshot.history_end && at < stop && bytes < SLICE_BYTES_MAX {
            let Some(entry) = self.history.entry(at) else { break };
            let revision = entry.event.revision();
            bytes += entry.event.kv.bytes();
            snapshot.events.add(&change_of(&entry.event));
            at += 1;
            let next = self.history.entry(at).filter(|_| at < snapshot.history_end);
            if next.is_none_or(|next| next.event.revision() != revision) {
                let Encoded { changes, bytes, .. } = std::mem::take(&mut snapshot.events);
                push(out, Head { time: snapshot.time, revision, changes }, |out| {
                    out.extend_from_slice(&bytes);
                });
            }
        }
        if at < snapshot.history_end && at > from {
            self.history.pin(Some(at));
            return Phase::History(at);
        }
        self.history.pin(None);
        Phase::Replies((0, 0))
    }

    /// Appends remembered replies; some may have been forgotten since the snapshot began.
    fn tell_replies(
        &self,
        snapshot: &Snapshot,
        from: Place,
        slice: usize,
        out: &mut Batch,
    ) -> Phase {
        let (mut told, mut bytes, mut last) = (0, 0, from);
        for (place, key, kept) in self.remembered.after(from) {
            if told == slice || bytes >= SLICE_BYTES_MAX {
                return Phase::Replies(last);
            }
            (told, last) = (told + 1, place);
            if place.1 <= snapshot.last_reply {
                bytes += kept.bytes;
                let (fingerprint, reply) = (kept.fingerprint, kept.reply.clone());
                let once = Once { key, client: kept.client };
                let change = Change::Remembered { once, fingerprint, reply };
                let head = Head { time: place.0, revision: snapshot.revision, changes: 1 };
                push(out, head, |out| change.encode(out));
            }
        }
        Phase::Done
    }

    /// Applies a change that only snapshots contain; refuses any other.
    pub(super) fn replay_kept(&mut self, change: Change) -> Result<(), String> {
        let fresh = self.history.applied_end() == 1;
        match change {
            Change::Began { oldest, revision, keys }
                if fresh
                    && self.keys.is_empty()
                    && (1..REVISION_MAX).contains(&oldest)
                    && revision == base_of(oldest) =>
            {
                (self.revision, self.visible) = (revision, revision);
                self.history = History::new(oldest);
                self.keys.reserve(usize::try_from(keys).unwrap_or(usize::MAX).min(RESERVE_MAX));
            }
            Change::LeaseKept { id, ttl, deadline, private } if fresh => {
                self.leases.put(id, ttl, deadline, private);
            }
            Change::Kept { kv }
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

impl Snapshot {
    /// Returns the revision before the history.
    fn base(&self) -> Revision {
        base_of(self.oldest)
    }

    fn push(&self, out: &mut Batch, revision: Revision, changes: &[Change]) {
        let head = Head { time: self.time, revision, changes: changes.len() as u32 };
        push(out, head, |out| changes.iter().for_each(|change| change.encode(out)));
    }
}

fn push(out: &mut Batch, head: Head, encode: impl FnOnce(&mut Vec<u8>)) {
    out.push_if(|out| {
        out.extend_from_slice(&STORE_RECORD);
        record::encode(&head, out);
        encode(out);
        true
    });
}
