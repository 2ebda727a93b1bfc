//! The needs of each request: the only place that defines them.
//!
//! A request is judged by its content alone. Where the content does not name the object (a lease by
//! its number, a job by its id), it is judged here as far as possible, and by the actors that know
//! the rest, with the same [`Access`].

use super::{Access, Action, Denied};
use crate::model::facts::Class;
use crate::model::{
    Compare, DeleteRequest, JobRef, JobRequest, KeyAction, KeyBuffer, KeyRange, KeyRequest,
    KvRequest, RangeRequest, Request, SetRequest, StoreRequest, TxnOp, TxnRequest, WaitRequest,
    WatchFrom, WatchRequest,
};

type Decision = Result<(), Denied>;

/// Returns true if a watch begins with the existing keys.
pub(crate) fn reads(watch: &WatchRequest) -> bool {
    watch.from == WatchFrom::Snapshot
}

impl Access {
    /// Checks whether a request is permitted, as far as its content names its objects.
    pub(crate) fn permits(&self, request: &Request) -> Decision {
        match request {
            Request::Store(request) => self.permits_store(request),
            Request::Job(request) => self.permits_job(request),
            Request::Invoke(invocation) => self.permits_call(&invocation.method),
            Request::Node(request) => match request.facts().class {
                Class::Open => Ok(()),
                Class::Read | Class::Write => self.needs(Action::Call, self.has_any(Action::Call)),
                Class::Admin => self.needs_admin(),
            },
        }
    }

    /// Checks whether a request to the store is permitted.
    pub(crate) fn permits_store(&self, request: &StoreRequest) -> Decision {
        match request {
            StoreRequest::Kv(request) => self.permits_kv(request),
            StoreRequest::Hub(_) | StoreRequest::Files(_) => self.needs_admin(),
        }
    }

    /// Checks whether a request about one key is permitted.
    pub(crate) fn permits_key(&self, request: &KeyRequest, keys: &KeyBuffer) -> Decision {
        let key = keys.key(request);
        match request.action {
            KeyAction::Get { .. } => self.needs(Action::Read, self.has(Action::Read, key)),
            KeyAction::Set { only_if_changed, return_previous } => {
                self.permits_write(key, return_previous || only_if_changed)
            }
            KeyAction::Delete { return_previous } => self.permits_write(key, return_previous),
        }
    }

    fn permits_kv(&self, request: &KvRequest) -> Decision {
        if request.facts().class == Class::Admin {
            return self.needs_admin();
        }
        match request {
            KvRequest::Set(set) => self.permits_set(set),
            KvRequest::Get(get) => self.needs(Action::Read, self.has(Action::Read, &get.key)),
            KvRequest::Range(range) => self.permits_range(range),
            KvRequest::Scan(range) => self.permits_range(range),
            KvRequest::Delete(delete) => self.permits_delete(delete),
            KvRequest::Txn(txn) => self.permits_txn(txn),
            // The store knows the keys of the lease, and checks again.
            KvRequest::LeaseGrant(_) | KvRequest::LeaseKeepAlive(_) | KvRequest::LeaseRevoke(_) => {
                self.needs(Action::Write, self.has_any(Action::Write))
            }
            KvRequest::LeaseTimeToLive(_) | KvRequest::LeaseKeys { .. } => {
                self.needs(Action::Read, self.has_any(Action::Read))
            }
            // Only administrators may do what is not named here.
            _ => self.needs_admin(),
        }
    }

    /// Checks whether a wait is permitted.
    pub(crate) fn permits_wait(&self, wait: &WaitRequest) -> Decision {
        self.permits_interest(&wait.range, false)
    }

    /// Checks whether a watch is permitted.
    pub(crate) fn permits_watch(&self, watch: &WatchRequest) -> Decision {
        self.permits_interest(&watch.range, reads(watch))
    }

    /// Checks whether keys may be awaited; `reads` adds the permission to read existing keys.
    pub(crate) fn permits_interest(&self, range: &KeyRange, reads: bool) -> Decision {
        self.needs(Action::Watch, self.covers(Action::Watch, range))?;
        self.needs(Action::Read, !reads || self.covers(Action::Read, range))
    }

    /// Checks whether a call of a method, `SERVICE.METHOD`, is permitted.
    pub(crate) fn permits_call(&self, method: &str) -> Decision {
        let service = method.rsplit_once('.').map_or("", |(service, _)| service);
        self.needs(Action::Call, self.has(Action::Call, service.as_bytes()))
    }

