//! Transactions of [`StoreState`]: evaluate compares, then execute one of two lists, all or nothing.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::idempotency::IdempotentWrite;
use super::large::{Ops, WriteRest};
use super::read::PageCapacity;
use super::set_view::SetView;
use super::{StepBudget, StoreError, StoreState};
use crate::model::{
    Blob, Compare, CompareOp, CompareTarget, KeyRange, KeyValue, Reply, Revision, TxnOp, TxnRequest,
};
use crate::time::Micros;

impl StoreState {
    pub(super) fn txn(
        &mut self,
        now: Micros,
        once: Option<(IdempotentWrite, u64)>,
        request: TxnRequest,
        steps: &mut StepBudget,
    ) -> Result<Option<Reply>, StoreError> {
        self.check_txn(&request)?;
        let succeeded = self.holds(&request.compares, steps)?;
        let ops = if succeeded { request.success } else { request.failure };
        let demand = self.check_ops_capacity(&ops, steps)?;
        let mut room = self.txn_page_capacity();
        room.take(demand.reply_keys, demand.reply_bytes);
        let mut ops = Ops::new(succeeded, ops, room);
        if self.is_long(demand.events) {
            self.open(now, once, WriteRest::Txn(ops));
            return Ok(None);
        }
        self.write(|state, revision| state.run_ops(now, revision, &mut ops, &mut { usize::MAX }))?;
        Ok(Some(Reply::Txn(ops.into_reply(self.revision))))
    }

    /// Checks everything about a transaction that does not depend on the capacity, for both lists.
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
            TxnOp::Set(set) => self.check_set(&SetView::of(set)),
            TxnOp::Delete(delete) => self.check_delete(delete),
            TxnOp::Range(range) => self.check_range_request(range).map(|_| ()),
            TxnOp::Get(get) => {
                self.check_range(&KeyRange::Key(get.key.clone()))?;
                if get.revision == 0 { Ok(()) } else { self.check_readable(get.revision) }
            }
        }
    }

    pub(super) fn run_op(
        &mut self,
        now: Micros,
        revision: Revision,
        op: TxnOp,
        room: &mut PageCapacity,
    ) -> Result<Reply, StoreError> {
        // The ranges were checked before anything was changed: nothing is refused here.
        let mut steps = StepBudget::new(usize::MAX);
        match op {
            TxnOp::Set(set) => {
                let slot = self.keys.find(&set.key);
                Ok(Reply::Set(self.set(now, revision, &SetView::of(&set), slot)))
            }
            TxnOp::Delete(delete) => Ok(Reply::Delete(self.delete(revision, delete))),
            TxnOp::Get(get) => self.get(&get.key, get.revision, &mut steps).map(Reply::Get),
            TxnOp::Range(range) => self.range(&range, room, &mut steps).map(Reply::Range),
        }
    }

    fn holds(&self, compares: &[Compare], steps: &mut StepBudget) -> Result<bool, StoreError> {
        for compare in compares {
            let holds = match &compare.range {
                KeyRange::Key(key) => compare.holds(self.current(key).map(|kv| &**kv)),
                range => self.all_hold(compare, range, steps)?,
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn all_hold(
        &self,
        compare: &Compare,
        range: &KeyRange,
        steps: &mut StepBudget,
    ) -> Result<bool, StoreError> {
        let mut spent = Ok(());
        let fails = self.walk(&range.bounds(), 0, false, |look| {
            spent = steps.spend(look.steps, "the compares look at too many keys; compare fewer");
            let holds = spent.is_ok() && look.kv.is_none_or(|kv| compare.holds(Some(kv)));
            if holds { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        spent.map(|()| !fails)
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

/// Checks that no key is set twice, or set and deleted.
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
