//! The operations on a node in its own process.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Wakeful, closed, gone};
use crate::actor::Outlet;
use crate::actor::message::{Execute, LocalWait, WaitFor, WatchFor};
use crate::config::{Config, RpcConfig};
use crate::error::Error;
use crate::local_watch::Watch;
use crate::model::{
    CallOptions, CallReply, GaugeInfo, LimitInfo, NodeRequest, Reply, Request, WaitOutcome,
    WaitRequest, WatchRequest,
};
use crate::operations::Operations;
use crate::stranger_lines::lines_left_out;

impl Wakeful {
    /// Answers a request about the server itself.
    pub(crate) fn answer(&self, request: &NodeRequest) -> Reply {
        match request {
            NodeRequest::Services => Reply::Services(self.inner.methods.services()),
            NodeRequest::Limits => Reply::Limits(self.limits()),
            NodeRequest::Gauges => Reply::Gauges(self.gauges()),
        }
    }

    /// Returns the limits by which requests are refused, with their current values.
    fn limits(&self) -> Vec<LimitInfo> {
        let rpc = RpcConfig::clone(&self.rpc());
        Config { rpc, ..self.config().clone() }.limits()
    }

    /// Returns the bytes held for connections, and the number of dropped log lines.
    fn gauges(&self) -> Vec<GaugeInfo> {
        let gauge = |name: &str, value| GaugeInfo { name: name.to_owned(), value };
        let dropped = self.inner.lines_dropped.get();
        let dropped = dropped.map(|lines| gauge("log.lines_dropped", lines()));
        let kept = gauge("rpc.total_output_bytes", self.buffered().bytes() as u64);
        let left_out = gauge("log.stranger_lines_left_out", lines_left_out());
        [kept, left_out].into_iter().chain(dropped).collect()
    }

    /// Sets the counter of dropped log lines that the gauges report, once.
    #[cfg(feature = "cli")]
    pub(crate) fn report_lines_dropped(&self, count: fn() -> u64) {
        let _ = self.inner.lines_dropped.set(count);
    }
}

impl Operations for Wakeful {
    type Watch = Watch;

    async fn call_with(&self, request: Request, options: CallOptions) -> Result<CallReply, Error> {
        options.check(&request.facts())?;
        let CallOptions { idempotency, durability } = options;
        let reply = match request {
            Request::Store(request) => {
                let execute = Execute { request, idempotency, durability, deadline: None };
                return self.inner.store.send(execute).await.map_err(closed)?;
            }
            Request::Job(request) => {
                let owner = self.owner.as_ref().map_or(0, |owner| owner.id);
                return self.ask_queue(owner, request, durability).await;
            }
            Request::Invoke(invocation) => Reply::Invoke(self.invoke_here(invocation).await?),
            Request::Node(request) => self.answer(&request),
        };
        Ok(CallReply::new(reply))
    }

    async fn wait(&self, request: WaitRequest) -> Result<WaitOutcome, Error> {
        let (answer, answered) = oneshot::channel();
        let outlet = Outlet::Wait(Box::new(move |outcome| {
            // The receiver may be gone.
            let _ = answer.send(outcome);
        }));
        let message = WaitFor { request, outlet };
        match self.inner.store.send(message).await.map_err(closed)?? {
            LocalWait::Answered(outcome) => Ok(outcome),
            // Held until the answer: dropping it cancels the wait.
            LocalWait::Parked(_parked) => answered.await.map_err(|_| gone())?,
        }
    }

    async fn watch(&self, request: WatchRequest) -> Result<Watch, Error> {
        let (batches, received) = tokio::sync::mpsc::unbounded_channel();
        // bound: one batch until the consumer is ready for the next
        let outlet = Outlet::Stream(Box::new(move |_, batch| {
            let _ = batches.send(batch);
        }));
        let message = WatchFor { request, outlet };
        let stream = self.inner.store.send(message).await.map_err(closed)??;
        Ok(Watch::new(stream, received, Arc::clone(&self.inner) as _))
    }
}
