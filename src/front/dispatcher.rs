//! [`RequestDispatcher`]: checks, routes and answers the requests of one connection.

mod end;
mod fill;
mod guarded;
mod node;
mod owner;
mod task;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::environment::RandomState;

use super::authorization::Authorization;
use super::calls::Calls;
use super::deferred_requests::DeferredRequests;
use super::jobs::ConnectionJobs;
use super::outbox::{Outbox, Outgoing};
use super::output::{OutputBuffer, keep_spare};
use super::pending_request::{PendingRequest, PendingWatch, Purpose, UnansweredWait, WatchScope};
use super::protocol::{End, Fatal, Protocol, protocol};
use super::request_log::RequestLog;
use super::streams::Streams;
use crate::actor::message::{
    CancelWaits, CloseStream, Done, Requests, Task, TaskAnswer, TaskAnswers, TaskRequest,
};
use crate::actor::{AnswerSink, ReplyBuffer};
use crate::config::RpcConfig;
use crate::environment;
use crate::error::{Error, ErrorCode};
use crate::fair::ClientId;
use crate::handle::Wakeful;
use crate::model::{KeyBuffer, KeyRequest, RpcCall};
use crate::session::Session;
use crate::store::StoreError;
use crate::stranger_lines::LineKind;
use crate::watch::WatchOwner;

/// Checks the requests of one connection, hands them to the actor or method that answers them, and
/// keeps the answers until they are encoded, which is up to the [`Protocol`].
pub(crate) struct RequestDispatcher {
    wakeful: Wakeful,
    /// The limits when the connection was accepted.
    rpc: Arc<RpcConfig>,
    session: Arc<Session>,
    authorization: Authorization,
    owner: Arc<WatchOwner>,
    /// The name that the peer gave itself.
    client: Option<String>,
    outbox: Arc<Outbox>,
    /// The peer has begun: see [`meet`](Self::meet).
    open: bool,
    /// No new requests are taken; the connection ends after those in flight.
    leaving: bool,
    /// The peer closed its sending side, but still takes answers.
    hung_up: bool,
    /// The highest request id received.
    highest: u64,
    /// Not all ids of the next message are higher than those before them.
    unordered: bool,
    /// Requests for the next message to the store.
    works: Vec<TaskRequest>,
    /// The keys and values of `works`.
    keys: KeyBuffer,
    pending: Vec<PendingRequest>,
    cancelled: Vec<u64>,
    /// Answers that are not encoded yet, because output waits.
    answers: VecDeque<(u64, Result<Done, Error>)>,
    /// Requests whose answers come later, because their effects are not durable yet.
    deferred: DeferredRequests,
    /// Requests to the queue, and the jobs that the peer holds.
    jobs: ConnectionJobs,
    /// Running method calls.
    calls: Calls,
    /// Parked waits by request id.
    waits: HashMap<u64, UnansweredWait, RandomState>,
    streams: Streams,
    /// Pushes since the last turn.
    pushes: u64,
    /// Each watch has a stream of its own, which ends with it.
    lone_watches: bool,
    /// The log of requests.
    log: RequestLog,
}

fn in_flight(id: u64) -> End {
    protocol(&format!("request id {id} is in flight already")).into()
}

impl RequestDispatcher {
    pub(super) fn new(wakeful: Wakeful, session: Arc<Session>, outbox: Arc<Outbox>) -> Self {
        let name = session.peer().to_string();
        // Random, to differ from every other connection, also after a restart.
        let client = ClientId::Connection(environment::random::<u64>().max(1));
        let buffered = Arc::clone(&outbox.buffered);
        let owner = Arc::new(WatchOwner { id: session.id(), name, client, buffered });
        let authorization = Authorization::new(&wakeful, &session, &outbox);
        let mut jobs = ConnectionJobs::new(
            owner.id,
            authorization.is_guarded(),
            wakeful.config().queue.visibility_default,
        );
        (jobs.user, jobs.client) = (authorization.user(), client);
        let calls = Calls::new(authorization.is_guarded());
        Self {
            rpc: wakeful.rpc(),
            wakeful,
            session,
            authorization,
            owner,
            client: None,
            outbox,
            open: false,
            leaving: false,
            hung_up: false,
            highest: 0,
            unordered: false,
            works: Vec::new(),
            keys: KeyBuffer::default(),
            pending: Vec::new(),
            cancelled: Vec::new(),
            answers: VecDeque::new(),
            deferred: DeferredRequests::default(),
            jobs,
            calls,
            waits: HashMap::default(),
            streams: Streams::default(),
            pushes: 0,
            lone_watches: false,
            log: RequestLog::default(),
        }
    }

