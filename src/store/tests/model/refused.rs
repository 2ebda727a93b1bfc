//! Refusals of [`Model`] and their reasons.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Model, Reasons, Room, matching};
use crate::model::{
    Blob, GetRequest, KeyRange, KvRequest, LeaseId, RangeRequest, Revision, SetRequest, TxnOp,
    TxnRequest,
};
use crate::store::StoreError;

/// Reasons for refusals.
impl Model {
    pub(super) fn reasons_against(&self, request: &KvRequest) -> Reasons {
        let mut reasons = Reasons::new();
        match request {
            KvRequest::Set(set) => {
                self.refuse_set(set, &mut reasons);
                let op = [TxnOp::Set(set.clone())];
                reasons.extend(self.reasons_of_room(&op, &mut self.whole_room()));
            }
            KvRequest::Delete(delete) => {
                self.refuse_range(&delete.range, &mut reasons);
                let op = [TxnOp::Delete(delete.clone())];
                reasons.extend(self.reasons_of_room(&op, &mut self.whole_room()));
            }
            KvRequest::Txn(txn) => self.refuse_txn(txn, &mut reasons),
            KvRequest::Get(get) => self.refuse_get(get, &mut reasons),
            KvRequest::Range(range) => self.refuse_page(range, &mut reasons),
            KvRequest::Scan(range) => self.refuse_page(range, &mut reasons),
            KvRequest::LeaseGrant(grant) => {
                self.refuse_ttl(grant.ttl, &mut reasons);
                if self.leases.contains_key(&grant.id) {
                    reasons.insert("LeaseExists");
                }
                if self.leases.len() >= self.config.leases_max {
                    reasons.insert("store.leases_max");
                }
            }
            KvRequest::LeaseKeepAlive(id)
            | KvRequest::LeaseRevoke(id)
            | KvRequest::LeaseTimeToLive(id) => {
                reasons.extend((!self.leases.contains_key(id)).then_some("LeaseNotFound"));
            }
            KvRequest::LeaseKeys { id, limit, .. } => {
                reasons.extend((!self.leases.contains_key(id)).then_some("LeaseNotFound"));
                let too_long = *limit > self.config.range_keys_max;
                reasons.extend(too_long.then_some("store.range_keys_max"));
            }
            KvRequest::LeaseList { limit, .. } => {
                let too_long = *limit > self.config.range_keys_max;
                reasons.extend(too_long.then_some("store.range_keys_max"));
            }
            KvRequest::Compact(revision) => self.refuse_revision(*revision, &mut reasons),
        }
        reasons
    }

    fn refuse_key(&self, key: &Blob, reasons: &mut Reasons) {
        self.refuse_range(&KeyRange::Key(key.clone()), reasons);
    }

    pub(crate) fn refuse_range(&self, range: &KeyRange, reasons: &mut Reasons) {
        if range.is_empty() {
            reasons.insert("InvalidArgument");
        }
        if range.bytes_max() > self.config.key_bytes_max {
            reasons.insert("store.key_bytes_max");
        }
    }

    fn refuse_revision(&self, revision: Revision, reasons: &mut Reasons) {
        if revision < self.oldest {
            reasons.insert("Compacted");
        }
        if revision > self.revision() {
            reasons.insert("Future");
        }
    }

    fn refuse_ttl(&self, ttl: Duration, reasons: &mut Reasons) {
        if ttl < self.config.lease_ttl_min {
            reasons.insert("store.lease_ttl_min");
        }
        if ttl > self.config.lease_ttl_max {
            reasons.insert("store.lease_ttl_max");
        }
    }

    fn refuse_set(&self, set: &SetRequest, reasons: &mut Reasons) {
        self.refuse_key(&set.key, reasons);
        if set.value.len() > self.config.value_bytes_max {
            reasons.insert("store.value_bytes_max");
        }
        if let Some(ttl) = set.ttl {
            self.refuse_ttl(ttl, reasons);
        }
        if set.lease == 0 {
            return;
        }
        let attached = self.keys.get(&set.key).is_some_and(|kv| kv.lease == set.lease);
        if set.ttl.is_some() || (self.is_private(set.lease) && !attached) {
            reasons.insert("InvalidArgument");
        }
        if !self.leases.contains_key(&set.lease) {
            reasons.insert("LeaseNotFound");
        }
    }

    fn refuse_get(&self, get: &GetRequest, reasons: &mut Reasons) {
        self.refuse_key(&get.key, reasons);
        if get.revision != 0 {
            self.refuse_revision(get.revision, reasons);
        }
    }

    fn refuse_page(&self, page: &RangeRequest, reasons: &mut Reasons) {
        self.refuse_range(&page.range, reasons);
        if page.revision != 0 {
            self.refuse_revision(page.revision, reasons);
        }
        if page.limit > self.config.range_keys_max {
            reasons.insert("store.range_keys_max");
        }
    }

