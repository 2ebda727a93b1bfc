//! [`Outbox`]: where sessions leave what a connection is to send.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::error::Error;
use crate::model::WaitOutcome;
use crate::watch::Batch;

/// What a connection is to send, not yet encoded, so that it costs no more than references.
///
/// Bounded by those who fill it: one answer for each wait of the connection, one batch for each
/// of its streams.
#[derive(Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Outgoing>,
    waker: Option<Waker>,
}

pub(crate) enum Outgoing {
    /// The answer to the wait with this request id.
    Answer(u64, Result<WaitOutcome, Error>),
    /// What the stream with this request id is shown.
    Show(u64, Batch),
    /// Take no new requests; end when those in flight have.
    Goodbye,
    /// End now.
    Close,
}

impl Outbox {
    pub(crate) fn push(&self, item: Outgoing) {
        let waker = {
            let mut queue = self.queue.lock();
            queue.items.push_back(item);
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

    /// Ready when there is something.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.queue.lock();
        if !queue.items.is_empty() {
            return Poll::Ready(());
        }
        if !queue.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            queue.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}
