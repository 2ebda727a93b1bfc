//! [`Outbox`]: where sessions leave what a connection is to send.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::actor::AnswerSink;
use crate::actor::message::Done;
use crate::error::Error;
use crate::model::{Payload, WaitOutcome};
use crate::watch::{Batch, Handle};

/// What a connection is to send, not yet encoded, so that it costs no more than references.
///
/// Bounded by those who fill it: one answer for each wait and withheld request of the connection,
/// one batch for each of its streams.
#[derive(Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Outgoing>,
    closed: bool,
    /// What is known of users has changed.
    revise: bool,
    waker: Option<Waker>,
}

/// What there is for a connection.
pub(super) enum Mail {
    Items,
    /// The connection is to see what it may do now, whether its peer takes output or not.
    Revise,
    /// The connection is to end now, said or not.
    Closed,
}

pub(crate) enum Outgoing {
    /// The answer to the wait with this request id.
    Answer(u64, Result<WaitOutcome, Error>),
    /// Answers that were withheld until they were durable, each with its request id.
    Withheld(Vec<(u64, Result<Done, Error>)>),
    /// What the call of a method with this request id and serial number came to.
    Returned(u64, u64, Result<Payload, Error>),
    /// What the stream with this request id is shown. The handle tells it from an earlier stream
    /// with the same id.
    Show(u64, Handle, Batch),
    /// Take no new requests; end when those in flight have.
    Goodbye,
    /// No job is handed out any more, to anybody.
    Drained,
}

impl AnswerSink for Outbox {
    fn take(&self, answers: Vec<(u64, Result<Done, Error>)>) {
        self.push(Outgoing::Withheld(answers));
    }
}

impl Outbox {
    pub(crate) fn push(&self, item: Outgoing) {
        self.change(|queue| queue.items.push_back(item));
    }

    /// Ends the connection, even one whose peer takes no output.
    pub(super) fn close(&self) {
        self.change(|queue| queue.closed = true);
    }

    /// Has the connection see what it may do now.
    pub(super) fn revise(&self) {
        self.change(|queue| queue.revise = true);
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let waker = {
            let mut queue = self.queue.lock();
            change(&mut queue);
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Everything there is.
    pub(super) fn take(&self) -> VecDeque<Outgoing> {
        std::mem::take(&mut self.queue.lock().items)
    }

    /// Ready when it is closed or to be revised, or there is something and `room` for it.
    pub(super) fn poll(&self, room: bool, cx: &mut Context<'_>) -> Poll<Mail> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Poll::Ready(Mail::Closed);
        }
        if std::mem::take(&mut queue.revise) {
            return Poll::Ready(Mail::Revise);
        }
        if room && !queue.items.is_empty() {
            return Poll::Ready(Mail::Items);
        }
        if !queue.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            queue.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}
