//! [`WriteCost`]: checks the capacity for a write and its reply before anything is changed.

use std::collections::BTreeMap;

use super::set_view::SetView;
use super::{StepBudget, StoreError, StoreState};
use crate::config::StoreConfig;
use crate::config::record::{DELETE_BYTES, PUT_BYTES};
use crate::model::{DeleteRequest, KeyRange, LeaseId, RangeRequest, TxnOp};

/// The capacity that a write and its reply need.
#[derive(Debug, Default)]
pub(super) struct WriteCost {
    pub(super) keys: usize,
    pub(super) bytes: u64,
    pub(super) leases: usize,
    pub(super) events: usize,
    /// The most bytes that the changes take in a record of the journal.
    pub(super) record_bytes: usize,
    /// The deleted keys in the reply.
    pub(super) reply_keys: usize,
    pub(super) reply_bytes: usize,
}

impl WriteCost {
    fn add(&mut self, more: &WriteCost) {
        self.keys += more.keys;
        self.bytes += more.bytes;
        self.leases += more.leases;
        self.events += more.events;
        self.record_bytes += more.record_bytes;
        self.reply_keys += more.reply_keys;
        self.reply_bytes += more.reply_bytes;
    }
}

impl StoreState {
    pub(super) fn check_capacity(&self, demand: &WriteCost) -> Result<(), StoreError> {
        let config = &self.config;
        let refuse = |name, max, what| Err(StoreError::limit(name, max, what));
        if demand.keys > 0 && self.keys.len() + demand.keys > config.keys_max {
            return refuse("store.keys_max", config.keys_max, "too many keys; delete some first");
        }
        if demand.bytes > 0 && self.keys.bytes() + demand.bytes > config.total_bytes_max {
            return Err(StoreError::Limit {
                name: "store.total_bytes_max",
                value: config.total_bytes_max,
                unit: "",
                what: "the store is full; delete keys first",
            });
        }
        if demand.leases > 0
            && let Err(excess) = self.leases.check_capacity(demand.leases, config.leases_max)
        {
            let what = excess.what("too many leases; revoke some first");
            return refuse("store.leases_max", config.leases_max, what);
        }
        if demand.events > config.revision_events_max {
            let what = "one revision would change too many keys; change them in parts";
            return refuse("store.revision_events_max", config.revision_events_max, what);
        }
        if demand.record_bytes > config.revision_bytes_max {
            let what = "one revision would change too many bytes; change them in parts";
            return refuse("store.revision_bytes_max", config.revision_bytes_max, what);
        }
        if demand.reply_keys > config.range_keys_max {
            let what = "the reply would hold too many keys; ask for less";
            return refuse("store.range_keys_max", config.range_keys_max, what);
        }
        if demand.reply_bytes > config.range_bytes_max {
            let what = "the reply would be too large; ask for less";
            return refuse("store.range_bytes_max", config.range_bytes_max, what);
        }
        Ok(())
    }

