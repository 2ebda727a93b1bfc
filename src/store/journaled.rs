//! The part of [`StoreState`] that serves a journal: it reports the changes of each request, makes only
//! durable ones visible, and restores the state from records.

use super::StoreState;
use super::change::{STORE_RECORD, StoreChange, StoreRecordHead};
use crate::model::{
    Blob, Event, EventKind, KeyAction, KeyRange, KeyValue, KvCall, KvRequest, RangeRequest, Reply,
    Revision, TxnOp,
};
use crate::record;
use crate::time::Micros;

/// The most pending events that are compared with a range; with more, the range counts as touched.
const PENDING_COMPARED_MAX: usize = 1_024;

/// A position in the sequence of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Mark {
    /// The number of records taken.
    pub(crate) records: u64,
    /// The revision after them.
    pub(crate) revision: Revision,
}

/// The first changes of a record that is made in slices, encoded.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    pub(super) changes: u32,
    of_lease: bool,
    pub(super) bytes: Vec<u8>,
}

impl Encoded {
    pub(super) fn add(&mut self, change: &StoreChange) {
        self.changes += 1;
        self.of_lease |= change.is_of_lease();
        change.encode(&mut self.bytes);
    }
}

impl StoreState {
    /// Returns whether changes are recorded and become visible only when [`settle`](Self::settle)
    /// reports them durable. Otherwise, they are visible at once.
    pub(crate) fn is_journaled(&self) -> bool {
        self.journaled
    }

    pub(crate) fn set_journaled(&mut self, journaled: bool) {
        self.journaled = journaled;
    }

    /// Returns the newest visible revision: the current one, unless it is not durable yet.
    pub(crate) fn visible(&self) -> Revision {
        self.visible
    }

    /// Returns the position after everything that was applied.
    pub(crate) fn mark(&self) -> Mark {
        Mark { records: self.records, revision: self.revision }
    }

    /// Makes everything up to `mark` visible.
    pub(crate) fn settle(&mut self, mark: Mark) {
        self.settled = self.settled.max(mark.records.min(self.records));
        self.show(mark.revision);
    }

    /// Makes the writes up to `revision` visible. Records count as pending until they are settled.
    pub(crate) fn show(&mut self, revision: Revision) {
        self.visible = self.visible.max(revision.min(self.revision));
        self.history.show(self.visible);
        self.keep_history_short();
        self.reclaim(self.config.slice_max);
    }

