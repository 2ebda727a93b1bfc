//! [`Attempt`]: one run of a handler, as a future that survives it.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;

use super::lane::Lane;
use super::{Cancelled, JobContext, JobHandler, Schema, Topic};
use crate::model::Verdict;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its handler said so.
    Verdict(Verdict),
    /// By a panic, which said this.
    Panicked(String),
    /// Its handler was not waited for.
    GivenUp(Cancelled),
}

/// One run of a handler. Never panics, and ends soon after it is given up.
pub(super) struct Attempt {
    /// `None` once it has ended.
    running: Option<BoxFuture<'static, Verdict>>,
    context: JobContext,
    lane: Arc<Lane>,
}

impl Attempt {
    pub(super) fn new<H: JobHandler, S: Schema<H::Job> + Schema<H::Output>>(
        handler: &Arc<H>,
        topic: &Topic<H::Job, H::Output, S>,
        context: JobContext,
        lane: &Arc<Lane>,
    ) -> Self {
        let (handler, topic, cx) = (Arc::clone(handler), topic.clone(), context.clone());
        let running = Box::pin(async move {
            let job = match topic.decode_job(cx.payload()) {
                Ok(job) => job,
                Err(error) => {
                    let error = format!("the payload does not decode: {error}");
                    return Verdict::Fail { error };
                }
            };
            match handler.handle(job, &cx).await {
                Ok(output) => match topic.encode_output(&output) {
                    Ok(output) => Verdict::Done { output },
                    Err(error) => {
                        let error = format!("the result does not encode: {error}");
                        Verdict::Retry { after: None, error }
                    }
                },
                Err(error) => error.into_verdict(),
            }
        });
        Self { running: Some(running), context, lane: Arc::clone(lane) }
    }

    pub(super) fn context(&self) -> &JobContext {
        &self.context
    }

    fn end(&mut self) {
        let running = self.running.take();
        // What a handler leaves behind may panic when it is dropped.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(running))) {
            let said = said(&*panic);
            tracing::warn!(job = self.context.id(), said, "a handler panicked when it was dropped");
        }
    }
}

impl Future for Attempt {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let given_up = self.context.poll_given_up(cx.waker());
        let this = &mut *self;
        let Some(running) = this.running.as_mut() else { return Poll::Pending };
        this.lane.enter(&this.context);
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx)));
        let ended = match polled {
            Ok(Poll::Pending) if !given_up => None,
            Ok(Poll::Pending) => {
                let why = self.context.is_cancelled().unwrap_or(Cancelled::Stopping);
                Some(Ended::GivenUp(why))
            }
            Ok(Poll::Ready(verdict)) => Some(Ended::Verdict(verdict)),
            Err(panic) => Some(Ended::Panicked(said(&*panic).to_owned())),
        };
        if ended.is_some() {
            self.end();
        }
        self.lane.leave();
        ended.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a panic said.
pub(crate) fn said(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("something that is no text")
}
