//! [`LargeWrite`]: a write of very many events, which is applied in slices.
//!
//! Its revision becomes visible with its last event. Until then, a get, and everything that depends on
//! the visible revision, sees the state before. No other request may be executed in between.

use std::sync::Arc;
use std::vec;

use super::idempotency::IdempotentWrite;
use super::lease_keys::LeaseKeys;
use super::read::PageCapacity;
use super::{EventSeq, StoreError, StoreState};
use crate::model::{
    DeleteReply, DeleteRequest, KeyRange, KeyValue, Reply, Revision, TxnOp, TxnReply,
};
use crate::time::Micros;

/// The number of keys to delete that are looked up together.
const GROUP: usize = 256;

/// A large write in progress.
#[derive(Debug)]
pub(super) struct LargeWrite {
    now: Micros,
    revision: Revision,
    /// The number of its first event.
    first: EventSeq,
    once: Option<(IdempotentWrite, u64)>,
    rest: WriteRest,
}

/// A complete large write.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) reply: Result<Reply, StoreError>,
    /// Whether the write was the expiry of a lease, which has no caller.
    pub(crate) is_expiry: bool,
}

/// The remaining part of a write.
#[derive(Debug)]
pub(super) enum WriteRest {
    Delete(Deleting),
    Txn(Ops),
    /// The deletions at the end of a lease that is already removed.
    Lease {
        keys: LeaseKeys,
        deleted: u64,
        /// Whether the lease expired; otherwise it is revoked.
        is_expiry: bool,
    },
}

/// The progress of a range deletion.
#[derive(Debug)]
pub(super) struct Deleting {
    range: KeyRange,
    return_previous: bool,
    deleted: u64,
    previous: Vec<Arc<KeyValue>>,
}

/// The progress of a transaction's operations, which were checked.
#[derive(Debug)]
pub(super) struct Ops {
    succeeded: bool,
    ops: vec::IntoIter<TxnOp>,
    deleting: Option<Deleting>,
    results: Vec<Reply>,
    room: PageCapacity,
}

impl Deleting {
    pub(super) fn new(request: DeleteRequest) -> Self {
        let DeleteRequest { range, return_previous } = request;
        Self { range, return_previous, deleted: 0, previous: Vec::new() }
    }

    pub(super) fn into_reply(self, revision: Revision) -> DeleteReply {
        DeleteReply { revision, deleted: self.deleted, previous: self.previous }
    }
}

impl Ops {
    pub(super) fn new(succeeded: bool, ops: Vec<TxnOp>, room: PageCapacity) -> Self {
        let results = Vec::with_capacity(ops.len());
        Self { succeeded, ops: ops.into_iter(), deleting: None, results, room }
    }

    pub(super) fn into_reply(self, revision: Revision) -> TxnReply {
        let Self { succeeded, mut results, .. } = self;
        show_revision(&mut results, revision);
        TxnReply { revision, succeeded, results }
    }
}

impl StoreState {
    /// Returns whether a large write is in progress.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Returns whether a write with this many events is applied in slices.
    pub(super) fn is_long(&self, events: usize) -> bool {
        events > self.config.slice_max
    }

    /// Begins a write that was checked.
    pub(super) fn open(
        &mut self,
        now: Micros,
        once: Option<(IdempotentWrite, u64)>,
        rest: WriteRest,
    ) {
        let revision = self.revision + 1;
        let first = self.history.applied_end();
        self.open = Some(Box::new(LargeWrite { now, revision, first, once, rest }));
    }

    /// Applies about `slice` events of the write in progress. Returns its reply when it is complete.
    pub(crate) fn go_on(&mut self, slice: usize) -> Option<Completed> {
        let mut open = self.open.take()?;
        let mut left = slice;
        let all = self.do_rest(open.now, open.revision, &mut open.rest, &mut left);
        self.count_steps(slice - left);
        if let Ok(false) = all {
            self.encode_changes();
            self.open = Some(open);
            return None;
        }
        let LargeWrite { now, revision, first, once, rest } = *open;
        if self.history.applied_end() > first {
            self.close(revision);
        }
        let revision = self.revision;
        let is_expiry = matches!(rest, WriteRest::Lease { is_expiry: true, .. });
        let reply = all.map(|_| match rest {
            WriteRest::Delete(deleting) => Reply::Delete(deleting.into_reply(revision)),
            WriteRest::Txn(ops) => Reply::Txn(ops.into_reply(revision)),
            WriteRest::Lease { deleted, .. } => {
                Reply::LeaseRevoke(DeleteReply { revision, deleted, previous: Vec::new() })
            }
        });
        if let (Ok(reply), Some((once, fingerprint))) = (&reply, once) {
            self.remember(now, once, fingerprint, reply);
        }
        Some(Completed { reply, is_expiry })
    }

    /// Applies about `slice` events and subtracts them from `slice`; returns whether the write is
    /// complete.
    fn do_rest(
        &mut self,
        now: Micros,
        revision: Revision,
        rest: &mut WriteRest,
        slice: &mut usize,
    ) -> Result<bool, StoreError> {
        match rest {
            WriteRest::Delete(deleting) => Ok(self.delete_some(revision, deleting, slice)),
            WriteRest::Txn(ops) => self.run_ops(now, revision, ops, slice),
            WriteRest::Lease { keys, deleted, .. } => {
                let slots = keys.take_first(*slice, &self.keys);
                *slice = slice.saturating_sub(slots.len());
                for slot in slots {
                    *deleted += u64::from(self.delete_slot(revision, slot).is_some());
                }
                Ok(keys.len() == 0)
            }
        }
    }

    /// Deletes up to `slice` keys of a range that was checked, and subtracts them from `slice`; returns
    /// whether no key is left.
    pub(super) fn delete_some(
        &mut self,
        revision: Revision,
        deleting: &mut Deleting,
        slice: &mut usize,
    ) -> bool {
        while *slice > 0 {
            let group = GROUP.min(*slice);
            // Keys deleted by earlier slices are no longer in the range.
            let slots: Vec<u32> = self.slots_in(&deleting.range).take(group).collect();
            for slot in &slots {
                if let Some(kv) = self.delete_slot(revision, *slot) {
                    deleting.deleted += 1;
                    if deleting.return_previous {
                        deleting.previous.push(kv);
                    }
                }
            }
            *slice -= slots.len();
            if slots.len() < group {
                return true;
            }
        }
        false
    }

    /// Executes operations of a transaction up to about `slice` events, and subtracts them from
    /// `slice`; returns whether no operation is left.
    pub(super) fn run_ops(
        &mut self,
        now: Micros,
        revision: Revision,
        ops: &mut Ops,
        slice: &mut usize,
    ) -> Result<bool, StoreError> {
        loop {
            if let Some(mut deleting) = ops.deleting.take() {
                if !self.delete_some(revision, &mut deleting, slice) {
                    ops.deleting = Some(deleting);
                    return Ok(false);
                }
                ops.results.push(Reply::Delete(deleting.into_reply(revision)));
            }
            if *slice == 0 && ops.ops.len() > 0 {
                return Ok(false);
            }
            match ops.ops.next() {
                None => return Ok(true),
                Some(TxnOp::Delete(delete)) => ops.deleting = Some(Deleting::new(delete)),
                Some(op) => {
                    ops.results.push(self.run_op(now, revision, op, &mut ops.room)?);
                    *slice = slice.saturating_sub(1);
                }
            }
        }
    }
}

/// Sets the revision of the transaction in each of its results.
fn show_revision(results: &mut [Reply], revision: Revision) {
    for result in results {
        if let Some(shown) = result.revision_mut() {
            *shown = revision;
        }
    }
}