    /// Handles the peer's goodbye: jobs that it does not settle go back when the connection ends.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
        self.jobs.parted = true;
    }

    /// Returns true if the connection is to end and nothing is in flight any more.
    pub(super) fn has_left(&self, protocol: &impl Protocol) -> bool {
        self.leaving
            && self.waits.is_empty()
            && self.answers.is_empty()
            && self.works.is_empty()
            && self.deferred.is_empty()
            && (self.jobs.is_done() || self.hung_up && self.jobs.is_answered())
            && self.calls.len() == 0
            && protocol.awaits_nothing(self.streams.are_idle())
    }

    /// Returns true if no more may be read until answers are sent: `max` requests are unanswered, or
    /// one with a large answer.
    pub(super) fn is_full(&self, max: usize) -> bool {
        self.deferred.len() + self.jobs.counted() >= max
            || self.deferred.has_large()
            || self.jobs.has_large()
            || self.calls.len() >= self.wakeful.config().services.calls_per_connection_max
    }

    pub(super) fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Returns true if some requests have not been handed over yet.
    pub(super) fn has_rest(&self) -> bool {
        !self.works.is_empty() || self.jobs.has_rest()
    }

    /// Returns true if these may be handed over now, because the earlier answers are encoded.
    pub(super) fn may_go_on(&self) -> bool {
        let store = !self.works.is_empty() && self.deferred.is_empty();
        let queue = self.works.is_empty() && self.jobs.may_go_on();
        (store || queue) && !self.has_answers()
    }

    /// Returns true if answers or pushes can be encoded as soon as there is room.
    pub(super) fn has_more(&self) -> bool {
        !self.answers.is_empty() || self.streams.have_more()
    }

    /// Returns and resets the number of pushes since the last turn, each of which may be credited.
    pub(super) fn take_pushes(&mut self) -> u64 {
        std::mem::take(&mut self.pushes)
    }

    /// Reserves memory for `requests` in the next message to the store, and takes the keys and values
    /// of those about one key. Nothing is left of an earlier message.
    pub(super) fn expect(&mut self, requests: usize, keys: KeyBuffer) {
        debug_assert!(self.works.is_empty(), "nothing is read before all is handed over");
        self.keys = keys;
        // A read usually brings one request, so no spare capacity.
        self.works.reserve_exact(requests);
        self.pending.reserve_exact(requests);
    }

    /// Checks that `id` is not in flight.
    fn note_id(&mut self, id: u64) -> Result<(), End> {
        if id <= self.highest {
            let open = self.waits.contains_key(&id) || self.streams.handle(id).is_some();
            if open
                || self.deferred.contains(id)
                || self.jobs.contains(id)
                || self.calls.contains(id)
            {
                return Err(in_flight(id));
            }
            self.unordered = true;
        }
        self.highest = self.highest.max(id);
        Ok(())
    }

    /// Takes a request for the next message to the store.
    ///
    /// # Errors
    /// The id is in flight.
    pub(crate) fn ask(
        &mut self,
        id: u64,
        deadline: Option<Instant>,
        mut call: Result<RpcCall, Error>,
    ) -> Result<(), End> {
        self.note_id(id)?;
        if self.may_log_request() {
            self.log.asked(id, &call);
        }
        // By reference, so that a request to the store, the most frequent, is not moved.
        if let Ok(asked) = &call
            && let Err(denial) = self.authorization.check(asked)
        {
            if let RpcCall::WatchAdd { stream, .. } = asked
                && self.lone_watches
            {
                self.cancelled.push(*stream);
            }
            call = Err(denial);
        }
        if let Ok(RpcCall::Store { options, request }) = &call
            && let Err(refusal) = options.check(&request.facts())
        {
            call = Err(refusal);
        }
        let awaits = self.awaits(&call);
        let Some((about, task)) = self.task(id, deadline, call) else { return Ok(()) };
        self.works.push(TaskRequest { id, deadline, task });
        self.pending.push(PendingRequest { id, about, awaits });
        Ok(())
    }

    /// Takes a request about one key, as [`ask`](Self::ask) takes any other.
    ///
    /// # Errors
    /// The id is in flight.
    pub(super) fn ask_key(
        &mut self,
        id: u64,
        deadline: Option<Instant>,
        request: KeyRequest,
    ) -> Result<(), End> {
        self.note_id(id)?;
        if self.may_log_request() {
            self.log.asked_key(id, &request, &self.keys);
        }
        let task = match self.authorization.check_key(&request, &self.keys) {
            Err(denial) => Task::refused(denial),
            Ok(()) if self.leaving => Task::refused(StoreError::Stopping { resume: None }),
            Ok(()) => Task::Key(request),
        };
        self.works.push(TaskRequest { id, deadline, task });
        self.pending.push(PendingRequest { id, about: Purpose::Plain, awaits: None });
        Ok(())
    }

    /// Checks that no id occurs twice in the next message. Ascending ids need no check.
    fn check_ids(&mut self) -> Result<(), End> {
        if !std::mem::take(&mut self.unordered) {
            return Ok(());
        }
        let mut ids: Vec<u64> = self.pending.iter().map(|pending| pending.id).collect();
        let elsewhere = |id: u64| self.jobs.contains(id) || self.calls.contains(id);
        if let Some(id) = ids.iter().find(|id| elsewhere(**id)) {
            return Err(in_flight(*id));
        }
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair.first() == pair.last()) {
            Some(pair) => Err(in_flight(pair.first().copied().unwrap_or_default())),
            None => Ok(()),
        }
    }

    /// Cancels the wait, stream, method call or parked request `id`.
    pub(crate) fn cancel(&mut self, id: u64) {
        self.cancelled.push(id);
    }

    /// Hands the requests to the store and to the queue, as one message each, takes the answers of
    /// the store, and starts the called methods. If the store leaves requests for lack of room,
    /// another call hands over these and everything after them. Replies are appended to `out` as long
    /// as no earlier answer waits to be encoded.
    pub(super) async fn hand_over(
        &mut self,
        protocol: &impl Protocol,
        out: &mut OutputBuffer,
    ) -> Result<(), End> {
        self.check_ids()?;
        if !self.works.is_empty() {
            // Cancelled requests make room for requests of the same read.
            self.do_cancel();
            let (works, keys) = (std::mem::take(&mut self.works), std::mem::take(&mut self.keys));
            let sink = Arc::clone(&self.outbox) as Arc<dyn AnswerSink>;
            let (owner, restriction) = (Arc::clone(&self.owner), self.authorization.restriction());
            let encoder = protocol.reply_encoder().filter(|_| self.answers.is_empty());
            let replies = encoder.map(|encoder| ReplyBuffer::new(out.lend(), encoder));
            let requests = Requests { owner, works, keys, sink, restriction, replies };
            let answers = self.wakeful.store().send(requests).await;
            let TaskAnswers { done, rest, keys, replies } = answers.map_err(|_| End::Gone)?;
            if let Some(replies) = replies {
                out.put_back(replies.into_bytes());
            }
            let mut all = std::mem::take(&mut self.pending).into_iter();
            let is_appended = |answer: &&TaskAnswer| matches!(answer, TaskAnswer::Appended);
            let appended = done.iter().take_while(is_appended).count();
            all.by_ref().take(appended).for_each(|it| self.log.answered(it.id, None));
            for (answer, pending) in done.into_iter().skip(appended).zip(all.by_ref()) {
                match answer {
                    TaskAnswer::Appended => self.log.answered(pending.id, None),
                    TaskAnswer::Now(answer) => {
                        let id = pending.id;
                        self.note(pending, &answer);
                        self.answers.push_back((id, answer));
                    }
                    TaskAnswer::Withheld => {
                        let large = matches!(pending.about, Purpose::File);
                        self.deferred.begin(pending.id, large);
                    }
                }
            }
            if !rest.is_empty() {
                // The next call follows when the peer has taken the answers.
                (self.works, self.keys, self.pending) = (rest, keys, all.collect());
                return Ok(());
            }
            keep_spare(keys.into_bytes());
        }
        // After the store: keys set by the same read are there when a worker or method starts.
        let client = self.owner.client;
        let refused = self.calls.start(&self.wakeful, &self.session, client, &self.outbox);
        self.answers.extend(refused.into_iter().map(|(id, error)| (id, Err(error))));
        self.jobs.hand_over(&self.wakeful, &self.authorization, &self.outbox);
        self.do_cancel();
        if self.jobs.has_rest() {
            // The remaining ids may be of requests that are not handed over yet.
            return Ok(());
        }
        // The remaining ids are the queue's, or of requests that have ended.
        self.jobs.cancel(&self.wakeful, std::mem::take(&mut self.cancelled));
        Ok(())
    }

    fn note(&mut self, pending: PendingRequest, answer: &Result<Done, Error>) {
        match (answer, pending.about) {
            (Ok(Done::Parked(handle, _)), _) => {
                let interest = pending.awaits.map(|awaits| awaits.interest);
                self.waits.insert(pending.id, UnansweredWait { handle: *handle, interest });
            }
            (Ok(Done::StreamOpened(handle)), Purpose::Open { window_bytes }) => {
                self.streams.open(pending.id, *handle, window_bytes);
            }
            (Ok(Done::Watching(_)), Purpose::Add { stream }) => {
                self.streams.begin_watch(stream, pending.awaits);
            }
            (Ok(Done::WatchCancelled), Purpose::Cancel { stream, watch_id }) => {
                self.streams.end_watch(stream, watch_id);
            }
            (Err(_), Purpose::Add { stream }) if self.lone_watches => self.cancel(stream),
            _ => {}
        }
    }

    /// Ends the cancelled waits, streams and calls, each with its one answer, and keeps the other ids.
    fn do_cancel(&mut self) {
        let mut waits = Vec::new();
        for id in std::mem::take(&mut self.cancelled) {
            if let Some(parked) = self.waits.remove(&id) {
                waits.push(parked.handle);
            } else if let Some(stream) = self.streams.close(id) {
                // bound: one for each stream that was opened
                self.wakeful.store().do_send(CloseStream(stream));
            } else if !self.calls.cancel(id) {
                self.cancelled.push(id);
                continue;
            }
            self.answers.push_back((id, Err(StoreError::Cancelled.into())));
        }
        if !waits.is_empty() {
            // bound: one for each read
            self.wakeful.store().do_send(CancelWaits(waits));
        }
    }

    /// Adds credit to a stream whose pushes the peer has consumed.
    pub(super) fn add_credit(&mut self, id: u64, bytes: u32) {
        let ready = self.streams.add_credit(id, bytes);
        self.notify_ready(ready);
    }

    /// Allows one push of a stream whose peer requests each; returns false if there is no such stream.
    pub(crate) fn allow_one(&mut self, stream: u64) -> bool {
        if !self.has_stream(stream) {
            return false;
        }
        let ready = self.streams.allow_one(stream);
        self.notify_ready(ready);
        true
    }

    /// Returns true if a stream with this id is open.
    pub(crate) fn has_stream(&self, id: u64) -> bool {
        self.streams.handle(id).is_some()
    }

    /// Declares that each watch has a stream of its own: the stream of a refused watch is cancelled.
    pub(crate) fn watch_alone(&mut self) {
        self.lone_watches = true;
    }

    /// Handles the end of the peer's sending side: waits, streams and parked requests are cancelled,
    /// everything else is still answered.
    pub(super) fn hang_up(&mut self) {
        self.leaving = true;
        self.hung_up = true;
        self.cancelled.extend(self.waits.keys().copied().chain(self.streams.ids()));
        self.cancelled.extend(self.jobs.parked());
    }

    /// Returns true if another log line about this connection may be written; always for a peer with
    /// a proved identity.
    pub(crate) fn admits(&self, cause: LineKind) -> bool {
        self.session.is_known() || self.wakeful.strangers().admits(cause)
    }

    /// Logs a request that could not be read and has no id.
    pub(crate) fn note_refused(&self) {
        if self.may_log_request() {
            self.log.refused();
        }
    }

    /// Logs a call whose method does not exist, or that lacks its arguments.
    pub(crate) fn note_refused_method(&self, method: &str, code: ErrorCode) {
        if self.may_log_request() {
            self.log.refused_method(method, code);
        }
    }
}
