//! Routes each call to the store, the queue, a method or the connection itself.

use std::sync::Arc;
use std::time::Instant;

use super::{Outgoing, PendingRequest, Purpose, RequestDispatcher};
use crate::actor::Outlet;
use crate::actor::message::{Done, JobTask, StreamRef, Task};
use crate::config::Durability;
use crate::error::Error;
use crate::front::authorization::not_logged_in;
use crate::model::{CallReply, FilesRequest, Reply, Request, RpcCall, StoreRequest};
use crate::store::StoreError;

impl RequestDispatcher {
    /// Takes a call. Returns its purpose and the task for the store; `None` if the queue, a method or
    /// the connection itself answers.
    pub(super) fn task(
        &mut self,
        id: u64,
        deadline: Option<Instant>,
        call: Result<RpcCall, Error>,
    ) -> Option<(Purpose, Task)> {
        let refuse = |error: Error| Some((Purpose::Plain, Task::refused(error)));
        Some(match call {
            Err(error) => return refuse(error),
            Ok(RpcCall::Store { options, request: Request::Store(request) }) if !self.leaving => {
                let about = match &request {
                    StoreRequest::Files(FilesRequest::ReadSnapshot { .. }) => Purpose::File,
                    StoreRequest::Kv(_) | StoreRequest::Hub(_) => Purpose::Plain,
                    StoreRequest::Files(FilesRequest::Snapshot) => Purpose::Plain,
                };
                (about, Task::store(options, request))
            }
            Ok(RpcCall::Store { options, request }) => {
                return match self.ask_elsewhere(id, deadline, options.durability, request) {
                    Ok(()) => None,
                    Err(error) => refuse(error),
                };
            }
            Ok(_) if self.leaving => return refuse(StoreError::Stopping { resume: None }.into()),
            Ok(RpcCall::Wait(request)) => {
                let outbox = Arc::clone(&self.outbox);
                let answer = move |outcome| outbox.push(Outgoing::Answer(id, outcome));
                (
                    Purpose::Plain,
                    Task::Wait {
                        request: Box::new(request),
                        outlet: Outlet::Wait(Box::new(answer)),
                    },
                )
            }
            Ok(RpcCall::StreamOpen { .. }) if self.has_all_streams() => {
                let max = self.wakeful.config().watch.watches_per_connection_max;
                let what = "too many streams of watches on this connection; close some first";
                let refusal = StoreError::limit("watch.watches_per_connection_max", max, what);
                (Purpose::Plain, Task::refused(refusal))
            }
            Ok(RpcCall::StreamOpen { window_bytes }) => {
                let outbox = Arc::clone(&self.outbox);
                let show = move |stream, batch| outbox.push(Outgoing::Show(id, stream, batch));
                let outlet = Outlet::Stream(Box::new(show));
                let credit = window_bytes as usize;
                (Purpose::Open { window_bytes }, Task::OpenStream { outlet, credit })
            }
            Ok(RpcCall::WatchAdd { stream: id, watch_id, watch: request }) => {
                let task = match self.stream_ref(id) {
                    Some(stream) => Task::Watch { stream, watch_id, request: Box::new(request) },
                    None => Task::refused(StoreError::WatchNotFound(id)),
                };
                (Purpose::Add { stream: id }, task)
            }
            // The connection handles logins before.
            Ok(RpcCall::Login(_)) => return refuse(not_logged_in()),
            Ok(RpcCall::WatchCancel { stream: id, watch_id }) => {
                let task = match self.stream_ref(id) {
                    Some(stream) => Task::CancelWatch { stream, watch_id },
                    None => Task::refused(StoreError::WatchNotFound(id)),
                };
                (Purpose::Cancel { stream: id, watch_id }, task)
            }
        })
    }

    /// Takes a request that the store does not answer.
    fn ask_elsewhere(
        &mut self,
        id: u64,
        deadline: Option<Instant>,
        durability: Option<Durability>,
        request: Request,
    ) -> Result<(), Error> {
        match request {
            // Held jobs may still be settled.
            Request::Job(request) if !self.leaving || request.concludes() => {
                self.jobs.ask(JobTask { id, deadline, durability, request });
            }
            Request::Node(request) => {
                let reply = match self.wakeful.answer(&request) {
                    // Only the services that the caller may call.
                    Reply::Services(services) => {
                        Reply::Services(self.authorization.callable(services))
                    }
                    reply => reply,
                };
                let reply = CallReply::new(reply);
                self.answers.push_back((id, Ok(Done::Reply(reply))));
            }
            Request::Invoke(invocation) if !self.leaving => {
                self.calls.ask(id, deadline, invocation);
            }
            Request::Store(_) | Request::Job(_) | Request::Invoke(_) => {
                return Err(StoreError::Stopping { resume: None }.into());
            }
        }
        Ok(())
    }

    /// Returns true if the number of streams has reached the limit of watches.
    fn has_all_streams(&self) -> bool {
        let opens = |pending: &&PendingRequest| matches!(pending.about, Purpose::Open { .. });
        let max = self.wakeful.config().watch.watches_per_connection_max;
        let open = self.streams.ids().len();
        open >= max || open + self.pending.iter().filter(opens).count() >= max
    }

    /// Returns the stream with this id, open or opened by the same message.
    fn stream_ref(&self, id: u64) -> Option<StreamRef> {
        if let Some(handle) = self.streams.handle(id) {
            return Some(StreamRef::Open(handle));
        }
        let opens = |pending: &PendingRequest| {
            pending.id == id && matches!(pending.about, Purpose::Open { .. })
        };
        self.pending.iter().position(opens).map(StreamRef::OpenedBy)
    }
}
