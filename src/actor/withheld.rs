//! [`Withheld`]: answers that wait until the journal has what they show.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::ledger::Answered;
use super::message::Done;
use crate::buffered::BufferedBytes;
use crate::error::Error;
use crate::journal::Seq;
use crate::model::CallReply;

/// What an answer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// What it shows is as durable as the service has it, and so may be shown to anyone.
    Shown,
    /// The disk has what it shows, which its request asked for.
    Synced,
}

/// Answers, each with the id of its request.
pub(crate) type Answers = Vec<(u64, Result<Done, Error>)>;

/// Takes answers that were withheld, each with the id of its request. Those that wait for the same
/// come in order.
pub(crate) trait AnswerSink: Send + Sync {
    fn take(&self, answers: Answers);

    /// Counts what is kept for who asked; `None` where that has no limit.
    fn buffered(&self) -> Option<&Arc<BufferedBytes>> {
        None
    }
}

/// Answers in the order of the records they wait for.
///
/// Bounded by those who ask: each has only so many requests in flight.
pub(super) struct Withheld<A> {
    queue: VecDeque<(Seq, A)>,
}

impl<A> Default for Withheld<A> {
    fn default() -> Self {
        Self { queue: VecDeque::new() }
    }
}

/// Answers of the store, and who is to have them.
pub(crate) enum StoreAnswered {
    /// Of one message of a connection.
    Connection(Arc<dyn AnswerSink>, Answers),
    /// Of a caller in this process.
    Local(oneshot::Sender<Result<CallReply, Error>>, Result<CallReply, Error>),
}

/// Answers of one message of a connection that are to be withheld.
#[derive(Default)]
pub(super) struct Held {
    shown: Answers,
    synced: Answers,
}

impl Held {
    pub(super) fn push(&mut self, until: Until, id: u64, answer: Result<Done, Error>) {
        match until {
            Until::Shown => self.shown.push((id, answer)),
            Until::Synced => self.synced.push((id, answer)),
        }
    }

    /// What there is, for `sink`.
    pub(super) fn into_answered(
        self,
        sink: &Arc<dyn AnswerSink>,
    ) -> impl Iterator<Item = (Until, StoreAnswered)> {
        [(Until::Shown, self.shown), (Until::Synced, self.synced)]
            .into_iter()
            .filter(|(_, answers)| !answers.is_empty())
            .map(|(until, answers)| (until, StoreAnswered::Connection(Arc::clone(sink), answers)))
    }
}

impl<A: Answered> Withheld<A> {
    /// Keeps answers until the record `until` is durable.
    pub(super) fn push(&mut self, until: Seq, answered: A) {
        self.queue.push_back((until, answered));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &A> {
        self.queue.iter().map(|(_, answered)| answered)
    }

    /// Whether an answer waits for no record after `durable`.
    pub(super) fn is_due(&self, durable: Seq) -> bool {
        self.queue.front().is_some_and(|(until, _)| *until <= durable)
    }

    /// Gives every answer that waits for no record after `durable`.
    pub(super) fn release(&mut self, durable: Seq) {
        let due = self.queue.partition_point(|(until, _)| *until <= durable);
        A::give_all(self.queue.drain(..due).map(|(_, answered)| answered));
    }

    /// Gives every answer as `error`: what they show will never be durable, as far as is known.
    pub(super) fn fail(&mut self, error: &Error) {
        A::give_all(self.queue.drain(..).map(|(_, mut answered)| {
            answered.fail(error);
            answered
        }));
    }
}

impl Answered for StoreAnswered {
    fn fail(&mut self, error: &Error) {
        match self {
            Self::Connection(_, answers) => {
                for (_, answer) in answers {
                    *answer = Err(error.clone());
                }
            }
            Self::Local(_, answer) => *answer = Err(error.clone()),
        }
    }

    fn give_all(answers: impl Iterator<Item = Self>) {
        answers.for_each(|answered| match answered {
            Self::Connection(sink, answers) => sink.take(answers),
            // Whoever asked may have stopped waiting.
            Self::Local(caller, answer) => drop(caller.send(answer)),
        });
    }
}
