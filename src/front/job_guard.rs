//! [`JobGuard`]: the parked job requests of a connection on a server with users, to end those that
//! are no longer permitted.

use std::collections::HashMap;
use std::sync::Arc;

use crate::environment::RandomState;

use super::jobs::{ConnectionJobs, OWN_ID};
use crate::actor::AnswerSink;
use crate::actor::message::{CancelJobs, Done, JobTask, JobTasks, ReviseAwaits};
use crate::auth::{Access, Action, Denied};
use crate::error::{Error, ErrorCode};
use crate::handle::Wakeful;
use crate::model::{
    Blob, CallReply, JobId, JobRef, JobReply, JobRequest, Reply, Reservation, Settlement, Verdict,
};
use crate::queue::QueueError;

/// The parked requests of a connection, on a server with users.
#[derive(Default)]
pub(super) struct JobGuard {
    on: bool,
    /// Parked requests, by id.
    parked: HashMap<u64, GuardedRequest, RandomState>,
    /// Reserved jobs that the peer may not have, to be given back.
    unwanted: Vec<Reservation>,
}

struct GuardedRequest {
    request: JobRequest,
    denied: bool,
    /// The queue checks whether it is still permitted; if the queue cancels it, it was not.
    doubted: bool,
}

impl GuardedRequest {
    /// Returns the job that the request waits for, if the request has its id: only the queue knows
    /// the topic of that job.
    fn awaits(&self) -> Option<JobId> {
        match &self.request {
            JobRequest::Await { job: JobRef::Id(id), .. } => Some(*id),
            _ => None,
        }
    }
}

impl JobGuard {
    pub(super) fn new(on: bool) -> Self {
        Self { on, ..Self::default() }
    }

    /// Remembers a request that parks.
    pub(super) fn ask(&mut self, id: u64, request: &JobRequest) {
        if self.on && request.parks() {
            let request = request.clone();
            self.parked.insert(id, GuardedRequest { request, denied: false, doubted: false });
        }
    }

    /// Notes that the peer itself cancels a request, so that this is not taken for a denial.
    pub(super) fn cancel(&mut self, id: u64) {
        if let Some(parked) = self.parked.get_mut(&id) {
            parked.doubted = false;
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.on);
    }
}

impl ConnectionJobs {
    /// Removes the requests that are no longer permitted and not handed over yet; returns their ids.
    pub(super) fn take_denied_rest(&mut self, access: &Access) -> Vec<(u64, Denied)> {
        let mut denied = Vec::new();
        self.works.retain(|work| match access.permits_job(&work.request) {
            Ok(()) => true,
            Err(denial) => {
                denied.push((work.id, denial));
                false
            }
        });
        for (id, _) in &denied {
            self.guard.parked.remove(id);
            self.forget(*id);
        }
        denied
    }

    /// Cancels the parked requests, and gives back the held jobs, that are no longer permitted.
    pub(super) fn revise(
        &mut self,
        wakeful: &Wakeful,
        access: &Arc<Access>,
        sink: Arc<dyn AnswerSink>,
    ) {
        let (mut ids, mut awaits) = (Vec::new(), Vec::new());
        for (id, parked) in &mut self.guard.parked {
            if parked.denied {
                continue;
            }
            if access.permits_job(&parked.request).is_err() {
                parked.denied = true;
                ids.push(*id);
            } else if let Some(job) = parked.awaits() {
                parked.doubted = true;
                awaits.push((*id, job));
            }
        }
        if !awaits.is_empty() {
            let (owner, access) = (self.owner, Arc::clone(access));
            // bound: one for each change of the users
            wakeful.queue().do_send(ReviseAwaits { owner, awaits, access });
        }
        if !ids.is_empty() {
            // bound: one for each change of the users
            wakeful.queue().do_send(CancelJobs { owner: self.owner, ids });
        }
        let denied = self.held.take_of(|topic| !access.has(Action::Work, topic));
        self.guard.unwanted.extend(denied);
        self.give_back(wakeful, sink);
    }

