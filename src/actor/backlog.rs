//! [`Backlog`]: messages of connections that a turn of the store was too short for.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use std::vec;

use actix::dev::{MessageResponse, OneshotSender};

use super::kept::answer_bytes;
use super::message::{Answer, Answers, Done, Requests, StreamRef, Task, Work};
use super::store::StoreActor;
use super::withheld::Until;
use super::{AnswerSink, withheld};
use crate::auth::Access;
use crate::config::Durability;
use crate::error::Error;
use crate::watch::Owner;

type Sender = Rc<Cell<Option<OneshotSender<Answers>>>>;

/// The weight of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Light requests only.
    Light,
    /// Includes requests that may take long.
    Heavy,
}

impl Kind {
    fn of(works: &[Work]) -> Self {
        if works.iter().any(|work| work.task.is_heavy()) { Self::Heavy } else { Self::Light }
    }
}

/// A large write in progress: the id of its request, the deadline of its answer, and the requested
/// durability.
pub(super) struct BegunWrite {
    pub(super) id: u64,
    pub(super) deadline: Option<Instant>,
    pub(super) level: Option<Durability>,
}

/// A message of a connection, and its progress.
pub(super) struct Batch {
    pub(super) owner: Arc<Owner>,
    pub(super) works: vec::IntoIter<Work>,
    pub(super) sink: Arc<dyn AnswerSink>,
    pub(super) restriction: Option<Arc<Access>>,
    pub(super) answers: Vec<Answer>,
    /// The last request, if it is a large write in progress.
    pub(super) begun: Option<BegunWrite>,
    pub(super) withheld: withheld::Held,
    /// Bytes that the answers keep, and their limit.
    kept: usize,
    kept_max: usize,
    kind: Kind,
    /// Where the answers are sent, once the message had to wait.
    sender: Option<Sender>,
}

/// The answers to a message: now, or in a later turn.
pub(crate) enum Answering {
    Now(Answers),
    Later(Later),
}

/// Sends the answers to a message that waits.
pub(crate) struct Later(Sender);

impl MessageResponse<StoreActor, Requests> for Answering {
    fn handle(
        self,
        _: &mut <StoreActor as actix::Actor>::Context,
        sender: Option<OneshotSender<Answers>>,
    ) {
        match self {
            // The caller may have stopped waiting.
            Self::Now(answers) => drop(sender.map(|sender| sender.send(answers))),
            Self::Later(Later(later)) => later.set(sender),
        }
    }
}

impl Batch {
    pub(super) fn new(requests: Requests) -> Self {
        let Requests { owner, works, sink, restriction } = requests;
        Self {
            kept: 0,
            kept_max: owner.buffered.allowance().bytes,
            owner,
            kind: Kind::of(&works),
            answers: Vec::with_capacity(works.len()),
            works: works.into_iter(),
            begun: None,
            sink,
            restriction,
            withheld: withheld::Held::default(),
            sender: None,
        }
    }

    /// Adds the answer to the next piece of work, which keeps `bytes`.
    pub(super) fn note(&mut self, (answer, bytes): (Answer, usize)) {
        self.answers.push(answer);
        self.kept += bytes;
    }

    /// Adds the answer to the last request, a large write, in its reserved place.
    pub(super) fn note_begun(
        &mut self,
        BegunWrite { id, deadline, .. }: BegunWrite,
        until: Option<Until>,
        answer: Result<Done, Error>,
    ) {
        self.kept += answer_bytes(&answer);
        match (until, self.answers.last_mut()) {
            (None, Some(place)) => *place = Answer::Now(answer),
            (None, None) => {}
            (Some(until), _) => self.withheld.push(until, id, deadline, answer),
        }
    }

    /// Returns whether the answers have reached their limit.
    pub(super) fn is_full(&self) -> bool {
        self.kept > 0 && self.kept >= self.kept_max
    }

    /// Takes the remaining work, for another message.
    pub(super) fn take_rest(&mut self) -> Vec<Work> {
        if self.works.len() == 0 {
            return Vec::new();
        }
        let mut rest: Vec<Work> = std::mem::take(&mut self.works).collect();
        for work in &mut rest {
            if let Task::Watch { stream, .. } | Task::CancelWatch { stream, .. } = &mut work.task {
                *stream = self.stream_behind(*stream);
            }
        }
        rest
    }

    /// Returns how the remaining work refers to a stream that this message opens.
    fn stream_behind(&self, stream: StreamRef) -> StreamRef {
        let StreamRef::OpenedBy(index) = stream else { return stream };
        match self.answers.get(index) {
            Some(Answer::Now(Ok(Done::StreamOpened(handle)))) => StreamRef::Open(*handle),
            // It was not opened, and the remaining work does not open it.
            Some(_) => StreamRef::OpenedBy(usize::MAX),
            None => StreamRef::OpenedBy(index - self.answers.len()),
        }
    }

    /// Returns where the answers are sent from now on.
    pub(super) fn later(&mut self) -> Later {
        Later(Rc::clone(self.sender.get_or_insert_default()))
    }

    /// Takes the sender of the answers of a message that had to wait.
    pub(super) fn take_sender(&mut self) -> Option<OneshotSender<Answers>> {
        self.sender.take()?.take()
    }

    /// Returns whether the connection is gone, so that the remaining work is not needed.
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
/// Light messages go before heavy ones, and messages of the same kind take turns. Bounded, because a
/// connection sends one message at a time and waits for its answers.
#[derive(Default)]
pub(super) struct Backlog {
    light: VecDeque<Batch>,
    heavy: VecDeque<Batch>,
    /// Messages whose next request waits for the end of a large write, or until all watchers are
    /// notified of it.
    held: VecDeque<Batch>,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.light.is_empty() && self.heavy.is_empty() && self.held.is_empty()
    }

    /// Returns whether messages wait for the end of a large write, or until all watchers are notified
    /// of it.
    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Adds a message at the front of its kind.
    pub(super) fn push_front(&mut self, batch: Batch) {
        self.queue(batch.kind).push_front(batch);
    }

    /// Holds a message until the end of a large write and until all watchers are notified of it.
    pub(super) fn hold(&mut self, mut batch: Batch) -> Later {
        let later = batch.later();
        self.held.push_back(batch);
        later
    }

    /// Moves the messages that waited for a large write to the front of their kinds.
    pub(super) fn release(&mut self) {
        while let Some(batch) = self.held.pop_back() {
            self.push_front(batch);
        }
    }

    /// Returns whether a new message may be executed at once: no other of its kind waits.
    pub(super) fn may_pass(&self, batch: &Batch) -> bool {
        self.light.is_empty() && (batch.kind == Kind::Light || self.heavy.is_empty())
    }

    /// Queues a message for a later turn.
    pub(super) fn push(&mut self, mut batch: Batch) -> Later {
        let later = batch.later();
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