    /// Checks whether a link under this name is permitted.
    pub(crate) fn permits_dial(&self, name: &str) -> Decision {
        self.needs(Action::Dial, self.has(Action::Dial, name.as_bytes()))
    }

    /// Checks whether a stream without watches is permitted.
    pub(crate) fn permits_stream(&self) -> Decision {
        self.needs(Action::Watch, self.has_any(Action::Watch))
    }

    fn needs(&self, action: Action, has: bool) -> Decision {
        if has { Ok(()) } else { Err(Denied::On(action)) }
    }

    fn needs_admin(&self) -> Decision {
        if self.is_admin() { Ok(()) } else { Err(Denied::Admin) }
    }

    /// A reply with the previous value, or with whether the value differs, needs `read`.
    fn permits_set(&self, set: &SetRequest) -> Decision {
        self.permits_write(&set.key, set.return_previous || set.only_if_changed)
    }

    fn permits_write(&self, key: &[u8], reads: bool) -> Decision {
        self.needs(Action::Write, self.has(Action::Write, key))?;
        self.needs(Action::Read, !reads || self.has(Action::Read, key))
    }

    fn permits_range(&self, range: &RangeRequest) -> Decision {
        self.needs(Action::Read, self.covers(Action::Read, &range.range))
    }

    fn permits_delete(&self, delete: &DeleteRequest) -> Decision {
        self.needs(Action::Write, self.covers(Action::Write, &delete.range))?;
        let reads = delete.return_previous;
        self.needs(Action::Read, !reads || self.covers(Action::Read, &delete.range))
    }

    /// Checks both lists: the reply reveals the result of the comparison.
    fn permits_txn(&self, txn: &TxnRequest) -> Decision {
        let reads =
            |compare: &Compare| self.needs(Action::Read, self.covers(Action::Read, &compare.range));
        txn.compares.iter().try_for_each(reads)?;
        txn.success.iter().chain(&txn.failure).try_for_each(|op| match op {
            TxnOp::Set(set) => self.permits_set(set),
            TxnOp::Get(get) => self.needs(Action::Read, self.has(Action::Read, &get.key)),
            TxnOp::Range(range) => self.permits_range(range),
            TxnOp::Delete(delete) => self.permits_delete(delete),
        })
    }

    /// Checks whether a request to the queue is permitted.
    pub(crate) fn permits_job(&self, request: &JobRequest) -> Decision {
        match request {
            JobRequest::Push { jobs, .. } => jobs
                .iter()
                .try_for_each(|job| self.needs(Action::Push, self.has(Action::Push, &job.topic))),
            JobRequest::Reserve(reserve) => {
                self.needs(Action::Work, self.has(Action::Work, &reserve.topic))
            }
            // The queue knows the topics of these jobs, and checks again.
            JobRequest::Settle(_)
            | JobRequest::Touch { .. }
            | JobRequest::Progress { .. }
            | JobRequest::Resume(_)
            | JobRequest::Revoked { .. } => self.needs(Action::Work, self.has_any(Action::Work)),
            JobRequest::Get(job) | JobRequest::Await { job, .. } => match job {
                JobRef::Index { topic, .. } => self.needs_sight(self.sees_topic(topic)),
                JobRef::Id(_) => self.needs_sight(self.has_any_topic()),
            },
            JobRequest::Cancel(job) => {
                let has = match job {
                    JobRef::Index { topic, .. } => self.has(Action::Push, topic),
                    JobRef::Id(_) => self.has_any(Action::Push),
                };
                self.needs(Action::Push, has)
            }
            JobRequest::Outcomes { topic, .. }
            | JobRequest::List { topic, .. }
            | JobRequest::Topic(topic) => self.needs_sight(self.sees_topic(topic)),
            JobRequest::FreeIndex { topic, .. } => {
                self.needs(Action::Push, self.has(Action::Push, topic))
            }
            // Only administrators may do what is not named here.
            _ => self.needs_admin(),
        }
    }

    fn needs_sight(&self, has: bool) -> Decision {
        if has { Ok(()) } else { Err(Denied::PushOrWork) }
    }

    fn has_any_topic(&self) -> bool {
        self.has_any(Action::Push) || self.has_any(Action::Work)
    }
}
