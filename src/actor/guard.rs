//! What the owners of keys and jobs judge of a request whose words do not say what it is about.

use std::sync::Arc;

use super::message::Task;
use crate::auth::{Access, Action, Need};
use crate::error::Error;
use crate::model::{JobId, JobRef, JobRequest, LeaseId, Request, TxnOp};
use crate::queue;
use crate::queue::QueueError;
use crate::store;

/// What the store judges of the requests of one message: a lease is whoever's its keys are. So nobody
/// ends, keeps alive or binds to others' keys what he may not write, nor lists what he may not read.
pub(super) struct LeaseGuard {
    access: Option<Arc<Access>>,
    /// The lease that was judged last: in one message only its own writer adds to it.
    passed: LeaseId,
}

impl LeaseGuard {
    pub(super) fn new(access: Option<Arc<Access>>) -> Self {
        Self { access, passed: 0 }
    }

    /// Why a piece of work is refused, if it is.
    pub(super) fn refuses(&mut self, state: &store::State, task: &Task) -> Option<Error> {
        let access = self.access.as_ref()?;
        let Task::Store { request, .. } = task else { return None };
        let set = |op: &TxnOp| match op {
            TxnOp::Set(set) => set.lease,
            _ => 0,
        };
        let (action, passed) = match request {
            Request::LeaseTimeToLive(id) => (Action::Read, may(access, Action::Read, state, *id)),
            Request::LeaseKeepAlive(id) | Request::LeaseRevoke(id) => {
                (Action::Write, may(access, Action::Write, state, *id))
            }
            Request::Set(it) if it.lease != 0 && it.lease != self.passed => {
                let passed = may(access, Action::Write, state, it.lease);
                self.passed = if passed { it.lease } else { 0 };
                (Action::Write, passed)
            }
            Request::Txn(txn) => {
                let leases = txn.success.iter().chain(&txn.failure).map(set);
                let mut leases: Vec<LeaseId> = leases.filter(|lease| *lease != 0).collect();
                leases.sort_unstable();
                leases.dedup();
                let all = leases.into_iter().all(|id| may(access, Action::Write, state, id));
                (Action::Write, all)
            }
            _ => return None,
        };
        (!passed).then(|| Need::On(action).into())
    }
}

/// Whether an action is granted on all keys of a lease; of one that does not exist, it is.
fn may(access: &Access, action: Action, state: &store::State, lease: LeaseId) -> bool {
    access.has_all(action) || state.lease_keys(lease).all(|key| access.has(action, key))
}

/// Why the queue refuses a request that names jobs by their ids, if it does. A job that is unknown
/// here is refused by others, or its answer is.
pub(super) fn refuses_job(
    queue: &queue::State,
    access: Option<&Access>,
    request: &JobRequest,
) -> Option<Error> {
    let access = access?;
    let works = |id: JobId| queue.topic_of(id).is_none_or(|topic| access.has(Action::Work, topic));
    let permitted = match request {
        JobRequest::Settle(settlements) => settlements.iter().all(|it| works(it.reservation.id)),
        JobRequest::Touch { reservations, .. } => reservations.iter().all(|it| works(it.id)),
        JobRequest::Progress { reservation, .. } => works(reservation.id),
        JobRequest::Get(JobRef::Id(id)) | JobRequest::Await { job: JobRef::Id(id), .. } => {
            let seen = queue.topic_of(*id).is_none_or(|topic| access.sees_topic(topic));
            return (!seen).then(|| QueueError::not_found(&JobRef::Id(*id)).into());
        }
        JobRequest::Cancel(JobRef::Id(id)) => {
            let owned = queue.topic_of(*id).is_none_or(|topic| access.has(Action::Push, topic));
            return (!owned).then(|| QueueError::not_found(&JobRef::Id(*id)).into());
        }
        _ => true,
    };
    (!permitted).then(|| Need::On(Action::Work).into())
}
