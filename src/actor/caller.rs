//! [`Caller`]: the sender of a request to the queue, and the way back for its answer.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use crate::environment::RandomState;
use actix::Addr;
use tokio::sync::oneshot;

use super::awaiting_durability::AnswersById;
use super::durability_queue::DeferredAnswer;
use super::message::{Done, OwnerId, Undelivered};
use super::{AnswerSink, QueueActor};
use crate::config::Durability;
use crate::error::Error;
use crate::fair::ClientId;
use crate::model::{CallReply, JobReply, Reply};

/// The sender of a request.
pub(crate) struct Caller {
    pub(super) owner: OwnerId,
    pub(super) client: ClientId,
    /// The owner's id for the request.
    pub(super) id: u64,
    /// The requested durability of the answer.
    pub(super) asked: Option<Durability>,
    /// The deadline of the answer.
    pub(super) deadline: Option<Instant>,
    pub(super) to: ReplyTo,
}

pub(super) enum ReplyTo {
    Connection(Arc<dyn AnswerSink>),
    /// A caller in this process. Jobs that the caller does not take go back to the queue.
    Local(oneshot::Sender<Result<CallReply, Error>>, Addr<QueueActor>),
}

/// An answer on its way to its caller.
pub(crate) struct JobAnswered {
    pub(super) caller: Caller,
    pub(super) result: Result<JobReply, Error>,
    /// The durability of the answer; `None` in memory.
    pub(super) durability: Option<Durability>,
}

impl DeferredAnswer for JobAnswered {
    fn fail(&mut self, error: &Error) {
        self.result = Err(error.clone());
    }

    fn deadline(&self) -> Option<Instant> {
        self.caller.deadline
    }

    fn split_expired(self, now: Instant) -> (Option<Self>, Option<Self>) {
        match self.caller.deadline.is_some_and(|deadline| deadline <= now) {
            true => (None, Some(self)),
            false => (Some(self), None),
        }
    }

    /// Sends the answers; consecutive ones to the same connection are sent together.
    fn give_all(answers: impl Iterator<Item = Self>) {
        let mut batch: Option<(Arc<dyn AnswerSink>, AnswersById)> = None;
        for Self { caller: Caller { id, to, .. }, result, durability } in answers {
            let result = result.map(|reply| CallReply { reply: Reply::Job(reply), durability });
            match (to, &mut batch) {
                (ReplyTo::Connection(sink), Some((last, done))) if Arc::ptr_eq(&sink, last) => {
                    done.push((id, result.map(Done::Reply)));
                }
                (ReplyTo::Connection(sink), _) => {
                    let next = (sink, vec![(id, result.map(Done::Reply))]);
                    if let Some((sink, done)) = batch.replace(next) {
                        sink.take(done);
                    }
                }
                (ReplyTo::Local(caller, queue), _) => give_here(caller, &queue, result),
            }
        }
        if let Some((sink, done)) = batch {
            sink.take(done);
        }
    }
}

/// Sends an answer within this process.
fn give_here(
    caller: oneshot::Sender<Result<CallReply, Error>>,
    queue: &Addr<QueueActor>,
    result: Result<CallReply, Error>,
) {
    if let Err(Ok(CallReply { reply: Reply::Job(JobReply::Reserved(jobs)), .. })) =
        caller.send(result)
    {
        // bound: once for each request of this process
        queue.do_send(Undelivered(jobs));
    }
}

/// Waiting callers, by what they wait for and by their own ids for it.
pub(super) struct Callers<P> {
    waiting: HashMap<P, Caller, RandomState>,
    by_name: BTreeMap<(OwnerId, u64), P>,
}

impl<P> Default for Callers<P> {
    fn default() -> Self {
        Self { waiting: HashMap::default(), by_name: BTreeMap::new() }
    }
}

impl<P: Copy + Eq + Hash> Callers<P> {
    pub(super) fn park(&mut self, park: P, caller: Caller) {
        self.by_name.insert((caller.owner, caller.id), park);
        self.waiting.insert(park, caller);
    }

    pub(super) fn take(&mut self, park: P) -> Option<Caller> {
        let caller = self.waiting.remove(&park)?;
        self.by_name.remove(&(caller.owner, caller.id));
        Some(caller)
    }

    /// Returns what the owner's request with this id waits for.
    pub(super) fn named(&self, owner: OwnerId, id: u64) -> Option<P> {
        self.by_name.get(&(owner, id)).copied()
    }

    /// Forgets all callers of an owner; returns what they waited for.
    pub(super) fn forget(&mut self, owner: OwnerId) -> Vec<P> {
        let of_owner = self.by_name.range((owner, 0)..=(owner, u64::MAX));
        let parks: Vec<P> = of_owner.map(|(_, park)| *park).collect();
        parks.iter().for_each(|park| drop(self.take(*park)));
        parks
    }
}
