//! What the store is asked to do of each call.

use std::sync::Arc;

use super::{About, Asked, Exchange, Outgoing};
use crate::actor::Outlet;
use crate::actor::message::{StreamRef, Task};
use crate::error::{Error, ErrorCode};
use crate::model::Request;
use crate::rpc::proto::Call;
use crate::store::StoreError;

impl Exchange {
    /// What the store is asked to do of a call, and what the answer is about.
    pub(super) fn task(&self, id: u64, call: Result<Call, Error>) -> (About, Task) {
        match call {
            Err(error) => (About::Plain, Task::Refused(error)),
            Ok(_) if self.leaving => {
                (About::Plain, Task::Refused(StoreError::Stopping { resume: None }.into()))
            }
            Ok(Call::Store { request: Request::Job(_), .. }) => {
                let message = "a request to the queue takes no idempotency key: give each job of \
                    a push an index instead";
                (About::Plain, Task::Refused(Error::new(ErrorCode::InvalidArgument, message)))
            }
            Ok(Call::Store { options, request: request @ Request::ReadSnapshot { .. } }) => {
                (About::File, Task::Store { options, request })
            }
            Ok(Call::Store { options, request }) => {
                (About::Plain, Task::Store { options, request })
            }
            Ok(Call::Wait(request)) => {
                let outbox = Arc::clone(&self.outbox);
                let answer = move |outcome| outbox.push(Outgoing::Answer(id, outcome));
                (About::Plain, Task::Wait { request, outlet: Outlet::Wait(Box::new(answer)) })
            }
            Ok(Call::StreamOpen { .. }) if self.has_all_streams() => {
                let max = self.service.config().watch.watches_per_connection_max;
                let what = "too many streams of watches on this connection; close some first";
                let refusal = StoreError::limit("watch.watches_per_connection_max", max, what);
                (About::Plain, Task::Refused(refusal.into()))
            }
            Ok(Call::StreamOpen { window_bytes }) => {
                let outbox = Arc::clone(&self.outbox);
                let show = move |stream, batch| outbox.push(Outgoing::Show(id, stream, batch));
                let outlet = Outlet::Stream(Box::new(show));
                let credit = window_bytes as usize;
                (About::Open { window_bytes }, Task::OpenStream { outlet, credit })
            }
            Ok(Call::WatchAdd { stream: id, watch_id, watch: request }) => {
                let task = match self.stream_ref(id) {
                    Some(stream) => Task::Watch { stream, watch_id, request },
                    None => Task::Refused(StoreError::WatchNotFound(id).into()),
                };
                (About::Add { stream: id }, task)
            }
            // Logins are answered before.
            Ok(Call::Login(_)) => (About::Plain, Task::Refused(StoreError::Cancelled.into())),
            Ok(Call::WatchCancel { stream: id, watch_id }) => {
                let task = match self.stream_ref(id) {
                    Some(stream) => Task::CancelWatch { stream, watch_id },
                    None => Task::Refused(StoreError::WatchNotFound(id).into()),
                };
                (About::Cancel { stream: id, watch_id }, task)
            }
        }
    }

    /// Whether there are as many streams as watches may be.
    fn has_all_streams(&self) -> bool {
        let opens = |asked: &&Asked| matches!(asked.about, About::Open { .. });
        let max = self.service.config().watch.watches_per_connection_max;
        let open = self.streams.ids().len();
        open >= max || open + self.asked.iter().filter(opens).count() >= max
    }

    /// The stream with this id, open or opened by the same message.
    fn stream_ref(&self, id: u64) -> Option<StreamRef> {
        if let Some(handle) = self.streams.handle(id) {
            return Some(StreamRef::Open(handle));
        }
        let opens = |asked: &Asked| asked.id == id && matches!(asked.about, About::Open { .. });
        self.asked.iter().position(opens).map(StreamRef::OpenedBy)
    }
}
