//! Transactions of [`State`]: compare, then do one of two lists, all or nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::state::Demand;
use super::{Micros, State, StoreError};
use crate::model::{
    Blob, Compare, CompareOp, CompareTarget, KeyRange, KeyValue, Reply, Revision, TxnOp, TxnReply,
    TxnRequest,
};

impl State {
    pub(super) fn txn(&mut self, now: Micros, request: TxnRequest) -> Result<TxnReply, StoreError> {
        self.check_txn(&request)?;
        let succeeded = self.holds(&request.compares)?;
        let ops = if succeeded { request.success } else { request.failure };
        let demand = self.demand_of_ops(&ops)?;
        self.check_room(&demand)?;
        let mut budget = self.config.range_bytes_max.saturating_sub(demand.reply_bytes);
        let mut results: Vec<Reply> = self.write(|state, revision| {
            ops.into_iter().map(|op| state.run_op(now, revision, op, &mut budget)).collect()
        })?;
        show_revision(&mut results, self.revision);
        Ok(TxnReply { revision: self.revision, succeeded, results })
    }

    /// Everything about a transaction that does not depend on the room left; both lists.
    fn check_txn(&self, request: &TxnRequest) -> Result<(), StoreError> {
        let max = self.config.txn_ops_max;
        let longest = request.compares.len().max(request.success.len()).max(request.failure.len());
        if longest > max {
            let what = "too many compares or operations in one transaction";
            return Err(StoreError::limit("store.txn_ops_max", max, what));
        }
        for compare in &request.compares {
            self.check_range(&compare.range)?;
        }
        for ops in [&request.success, &request.failure] {
            for op in ops {
                self.check_op(op)?;
            }
            check_once(ops)?;
        }
        Ok(())
    }

    fn check_op(&self, op: &TxnOp) -> Result<(), StoreError> {
        match op {
            TxnOp::Set(set) => self.check_set(set),
            TxnOp::Delete(delete) => self.check_delete(delete),
            TxnOp::Range(range) => self.check_range_request(range).map(|_| ()),
            TxnOp::Get(get) => {
                self.check_range(&KeyRange::Key(get.key.clone()))?;
                if get.revision == 0 { Ok(()) } else { self.check_readable(get.revision) }
            }
        }
    }

    fn demand_of_ops(&self, ops: &[TxnOp]) -> Result<Demand, StoreError> {
        let sets: BTreeMap<&Blob, usize> = ops
            .iter()
            .filter_map(|op| match op {
                TxnOp::Set(set) => Some((&set.key, set.key.len() + set.value.len())),
                _ => None,
            })
            .collect();
        let mut attached: BTreeMap<u64, usize> = BTreeMap::new();
        let mut total = Demand::default();
        for op in ops {
            let demand = match op {
                TxnOp::Set(set) => {
                    *attached.entry(set.lease).or_default() += 1;
                    self.demand_of_set(set, self.keys.find(&set.key))
                }
                TxnOp::Delete(delete) => self.demand_of_delete(delete)?,
                TxnOp::Get(get) => {
                    let stored = self.get(get)?.kv.map_or(0, |kv| kv.bytes());
                    let set = sets.get(&get.key).copied().unwrap_or(0);
                    Demand { reply_bytes: stored.max(set), ..Demand::default() }
                }
                TxnOp::Range(_) => Demand::default(),
            };
            total.keys += demand.keys;
            total.bytes += demand.bytes;
            total.leases += demand.leases;
            total.events += demand.events;
            total.reply_bytes += demand.reply_bytes;
        }
        self.check_lease_room(&attached)?;
        Ok(total)
    }

    /// That each lease has room for all the keys that one transaction attaches to it.
    fn check_lease_room(&self, attached: &BTreeMap<u64, usize>) -> Result<(), StoreError> {
        let max = self.config.revision_events_max;
        for (id, more) in attached.iter().filter(|(id, _)| **id != 0) {
            let keys = self.leases.get(*id).map_or(0, |lease| lease.keys.len());
            if keys + more > max {
                let what = "the lease would have too many keys";
                return Err(StoreError::limit("store.revision_events_max", max, what));
            }
        }
        Ok(())
    }

