//! [`Outbox`]: the queue of a connection for answers and pushes of other tasks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::actor::message::Done;
use crate::actor::{AnswerSink, admit_later, outcome_bytes, refusal};
use crate::buffered::{Buffered, BufferedBytes, Charge};
use crate::error::Error;
use crate::model::{Payload, WaitOutcome};
use crate::watch::{EventBatch, WatcherHandle};

/// Answers and pushes for a connection, not yet encoded, so that they cost no more than references.
///
/// Bounded by its senders: one answer for each wait and withheld request of the connection, one batch
/// for each of its streams.
pub(crate) struct Outbox {
    queue: Mutex<OutboxQueue>,
    /// Counts the bytes kept for the connection, here and elsewhere.
    pub(super) buffered: Arc<BufferedBytes>,
}

#[derive(Default)]
struct OutboxQueue {
    items: VecDeque<Outgoing>,
    /// Bytes kept by the items.
    kept: usize,
    charge: Option<Charge>,
    closed: bool,
    /// The user file changed.
    revise: bool,
    waker: Option<Waker>,
}

/// The reason why an outbox wakes its connection.
pub(super) enum OutboxEvent {
    Items,
    /// The user file changed: the connection must check its permissions, even if its peer takes no
    /// output.
    Revise,
    /// The connection must end now, even if its peer takes no output.
    Closed,
}

pub(crate) enum Outgoing {
    /// The answer to the wait with this request id.
    Answer(u64, Result<WaitOutcome, Error>),
    /// Answers that were withheld until they were durable, each with its request id.
    Withheld(Vec<(u64, Result<Done, Error>)>),
    /// The result of the method call with this request id and serial number.
    Returned(u64, u64, Result<Payload, Error>),
    /// A batch of the stream with this request id. The handle distinguishes it from an earlier stream
    /// with the same id.
    Show(u64, WatcherHandle, Buffered<EventBatch>),
    /// The connection takes no new requests, and ends after those in flight.
    Goodbye,
    /// The queue hands out no more jobs, because the node stops.
    Drained,
}

impl Outgoing {
    /// Replaces a result that is too large to be kept by a refusal, if it may be refused; returns the
    /// bytes kept.
    fn admit(&mut self, buffered: &BufferedBytes) -> usize {
        match self {
            Self::Answer(_, outcome) => {
                let bytes = outcome.as_ref().map_or(0, outcome_bytes);
                if buffered.allowance().refuses(bytes) {
                    let what = "the event that was waited for is not kept: the server keeps as many \
                                answers as it may for clients that do not take them; wait again";
                    *outcome = Err(refusal(buffered, what));
                    return 0;
                }
                bytes
            }
            Self::Withheld(answers) => {
                answers.iter_mut().map(|(_, it)| admit_later(buffered, it)).sum()
            }
            Self::Returned(_, _, result) => {
                let bytes = result.as_ref().map_or(0, |output| output.bytes().len());
                if buffered.allowance().refuses(bytes) {
                    let what = "the method has run, but its result is not kept: the server keeps as \
                                many answers as it may for clients that do not take them";
                    *result = Err(refusal(buffered, what));
                    return 0;
                }
                bytes
            }
            // A batch has its own charge.
            Self::Show(..) | Self::Goodbye | Self::Drained => 0,
        }
    }
}

impl AnswerSink for Outbox {
    fn take(&self, answers: Vec<(u64, Result<Done, Error>)>) {
        self.push(Outgoing::Withheld(answers));
    }

    fn buffered(&self) -> Option<&Arc<BufferedBytes>> {
        Some(&self.buffered)
    }
}

impl Outbox {
    pub(crate) fn new(buffered: BufferedBytes) -> Self {
        Self { queue: Mutex::default(), buffered: Arc::new(buffered) }
    }

    pub(crate) fn push(&self, mut item: Outgoing) {
        let bytes = item.admit(&self.buffered);
        self.change(|queue| {
            queue.items.push_back(item);
            if bytes > 0 {
                queue.kept += bytes;
                let charge = || Charge::new(&self.buffered, 0);
                queue.charge.get_or_insert_with(charge).set(queue.kept);
            }
        });
    }

    /// Ends the connection, even one whose peer takes no output.
    pub(super) fn close(&self) {
        self.change(|queue| queue.closed = true);
    }

    /// Makes the connection check its permissions.
    pub(super) fn revise(&self) {
        self.change(|queue| queue.revise = true);
    }

    fn change(&self, change: impl FnOnce(&mut OutboxQueue)) {
        let waker = {
            let mut queue = self.queue.lock();
            change(&mut queue);
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes all items.
    pub(super) fn take(&self) -> VecDeque<Outgoing> {
        let mut queue = self.queue.lock();
        // From here on, the connection counts their bytes.
        (queue.kept, queue.charge) = (0, None);
        std::mem::take(&mut queue.items)
    }

    /// Ready when the outbox is closed, the user file changed, or there are items and `room` for them.
    pub(super) fn poll(&self, room: bool, cx: &mut Context<'_>) -> Poll<OutboxEvent> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Poll::Ready(OutboxEvent::Closed);
        }
        if std::mem::take(&mut queue.revise) {
            return Poll::Ready(OutboxEvent::Revise);
        }
        if room && !queue.items.is_empty() {
            return Poll::Ready(OutboxEvent::Items);
        }
        if !queue.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            queue.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}
