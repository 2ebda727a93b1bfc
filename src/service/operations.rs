//! The operations on a service in its own process.

use tokio::sync::oneshot;

use super::{Wakeful, closed, gone, no_idempotency};
use crate::actor::Outlet;
use crate::actor::message::{Execute, LocalWait, WaitFor, WatchFor};
use crate::config::{Config, RpcConfig};
use crate::error::Error;
use crate::local_watch::LocalWatch;
use crate::model::{
    CallOptions, CallReply, GaugeInfo, LimitInfo, Reply, Request, WaitOutcome, WaitRequest,
    WatchRequest,
};
use crate::operations::Operations;
use crate::stranger_lines::lines_left_out;

impl Wakeful {
    /// Returns the limits by which requests are refused, with their present values.
    pub(crate) fn limits(&self) -> Vec<LimitInfo> {
        let rpc = RpcConfig::clone(&self.rpc());
        Config { rpc, ..self.config().clone() }.limits()
    }

    /// Returns the bytes held for connections, and the number of dropped log lines.
    pub(crate) fn gauges(&self) -> Vec<GaugeInfo> {
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
    type Watch = LocalWatch;

    async fn call_with(&self, request: Request, options: CallOptions) -> Result<CallReply, Error> {
        let CallOptions { idempotency, durability } = options;
        if let Request::Job(request) = request {
            if idempotency.is_some() {
                return Err(no_idempotency());
            }
            let owner = self.owner.as_ref().map_or(0, |owner| owner.id);
            return self.ask_queue(owner, request, durability).await;
        }
        let request = match request {
            Request::Invoke(invocation) if idempotency.is_none() => {
                let reply = Reply::Invoke(self.invoke_here(invocation).await?);
                return Ok(CallReply { reply, durability: None });
            }
            Request::Services => {
                let reply = Reply::Services(self.inner.methods.services());
                return Ok(CallReply { reply, durability: None });
            }
            Request::Gauges => {
                let reply = Reply::Gauges(self.gauges());
                return Ok(CallReply { reply, durability: None });
            }
            Request::Limits => {
                let reply = Reply::Limits(self.limits());
                return Ok(CallReply { reply, durability: None });
            }
            request => request,
        };
        let execute = Execute { request, idempotency, durability, deadline: None };
        self.inner.store.send(execute).await.map_err(closed)?
    }

    async fn wait(&self, request: WaitRequest) -> Result<WaitOutcome, Error> {
        let (answer, answered) = oneshot::channel();
        let outlet = Outlet::Wait(Box::new(move |outcome| {
            // The receiver may be gone.
            let _ = answer.send(outcome);
        }));
        let message = WaitFor { service: self.clone(), request, outlet };
        match self.inner.store.send(message).await.map_err(closed)?? {
            LocalWait::Answered(outcome) => Ok(outcome),
            // Held until the answer: dropping it cancels the wait.
            LocalWait::Parked(_parked) => answered.await.map_err(|_| gone())?,
        }
    }

    async fn watch(&self, request: WatchRequest) -> Result<LocalWatch, Error> {
        let (batches, received) = tokio::sync::mpsc::unbounded_channel();
        // bound: one batch until the consumer is ready for the next
        let outlet = Outlet::Stream(Box::new(move |_, batch| {
            let _ = batches.send(batch);
        }));
        let message = WatchFor { service: self.clone(), request, outlet };
        let stream = self.inner.store.send(message).await.map_err(closed)??;
        Ok(LocalWatch::new(stream, received))
    }
}
