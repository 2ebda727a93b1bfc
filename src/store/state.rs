//! [`StoreState`]: keys, history and leases, and every request that changes them.

use std::cell::Cell;
use std::sync::Arc;

use super::change::StoreChange;
use super::fingerprint::fingerprint;
use super::history::History;
use super::idempotency::{IdempotentWrite, Remembered};
use super::journaled::{Encoded, change_of};
use super::keyspace::Keyspace;
use super::large::{Deleting, LargeWrite, WriteRest};
use super::lease::{Leases, micros};
use super::set_view::SetView;
use super::version_pool::VersionPool;
use super::{EventSeq, StepBudget, StoreError};
use crate::config::StoreConfig;
use crate::model::{
    Blob, CompactReply, DeleteReply, DeleteRequest, Event, KeyAction, KeyRange, KeyValue, KvCall,
    KvRequest, LeaseId, Reply, Revision, SetReply, StatusReply,
};
use crate::time::Micros;

/// The pure state machine of keys: takes requests, returns replies, and appends events to the history.
#[derive(Debug)]
pub(crate) struct StoreState {
    pub(super) config: StoreConfig,
    pub(super) revision: Revision,
    pub(super) keys: Keyspace,
    pub(super) history: History,
    pub(super) leases: Leases,
    /// Leases hidden from the current request, see [`hide_leases`](Self::hide_leases).
    pub(super) hidden_leases: Vec<LeaseId>,
    pub(super) remembered: Remembered,
    versions: VersionPool,
    /// Changes are recorded and become visible when they are durable.
    pub(super) journaled: bool,
    /// The changes of the current request, and those already encoded.
    pub(super) changes: Vec<StoreChange>,
    pub(super) encoded: Encoded,
    /// The large write in progress.
    pub(super) open: Option<Box<LargeWrite>>,
    /// Records taken, and the number of them that are settled.
    pub(super) records: u64,
    pub(super) settled: u64,
    /// The last record that changed a lease.
    pub(super) leases_changed: u64,
    /// The newest visible revision.
    pub(super) visible: Revision,
    /// The clock at the last replayed record.
    pub(super) time: Micros,
    /// Keys and events that requests have looked at so far.
    pub(super) steps_taken: Cell<u64>,
}

impl StoreState {
    /// Makes an empty store at revision 1.
    pub(crate) fn new(config: StoreConfig) -> Self {
        Self {
            config,
            revision: 1,
            keys: Keyspace::default(),
            history: History::new(1),
            leases: Leases::new(),
            hidden_leases: Vec::new(),
            remembered: Remembered::default(),
            versions: VersionPool::default(),
            journaled: false,
            changes: Vec::new(),
            encoded: Encoded::default(),
            open: None,
            records: 0,
            settled: 0,
            leases_changed: 0,
            visible: 1,
            time: 0,
            steps_taken: Cell::new(0),
        }
    }

    /// Starts the numbering of leases at `first`.
    pub(crate) fn number_leases_from(&mut self, first: u64) {
        self.leases.number_from(first);
    }

