//! [`AwaitingDurability`]: answers that wait until the journal has what they show.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::durability_queue::DeferredAnswer;
use super::message::Done;
use crate::buffered::BufferedBytes;
use crate::error::{Error, ErrorCode};
use crate::journal::RecordSeq;
use crate::model::CallReply;

/// The condition for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Barrier {
    /// The shown data has the service's durability, and so may be visible to anyone.
    Shown,
    /// The disk has what it shows, as its request demands.
    Synced,
}

/// Returns the sooner of two times, if there are any.
pub(super) fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// Returns the error for an answer whose deadline has passed before the disk has what it shows.
pub(super) fn late() -> Error {
    let message =
        "the disk did not store in time what the answer shows; the outcome of a write is unknown";
    Error::new(ErrorCode::DeadlineExceeded, message)
}

/// Answers, each with the id of its request.
pub(crate) type AnswersById = Vec<(u64, Result<Done, Error>)>;

/// Receives answers that were withheld, each with the id of its request. Those that wait for the same
/// record come in order.
pub(crate) trait AnswerSink: Send + Sync {
    fn take(&self, answers: AnswersById);

    /// Returns the account of the bytes kept for the caller; `None` if they are not limited.
    fn buffered(&self) -> Option<&Arc<BufferedBytes>> {
        None
    }
}

/// Answers in the order of the records they wait for.
///
/// Bounded by `rpc.requests_in_flight_max` of each connection.
pub(super) struct AwaitingDurability<A> {
    queue: VecDeque<(RecordSeq, A)>,
    /// No deadline is earlier than this.
    earliest: Option<Instant>,
}

impl<A> Default for AwaitingDurability<A> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), earliest: None }
    }
}

/// Answers of the store, and their receivers.
pub(crate) enum StoreAnswer {
    /// Answers to one message of a connection, with the deadlines of those requests that have one.
    Connection(Arc<dyn AnswerSink>, AnswersById, Vec<(Instant, u64)>),
    /// The answer to a caller in this process, with its deadline.
    Local(oneshot::Sender<Result<CallReply, Error>>, Result<CallReply, Error>, Option<Instant>),
}

/// Answers to one message of a connection that must be withheld.
#[derive(Default)]
pub(super) struct WithheldAnswers {
    shown: AnswerGroup,
    synced: AnswerGroup,
}

#[derive(Default)]
struct AnswerGroup {
    answers: AnswersById,
    deadlines: Vec<(Instant, u64)>,
}

impl WithheldAnswers {
    pub(super) fn push(
        &mut self,
        until: Barrier,
        id: u64,
        deadline: Option<Instant>,
        answer: Result<Done, Error>,
    ) {
        let group = match until {
            Barrier::Shown => &mut self.shown,
            Barrier::Synced => &mut self.synced,
        };
        group.answers.push((id, answer));
        group.deadlines.extend(deadline.map(|deadline| (deadline, id)));
    }

    /// Returns the answers collected for `sink`.
    pub(super) fn into_answered(
        self,
        sink: &Arc<dyn AnswerSink>,
    ) -> impl Iterator<Item = (Barrier, StoreAnswer)> {
        [(Barrier::Shown, self.shown), (Barrier::Synced, self.synced)]
            .into_iter()
            .filter(|(_, group)| !group.answers.is_empty())
            .map(|(until, AnswerGroup { answers, deadlines })| {
                (until, StoreAnswer::Connection(Arc::clone(sink), answers, deadlines))
            })
    }
}

impl<A: DeferredAnswer> AwaitingDurability<A> {
    /// Keeps answers until the record `until` is durable.
    pub(super) fn push(&mut self, until: RecordSeq, answered: A) {
        let earliest = self.earliest.filter(|_| !self.queue.is_empty());
        self.earliest = sooner(earliest, answered.deadline());
        self.queue.push_back((until, answered));
    }

    /// Returns the earliest deadline.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.earliest.filter(|_| !self.queue.is_empty())
    }

    /// Takes the answers whose deadline has passed.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<A> {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return Vec::new();
        }
        let (mut expired, mut left) = (Vec::new(), Self::default());
        for (until, answered) in self.queue.drain(..) {
            let (stays, late) = answered.split_expired(now);
            expired.extend(late);
            if let Some(stays) = stays {
                left.push(until, stays);
            }
        }
        *self = left;
        expired
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &A> {
        self.queue.iter().map(|(_, answered)| answered)
    }

    /// Returns whether an answer waits for no record after `durable`.
    pub(super) fn is_due(&self, durable: RecordSeq) -> bool {
        self.queue.front().is_some_and(|(until, _)| *until <= durable)
    }

    /// Sends every answer that waits for no record after `durable`.
    pub(super) fn release(&mut self, durable: RecordSeq) {
        let due = self.queue.partition_point(|(until, _)| *until <= durable);
        A::give_all(self.queue.drain(..due).map(|(_, answered)| answered));
    }

    /// Fails every answer with `error`: what they show will probably never be durable.
    pub(super) fn fail(&mut self, error: &Error) {
        A::give_all(self.queue.drain(..).map(|(_, mut answered)| {
            answered.fail(error);
            answered
        }));
    }
}

impl DeferredAnswer for StoreAnswer {
    fn fail(&mut self, error: &Error) {
        match self {
            Self::Connection(_, answers, _) => {
                for (_, answer) in answers {
                    *answer = Err(error.clone());
                }
            }
            Self::Local(_, answer, _) => *answer = Err(error.clone()),
        }
    }

    fn give_all(answers: impl Iterator<Item = Self>) {
        answers.for_each(|answered| match answered {
            Self::Connection(sink, answers, _) => sink.take(answers),
            // The caller may have stopped waiting.
            Self::Local(caller, answer, _) => drop(caller.send(answer)),
        });
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Connection(_, _, deadlines) => deadlines.iter().map(|(at, _)| *at).min(),
            Self::Local(_, _, deadline) => *deadline,
        }
    }

    fn split_expired(self, now: Instant) -> (Option<Self>, Option<Self>) {
        match self {
            Self::Connection(sink, answers, deadlines) => {
                let (over, left): (Vec<_>, Vec<_>) =
                    deadlines.into_iter().partition(|it| it.0 <= now);
                let is_over = |id: u64| over.iter().any(|(_, late)| *late == id);
                let (late, stays): (AnswersById, AnswersById) =
                    answers.into_iter().partition(|(id, _)| is_over(*id));
                let of = |answers: AnswersById, left| {
                    let sink = Arc::clone(&sink);
                    (!answers.is_empty()).then(|| Self::Connection(sink, answers, left))
                };
                (of(stays, left), of(late, Vec::new()))
            }
            local if local.deadline().is_some_and(|deadline| deadline <= now) => {
                (None, Some(local))
            }
            local => (Some(local), None),
        }
    }
}
