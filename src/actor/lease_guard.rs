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
use crate::store::{LeaseBinding, StoreState};

/// Permissions on leases: a lease belongs to the users who may access its keys. A user can neither end
/// nor keep alive a lease whose keys that user may not write, nor bind keys to it, nor list keys that
/// the user may not read; for such a user, the lease does not exist.
///
/// A lease may have very many keys, so they are judged in slices (see [`judge_some`](Self::judge_some))
/// and in the order in which they were bound, and verdicts are remembered: no key is judged twice, and
/// keys that are bound between two slices are judged by a later one. Only users who may bind keys to a
/// lease, and so end it, can make its judgement take longer.
#[derive(Default)]
pub(super) struct LeaseGuard {
    verdicts: LeaseVerdicts,
}

/// The remembered verdicts: the recent ones, and earlier ones, which are forgotten first.
#[derive(Default)]
struct LeaseVerdicts {
    recent: HashMap<LeaseCheck, LeaseVerdict, RandomState>,
    earlier: HashMap<LeaseCheck, LeaseVerdict, RandomState>,
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
    /// The keys up to this one, in the order in which they were bound, are permitted.
    permitted: LeaseBinding,
    /// A key that is not permitted.
    denied: Option<Blob>,
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
        let (action, leases) = named(task);
        if access.has_all(action) {
            return Vec::new();
        }
        let mut few = JUDGED_AT_ONCE;
        let is_hidden = |id: &LeaseId| {
            if has_few(state, *id, &mut few) {
                let mut keys = state.lease_keys_bound_after(*id, LeaseBinding::default());
                return !keys.all(|(_, key)| {
                    state.count_steps(1);
                    access.has(action, key)
                });
            }
            self.judge(access, state, *id, action, &mut { usize::MAX }) == Some(false)
        };
        leases.into_iter().filter(is_hidden).collect()
    }

    /// Judges up to [`JUDGED_AT_ONCE`] keys of the leases that a piece of work names; returns whether
    /// all verdicts are known, except those on leases with few keys, which [`hidden`](Self::hidden)
    /// judges.
    pub(super) fn judge_some(
        &mut self,
        access: Option<&Arc<Access>>,
        state: &StoreState,
        task: &Task,
    ) -> bool {
        let Some(access) = access else { return true };
        let (action, leases) = named(task);
        if access.has_all(action) {
            return true;
        }
        self.verdicts.make_room(leases.len());
        let (mut few, mut slice) = (JUDGED_AT_ONCE, JUDGED_AT_ONCE);
        leases.into_iter().all(|id| {
            has_few(state, id, &mut few)
                || self.judge(access, state, id, action, &mut slice).is_some()
        })
    }

    /// Judges up to `slice` keys of a lease, and subtracts them from `slice`; returns whether all keys
    /// of the lease are permitted, if that is known then.
    fn judge(
        &mut self,
        access: &Arc<Access>,
        state: &StoreState,
        id: LeaseId,
        action: Action,
        slice: &mut usize,
    ) -> Option<bool> {
        let verdict = self.verdicts.of(access, id, action);
        if let Some(key) = &verdict.denied
            && state.is_bound(key, id)
        {
            return Some(false);
        }
        verdict.denied = None;
        for (binding, key) in state.lease_keys_bound_after(id, verdict.permitted) {
            if *slice == 0 {
                return None;
            }
            *slice -= 1;
            state.count_steps(1);
            if !access.has(action, key) {
                verdict.denied = Some(key.clone());
                return Some(false);
            }
            verdict.permitted = binding;
        }
        Some(true)
    }
}

impl LeaseVerdicts {
    /// Makes room for the verdicts that one piece of work needs, and keeps those of the last ones.
    fn make_room(&mut self, needed: usize) {
        if self.recent.len().saturating_add(needed) > (VERDICTS_MAX / 2).max(needed) {
            self.earlier = std::mem::take(&mut self.recent);
        }
    }

    /// Returns the verdict so far on a lease.
    fn of(&mut self, access: &Arc<Access>, lease: LeaseId, action: Action) -> &mut LeaseVerdict {
        let access_at = Arc::as_ptr(access).addr();
        let check = LeaseCheck { lease, access: access_at, writes: action == Action::Write };
        self.recent.entry(check).or_insert_with(|| {
            self.earlier.remove(&check).unwrap_or_else(|| LeaseVerdict {
                _access: Arc::clone(access),
                permitted: LeaseBinding::default(),
                denied: None,
            })
        })
    }
}

/// Returns whether a lease has so few keys that they are judged at each use; subtracts them from `few`,
/// the number of keys that one request may judge so.
fn has_few(state: &StoreState, id: LeaseId, few: &mut usize) -> bool {
    let keys = state.lease_size(id);
    let has_few = keys <= JUDGED_KEYS_MAX && keys <= *few;
    if has_few {
        *few -= keys;
    }
    has_few
}

/// The leases that a request names, usually one at most.
type NamedLeases = SmallVec<[LeaseId; 1]>;

/// Returns the leases whose keys decide about a piece of work, and the permission that it needs on
/// them.
fn named(task: &Task) -> (Action, NamedLeases) {
    let nothing = (Action::Read, NamedLeases::new());
    // A request about one key names no lease.
    let Task::Store(task) = task else { return nothing };
    match task.request.facts().names {
        Reference::Lease(0, _) => nothing,
        Reference::Lease(id, LeaseUse::Read) => (Action::Read, smallvec![id]),
        Reference::Lease(id, LeaseUse::Write) => (Action::Write, smallvec![id]),
        Reference::Txn(txn) => {
            let of = |op: &TxnOp| match op {
                TxnOp::Set(set) => set.lease,
                TxnOp::Get(_) | TxnOp::Range(_) | TxnOp::Delete(_) => 0,
            };
            let leases = txn.success.iter().chain(&txn.failure).map(of);
            let mut leases: NamedLeases = leases.filter(|lease| *lease != 0).collect();
            leases.sort_unstable();
            leases.dedup();
            (Action::Write, leases)
        }
        Reference::Nothing | Reference::Thing | Reference::Position(_) | Reference::Job(..) => {
            nothing
        }
    }
}