    fn run_op(
        &mut self,
        now: Micros,
        revision: Revision,
        op: TxnOp,
        budget: &mut usize,
    ) -> Result<Reply, StoreError> {
        match op {
            TxnOp::Set(set) => {
                let slot = self.keys.find(&set.key);
                self.set(now, revision, set, slot).map(Reply::Set)
            }
            TxnOp::Delete(delete) => Ok(Reply::Delete(self.delete(revision, &delete))),
            TxnOp::Get(get) => self.get(&get).map(Reply::Get),
            TxnOp::Range(range) => {
                let reply = self.range(&range, *budget)?;
                let bytes: usize = reply.kvs.iter().map(|kv| kv.bytes()).sum();
                *budget = budget.saturating_sub(bytes);
                Ok(Reply::Range(reply))
            }
        }
    }

    fn holds(&self, compares: &[Compare]) -> Result<bool, StoreError> {
        let mut room = self.config.revision_events_max;
        for compare in compares {
            let holds = match &compare.range {
                KeyRange::Key(key) => compare.holds(self.current(key).map(|kv| &**kv)),
                range => {
                    let mut holds = true;
                    for kv in self.current_in(range) {
                        room = room.checked_sub(1).ok_or_else(|| {
                            let max = self.config.revision_events_max;
                            let what = "the compares look at too many keys";
                            StoreError::limit("store.revision_events_max", max, what)
                        })?;
                        if !compare.holds(Some(kv)) {
                            holds = false;
                            break;
                        }
                    }
                    holds
                }
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Compare {
    fn holds(&self, kv: Option<&KeyValue>) -> bool {
        let zero = |field: fn(&KeyValue) -> u64| kv.map_or(0, field);
        let ordering = match &self.target {
            CompareTarget::Value(value) => match kv {
                Some(kv) => kv.value.cmp(value),
                None => return false,
            },
            CompareTarget::Version(version) => zero(|kv| kv.version).cmp(version),
            CompareTarget::CreateRevision(revision) => zero(|kv| kv.create_revision).cmp(revision),
            CompareTarget::ModRevision(revision) => zero(|kv| kv.mod_revision).cmp(revision),
            CompareTarget::Lease(lease) => zero(|kv| kv.lease).cmp(lease),
        };
        match self.op {
            CompareOp::Equal => ordering.is_eq(),
            CompareOp::NotEqual => ordering.is_ne(),
            CompareOp::Less => ordering.is_lt(),
            CompareOp::Greater => ordering.is_gt(),
        }
    }
}

/// That no key is set twice, or set and deleted.
fn check_once(ops: &[TxnOp]) -> Result<(), StoreError> {
    let mut set: BTreeSet<&Blob> = BTreeSet::new();
    for op in ops {
        if let TxnOp::Set(request) = op
            && !set.insert(&request.key)
        {
            return Err(StoreError::DuplicateKey(request.key.clone()));
        }
    }
    for op in ops {
        if let TxnOp::Delete(request) = op {
            let (start, end) = request.range.bounds();
            if let Some(key) = set.range::<Blob, _>((start.as_ref(), end.as_ref())).next() {
                return Err(StoreError::DuplicateKey((*key).clone()));
            }
        }
    }
    Ok(())
}

/// Every result of one transaction shows the revision it made.
fn show_revision(results: &mut [Reply], revision: Revision) {
    for result in results {
        match result {
            Reply::Set(reply) => reply.revision = revision,
            Reply::Get(reply) => reply.revision = revision,
            Reply::Range(reply) => reply.revision = revision,
            Reply::Delete(reply) => reply.revision = revision,
            _ => {}
        }
    }
}
