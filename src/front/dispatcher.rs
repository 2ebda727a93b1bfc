//! [`RequestDispatcher`]: the requests of one connection and what becomes of them.

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

use super::asked::{PendingRequest, PendingWatch, Purpose, UnansweredWait, WatchScope};
use super::authorization::Authorization;
use super::calls::Calls;
use super::jobs::ConnectionJobs;
use super::outbox::{Outbox, Outgoing};
use super::protocol::{End, Fatal, Protocol, protocol};
use super::request_log::RequestLog;
use super::streams::Streams;
use super::withheld::DeferredRequests;
use crate::actor::AnswerSink;
use crate::actor::message::{
    CancelWaits, CloseStream, Done, Requests, TaskAnswer, TaskAnswers, TaskRequest,
};
use crate::config::RpcConfig;
use crate::environment;
use crate::error::{Error, ErrorCode};
use crate::fair::ClientId;
use crate::handle::Wakeful;
use crate::model::RpcCall;
use crate::session::Session;
use crate::store::StoreError;
use crate::stranger_lines::LineKind;
use crate::watch::WatchOwner;

/// The requests of one connection and what becomes of them: whether they may be made, who answers them,
/// and when. How an answer is encoded is up to the [`Protocol`].
pub(crate) struct RequestDispatcher {
    wakeful: Wakeful,
    /// As it was when the connection was accepted.
    rpc: Arc<RpcConfig>,
    session: Arc<Session>,
    authorization: Authorization,
    owner: Arc<WatchOwner>,
    /// What the peer calls itself.
    client: Option<String>,
    outbox: Arc<Outbox>,
    /// Said hello.
    open: bool,
    /// Takes no new requests; over when those in flight are.
    leaving: bool,
    /// Nothing more will come, but answers are taken.
    hung_up: bool,
    /// The highest request id so far.
    highest: u64,
    /// Not all ids of the next message are higher than those before them.
    unordered: bool,
    /// For the next message to the store.
    works: Vec<TaskRequest>,
    asked: Vec<PendingRequest>,
    cancelled: Vec<u64>,
    /// Not yet encoded, as output waits.
    answers: VecDeque<(u64, Result<Done, Error>)>,
    /// Requests whose answers come later, as what they show is not durable yet.
    withheld: DeferredRequests,
    /// Requests to the queue, and the jobs that it gave.
    jobs: ConnectionJobs,
    /// Calls of methods.
    calls: Calls,
    /// Parked waits by request id.
    waits: HashMap<u64, UnansweredWait, RandomState>,
    streams: Streams,
    /// Pushes since the last turn.
    pushes: u64,
    /// Each watch has a stream of its own, which ends with it.
    lone_watches: bool,
    /// Every answer passes here.
    log: RequestLog,
}

fn in_flight(id: u64) -> End {
    protocol(&format!("request id {id} is in flight already")).into()
}