    pub(crate) fn config(&self) -> &StoreConfig {
        &self.config
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Executes `request`, at most once under one idempotency key. Appends its events to the history.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn apply(
        &mut self,
        now: Micros,
        once: Option<IdempotentWrite>,
        request: KvRequest,
    ) -> Result<Reply, StoreError> {
        if let Some(reply) = self.begin(now, once, request.into())? {
            return Ok(reply);
        }
        loop {
            if let Some(completed) = self.go_on(self.config.slice_max) {
                return completed.reply;
            }
        }
    }

    /// Begins to execute `request`, at most once under one idempotency key. For a write of very many
    /// events, there is no reply until [`go_on`](Self::go_on) has finished it; until then, the only
    /// request allowed is a [`Get`](KvRequest::Get).
    #[inline]
    pub(crate) fn begin(
        &mut self,
        now: Micros,
        once: Option<IdempotentWrite>,
        request: KvCall<'_>,
    ) -> Result<Option<Reply>, StoreError> {
        let Some(once) = once else { return self.begin_anew(now, None, request) };
        let request = request.into_owned();
        let Some(fingerprint) = fingerprint(&request) else {
            let message = "only writes take an idempotency key; send this request without one";
            return Err(StoreError::InvalidArgument(message.to_owned()));
        };
        self.remembered.forget(now, &self.config);
        if let Some(reply) = self.remembered.recall(once, fingerprint)? {
            return Ok(Some(reply));
        }
        let reply = self.begin_anew(now, Some((once, fingerprint)), request.into())?;
        if let Some(reply) = &reply {
            self.remember(now, once, fingerprint, reply);
        }
        Ok(reply)
    }

    pub(super) fn remember(
        &mut self,
        now: Micros,
        once: IdempotentWrite,
        fingerprint: u64,
        reply: &Reply,
    ) {
        self.note(|| StoreChange::Remembered { once, fingerprint, reply: reply.clone() });
        self.remembered.remember(now, once, fingerprint, reply.clone());
        self.remembered.forget(now, &self.config);
    }

    #[inline]
    fn begin_anew(
        &mut self,
        now: Micros,
        once: Option<(IdempotentWrite, u64)>,
        request: KvCall<'_>,
    ) -> Result<Option<Reply>, StoreError> {
        let mut steps = self.steps();
        let reply = self.do_anew(now, once, request, &mut steps);
        if reply.is_ok() {
            steps.take_reserved();
        }
        self.count_steps(steps.taken());
        reply
    }

    fn do_anew(
        &mut self,
        now: Micros,
        once: Option<(IdempotentWrite, u64)>,
        request: KvCall<'_>,
        steps: &mut StepBudget,
    ) -> Result<Option<Reply>, StoreError> {
        let request = match request {
            KvCall::Key(view) => {
                if let Some(set) = SetView::of_key(&view) {
                    return Ok(Some(Reply::Set(self.set_anew(now, &set)?)));
                }
                if let KeyAction::Get { revision } = view.action {
                    return Ok(Some(Reply::Get(self.get(view.key, revision, steps)?)));
                }
                view.to_owned()
            }
            KvCall::Owned(request) => request,
        };
        let reply = match request {
            KvRequest::Set(request) => self.set_anew(now, &SetView::of(&request)).map(Reply::Set),
            KvRequest::Get(request) => {
                self.get(&request.key, request.revision, steps).map(Reply::Get)
            }
            KvRequest::Range(request) => self.whole_range(&request, steps).map(Reply::Range),
            KvRequest::Scan(request) => {
                self.range(&request, &mut self.page_capacity(), steps).map(Reply::Scan)
            }
            KvRequest::Delete(request) => {
                self.check_delete(&request)?;
                let demand = self.demand_of_delete(&request);
                self.check_capacity(&demand)?;
                if self.is_long(demand.events) {
                    self.open(now, once, WriteRest::Delete(Deleting::new(request)));
                    return Ok(None);
                }
                self.write(|state, revision| Ok(state.delete(revision, request))).map(Reply::Delete)
            }
            KvRequest::Txn(request) => return self.txn(now, once, request, steps),
            KvRequest::LeaseGrant(request) => {
                self.lease_grant(now, &request).map(Reply::LeaseGrant)
            }
            KvRequest::LeaseKeepAlive(id) => {
                self.lease_keep_alive(now, id).map(Reply::LeaseKeepAlive)
            }
            KvRequest::LeaseRevoke(id) => return self.lease_revoke(now, once, id),
            KvRequest::LeaseTimeToLive(id) => {
                self.lease_time_to_live(now, id, steps).map(Reply::LeaseTimeToLive)
            }
            KvRequest::LeaseList { after, limit } => {
                self.lease_list(after, limit).map(Reply::LeaseList)
            }
            KvRequest::LeaseKeys { id, after, limit } => {
                self.lease_keys_page(id, &after, limit, steps).map(Reply::LeaseKeys)
            }
            KvRequest::Compact(revision) => self.compact(revision).map(Reply::Compact),
        };
        reply.map(Some)
    }

    /// Sets a key in a revision of its own.
    fn set_anew(&mut self, now: Micros, request: &SetView<'_>) -> Result<SetReply, StoreError> {
        self.check_set(request)?;
        if request.lease != 0 {
            self.check_lease_capacity(std::iter::once(*request))?;
        }
        let slot = self.keys.find(request.key);
        self.check_capacity(&self.demand_of_set(request, slot))?;
        self.write(|state, revision| Ok(state.set(now, revision, request, slot)))
    }

    /// Runs `change` at the next revision, which becomes the current one if the change made an event.
    pub(super) fn write<T>(
        &mut self,
        change: impl FnOnce(&mut Self, Revision) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (revision, before) = (self.revision + 1, self.history.applied_end());
        let result = change(self, revision);
        if self.history.applied_end() > before {
            self.close(revision);
        }
        result
    }

    /// Makes `revision`, with all of its events, the current one.
    pub(super) fn close(&mut self, revision: Revision) {
        self.revision = revision;
        if !self.journaled {
            self.visible = revision;
            self.history.show(revision);
        }
        self.keep_history_short();
        self.reclaim(self.config.slice_max);
    }

    /// Compacts the history to its limits, but nothing that is not visible yet, and nothing during a
    /// large write, whose reads of the past were permitted when it began.
    pub(super) fn keep_history_short(&mut self) {
        if self.is_open() {
            return;
        }
        let StoreConfig { history_revisions_max, history_bytes_max, .. } = self.config;
        self.history.compact_to(self.visible, history_revisions_max, history_bytes_max);
    }

    /// Returns the revision for the reply to an operation of a write at `revision`.
    pub(super) fn shown_revision(&self, revision: Revision, before: EventSeq) -> Revision {
        if self.history.applied_end() > before { revision } else { self.revision }
    }

    pub(super) fn check_key(&self, bytes: usize) -> Result<(), StoreError> {
        if bytes > self.config.key_bytes_max {
            let max = self.config.key_bytes_max;
            return Err(StoreError::limit("store.key_bytes_max", max, "the key is too long"));
        }
        Ok(())
    }

    pub(crate) fn check_range(&self, range: &KeyRange) -> Result<(), StoreError> {
        if range.is_empty() {
            let message = "the key is empty, or the range ends before it begins";
            return Err(StoreError::InvalidArgument(message.to_owned()));
        }
        self.check_key(range.bytes_max())
    }

    /// Checks everything about a set that does not depend on the capacity.
    pub(super) fn check_set(&self, request: &SetView<'_>) -> Result<(), StoreError> {
        if request.key.is_empty() {
            return Err(StoreError::InvalidArgument("the key is empty".to_owned()));
        }
        self.check_key(request.key.len())?;
        if request.value.len() > self.config.value_bytes_max {
            let max = self.config.value_bytes_max;
            return Err(StoreError::limit("store.value_bytes_max", max, "the value is too long"));
        }
        match (request.lease, request.ttl) {
            (0, None) => Ok(()),
            (0, Some(ttl)) => self.check_ttl(ttl),
            (_, Some(_)) => {
                let message = "give a lease or a time to live, not both";
                Err(StoreError::InvalidArgument(message.to_owned()))
            }
            (id, None) => self.check_attach(request.key, id),
        }
    }

    pub(super) fn check_delete(&self, request: &DeleteRequest) -> Result<(), StoreError> {
        self.check_range(&request.range)
    }

    /// Sets a key that was checked, at `revision`; `slot` is where it was found.
    pub(super) fn set(
        &mut self,
        now: Micros,
        revision: Revision,
        request: &SetView<'_>,
        slot: Option<u32>,
    ) -> SetReply {
        let slot = slot.unwrap_or_else(|| self.keys.insert(&Blob::from(request.key)));
        let before = self.keys.record(slot).and_then(|record| record.current.as_ref());
        let previous = before.filter(|_| request.return_previous).cloned();
        let old = before.map_or(0, |kv| kv.lease);
        if request.only_if_changed && before.is_some_and(|kv| self.is_unchanged(kv, request)) {
            if let Some(ttl) = request.ttl {
                let (id, ttl) = (old, micros(ttl));
                self.leases.renew(id, now, ttl);
                self.note(|| StoreChange::LeaseRenewed { id, ttl });
            }
            return SetReply { revision: self.revision, changed: false, lease: old, previous };
        }
        let lease = self.move_lease(now, slot, old, request);
        self.put(revision, slot, request.to_blob(), lease);
        SetReply { revision, changed: true, lease, previous }
    }

    /// Makes the next version of the key in `slot`.
    pub(super) fn put(&mut self, revision: Revision, slot: u32, value: Blob, lease: LeaseId) {
        let Some(record) = self.keys.record(slot) else { return };
        let (create_revision, version) = record
            .current
            .as_ref()
            .map_or((revision, 1), |kv| (kv.create_revision, kv.version + 1));
        // All versions share the bytes of the key.
        let key = record.key.clone();
        let kv = self.versions.fill(KeyValue {
            key,
            value,
            create_revision,
            mod_revision: revision,
            version,
            lease,
        });
        let before = self.keys.put(slot, kv.clone());
        self.record_event(slot, Event { kv, previous: before });
    }

    fn is_unchanged(&self, kv: &KeyValue, request: &SetView<'_>) -> bool {
        let same_lease = match request.ttl {
            Some(_) => self.is_private(kv.lease),
            None => kv.lease == request.lease,
        };
        kv.value == *request.value && same_lease
    }

    /// Deletes the keys of a range that was checked, at `revision`.
    pub(super) fn delete(&mut self, revision: Revision, request: DeleteRequest) -> DeleteReply {
        let before = self.history.applied_end();
        let mut deleting = Deleting::new(request);
        self.delete_some(revision, &mut deleting, &mut { usize::MAX });
        deleting.into_reply(self.shown_revision(revision, before))
    }

    pub(super) fn delete_slot(&mut self, revision: Revision, slot: u32) -> Option<Arc<KeyValue>> {
        let lease = self.keys.record(slot)?.current.as_ref()?.lease;
        self.detach(slot, lease);
        self.tombstone(revision, slot)
    }

    /// Deletes the key in `slot`, which must be detached from its lease already.
    pub(super) fn tombstone(&mut self, revision: Revision, slot: u32) -> Option<Arc<KeyValue>> {
        let before = self.keys.take(slot, revision)?;
        let kv = Arc::new(KeyValue::tombstone(before.key.clone(), revision));
        self.record_event(slot, Event { kv, previous: Some(before.clone()) });
        Some(before)
    }

    /// Returns the existing keys of `range`, in order.
    pub(super) fn slots_in(&self, range: &KeyRange) -> impl Iterator<Item = u32> {
        let one = match range {
            KeyRange::Key(key) => self.keys.find(key).filter(|slot| {
                self.keys.record(*slot).is_some_and(|record| record.current.is_some())
            }),
            _ => None,
        };
        let many = (!matches!(range, KeyRange::Key(_))).then(|| self.keys.live_in(range));
        one.into_iter().chain(many.into_iter().flatten())
    }

    fn record_event(&mut self, slot: u32, event: Event) {
        self.note(|| change_of(&event));
        let Some(record) = self.keys.record_mut(slot) else { return };
        self.history.push(event, slot, &mut record.trail);
    }

    fn compact(&mut self, revision: Revision) -> Result<CompactReply, StoreError> {
        self.check_readable(revision)?;
        self.history.compact(revision);
        self.note(|| StoreChange::Compacted { revision });
        self.reclaim(self.config.slice_max);
        Ok(CompactReply { revision: self.revision, oldest: self.oldest_readable() })
    }

    /// Frees the memory of up to `slice` compacted events.
    pub(crate) fn reclaim(&mut self, slice: usize) {
        for _ in 0..slice {
            let Some(entry) = self.history.pop_compacted() else { return };
            self.versions.keep(entry.event.previous);
            let Some(record) = self.keys.record_mut(entry.slot) else { continue };
            record.trail.pop(entry.next);
            if record.trail.is_empty() && record.current.is_none() {
                self.keys.forget(entry.slot);
            }
        }
    }

    /// Returns whether compacted events are still in memory.
    pub(crate) fn must_reclaim(&self) -> bool {
        self.history.has_compacted()
    }

    /// Returns a status with the values that the store knows.
    pub(crate) fn status(&self) -> StatusReply {
        StatusReply {
            revision: self.visible,
            oldest: self.oldest_readable(),
            keys: self.keys.len() as u64,
            bytes: self.keys.bytes(),
            history_events: self.history.len() as u64,
            history_bytes: self.history.bytes(),
            leases: self.leases.len() as u64,
            ..StatusReply::default()
        }
    }
}
