//! [`Withheld`]: answers that wait until the journal has what they show.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::message::Done;
use crate::error::Error;
use crate::journal::Seq;
use crate::model::Reply;

/// Takes answers that were withheld, each with the id of its request.
pub(crate) trait AnswerSink: Send + Sync {
    fn take(&self, answers: Vec<(u64, Result<Done, Error>)>);
}

/// Answers in the order of the records they wait for.
///
/// Bounded by those who ask: each has only so many requests in flight.
#[derive(Default)]
pub(super) struct Withheld {
    queue: VecDeque<(Seq, Answered)>,
}

/// Answers, and who is to have them.
pub(super) enum Answered {
    /// Of one message of a connection.
    Connection(Arc<dyn AnswerSink>, Vec<(u64, Result<Done, Error>)>),
    /// Of a caller in this process.
    Local(oneshot::Sender<Result<Reply, Error>>, Result<Reply, Error>),
}

impl Withheld {
    /// Keeps answers until the record `until` is durable.
    pub(super) fn push(&mut self, until: Seq, answered: Answered) {
        self.queue.push_back((until, answered));
    }

    /// Gives every answer that waits for no record after `durable`.
    pub(super) fn release(&mut self, durable: Seq) {
        while self.queue.front().is_some_and(|(until, _)| *until <= durable) {
            if let Some((_, answered)) = self.queue.pop_front() {
                answered.give();
            }
        }
    }

    /// Gives every answer as `error`: what they show will never be durable, as far as is known.
    pub(super) fn fail(&mut self, error: &Error) {
        for (_, mut answered) in std::mem::take(&mut self.queue) {
            answered.fail(error);
            answered.give();
        }
    }
}

impl Answered {
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

    fn give(self) {
        match self {
            Self::Connection(sink, answers) => sink.take(answers),
            // Whoever asked may have stopped waiting.
            Self::Local(caller, answer) => drop(caller.send(answer)),
        }
    }
}
