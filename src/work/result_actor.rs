//! [`ResultActor`]: records results, a batch at a time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use actix::{Actor, ActorContext, Context, Handler, Message, ResponseFuture};
use futures_util::FutureExt;

use super::StoredResult;
use super::attempt::panic_message;
use super::storage::ResultStore;
use crate::config::work::STORAGE_TIMEOUT;
use crate::error::{Error, ErrorCode};

/// Stores the results of a worker on a thread of its own, so that the storage may block it.
pub(super) struct ResultActor {
    storage: Arc<dyn ResultStore>,
}

/// Results to store; one answer per result.
#[derive(Message)]
#[rtype(result = "Vec<Option<Error>>")]
pub(super) struct StoreResults(pub(super) Vec<StoredResult>);

/// Ends the actor.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct EndResultActor;

impl ResultActor {
    pub(super) fn new(storage: Arc<dyn ResultStore>) -> Self {
        Self { storage }
    }
}

impl Actor for ResultActor {
    type Context = Context<Self>;
}

impl Handler<StoreResults> for ResultActor {
    type Result = ResponseFuture<Vec<Option<Error>>>;

    fn handle(
        &mut self,
        StoreResults(results): StoreResults,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let storage = Arc::clone(&self.storage);
        Box::pin(async move {
            let count = results.len();
            let kept = AssertUnwindSafe(async { storage.keep(results).await }).catch_unwind();
            let error = match tokio::time::timeout(STORAGE_TIMEOUT, kept).await {
                Ok(Ok(Ok(answers))) if answers.len() == count => return answers,
                Ok(Ok(Ok(_))) => internal("the storage did not answer for each result"),
                Ok(Ok(Err(error))) => error,
                Ok(Err(panic)) => {
                    internal(&format!("the storage panicked: {}", panic_message(&*panic)))
                }
                Err(_) => internal("the storage took too long"),
            };
            vec![Some(error); count]
        })
    }
}

impl Handler<EndResultActor> for ResultActor {
    type Result = ();

    fn handle(&mut self, _: EndResultActor, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

fn internal(message: &str) -> Error {
    Error::new(ErrorCode::Internal, message)
}
