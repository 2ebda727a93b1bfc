//! A snapshot of [`State`]: records that lead to what it was at one moment, told a slice at a time
//! while it goes on changing.
//!
//! First the leases, then every key as it was before the oldest revision that history has, then
//! history itself, then the remembered replies. What keys were is known from history, whose events
//! stay until they are told; of a lease that is changed before it is told, what it was is kept.

use super::change::{Change, Head, STORE_RECORD};
use super::history::{History, Seq};
use super::idempotency::{Once, Place};
use super::journaled::{Encoded, change_of};
use super::{Micros, State};
use crate::journal::Batch;
use crate::model::Revision;
use crate::record;

/// Most bytes of keys and values in one slice, one key more.
const SLICE_BYTES_MAX: usize = 64 * 1024;

/// Most keys for which room is made before they are seen: a hostile file must not take all memory.
const RESERVE_MAX: usize = 1 << 20;

/// No store comes to so many revisions.
const REVISION_MAX: Revision = 1 << 62;

/// The revision before the `oldest` that history has. A new store is at revision 1, which no event
/// made.
fn base_of(oldest: Revision) -> Revision {
    oldest.saturating_sub(1).max(1)
}

/// How far a snapshot is.
#[derive(Debug)]
pub(crate) struct Snapshot {
    time: Micros,
    /// The newest revision in it.
    revision: Revision,
    /// The oldest that is readable in it.
    oldest: Revision,
    phase: Phase,
    /// The end of history in it.
    history_end: Seq,
    /// The events so far of a revision that takes several slices: each revision is one record.
    events: Encoded,
    /// Replies with a higher number were remembered later.
    last_reply: u64,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Begin,
    Leases,
    /// From this place among all records of keys on.
    Keys(usize),
    /// From this event on.
    History(Seq),
    /// The replies behind this one.
    Replies(Place),
    Done,
}

impl State {
    /// Begins a snapshot of what there is now. Until [`end_snapshot`](Self::end_snapshot), what it
    /// needs of the past stays.
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

    /// Returns whether history has the events of the last revision, and of no other.
    pub(crate) fn keeps_last_revision(&self) -> bool {
        self.history.oldest() == self.revision && self.visible == self.revision
    }

    /// Gives up the events of the last revision too, if history has no other: what was compacted up to
    /// there takes no room then. The revision itself stays readable.
    pub(crate) fn give_up_last_revision(&mut self) {
        if self.keeps_last_revision() {
            let revision = self.revision;
            self.history.compact(revision + 1);
            // The newest snapshot has those events: only behind another record is a new one made.
            self.note(|| Change::Compacted { revision });
        }
    }

    /// Lets go of the past.
    pub(crate) fn end_snapshot(&mut self) {
        self.history.pin(None);
        self.leases.thaw();
    }

    /// Bytes of history that only a snapshot keeps.
    pub(crate) fn pinned_bytes(&self) -> u64 {
        self.history.pinned_bytes()
    }

    /// Appends the next records of a snapshot, about `slice` keys, events, leases or replies;
    /// false when there are no more.
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
            // A key that was new, or is in a place that was free, has no past before.
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

    /// Some may have been forgotten meanwhile.
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

    /// Takes up what only a snapshot has; refuses it anywhere else.
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
            _ => return Err("a part of a snapshot where none can be".to_owned()),
        }
        Ok(())
    }
}

impl Snapshot {
    /// The revision before history.
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
