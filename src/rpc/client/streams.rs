//! The streams of a [`ClientSession`]: its requests and answers that belong to watches.

use std::task::{Poll, Waker};
use std::time::Instant;

use tokio::sync::oneshot;

use super::connection_state::ConnectionState;
use super::inbound::{CallOutcome, Push, ServerAnswer, protocol};
use super::pending::ReplyTarget;
use super::reason::closed;
use super::session::ClientSession;
use super::stream::{ClientStream, StreamItem, WatchNeed};
use crate::error::Error;
use crate::model::{CallReply, Reply, RpcCall, WatchRequest};
use crate::rpc::codec;
use crate::rpc::frame::Kind;
use crate::rpc::proto::WireCredit;

impl ClientSession {
    /// Makes a stream; returns its id. The server learns of it with the first watch.
    pub(super) fn make_stream(&mut self) -> u64 {
        let id = self.new_id();
        let config = &self.config;
        let mut stream = ClientStream::new(
            config.watch_window_bytes,
            config.frame_bytes_max,
            config.watch_bookmark_interval,
        );
        if matches!(self.link, ConnectionState::Closing(_) | ConnectionState::Closed) {
            stream.end(&closed());
        }
        self.streams.insert(id, stream);
        id
    }

    /// Adds a watch to a stream; returns its id, for cancelling.
    pub(super) fn add_watch(
        &mut self,
        stream: u64,
        request: WatchRequest,
        added: oneshot::Sender<CallOutcome>,
        now: Instant,
    ) -> u64 {
        let Some(watches) = self.streams.get_mut(&stream) else { return 0 };
        match watches.add(request, added) {
            Ok(watch) => {
                self.serve_stream(stream, now);
                self.wake |= matches!(self.link, ConnectionState::Down(_));
                watch
            }
            Err((error, added)) => {
                self.effects.answers.push((added, Err(error)));
                0
            }
        }
    }

    /// Ends a watch silently.
    pub(super) fn cancel_watch(&mut self, stream: u64, watch: u64, now: Instant) {
        let Some(watches) = self.streams.get_mut(&stream) else { return };
        let known = watches.remove(watch) && watches.opened;
        self.credit(stream);
        if known {
            let id = self.new_id();
            let call = RpcCall::WatchCancel { stream, watch_id: watch };
            self.ask(id, call, ReplyTarget::Abandoned, now);
        }
    }

    /// Ends a stream with all its watches. The returned remainder must be dropped without the lock,
    /// because the task that read the stream may be dropped with it.
    pub(super) fn drop_stream(&mut self, id: u64) -> Option<ClientStream> {
        let stream = self.streams.remove(&id)?;
        // A request to open it that was not sent yet is withdrawn; one that was sent is cancelled.
        let asked = stream.opened && !self.forget(id);
        if asked && matches!(self.link, ConnectionState::Up | ConnectionState::Leaving) {
            self.send_bare(Kind::Cancel, id);
        }
        Some(stream)
    }

