//! Workers on a queue in memory that tests can observe and disturb.

mod conformance;
mod failures;
mod stopping;
mod stuck;
mod taken;
mod tapped;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use self::tapped::Tapped;
use super::{Bounds, HandlerOptions, JobContext, JobError, JobHandler, Topic, Worker, start};
use crate::test_timeout::{TEST_TIMEOUT, until, within};

/// A time that does not pass during a test.
const LONG: Duration = Duration::from_secs(600);

type Handled = BoxFuture<'static, Result<String, JobError>>;

/// A handler of texts, made of a function.
struct Does<F>(F);

impl<F: Fn(String, JobContext) -> Handled + Send + Sync + 'static> JobHandler for Does<F> {
    type Job = String;
    type Output = String;

    async fn handle(&self, job: String, cx: &JobContext) -> Result<String, JobError> {
        (self.0)(job, cx.clone()).await
    }
}

fn does<F, Fut>(handle: F) -> Does<impl Fn(String, JobContext) -> Handled + Send + Sync + 'static>
where
    F: Fn(String, JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<String, JobError>> + Send + 'static,
{
    Does(move |job, cx| handle(job, cx).boxed())
}

/// Returns a handler that never ends by itself.
fn hangs() -> impl JobHandler<Job = String, Output = String> {
    does(async |_, _| std::future::pending().await)
}

fn topic() -> Topic<String, String> {
    Topic::new("tests")
}

/// Returns short times for quick tests; no timeout, so that a slow machine fails none.
fn options() -> HandlerOptions {
    HandlerOptions {
        concurrency: 4,
        attempt_timeout: LONG,
        visibility: LONG,
        stuck_after: Duration::from_millis(20),
        wait: TEST_TIMEOUT,
        ..HandlerOptions::default()
    }
}

fn queue() -> Arc<Tapped> {
    let backoff = Duration::ZERO;
    Arc::new(Tapped::new(Bounds { backoff, retry_max: 0, ..Bounds::default() }))
}

fn work(
    queue: &Arc<Tapped>,
    handler: impl JobHandler<Job = String, Output = String>,
    options: HandlerOptions,
) -> Worker {
    start(Arc::clone(queue), topic(), handler, options).unwrap()
}
