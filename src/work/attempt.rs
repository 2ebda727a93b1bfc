//! [`Attempt`]: one run of a handler, as a future that survives panics.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;

use super::handler_thread::HandlerThread;
use super::{Cancelled, JobContext, JobHandler, Schema, Topic};
use crate::model::Verdict;

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AttemptEnd {
    /// The handler returned this verdict.
    Verdict(Verdict),
    /// The handler panicked with this message.
    Panicked(String),
    /// The handler was abandoned.
    GivenUp(Cancelled),
}

/// One run of a handler. Never panics, and ends soon after it is given up.
pub(super) struct Attempt {
    /// `None` once it has ended.
    running: Option<BoxFuture<'static, Verdict>>,
    context: JobContext,
    thread: Arc<HandlerThread>,
}

impl Attempt {
    pub(super) fn new<H: JobHandler, S: Schema<H::Job> + Schema<H::Output>>(
        handler: &Arc<H>,
        topic: &Topic<H::Job, H::Output, S>,
        context: JobContext,
        thread: &Arc<HandlerThread>,
    ) -> Self {
        let (handler, topic, cx) = (Arc::clone(handler), topic.clone(), context.clone());
        let running = Box::pin(async move {
            let job = match topic.decode_job(cx.payload()) {
                Ok(job) => job,
                Err(error) => {
                    let error = format!("cannot decode the payload: {error}");
                    return Verdict::Fail { error };
                }
            };
            match handler.handle(job, &cx).await {
                Ok(output) => match topic.encode_output(&output) {
                    Ok(output) => Verdict::Done { output },
                    Err(error) => {
                        let error = format!("cannot encode the result: {error}");
                        Verdict::Retry { after: None, error }
                    }
                },
                Err(error) => error.into_verdict(),
            }
        });
        Self { running: Some(running), context, thread: Arc::clone(thread) }
    }

    pub(super) fn context(&self) -> &JobContext {
        &self.context
    }

    fn end(&mut self) {
        let running = self.running.take();
        // Values that a handler leaves behind may panic when dropped.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(running))) {
            let said = panic_message(&*panic);
            tracing::warn!(job = self.context.id(), said, "a handler panicked when it was dropped");
        }
    }
}

impl Future for Attempt {
    type Output = AttemptEnd;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<AttemptEnd> {
        let given_up = self.context.poll_given_up(cx.waker());
        let this = &mut *self;
        let Some(running) = this.running.as_mut() else { return Poll::Pending };
        this.thread.enter(&this.context);
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx)));
        let ended = match polled {
            Ok(Poll::Pending) if !given_up => None,
            Ok(Poll::Pending) => {
                let why = self.context.is_cancelled().unwrap_or(Cancelled::Stopping);
                Some(AttemptEnd::GivenUp(why))
            }
            Ok(Poll::Ready(verdict)) => Some(AttemptEnd::Verdict(verdict)),
            Err(panic) => Some(AttemptEnd::Panicked(panic_message(&*panic).to_owned())),
        };
        if ended.is_some() {
            self.end();
        }
        self.thread.leave();
        ended.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns the message of a panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not text")
}