    /// Takes the next item of a stream.
    pub(super) fn take_item(
        &mut self,
        id: u64,
        waker: &Waker,
        now: Instant,
    ) -> Poll<Option<StreamItem>> {
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(None) };
        let taken = stream.take(waker);
        if stream.needs_request() && stream.has_capacity() {
            self.serve_stream(id, now);
        }
        self.credit(id);
        taken
    }

    /// Requests what a stream needs from the server, as far as its consumer keeps up.
    pub(super) fn serve_stream(&mut self, id: u64, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if self.link != ConnectionState::Up || !stream.needs_request() {
            return;
        }
        if !stream.opened {
            // Items left from the previous connection count too, so reconnects add no memory.
            if !stream.has_capacity() {
                return;
            }
            stream.opened = true;
            let window_bytes = self.config.watch_window_bytes;
            self.ask(id, RpcCall::StreamOpen { window_bytes }, ReplyTarget::Open, now);
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        for (watch, need) in stream.needs() {
            let (call, to) = match need {
                WatchNeed::Add(request) => (
                    RpcCall::WatchAdd { stream: id, watch_id: watch, watch: request },
                    ReplyTarget::Add { stream: id, watch },
                ),
                WatchNeed::Page(page) => {
                    (RpcCall::from(page), ReplyTarget::Page { stream: id, watch })
                }
            };
            let request = self.new_id();
            self.ask(request, call, to, now);
        }
    }

    pub(super) fn pushed(
        &mut self,
        id: u64,
        push: Result<Push, Error>,
        bytes: u32,
    ) -> Result<(), Error> {
        // Cancelled streams still receive what was in flight.
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        match push {
            Ok(Push::Ended { watch, error }) if self.link == ConnectionState::Leaving => {
                if self.next_server_may(&error) {
                    self.leave_watch(id, watch);
                } else if let Some(stream) = self.streams.get_mut(&id) {
                    stream.push(Push::Ended { watch, error }, bytes)?;
                }
            }
            Ok(push) => stream.push(push, bytes)?,
            Err(error) => {
                self.send_bare(Kind::Cancel, id);
                self.stream_ended(id, error);
            }
        }
        self.credit(id);
        self.wake_consumer(id);
        Ok(())
    }

    /// Handles a watch that a leaving server ended: it continues on the next connection.
    fn leave_watch(&mut self, id: u64, watch: u64) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.detach_watch(watch);
            if !stream.is_asked() {
                stream.detach();
            }
        }
    }

    pub(super) fn watch_added(&mut self, id: u64, watch: u64, outcome: CallOutcome, now: Instant) {
        let leaving = matches!(&outcome, Err(error) if self.next_server_may(error));
        if leaving {
            return self.leave_watch(id, watch);
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let answer = match outcome {
            Ok(ServerAnswer::WatchAdd(revision)) => stream
                .added(watch, revision)
                .map(|added| (added, Ok(ServerAnswer::WatchAdd(revision)))),
            Ok(other) => {
                let error = protocol(format!("the reply does not fit a watch: {other:?}"));
                stream.end_watch(watch, error).map(|(added, error)| (added, Err(error)))
            }
            Err(error) if stream.bookmark_less(watch, &error) => {
                return self.serve_stream(id, now);
            }
            Err(error) => stream.end_watch(watch, error).map(|(added, error)| (added, Err(error))),
        };
        self.effects.answers.extend(answer);
        self.wake_consumer(id);
    }

    pub(super) fn watch_paged(&mut self, id: u64, watch: u64, outcome: CallOutcome, now: Instant) {
        if matches!(&outcome, Err(error) if self.next_server_may(error)) {
            return self.leave_watch(id, watch);
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        match outcome {
            Ok(ServerAnswer::Reply(CallReply {
                reply: Reply::Range(page) | Reply::Scan(page),
                ..
            })) => stream.page(watch, page),
            Ok(other) => {
                let error = protocol(format!("the reply does not fit a range: {other:?}"));
                stream.end_watch(watch, error);
            }
            Err(error) if stream.scan_instead(watch, &error) => {}
            Err(error) => {
                stream.end_watch(watch, error);
            }
        }
        self.serve_stream(id, now);
        self.wake_consumer(id);
    }

    /// Handles the end of a whole stream by the server.
    pub(super) fn stream_ended(&mut self, id: u64, error: Error) {
        let leaving = self.next_server_may(&error);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if leaving {
            return stream.detach();
        }
        stream.opened = false;
        self.end_stream(id, &error);
    }

    /// Ends all watches.
    pub(super) fn end_streams(&mut self, error: &Error) {
        let ids: Vec<u64> = self.streams.keys().copied().collect();
        for id in ids {
            self.end_stream(id, error);
        }
    }

    fn end_stream(&mut self, id: u64, error: &Error) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let answers = stream.end(error).into_iter().map(|added| (added, Err(error.clone())));
        self.effects.answers.extend(answers);
        self.wake_consumer(id);
    }

    fn wake_consumer(&mut self, id: u64) {
        let waker = self.streams.get_mut(&id).and_then(ClientStream::take_waker);
        self.effects.wakers.extend(waker);
    }

    fn credit(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !stream.opened || !matches!(self.link, ConnectionState::Up | ConnectionState::Leaving) {
            return;
        }
        let Some(bytes) = stream.credit() else { return };
        self.wake |= self.out.is_empty();
        // Four bytes: within every limit.
        let max = self.config.frame_bytes_max;
        let _ = codec::encode_frame(&mut self.out, Kind::Credit, id, 0, &WireCredit { bytes }, max);
    }
}