    fn refuse_txn(&self, txn: &TxnRequest, reasons: &mut Reasons) {
        for many in [txn.compares.len(), txn.success.len(), txn.failure.len()] {
            if many > self.config.txn_ops_max {
                reasons.insert("store.txn_ops_max");
            }
        }
        for compare in &txn.compares {
            self.refuse_range(&compare.range, reasons);
        }
        for ops in [&txn.success, &txn.failure] {
            let mut keys: Vec<&Blob> = Vec::new();
            for op in ops {
                match op {
                    TxnOp::Set(set) => {
                        self.refuse_set(set, reasons);
                        if keys.contains(&&set.key) {
                            reasons.insert("DuplicateKey");
                        }
                        keys.push(&set.key);
                    }
                    TxnOp::Delete(delete) => self.refuse_range(&delete.range, reasons),
                    TxnOp::Get(get) => self.refuse_get(get, reasons),
                    TxnOp::Range(range) => self.refuse_page(range, reasons),
                }
            }
            for op in ops {
                if let TxnOp::Delete(delete) = op
                    && keys.iter().any(|key| delete.range.contains(key))
                {
                    reasons.insert("DuplicateKey");
                }
            }
        }
    }

    /// Returns the limits that `ops` exceed; `room` is left with the remaining capacity for pages.
    pub(super) fn reasons_of_room(&self, ops: &[TxnOp], room: &mut Room) -> Reasons {
        let (mut keys, mut bytes, mut leases, mut events) = (0, 0, 0, 0);
        let (mut reply_keys, mut reply_bytes) = (0, 0);
        let mut changed_bytes = 0;
        let mut attached: BTreeMap<LeaseId, Vec<&Blob>> = BTreeMap::new();
        for op in ops {
            match op {
                TxnOp::Set(set) => {
                    let before = self.keys.get(&set.key);
                    let lease = before.map_or(0, |kv| kv.lease);
                    keys += usize::from(before.is_none());
                    bytes += match before {
                        None => set.key.len() + set.value.len(),
                        Some(kv) => set.value.len().saturating_sub(kv.value.len()),
                    };
                    leases += usize::from(set.ttl.is_some() && !self.is_private(lease));
                    events += 1;
                    changed_bytes += 64 + set.key.len() + set.value.len();
                    if set.return_previous {
                        reply_bytes += before.map_or(0, |kv| kv.bytes());
                    }
                    if set.lease != 0 && set.lease != lease {
                        attached.entry(set.lease).or_default().push(&set.key);
                    }
                }
                TxnOp::Delete(delete) => {
                    let gone = matching(&self.keys, &delete.range);
                    events += gone.len();
                    changed_bytes += gone.iter().map(|kv| 24 + kv.key.len()).sum::<usize>();
                    if delete.return_previous {
                        reply_keys += gone.len();
                        reply_bytes += gone.iter().map(|kv| kv.bytes()).sum::<usize>();
                    }
                }
                TxnOp::Get(get) => {
                    let stored =
                        self.keys_at(get.revision).get(&get.key).map_or(0, |kv| kv.bytes());
                    let set = ops.iter().find_map(|op| match op {
                        TxnOp::Set(set) if set.key == get.key => {
                            Some(set.key.len() + set.value.len())
                        }
                        _ => None,
                    });
                    reply_bytes += stored.max(set.unwrap_or(0));
                }
                TxnOp::Range(_) => {}
            }
        }
        let config = &self.config;
        let mut reasons = Reasons::new();
        let mut refuse = |over: bool, name| {
            if over {
                reasons.insert(name);
            }
        };
        refuse(keys > 0 && self.keys.len() + keys > config.keys_max, "store.keys_max");
        refuse(
            bytes > 0 && self.bytes() + bytes as u64 > config.total_bytes_max,
            "store.total_bytes_max",
        );
        refuse(leases > 0 && self.leases.len() + leases > config.leases_max, "store.leases_max");
        refuse(events > config.revision_events_max, "store.revision_events_max");
        refuse(changed_bytes > config.revision_bytes_max, "store.revision_bytes_max");
        refuse(reply_bytes > config.range_bytes_max, "store.range_bytes_max");
        refuse(reply_keys > config.range_keys_max, "store.range_keys_max");
        for (id, more) in attached {
            let there = self.keys_of(id);
            let full = there.len() + more.len() > config.revision_events_max;
            refuse(full, "store.revision_events_max");
            let bytes: usize = there.iter().chain(more).map(|key| 24 + key.len()).sum();
            refuse(bytes > config.revision_bytes_max, "store.revision_bytes_max");
        }
        room.keys = room.keys.saturating_sub(reply_keys);
        room.bytes = room.bytes.saturating_sub(reply_bytes);
        reasons
    }
}

/// Returns the reason for an error of the store, as the model names it.
pub(crate) fn reason(error: &StoreError) -> &'static str {
    match error {
        StoreError::InvalidArgument(_) => "InvalidArgument",
        StoreError::Limit { name, .. } => name,
        StoreError::Compacted { .. } => "Compacted",
        StoreError::Future { .. } => "Future",
        StoreError::LeaseNotFound(_) => "LeaseNotFound",
        StoreError::LeaseExists(_) => "LeaseExists",
        StoreError::DuplicateKey(_) => "DuplicateKey",
        StoreError::IdempotencyMismatch => "IdempotencyMismatch",
        StoreError::WatchNotFound(_) => "WatchNotFound",
        StoreError::WatchExists(_) => "WatchExists",
        other => panic!("not a refusal: {other:?}"),
    }
}
