//! [`LeaseGuard`]: permissions for requests that do not name the keys they concern.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::environment::RandomState;

use super::message::Task;
use crate::auth::{Access, Action};
use crate::config::auth::{JUDGED_AT_ONCE, JUDGED_KEYS_MAX, VERDICTS_MAX};
use crate::model::facts::{LeaseUse, Reference};
use crate::model::{Blob, LeaseId, TxnOp};
use crate::store::StoreState;

/// Permissions on leases: a lease belongs to the users who may access its keys. A user can neither end
/// nor keep alive a lease whose keys that user may not write, nor bind keys to it, nor list keys that
/// the user may not read; for such a user, the lease does not exist.
///
/// A lease may have very many keys, so the verdicts are remembered: examining the same keys again costs
/// nothing. Keys are judged in slices, see [`judge_some`](Self::judge_some).
#[derive(Default)]
pub(super) struct LeaseGuard {
    verdicts: HashMap<LeaseCheck, LeaseVerdict, RandomState>,
    /// The leases of the current request that were found to be writable.
    passed: Vec<LeaseId>,
}

/// The subject of a verdict: a lease, for an access (by its address) and for reads or writes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct LeaseCheck {
    lease: LeaseId,
    access: usize,
    writes: bool,
}

/// The verdict on a lease with many keys.
struct LeaseVerdict {
    /// The access; held, so that no other gets its address.
    _access: Arc<Access>,
    found: LeaseJudgement,
}

enum LeaseJudgement {
    /// All keys were permitted when this binding was the last one.
    Permitted(u64),
    /// The keys up to this one were permitted when that binding was the last one.
    PermittedUpTo(Blob, u64),
    /// This key is not permitted.
    Denied(Blob),
}

impl LeaseGuard {
    /// Returns the leases named by a piece of work that must not exist for it.
    pub(super) fn hidden(
        &mut self,
        access: Option<&Arc<Access>>,
        state: &StoreState,
        task: &Task,
    ) -> Vec<LeaseId> {
        let Some(access) = access else { return Vec::new() };
        let (writes, leases) = named(task);
        leases.into_iter().filter(|id| !self.is_permitted(access, state, *id, writes)).collect()
    }

    /// Judges up to [`JUDGED_AT_ONCE`] keys of the leases that a piece of work names; returns whether
    /// all verdicts are known, except those on leases with few keys.
    pub(super) fn judge_some(
        &mut self,
        access: Option<&Arc<Access>>,
        state: &StoreState,
        task: &Task,
    ) -> bool {
        let Some(access) = access else { return true };
        let (writes, leases) = named(task);
        let mut slice = JUDGED_AT_ONCE;
        leases.into_iter().all(|id| {
            // Few keys are judged once, by `hidden`.
            !has_many(state, id) || self.judge(access, state, id, writes, &mut slice).is_some()
        })
    }

    /// Updates the verdicts after a request: the user may write all keys that it bound, and no other
    /// request was executed meanwhile.
    pub(super) fn done(&mut self, access: Option<&Arc<Access>>, state: &StoreState) {
        let Some(access) = access else { return };
        for id in self.passed.drain(..) {
            if let Some(verdict) = self.verdicts.get_mut(&LeaseCheck::new(id, access, true))
                && let Some((_, last_bound)) = state.lease_extent(id)
            {
                verdict.found = LeaseJudgement::Permitted(last_bound);
            }
        }
    }

    /// Returns whether all keys of a lease are permitted, which holds for a lease that does not exist.
    fn is_permitted(
        &mut self,
        access: &Arc<Access>,
        state: &StoreState,
        id: LeaseId,
        writes: bool,
    ) -> bool {
        let permitted = self.judge(access, state, id, writes, &mut { usize::MAX }) == Some(true);
        if permitted && writes && has_many(state, id) {
            self.passed.push(id);
        }
        permitted
    }

