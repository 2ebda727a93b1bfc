//! [`LeaseGuard`]: what the store judges of a request whose words do not say which keys it is about.

use std::collections::HashMap;
use std::sync::Arc;

use crate::environment::RandomState;

use super::message::Task;
use crate::auth::{Access, Action};
use crate::config::auth::{JUDGED_KEYS_MAX, VERDICTS_MAX};
use crate::model::{Blob, LeaseId, Request, TxnOp};
use crate::store::State;

/// Judges what requests do with leases: one is whoever's its keys are. So nobody ends, keeps alive or
/// binds to others' keys what he may not write, nor lists what he may not read; for him it is not
/// there.
///
/// A lease may have very many keys. So what came of looking at them is remembered: to look again and
/// again at the same costs nothing.
#[derive(Default)]
pub(super) struct LeaseGuard {
    /// By the lease, and the address of the access.
    verdicts: HashMap<(LeaseId, usize), Verdict, RandomState>,
    /// Those of the request that is being done that were found to be writable.
    passed: Vec<LeaseId>,
}

/// What was found of a lease with many keys.
struct Verdict {
    /// Whose; held, so that its address is not another's.
    _access: Arc<Access>,
    found: Found,
}

enum Found {
    /// All keys could be written when this was the last to be bound.
    Writable(u64),
    /// This one cannot.
    Denied(Blob),
}

impl LeaseGuard {
    /// Returns those of the leases that a piece of work names which are not there for it.
    pub(super) fn hidden(
        &mut self,
        access: Option<&Arc<Access>>,
        state: &State,
        task: &Task,
    ) -> Vec<LeaseId> {
        let (Some(access), Task::Store { request, .. }) = (access, task) else { return Vec::new() };
        let denied = |id: &LeaseId| !self.is_writable(access, state, *id);
        let lease = match request {
            Request::LeaseTimeToLive(id) | Request::LeaseKeys { id, .. } => {
                let may = |key: &Blob| access.has(Action::Read, key);
                let readable = access.has_all(Action::Read) || state.lease_keys(*id).all(may);
                (!readable).then_some(*id)
            }
            Request::LeaseKeepAlive(id) | Request::LeaseRevoke(id) => Some(*id).filter(denied),
            Request::Set(it) if it.lease != 0 => Some(it.lease).filter(denied),
            Request::Txn(txn) => {
                let of = |op: &TxnOp| match op {
                    TxnOp::Set(set) => set.lease,
                    _ => 0,
                };
                let leases = txn.success.iter().chain(&txn.failure).map(of);
                let mut leases: Vec<LeaseId> = leases.filter(|lease| *lease != 0).collect();
                leases.sort_unstable();
                leases.dedup();
                leases.retain(denied);
                return leases;
            }
            _ => None,
        };
        lease.into_iter().collect()
    }

    /// The request was done. What it bound it was permitted to write, and nobody else did meanwhile.
    pub(super) fn done(&mut self, access: Option<&Arc<Access>>, state: &State) {
        let Some(access) = access else { return };
        for id in self.passed.drain(..) {
            if let Some(verdict) = self.verdicts.get_mut(&(id, Arc::as_ptr(access).addr()))
                && let Some((_, last_bound)) = state.lease_extent(id)
            {
                verdict.found = Found::Writable(last_bound);
            }
        }
    }

    /// Whether all keys of a lease may be written; those of one that is not there may.
    fn is_writable(&mut self, access: &Arc<Access>, state: &State, id: LeaseId) -> bool {
        if access.has_all(Action::Write) {
            return true;
        }
        let Some((keys, last_bound)) = state.lease_extent(id) else { return true };
        let denied = |key: &&Blob| !access.has(Action::Write, key);
        if keys <= JUDGED_KEYS_MAX {
            return !state.lease_keys(id).any(|key| denied(&key));
        }
        let of = (id, Arc::as_ptr(access).addr());
        let writable = match self.verdicts.get(&of).map(|verdict| &verdict.found) {
            Some(Found::Writable(then)) if *then == last_bound => true,
            Some(Found::Denied(key)) if state.is_bound(key, id) => false,
            _ => {
                let found = match state.lease_keys(id).find(denied) {
                    Some(key) => Found::Denied(key.clone()),
                    None => Found::Writable(last_bound),
                };
                let writable = matches!(found, Found::Writable(_));
                if self.verdicts.len() >= VERDICTS_MAX {
                    self.verdicts.clear();
                }
                self.verdicts.insert(of, Verdict { _access: Arc::clone(access), found });
                writable
            }
        };
        if writable {
            self.passed.push(id);
        }
        writable
    }
}