    /// Checks that each lease has capacity for all keys that one write attaches to it.
    pub(super) fn check_lease_capacity<'a>(
        &self,
        sets: impl Iterator<Item = SetView<'a>>,
    ) -> Result<(), StoreError> {
        let StoreConfig { revision_events_max, revision_bytes_max, .. } = self.config;
        let mut attached: BTreeMap<LeaseId, (usize, usize)> = BTreeMap::new();
        for set in sets.filter(|set| set.lease != 0) {
            if self.keys.current(set.key).is_none_or(|kv| kv.lease != set.lease) {
                let (keys, bytes) = attached.entry(set.lease).or_default();
                *keys += 1;
                *bytes += DELETE_BYTES + set.key.len();
            }
        }
        for (id, (more_keys, more_bytes)) in attached {
            let lease = self.leases.get(id);
            if lease.map_or(0, |lease| lease.keys.len()) + more_keys > revision_events_max {
                let what = "the lease would have too many keys";
                let max = revision_events_max;
                return Err(StoreError::limit("store.revision_events_max", max, what));
            }
            if lease.map_or(0, |lease| lease.end_bytes) + more_bytes > revision_bytes_max {
                return Err(StoreError::too_much_for_a_lease(revision_bytes_max));
            }
        }
        Ok(())
    }

    /// Checks that each lease can end; under larger limits, one may have been filled beyond that.
    pub(crate) fn check_leases(&self) -> Result<(), StoreError> {
        let max = self.config.revision_bytes_max;
        match self.leases.end_bytes_max() {
            bytes if bytes > max => Err(StoreError::too_much_for_a_lease(max)),
            _ => Ok(()),
        }
    }

    /// Returns the demand of a set; `slot` is where the key was found.
    pub(super) fn demand_of_set(&self, request: &SetView<'_>, slot: Option<u32>) -> WriteCost {
        let (key_bytes, value_bytes) = (request.key.len() as u64, request.value.len() as u64);
        let leases = usize::from(request.ttl.is_some());
        let record_bytes = PUT_BYTES + request.key.len() + request.value.len();
        let demand = WriteCost { leases, events: 1, record_bytes, ..WriteCost::default() };
        let record = slot.and_then(|slot| self.keys.record(slot));
        match record.and_then(|record| record.current.as_ref()) {
            None => WriteCost { keys: 1, bytes: key_bytes + value_bytes, ..demand },
            Some(kv) => WriteCost {
                bytes: value_bytes.saturating_sub(kv.value.len() as u64),
                leases: if self.is_private(kv.lease) { 0 } else { leases },
                reply_bytes: if request.return_previous { kv.bytes() } else { 0 },
                ..demand
            },
        }
    }

    /// Returns the demand of a delete; stops counting at one key too many.
    pub(super) fn demand_of_delete(&self, request: &DeleteRequest) -> WriteCost {
        let mut demand = WriteCost::default();
        // Records are read only if the reply can hold them: walking the keys alone is cheaper.
        let replied = if request.return_previous { self.config.range_keys_max + 1 } else { 0 };
        let mut add = |key_bytes: usize, slot: u32| {
            demand.events += 1;
            demand.record_bytes += DELETE_BYTES + key_bytes;
            if demand.reply_keys < replied {
                let kv = self.keys.record(slot).and_then(|record| record.current.as_ref());
                demand.reply_keys += 1;
                demand.reply_bytes += kv.map_or(0, |kv| kv.bytes());
            }
        };
        match &request.range {
            KeyRange::Key(key) => {
                self.slots_in(&request.range).for_each(|slot| add(key.len(), slot));
            }
            range => {
                let found = self.keys.live_within(range.bounds());
                let found = found.take(self.config.revision_events_max + 1);
                found.for_each(|found| add(found.key.len(), found.slot));
            }
        }
        demand
    }

    /// Returns the demand of a list of operations, if there is capacity for it.
    pub(super) fn check_ops_capacity(
        &self,
        ops: &[TxnOp],
        steps: &mut StepBudget,
    ) -> Result<WriteCost, StoreError> {
        let sets = || {
            ops.iter().filter_map(|op| match op {
                TxnOp::Set(set) => Some(set),
                _ => None,
            })
        };
        self.check_lease_capacity(sets().map(SetView::of))?;
        let set_bytes: BTreeMap<&[u8], usize> =
            sets().map(|set| (&*set.key, set.key.len() + set.value.len())).collect();
        let mut total = WriteCost::default();
        for op in ops {
            let demand = match op {
                TxnOp::Set(set) => self.demand_of_set(&SetView::of(set), self.keys.find(&set.key)),
                TxnOp::Delete(delete) => self.demand_of_delete(delete),
                TxnOp::Get(get) => {
                    let stored =
                        self.get(&get.key, get.revision, steps)?.kv.map_or(0, |kv| kv.bytes());
                    let set = set_bytes.get(&*get.key).copied().unwrap_or(0);
                    WriteCost { reply_bytes: stored.max(set), ..WriteCost::default() }
                }
                TxnOp::Range(range) => {
                    self.check_steps(range, steps)?;
                    WriteCost::default()
                }
            };
            total.add(&demand);
            // Checked after each operation, so that nothing is added up beyond a limit.
            self.check_capacity(&total)?;
        }
        Ok(total)
    }

    /// Checks that the steps of a transaction suffice for one of its ranges. The page itself needs no
    /// check: it ends when the capacity is used up.
    ///
    /// A page at the current revision looks only at what it returns, which the size of a reply limits.
    /// A page of the past is the same before and in the transaction, where it is read once more.
    fn check_steps(&self, range: &RangeRequest, steps: &mut StepBudget) -> Result<(), StoreError> {
        if range.revision == 0 && !range.count_only {
            return Ok(());
        }
        let before = steps.taken();
        let page = self.range(range, &mut self.txn_page_capacity(), steps)?;
        let what = "the transaction looks at too many keys; read or count them outside of it";
        steps.reserve(steps.taken() - before, what)?;
        if page.more && steps.are_used_up() { Err(steps.refusal(what)) } else { Ok(()) }
    }
}