impl RequestDispatcher {
    pub(super) fn new(wakeful: Wakeful, session: Arc<Session>, outbox: Arc<Outbox>) -> Self {
        let name = session.peer().to_string();
        // Of others that come later, or after a restart, too.
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
            asked: Vec::new(),
            cancelled: Vec::new(),
            answers: VecDeque::new(),
            withheld: DeferredRequests::default(),
            jobs,
            calls,
            waits: HashMap::default(),
            streams: Streams::default(),
            pushes: 0,
            lone_watches: false,
            log: RequestLog::default(),
        }
    }

    /// The peer has said goodbye: what it does not settle goes back at once.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
        self.jobs.parted = true;
    }

    /// Whether it was to leave and nothing is in flight any more.
    pub(super) fn has_left(&self, protocol: &impl Protocol) -> bool {
        self.leaving
            && self.waits.is_empty()
            && self.answers.is_empty()
            && self.works.is_empty()
            && self.withheld.is_empty()
            && (self.jobs.is_done() || self.hung_up && self.jobs.is_answered())
            && self.calls.len() == 0
            && protocol.awaits_nothing(self.streams.are_idle())
    }

    /// Whether so much waits to be answered that no more is to be read: `max` answers, or any of
    /// those that are large.
    pub(super) fn is_full(&self, max: usize) -> bool {
        self.withheld.len() + self.jobs.counted() >= max
            || self.withheld.has_large()
            || self.jobs.has_large()
            || self.calls.len() >= self.wakeful.config().services.calls_per_connection_max
    }

    pub(super) fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Whether a part of what was asked for is still to be handed over.
    pub(super) fn has_rest(&self) -> bool {
        !self.works.is_empty() || self.jobs.has_rest()
    }

    /// Whether it may be handed over now: the answers to what came before are encoded.
    pub(super) fn may_go_on(&self) -> bool {
        let store = !self.works.is_empty() && self.withheld.is_empty();
        let queue = self.works.is_empty() && self.jobs.may_go_on();
        (store || queue) && !self.has_answers()
    }

    /// Whether there is something to encode as soon as there is room.
    pub(super) fn has_more(&self) -> bool {
        !self.answers.is_empty() || self.streams.have_more()
    }

    /// Pushes since the last turn, each of which may be credited.
    pub(super) fn take_pushes(&mut self) -> u64 {
        std::mem::take(&mut self.pushes)
    }

    /// Makes room for so many requests in the next message to the store.
    pub(super) fn expect(&mut self, requests: usize) {
        // For one request as a rule, so without room for more.
        self.works.reserve_exact(requests);
        self.asked.reserve_exact(requests);
    }

    /// That `id` is not in flight.
    fn note_id(&mut self, id: u64) -> Result<(), End> {
        if id <= self.highest {
            let open = self.waits.contains_key(&id) || self.streams.handle(id).is_some();
            if open
                || self.withheld.contains(id)
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
        // Looked at first: a request to the store, as most are, is not moved for it.
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
        self.asked.push(PendingRequest { id, about, awaits });
        Ok(())
    }

    /// That no id was asked for twice in the same message. Ids that rise need no look.
    fn check_ids(&mut self) -> Result<(), End> {
        if !std::mem::take(&mut self.unordered) {
            return Ok(());
        }
        let mut ids: Vec<u64> = self.asked.iter().map(|asked| asked.id).collect();
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

    /// The peer is no longer interested in a wait or a stream.
    pub(crate) fn cancel(&mut self, id: u64) {
        self.cancelled.push(id);
    }

    /// Hands everything asked for to the store and to the queue, as one message each, takes the
    /// answers of the store, and starts the methods that are called. What the store leaves for want of
    /// room is handed over by another call, and all else with it.
    pub(super) async fn hand_over(&mut self) -> Result<(), End> {
        self.check_ids()?;
        if !self.works.is_empty() {
            // What is given up makes room for what is asked for in the same breath.
            self.do_cancel();
            let works = std::mem::take(&mut self.works);
            let sink = Arc::clone(&self.outbox) as Arc<dyn AnswerSink>;
            let (owner, restriction) = (Arc::clone(&self.owner), self.authorization.restriction());
            let requests = Requests { owner, works, sink, restriction };
            let answers = self.wakeful.store().send(requests).await;
            let TaskAnswers { done, rest } = answers.map_err(|_| End::Gone)?;
            self.answers.reserve(done.len());
            let mut all = std::mem::take(&mut self.asked).into_iter();
            for (answer, asked) in done.into_iter().zip(all.by_ref()) {
                match answer {
                    TaskAnswer::Now(answer) => {
                        let id = asked.id;
                        self.note(asked, &answer);
                        self.answers.push_back((id, answer));
                    }
                    TaskAnswer::Withheld => {
                        let large = matches!(asked.about, Purpose::File);
                        self.withheld.begin(asked.id, large);
                    }
                }
            }
            if !rest.is_empty() {
                // It goes on when the peer has taken the answers.
                (self.works, self.asked) = (rest, all.collect());
                return Ok(());
            }
        }
        // After the store: what a job or a call is about is set before a worker or a method has it.
        let client = self.owner.client;
        let refused = self.calls.start(&self.wakeful, &self.session, client, &self.outbox);
        self.answers.extend(refused.into_iter().map(|(id, error)| (id, Err(error))));
        self.jobs.hand_over(&self.wakeful, &self.authorization, &self.outbox);
        self.do_cancel();
        if self.jobs.has_rest() {
            // What is cancelled may be among that.
            return Ok(());
        }
        // What is left is the queue's, or has ended by itself.
        self.jobs.cancel(&self.wakeful, std::mem::take(&mut self.cancelled));
        Ok(())
    }

    fn note(&mut self, asked: PendingRequest, answer: &Result<Done, Error>) {
        match (answer, asked.about) {
            (Ok(Done::Parked(handle, _)), _) => {
                let interest = asked.awaits.map(|awaits| awaits.interest);
                self.waits.insert(asked.id, UnansweredWait { handle: *handle, interest });
            }
            (Ok(Done::StreamOpened(handle)), Purpose::Open { window_bytes }) => {
                self.streams.open(asked.id, *handle, window_bytes);
            }
            (Ok(Done::Watching(_)), Purpose::Add { stream }) => {
                self.streams.begin_watch(stream, asked.awaits);
            }
            (Ok(Done::WatchCancelled), Purpose::Cancel { stream, watch_id }) => {
                self.streams.end_watch(stream, watch_id);
            }
            (Err(_), Purpose::Add { stream }) if self.lone_watches => self.cancel(stream),
            _ => {}
        }
    }

    /// Frees what was cancelled and is there, and keeps the rest; each gets its one answer.
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

    /// The peer has consumed pushes of a stream.
    pub(super) fn add_credit(&mut self, id: u64, bytes: u32) {
        let ready = self.streams.add_credit(id, bytes);
        self.notify_ready(ready);
    }

    /// Allows one push of a stream whose peer asks for each; returns false if there is no such stream.
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

    /// Gives each watch a stream of its own: one that is refused has its stream cancelled.
    pub(crate) fn watch_alone(&mut self) {
        self.lone_watches = true;
    }

    /// The peer sends nothing more: what does not wait is still answered, what waits is over.
    pub(super) fn hang_up(&mut self) {
        self.leaving = true;
        self.hung_up = true;
        self.cancelled.extend(self.waits.keys().copied().chain(self.streams.ids()));
        self.cancelled.extend(self.jobs.parked());
    }

    /// Returns whether one more line may be written of this connection: of a peer that has proved who it is, any.
    pub(crate) fn admits(&self, cause: LineKind) -> bool {
        self.session.is_known() || self.wakeful.strangers().admits(cause)
    }

    /// Notes a request that could not be read and has no id, in the log of requests.
    pub(crate) fn note_refused(&self) {
        if self.may_log_request() {
            self.log.refused();
        }
    }

    /// Notes the call of a method that is not there, or lacks its arguments.
    pub(crate) fn note_refused_method(&self, method: &str, code: ErrorCode) {
        if self.may_log_request() {
            self.log.refused_method(method, code);
        }
    }
}