    /// Judges up to `slice` keys of a lease, and subtracts them from `slice`; returns whether all keys
    /// of the lease are permitted, if that is known then.
    fn judge(
        &mut self,
        access: &Arc<Access>,
        state: &StoreState,
        id: LeaseId,
        writes: bool,
        slice: &mut usize,
    ) -> Option<bool> {
        let action = if writes { Action::Write } else { Action::Read };
        if access.has_all(action) {
            return Some(true);
        }
        let Some((keys, last_bound)) = state.lease_extent(id) else { return Some(true) };
        let denied = |key: &&Blob| !access.has(action, key);
        if keys <= JUDGED_KEYS_MAX {
            return Some(!state.lease_keys_after(id, &Blob::default()).any(|key| denied(&key)));
        }
        let of = LeaseCheck::new(id, access, writes);
        // Not the caller's: the leases that follow are judged in slices all the same.
        let mut whole = usize::MAX;
        let mut slice = slice;
        let after = match self.verdicts.get(&of).map(|verdict| &verdict.found) {
            // Other requests may bind keys faster than slices are judged, so it is judged again once,
            // as a whole.
            Some(LeaseJudgement::PermittedUpTo(_, then)) if *then != last_bound => {
                slice = &mut whole;
                Blob::default()
            }
            Some(LeaseJudgement::Permitted(then)) if *then == last_bound => return Some(true),
            Some(LeaseJudgement::Denied(key)) if state.is_bound(key, id) => return Some(false),
            Some(LeaseJudgement::PermittedUpTo(key, _)) => key.clone(),
            _ => Blob::default(),
        };
        let mut last = None;
        let mut found = LeaseJudgement::Permitted(last_bound);
        for key in state.lease_keys_after(id, &after) {
            if let (0, Some(last)) = (*slice, last) {
                found = LeaseJudgement::PermittedUpTo(Blob::clone(last), last_bound);
                break;
            }
            *slice = slice.saturating_sub(1);
            state.count_steps(1);
            if denied(&key) {
                found = LeaseJudgement::Denied(key.clone());
                break;
            }
            last = Some(key);
        }
        let known = match found {
            LeaseJudgement::Permitted(_) => Some(true),
            LeaseJudgement::Denied(_) => Some(false),
            LeaseJudgement::PermittedUpTo(..) => None,
        };
        if self.verdicts.len() >= VERDICTS_MAX {
            self.verdicts.clear();
        }
        self.verdicts.insert(of, LeaseVerdict { _access: Arc::clone(access), found });
        known
    }
}

impl LeaseCheck {
    fn new(lease: LeaseId, access: &Arc<Access>, writes: bool) -> Self {
        Self { lease, access: Arc::as_ptr(access).addr(), writes }
    }
}

/// Returns whether a lease has so many keys that they are judged in slices and the verdict is kept.
fn has_many(state: &StoreState, id: LeaseId) -> bool {
    state.lease_extent(id).is_some_and(|(keys, _)| keys > JUDGED_KEYS_MAX)
}

/// The leases that a request names, usually one at most.
type NamedLeases = SmallVec<[LeaseId; 1]>;

/// Returns the leases whose keys decide about a piece of work, and whether the work writes them.
fn named(task: &Task) -> (bool, NamedLeases) {
    let Task::Store { request, .. } = task else { return (false, NamedLeases::new()) };
    match request.facts().names {
        Reference::Lease(0, _) => (false, NamedLeases::new()),
        Reference::Lease(id, LeaseUse::Read) => (false, smallvec![id]),
        Reference::Lease(id, LeaseUse::Write) => (true, smallvec![id]),
        Reference::Txn(txn) => {
            let of = |op: &TxnOp| match op {
                TxnOp::Set(set) => set.lease,
                TxnOp::Get(_) | TxnOp::Range(_) | TxnOp::Delete(_) => 0,
            };
            let leases = txn.success.iter().chain(&txn.failure).map(of);
            let mut leases: NamedLeases = leases.filter(|lease| *lease != 0).collect();
            leases.sort_unstable();
            leases.dedup();
            (true, leases)
        }
        Reference::Nothing | Reference::Thing | Reference::Position(_) | Reference::Job(..) => {
            (false, NamedLeases::new())
        }
    }
}