    /// Gives back the jobs that the peer may not have. They lose no attempt.
    pub(super) fn give_back(&mut self, wakeful: &Wakeful, sink: Arc<dyn AnswerSink>) {
        let unwanted = std::mem::take(&mut self.guard.unwanted);
        if unwanted.is_empty() {
            return;
        }
        let release = |reservation| Settlement { reservation, verdict: Verdict::Release };
        let most = wakeful.config().queue.push_jobs_max;
        let works = unwanted.chunks(most).map(|some| {
            let request = JobRequest::Settle(some.iter().copied().map(release).collect());
            JobTask { id: OWN_ID, deadline: None, durability: None, request }
        });
        let works = works.collect();
        // bound: one for each change of the users, and for each answer that came too late
        let (owner, user, client) = (self.owner, self.user, self.client);
        let restriction = None;
        wakeful.queue().do_send(JobTasks { owner, works, sink, restriction, user, client });
    }

    /// Replaces an answer that the peer may not see by a denial; `None` permits everything.
    pub(super) fn screen(
        &mut self,
        id: u64,
        answer: &mut Result<Done, Error>,
        restriction: Option<&Access>,
    ) {
        let parked = self.guard.parked.remove(&id);
        let denied = parked.as_ref().is_some_and(|parked| parked.denied);
        let doubted = parked.filter(|parked| parked.doubted).and_then(|parked| parked.awaits());
        let denial = match answer {
            Ok(Done::Reply(CallReply { reply: Reply::Job(reply), .. })) => match reply {
                JobReply::Reserved(jobs) => {
                    let may = |topic: &Blob| {
                        restriction.is_none_or(|access| access.has(Action::Work, topic))
                    };
                    if denied || jobs.iter().any(|job| !may(&job.topic)) {
                        self.guard.unwanted.extend(jobs.iter().map(|job| job.reservation));
                        Some(Denied::On(Action::Work).into())
                    } else {
                        None
                    }
                }
                JobReply::Job(info) => restriction
                    .is_some_and(|access| !access.sees_topic(&info.topic))
                    .then(|| QueueError::not_found(&JobRef::Id(info.id)).into()),
                JobReply::Jobs(_) if denied => Some(Denied::PushOrWork.into()),
                _ => None,
            },
            Err(error) if denied && error.code == ErrorCode::Cancelled => {
                Some(Denied::PushOrWork.into())
            }
            Err(error) if error.code == ErrorCode::Cancelled => {
                doubted.map(|job| QueueError::not_found(&JobRef::Id(job)).into())
            }
            _ => None,
        };
        if let Some(denial) = denial {
            *answer = Err(denial);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::{Pattern, Role};
    use crate::model::{PushRequest, ReserveRequest};

    /// Regression: requests behind one with a large answer were checked before they waited, and took
    /// effect although the permission was revoked meanwhile.
    #[test]
    fn a4_what_is_not_handed_over_yet_is_refused_when_it_is_revoked() {
        let mut jobs = ConnectionJobs::new(5, true, Duration::from_secs(30));
        let requests = [
            JobRequest::Schedules,
            JobRequest::Push { jobs: vec![PushRequest::new("kept", "x")], wait: Duration::ZERO },
            JobRequest::Push { jobs: vec![PushRequest::new("lost", "x")], wait: Duration::ZERO },
            JobRequest::Reserve(ReserveRequest {
                wait: Some(Duration::from_secs(60)),
                ..ReserveRequest::new("lost")
            }),
        ];
        for (id, request) in (1..).zip(requests) {
            jobs.ask(JobTask { id, deadline: None, durability: None, request });
        }
        let mut role = Role::default();
        role.grant(Action::Push, Pattern::One("kept".into()));
        let mut denied = jobs.take_denied_rest(&Access::new([&role]));
        denied.sort_by_key(|(id, _)| *id);
        assert_eq!(
            denied,
            [(1, Denied::Admin), (3, Denied::On(Action::Push)), (4, Denied::On(Action::Work))]
        );
        let rest: Vec<u64> = jobs.works.iter().map(|work| work.id).collect();
        assert_eq!((rest, jobs.counted(), jobs.has_large()), (vec![2], 1, false));
        assert_eq!(jobs.parked().count() + jobs.guard.parked.len(), 0);
    }
}
