//! [`Backlog`]: messages of connections that a turn of the store was too short for.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use std::vec;

use actix::dev::{MessageResponse, OneshotSender};

use super::answer_bytes::answer_bytes;
use super::awaiting_durability::Barrier;
use super::message::{Done, Requests, StreamRef, Task, TaskAnswer, TaskAnswers, TaskRequest};
use super::store::StoreActor;
use super::{AnswerSink, ReplyBuffer, awaiting_durability};
use crate::auth::Access;
use crate::config::Durability;
use crate::error::Error;
use crate::model::KeyBuffer;
use crate::watch::WatchOwner;

type Sender = Rc<Cell<Option<OneshotSender<TaskAnswers>>>>;

/// The weight of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestWeight {
    /// Light requests only.
    Light,
    /// Includes requests that may take long.
    Heavy,
}

impl RequestWeight {
    fn of(works: &[TaskRequest]) -> Self {
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

/// The result of a piece of work.
pub(super) enum Worked {
    /// The answer, and the bytes that it keeps.
    Done(TaskAnswer, usize),
    /// A large write that has only begun.
    Begun(BegunWrite),
}

/// A message of a connection, and its progress.
pub(super) struct RequestBatch {
    pub(super) owner: Arc<WatchOwner>,
    pub(super) works: vec::IntoIter<TaskRequest>,
    pub(super) keys: KeyBuffer,
    pub(super) sink: Arc<dyn AnswerSink>,
    pub(super) restriction: Option<Arc<Access>>,
    pub(super) answers: Vec<TaskAnswer>,
    /// The last request, if it is a large write in progress.
    pub(super) begun: Option<BegunWrite>,
    pub(super) withheld: awaiting_durability::WithheldAnswers,
    pub(super) replies: Option<ReplyBuffer>,
    /// Bytes that the answers keep, and their limit.
    kept: usize,
    kept_max: usize,
    kind: RequestWeight,
    /// The recipient of the answers, once the message had to wait.
    sender: Option<Sender>,
}

/// The answers to a message: now, or in a later turn.
pub(crate) enum BatchResponse {
    Now(TaskAnswers),
    Later(DeferredReply),
}

/// Sends the answers to a message that waits.
pub(crate) struct DeferredReply(Sender);

impl MessageResponse<StoreActor, Requests> for BatchResponse {
    fn handle(
        self,
        _: &mut <StoreActor as actix::Actor>::Context,
        sender: Option<OneshotSender<TaskAnswers>>,
    ) {
        match self {
            // The caller may have stopped waiting.
            Self::Now(answers) => drop(sender.map(|sender| sender.send(answers))),
            Self::Later(DeferredReply(later)) => later.set(sender),
        }
    }
}

impl RequestBatch {
    pub(super) fn new(requests: Requests) -> Self {
        let Requests { owner, works, keys, sink, restriction, replies } = requests;
        Self {
            kept: 0,
            kept_max: owner.buffered.allowance().bytes,
            owner,
            kind: RequestWeight::of(&works),
            answers: Vec::with_capacity(works.len()),
            works: works.into_iter(),
            keys,
            begun: None,
            sink,
            restriction,
            replies,
            withheld: awaiting_durability::WithheldAnswers::default(),
            sender: None,
        }
    }

    /// Adds the answer to the next piece of work, or reserves its place.
    pub(super) fn note(&mut self, worked: Worked) {
        match worked {
            Worked::Done(answer, bytes) => {
                self.answers.push(answer);
                self.kept += bytes;
            }
            Worked::Begun(begun) => {
                self.answers.push(TaskAnswer::Withheld);
                self.begun = Some(begun);
            }
        }
    }

    /// Adds the answer to the last request, a large write, in its reserved place.
    pub(super) fn note_begun(
        &mut self,
        BegunWrite { id, deadline, .. }: BegunWrite,
        until: Option<Barrier>,
        answer: Result<Done, Error>,
    ) {
        let bytes = answer_bytes(&answer);
        self.kept += bytes;
        if let Some(until) = until {
            self.withheld.push(until, id, deadline, answer);
            return;
        }
        let answer = appended(&mut self.replies, id, answer, bytes);
        if let Some(place) = self.answers.last_mut() {
            *place = answer;
        }
    }

    /// Returns whether the answers have reached their limit.
    pub(super) fn is_full(&self) -> bool {
        self.kept > 0 && self.kept >= self.kept_max
    }

    /// Takes the remaining work, for another message.
    pub(super) fn take_rest(&mut self) -> Vec<TaskRequest> {
        if self.works.len() == 0 {
            return Vec::new();
        }
        let mut rest: Vec<TaskRequest> = std::mem::take(&mut self.works).collect();
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
            Some(TaskAnswer::Now(Ok(Done::StreamOpened(handle)))) => StreamRef::Open(*handle),
            // It was not opened, and the remaining work does not open it.
            Some(_) => StreamRef::OpenedBy(usize::MAX),
            None => StreamRef::OpenedBy(index - self.answers.len()),
        }
    }

    /// Returns where the answers are sent from now on.
    pub(super) fn later(&mut self) -> DeferredReply {
        DeferredReply(Rc::clone(self.sender.get_or_insert_default()))
    }

    /// Takes the sender of the answers of a message that had to wait.
    pub(super) fn take_sender(&mut self) -> Option<OneshotSender<TaskAnswers>> {
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

/// Appends an answer that keeps `bytes` to the output of the connection, or returns it as a value.
#[inline]
pub(super) fn appended(
    replies: &mut Option<ReplyBuffer>,
    id: u64,
    answer: Result<Done, Error>,
    bytes: usize,
) -> TaskAnswer {
    if replies.as_mut().is_some_and(|replies| replies.append(id, &answer, bytes)) {
        return TaskAnswer::Appended;
    }
    TaskAnswer::Now(answer)
}

/// Messages that wait for a turn of the store.
///
/// Light messages go before heavy ones, and messages of the same kind take turns. Bounded, because a
/// connection sends one message at a time and waits for its answers.
#[derive(Default)]
pub(super) struct Backlog {
    light: VecDeque<RequestBatch>,
    heavy: VecDeque<RequestBatch>,
    /// Messages whose next request waits for the end of a large write, or until all watchers are
    /// notified of it.
    held: VecDeque<RequestBatch>,
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
    pub(super) fn push_front(&mut self, batch: RequestBatch) {
        self.queue(batch.kind).push_front(batch);
    }

    /// Holds a message until the end of a large write and until all watchers are notified of it.
    pub(super) fn hold(&mut self, mut batch: RequestBatch) -> DeferredReply {
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
    pub(super) fn may_pass(&self, batch: &RequestBatch) -> bool {
        self.light.is_empty() && (batch.kind == RequestWeight::Light || self.heavy.is_empty())
    }

    /// Queues a message for a later turn.
    pub(super) fn push(&mut self, mut batch: RequestBatch) -> DeferredReply {
        let later = batch.later();
        self.queue(batch.kind).push_back(batch);
        later
    }

    /// Takes the message of a kind that has waited longest.
    pub(super) fn next(&mut self, kind: RequestWeight) -> Option<RequestBatch> {
        let queue = self.queue(kind);
        while let Some(batch) = queue.pop_front() {
            if !batch.is_abandoned() {
                return Some(batch);
            }
        }
        None
    }

    fn queue(&mut self, kind: RequestWeight) -> &mut VecDeque<RequestBatch> {
        match kind {
            RequestWeight::Light => &mut self.light,
            RequestWeight::Heavy => &mut self.heavy,
        }
    }
}