    /// Returns whether there are changes that are not visible yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.settled < self.records
    }

    pub(super) fn note(&mut self, change: impl FnOnce() -> StoreChange) {
        if self.journaled {
            self.changes.push(change());
        }
    }

    /// Appends the record of the last request's changes to `out`; returns false if there are none.
    pub(crate) fn take_record(&mut self, now: Micros, out: &mut Vec<u8>) -> bool {
        if self.changes.is_empty() && self.encoded.changes == 0 {
            return false;
        }
        self.records += 1;
        if self.encoded.of_lease || self.changes.iter().any(StoreChange::is_of_lease) {
            self.leases_changed = self.records;
        }
        out.extend_from_slice(&STORE_RECORD);
        let changes = self.encoded.changes + self.changes.len() as u32;
        record::encode(&StoreRecordHead { time: now, revision: self.revision, changes }, out);
        if self.encoded.changes > 0 {
            out.extend_from_slice(&std::mem::take(&mut self.encoded).bytes);
        }
        for change in self.changes.drain(..) {
            change.encode(out);
        }
        true
    }

    /// Encodes the changes that a large write has made so far, to spread the work over its slices.
    pub(super) fn encode_changes(&mut self) {
        for change in self.changes.drain(..) {
            self.encoded.add(&change);
        }
    }

    /// Returns whether the answer to `request` might show something that is not durable yet.
    pub(crate) fn touches_pending(&self, request: &KvCall<'_>) -> bool {
        if !self.is_pending() {
            return false;
        }
        let request = match request {
            KvCall::Key(view) => match view.action {
                KeyAction::Get { revision } => {
                    return revision == 0 && self.is_key_pending(view.key);
                }
                KeyAction::Set { .. } | KeyAction::Delete { .. } => return true,
            },
            KvCall::Owned(request) => request,
        };
        match request {
            KvRequest::Get(get) => get.revision == 0 && self.is_key_pending(&get.key),
            KvRequest::Range(range) => self.is_page_pending(range),
            KvRequest::Scan(range) => self.is_page_pending(range),
            KvRequest::LeaseTimeToLive(_)
            | KvRequest::LeaseKeys { .. }
            | KvRequest::LeaseList { .. } => {
                // Attaching or detaching a key makes an event, but does not change the lease itself.
                self.leases_changed > self.settled || self.visible < self.revision
            }
            KvRequest::Txn(txn) => {
                let ops = txn.success.iter().chain(&txn.failure);
                let read = |op: &TxnOp| match op {
                    TxnOp::Get(get) => Some(KeyRange::Key(get.key.clone())),
                    TxnOp::Range(range) => Some(range.range.clone()),
                    TxnOp::Set(_) | TxnOp::Delete(_) => None,
                };
                ops.clone().any(|op| read(op).is_none_or(|range| self.is_range_pending(&range)))
                    || txn.compares.iter().any(|compare| self.is_range_pending(&compare.range))
            }
            // All other requests wait for everything that is pending.
            _ => true,
        }
    }

    fn is_key_pending(&self, key: &[u8]) -> bool {
        let record = self.keys.find(key).and_then(|slot| self.keys.record(slot));
        record.is_some_and(|record| {
            if !self.is_open() {
                return self.history.is_pending(&record.trail);
            }
            // The events of a large write are not visible to any read.
            let (first, _) = self.history.first_after(&record.trail, self.visible);
            self.history.entry(first).is_some_and(|it| it.event.revision() <= self.revision)
        })
    }

    fn is_page_pending(&self, page: &RangeRequest) -> bool {
        page.revision == 0 && self.is_range_pending(&page.range)
    }

    fn is_range_pending(&self, range: &KeyRange) -> bool {
        if let KeyRange::Key(key) = range {
            return self.is_key_pending(key);
        }
        let pending = self.history.pending();
        pending.len() > PENDING_COMPARED_MAX
            || pending.into_iter().any(|event| range.contains(&event.kv.key))
    }

    /// Sets the revision in a reply that touches nothing pending to the visible one.
    pub(crate) fn show_visible(&self, reply: &mut Reply) {
        if let Reply::Txn(reply) = reply {
            reply.results.iter_mut().for_each(|result| self.show_visible(result));
        }
        if let Some(revision) = reply.revision_mut() {
            *revision = self.visible.min(*revision);
        }
    }

    /// Returns the store's clock at the last replayed record.
    pub(crate) fn time(&self) -> Micros {
        self.time
    }

    /// Begins to restore the state from records; indexes that only reads need are built at the end.
    pub(crate) fn begin_replay(&mut self) {
        self.keys.unorder();
    }

    /// Applies the changes of a record again.
    ///
    /// Returns an error text if the payload is not a record of this version or does not follow the last
    /// one.
    pub(crate) fn replay(&mut self, payload: &[u8]) -> Result<(), String> {
        let Some(rest) = payload.strip_prefix(&STORE_RECORD) else {
            return Err("not a record of the store, or a record of another version".to_owned());
        };
        let (head, mut rest) = record::decode::<StoreRecordHead>(rest)?;
        let mut events = Vec::new();
        for _ in 0..head.changes {
            let (change, after) = StoreChange::decode(rest)?;
            rest = after;
            match change {
                StoreChange::Put { .. } | StoreChange::Delete { .. } => events.push(change),
                StoreChange::Began { .. }
                | StoreChange::Kept { .. }
                | StoreChange::LeaseKept { .. } => {
                    self.replay_kept(change)?;
                }
                _ => self.replay_change(head.time, change),
            }
        }
        if !rest.is_empty() {
            return Err(format!("{} bytes follow the changes", rest.len()));
        }
        self.time = self.time.max(head.time);
        let next = self.revision + u64::from(!events.is_empty());
        if head.revision != next {
            return Err(format!("a record of revision {} instead of {next}", head.revision));
        }
        self.replay_events(events);
        self.reclaim(usize::MAX);
        Ok(())
    }

    fn replay_change(&mut self, time: Micros, change: StoreChange) {
        match change {
            StoreChange::LeaseGranted { id, ttl, private } => {
                self.leases.remove(id);
                self.leases.insert(id, time, ttl, private);
            }
            StoreChange::LeaseRenewed { id, ttl } => self.leases.renew(id, time, ttl),
            StoreChange::LeaseEnded { id } => {
                self.leases.remove(id);
            }
            StoreChange::Compacted { revision } => {
                self.history.compact(revision.min(self.revision))
            }
            StoreChange::Remembered { once, fingerprint, reply } => {
                self.remembered.remember(time, once, fingerprint, reply);
                self.remembered.forget(time, &self.config);
            }
            // Handled by `replay`.
            StoreChange::Put { .. } | StoreChange::Delete { .. } => {}
            StoreChange::Began { .. }
            | StoreChange::Kept { .. }
            | StoreChange::LeaseKept { .. } => {}
        }
    }

    fn replay_events(&mut self, events: Vec<StoreChange>) {
        if events.is_empty() {
            return;
        }
        // Nothing in the write can be refused.
        let _ = self.write(|state, revision| {
            for event in events {
                match event {
                    StoreChange::Put { key, value, lease } => {
                        state.replay_put(revision, &key, value, lease);
                    }
                    StoreChange::Delete { key } => {
                        if let Some(slot) = state.keys.find(&key) {
                            state.tombstone(revision, slot);
                        }
                    }
                    _ => {}
                }
            }
            Ok(())
        });
    }

    fn replay_put(&mut self, revision: Revision, key: &Blob, value: Blob, lease: u64) {
        let slot = self.keys.find(key).unwrap_or_else(|| self.keys.insert(key));
        self.put(revision, slot, value, lease);
    }

    /// Builds the indexes that [`begin_replay`](Self::begin_replay) left out, and gives each lease time
    /// to be kept alive.
    pub(crate) fn finish_replay(&mut self) {
        self.keys.order(|trail| self.history.last_change(trail));
        let attached: Vec<(u32, u64)> = self.keys.leased().collect();
        for (slot, lease) in attached {
            self.attach(slot, lease);
        }
        self.leases.grant_grace(self.time);
    }
}

/// Returns the change that an event made.
pub(super) fn change_of(event: &Event) -> StoreChange {
    let KeyValue { key, value, lease, .. } = &*event.kv;
    match event.kind() {
        EventKind::Put => {
            StoreChange::Put { key: key.clone(), value: value.clone(), lease: *lease }
        }
        EventKind::Delete => StoreChange::Delete { key: key.clone() },
    }
}
