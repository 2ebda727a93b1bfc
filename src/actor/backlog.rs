//! [`Backlog`]: messages of connections for which a turn of the store was too short.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::vec;

use actix::dev::{MessageResponse, OneshotSender};

use super::message::{Answer, Answers, Requests, Work};
use super::store::StoreActor;
use super::{AnswerSink, withheld};
use crate::auth::Access;
use crate::watch::Owner;

type Sender = Rc<Cell<Option<OneshotSender<Answers>>>>;

/// A message of a connection, as far as it is done.
pub(super) struct Batch {
    pub(super) owner: Arc<Owner>,
    pub(super) works: vec::IntoIter<Work>,
    pub(super) sink: Arc<dyn AnswerSink>,
    pub(super) restriction: Option<Arc<Access>>,
    pub(super) answers: Vec<Answer>,
    pub(super) withheld: withheld::Held,
    /// Whether any of it may take long.
    is_heavy: bool,
    sender: Sender,
}

/// The answers to a message: now, or in a later turn.
pub(crate) enum Answering {
    Now(Answers),
    Later(Later),
}

/// Where the answers to a message that waits are sent.
pub(crate) struct Later(Sender);

impl MessageResponse<StoreActor, Requests> for Answering {
    fn handle(
        self,
        _: &mut <StoreActor as actix::Actor>::Context,
        sender: Option<OneshotSender<Answers>>,
    ) {
        match self {
            // Whoever asked may have stopped waiting.
            Self::Now(answers) => drop(sender.map(|sender| sender.send(answers))),
            Self::Later(Later(later)) => later.set(sender),
        }
    }
}

impl Batch {
    pub(super) fn new(requests: Requests) -> Self {
        let Requests { owner, works, sink, restriction } = requests;
        Self {
            owner,
            is_heavy: works.iter().any(|work| work.task.is_heavy()),
            answers: Vec::with_capacity(works.len()),
            works: works.into_iter(),
            sink,
            restriction,
            withheld: withheld::Held::default(),
            sender: Rc::default(),
        }
    }

    /// Sends the answers of a message that had to wait.
    pub(super) fn send(sender: &Sender, answers: Answers) {
        if let Some(sender) = sender.take() {
            // The connection may be gone.
            drop(sender.send(answers));
        }
    }

    pub(super) fn sender(&self) -> Sender {
        Rc::clone(&self.sender)
    }

    /// Whether the connection that asked is gone: what is left of it need not be done.
    fn is_abandoned(&self) -> bool {
        let sender = self.sender.take();
        let closed = sender.as_ref().is_some_and(OneshotSender::is_closed);
        self.sender.set(sender);
        closed
    }
}

/// Messages that wait for a turn of the store.
///
/// Those with nothing heavy go before the others, and among each kind they take turns. Bounded: a
/// connection sends one message, and waits for its answers.
#[derive(Default)]
pub(super) struct Backlog {
    light: VecDeque<Batch>,
    heavy: VecDeque<Batch>,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.light.is_empty() && self.heavy.is_empty()
    }

    /// Whether a new message may be done at once: no other of its kind waits.
    pub(super) fn may_pass(&self, batch: &Batch) -> bool {
        self.light.is_empty() && (!batch.is_heavy || self.heavy.is_empty())
    }

    /// Has a message wait for its next turn.
    pub(super) fn push(&mut self, batch: Batch) -> Later {
        let later = Later(batch.sender());
        let queue = if batch.is_heavy { &mut self.heavy } else { &mut self.light };
        queue.push_back(batch);
        later
    }

    pub(super) fn next_light(&mut self) -> Option<Batch> {
        Self::next(&mut self.light)
    }

    pub(super) fn next_heavy(&mut self) -> Option<Batch> {
        Self::next(&mut self.heavy)
    }

    fn next(queue: &mut VecDeque<Batch>) -> Option<Batch> {
        while let Some(batch) = queue.pop_front() {
            if !batch.is_abandoned() {
                return Some(batch);
            }
        }
        None
    }
}
