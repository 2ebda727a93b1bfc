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

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Look-ups and the like alone.
    Light,
    /// Also what may take long.
    Heavy,
}

impl Kind {
    fn of(works: &[Work]) -> Self {
        if works.iter().any(|work| work.task.is_heavy()) { Self::Heavy } else { Self::Light }
    }
}

/// A message of a connection, as far as it is done.
pub(super) struct Batch {
    pub(super) owner: Arc<Owner>,
    pub(super) works: vec::IntoIter<Work>,
    pub(super) sink: Arc<dyn AnswerSink>,
    pub(super) restriction: Option<Arc<Access>>,
    pub(super) answers: Vec<Answer>,
    pub(super) withheld: withheld::Held,
    kind: Kind,
    /// Where its answers are sent, once it had to wait.
    sender: Option<Sender>,
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
            kind: Kind::of(&works),
            answers: Vec::with_capacity(works.len()),
            works: works.into_iter(),
            sink,
            restriction,
            withheld: withheld::Held::default(),
            sender: None,
        }
    }

    /// Takes what sends the answers of a message that had to wait.
    pub(super) fn take_sender(&mut self) -> Option<OneshotSender<Answers>> {
        self.sender.take()?.take()
    }

    /// Whether the connection that asked is gone: what is left of it need not be done.
    fn is_abandoned(&self) -> bool {
        let Some(place) = &self.sender else { return false };
        let sender = place.take();
        let closed = sender.as_ref().is_some_and(OneshotSender::is_closed);
        place.set(sender);
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
        self.light.is_empty() && (batch.kind == Kind::Light || self.heavy.is_empty())
    }

    /// Has a message wait for its next turn.
    pub(super) fn push(&mut self, mut batch: Batch) -> Later {
        let later = Later(Rc::clone(batch.sender.get_or_insert_default()));
        self.queue(batch.kind).push_back(batch);
        later
    }

    /// Takes the message of a kind that has waited longest.
    pub(super) fn next(&mut self, kind: Kind) -> Option<Batch> {
        let queue = self.queue(kind);
        while let Some(batch) = queue.pop_front() {
            if !batch.is_abandoned() {
                return Some(batch);
            }
        }
        None
    }

    fn queue(&mut self, kind: Kind) -> &mut VecDeque<Batch> {
        match kind {
            Kind::Light => &mut self.light,
            Kind::Heavy => &mut self.heavy,
        }
    }
}
