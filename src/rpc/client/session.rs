//! [`Session`]: what is asked, what is answered, and what of it outlives a connection.
//!
//! Pure: no socket and no clock; bytes to send collect in its output, and what must be done
//! without its lock in [`Effects`].

use std::collections::BTreeSet;
use std::mem;
use std::task::Waker;
use std::time::{Duration, Instant};

use ahash::RandomState;
use hashbrown::HashMap;
use tokio::sync::oneshot;

use super::inbound::{Answer, Inbound, Outcome, protocol};
use super::pending::{Pending, Resend, Target, ask_revision, revision_of};
use super::stream::Stream;
use crate::config::ClientConfig;
use crate::error::{Details, Error, ErrorCode};
use crate::model::{Revision, WaitOutcome};
use crate::rpc::codec::{self, CodecError};
use crate::rpc::frame::Kind;
use crate::rpc::proto::{Call, WireCall};

/// Each look at the deadlines looks at everything that is pending; so often at most, and a
/// deadline is kept so late at most.
const DEADLINES_APART: Duration = Duration::from_millis(10);

/// What the server says of itself at the start of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Welcome {
    pub(super) store_id: u64,
    pub(super) revision: Revision,
    pub(super) frame_bytes_max: usize,
    pub(super) requests_in_flight_max: usize,
}

/// The state of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    /// Lost, for this reason.
    Down(Error),
    Up,
    /// The server has said goodbye: what is in flight ends, the rest waits for the next one.
    Leaving,
    /// The client has: what is in flight ends, then everything, at this time at the latest.
    Closing(Instant),
    /// Over for good.
    Closed,
}

/// What is asked, what is answered, and what of it outlives a connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) config: ClientConfig,
    pub(super) link: Link,
    pub(super) streams: HashMap<u64, Stream, RandomState>,
    pub(super) out: Vec<u8>,
    pub(super) effects: Effects,
    /// Whether the driver has something to do that it does not know of.
    pub(super) wake: bool,
    /// The last handle is gone.
    pub(super) abandoned: bool,
    pending: HashMap<u64, Pending, RandomState>,
    /// Requests that wait for their turn, oldest first.
    queue: BTreeSet<u64>,
    next_id: u64,
    /// Requests and waits that are sent and not answered.
    requests_sent: usize,
    waits_sent: usize,
    /// Bytes of output of this connection that were taken to be sent.
    taken: u64,
    /// A request for the revision in the output that was not taken yet.
    begin: Option<u64>,
    /// When to look for deadlines that have passed.
    deadline: Option<Instant>,
    frame_bytes_max: usize,
    requests_in_flight_max: usize,
    store_id: u64,
    revision: Revision,
}

/// What is to be done without the lock.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) answers: Vec<(oneshot::Sender<Outcome>, Outcome)>,
    pub(super) wakers: Vec<Waker>,
}

impl Effects {
    /// Tells everyone.
    pub(super) fn deliver(self) {
        for (to, outcome) in self.answers {
            // A caller that has gone needs no answer.
            let _ = to.send(outcome);
        }
        for waker in self.wakers {
            waker.wake();
        }
    }
}

impl Session {
    /// A session on a connection that begins with `welcome`.
    pub(super) fn new(config: ClientConfig, welcome: &Welcome) -> Self {
        let mut session = Self {
            link: Link::Up,
            streams: HashMap::default(),
            out: Vec::new(),
            effects: Effects::default(),
            wake: false,
            abandoned: false,
            pending: HashMap::default(),
            queue: BTreeSet::new(),
            next_id: 1,
            requests_sent: 0,
            waits_sent: 0,
            taken: 0,
            begin: None,
            deadline: None,
            frame_bytes_max: 0,
            requests_in_flight_max: 0,
            store_id: welcome.store_id,
            revision: 0,
            config,
        };
        session.meet(welcome);
        session
    }

    /// Takes a request in and sends it if it may; its id.
    pub(super) fn submit(
        &mut self,
        call: Call,
        to: oneshot::Sender<Outcome>,
        within: Option<Duration>,
        now: Instant,
    ) -> u64 {
        let mut pending = Pending::new(call, Target::Caller(to));
        pending.resume.floor = self.revision;
        pending.deadline = within.and_then(|within| now.checked_add(within));
        if let Call::Wait(wait) = &pending.call {
            pending.resume.ends = wait.timeout.and_then(|timeout| now.checked_add(timeout));
            let grace = self.config.wait_grace;
            pending.deadline = pending.resume.ends.and_then(|ends| ends.checked_add(grace));
        }
        let id = self.new_id();
        if let Some(error) = self.refusal() {
            answer(&mut self.effects, pending.to, Err(error));
            return id;
        }
        if let Some(deadline) = pending.deadline
            && self.deadline.is_none_or(|earliest| deadline < earliest)
        {
            self.deadline = Some(deadline);
            self.wake = true;
        }
        self.enter(id, pending, now);
        id
    }

    /// Asks for something that a stream needs.
    pub(super) fn ask(&mut self, id: u64, call: Call, to: Target, now: Instant) {
        self.enter(id, Pending::new(call, to), now);
    }

    pub(super) fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn refusal(&self) -> Option<Error> {
        if matches!(self.link, Link::Closing(_) | Link::Closed) {
            return Some(closed());
        }
        let max = self.config.requests_queued_max;
        (self.queue.len() >= max).then(|| {
            let message =
                format!("{max} requests wait for their turn (client.requests_queued_max)");
            let name = "client.requests_queued_max".to_owned();
            Error::new(ErrorCode::LimitExceeded, message)
                .with_details(Details::Limit { name, value: max as u64 })
        })
    }

    fn enter(&mut self, id: u64, pending: Pending, now: Instant) {
        let at_once = self.queue.is_empty() && self.admits(pending.is_wait());
        self.pending.insert(id, pending);
        if at_once {
            self.send(id, now);
        } else {
            self.queue.insert(id);
            // Without a connection, a request is what makes the driver look for one.
            self.wake |= matches!(self.link, Link::Down(_));
        }
    }

    fn admits(&self, wait: bool) -> bool {
        self.link == Link::Up
            && self.out.len() < self.config.output_bytes_max
            && (wait || self.requests_sent < self.requests_in_flight_max)
    }

    /// Sends what waits for its turn, oldest first, as far as it may.
    pub(super) fn pump(&mut self, now: Instant) {
        while let Some(id) = self.queue.first().copied() {
            let Some(pending) = self.pending.get(&id) else {
                self.queue.pop_first();
                continue;
            };
            if let Target::Add { stream, .. } = pending.to
                && !self.streams.contains_key(&stream)
            {
                self.pending.remove(&id);
                continue;
            }
            if !self.admits(pending.is_wait()) {
                break;
            }
            self.queue.pop_first();
            self.send(id, now);
        }
    }

    fn send(&mut self, id: u64, now: Instant) {
        let Some(mut pending) = self.pending.get_mut(&id) else { return };
        if pending.needs_begin() {
            self.ask_begin(id, now);
            let Some(found) = self.pending.get_mut(&id) else { return };
            pending = found;
        }
        let deadline_ms = pending.set_out(now);
        let at = self.taken + self.out.len() as u64;
        let body = WireCall::from(&pending.call);
        self.wake |= self.out.is_empty();
        let max = self.frame_bytes_max;
        match codec::encode_frame(&mut self.out, Kind::Request, id, deadline_ms, &body, max) {
            Ok(_) => {
                pending.at = Some(at);
                let wait = pending.is_wait();
                *(if wait { &mut self.waits_sent } else { &mut self.requests_sent }) += 1;
            }
            Err(error) => {
                if let Some(pending) = self.pending.remove(&id) {
                    answer(&mut self.effects, pending.to, Err(unsendable(&error)));
                }
            }
        }
    }

    /// Asks for the revision right before the wait `id`, so that it can go on from there. One
    /// request serves all waits that are sent with the same bytes: it is read after all of them
    /// were made, and before any of them is registered.
    fn ask_begin(&mut self, id: u64, now: Instant) {
        let begin = match self.begin {
            Some(begin) => begin,
            None => {
                let begin = self.new_id();
                self.begin = Some(begin);
                self.pending.insert(begin, Pending::new(ask_revision(), Target::Waits(Vec::new())));
                self.send(begin, now);
                begin
            }
        };
        if let Some(Pending { to: Target::Waits(waits), .. }) = self.pending.get_mut(&begin) {
            waits.push(id);
        }
    }

    /// Appends a frame that says something about the connection or a stream.
    pub(super) fn say(&mut self, kind: Kind, id: u64) {
        self.wake |= self.out.is_empty();
        codec::encode_bare(&mut self.out, kind, id);
    }

    /// Gives up the answer to `id`.
    pub(super) fn abandon(&mut self, id: u64) {
        if self.forget(id) {
            return;
        }
        if let Some(pending) = self.pending.get_mut(&id) {
            // It keeps its place: the server has it until it answers.
            pending.to = Target::Nobody;
            pending.deadline = None;
            self.say(Kind::Cancel, id);
        }
    }

    /// Takes back a request that was not sent yet; whether that was so.
    pub(super) fn forget(&mut self, id: u64) -> bool {
        let unsent = self.pending.get(&id).is_some_and(|pending| pending.at.is_none());
        if unsent {
            self.pending.remove(&id);
            self.queue.remove(&id);
        }
        unsent
    }

    /// Moves the output to `into`, which is empty. From then on it may have been sent.
    pub(super) fn take_output(&mut self, into: &mut Vec<u8>, now: Instant) {
        mem::swap(&mut self.out, into);
        self.taken += into.len() as u64;
        self.begin = None;
        if !self.queue.is_empty() {
            self.pump(now);
        }
    }

    /// Takes in what the server says.
    ///
    /// # Errors
    /// The connection cannot go on.
    pub(super) fn apply(&mut self, inbound: Inbound, now: Instant) -> Result<(), Error> {
        match inbound {
            Inbound::Answer { id, outcome } => self.answered(id, outcome, now),
            Inbound::Push { id, push, bytes } => return self.pushed(id, push, bytes),
            // A server that takes no output needs no pong: what it gets will do.
            Inbound::Ping(id) if self.out.len() < self.config.output_bytes_max => {
                self.say(Kind::Pong, id);
            }
            Inbound::Ping(_) | Inbound::Pong => {}
            Inbound::Goodbye => {
                if self.link == Link::Up {
                    self.link = Link::Leaving;
                }
            }
        }
        Ok(())
    }

    fn answered(&mut self, id: u64, outcome: Outcome, now: Instant) {
        if self.pending.get(&id).is_none_or(|pending| pending.at.is_none()) {
            // Already given up; or it ends a whole stream.
            if let Err(error) = outcome {
                self.stream_ended(id, error);
            }
            return;
        }
        let Some(mut pending) = self.pending.remove(&id) else { return };
        let wait = pending.is_wait();
        *(if wait { &mut self.waits_sent } else { &mut self.requests_sent }) -= 1;
        if let Ok(answer) = &outcome {
            self.revision = self.revision.max(seen(answer));
        }
        match (pending.to, outcome) {
            (Target::Caller(to), Err(error)) if self.next_server_may(&error) => {
                pending.to = Target::Caller(to);
                self.leave(id, pending, error);
            }
            (Target::Caller(to), outcome) => self.effects.answers.push((to, outcome)),
            (Target::Nobody, _) | (Target::Open, Ok(_)) => {}
            (Target::Waits(waits), Ok(Answer::Reply(reply))) => {
                for id in waits {
                    if let Some(wait) = self.pending.get_mut(&id) {
                        wait.resume.begin = Some(revision_of(&reply));
                    }
                }
            }
            (Target::Waits(_), _) => {}
            (Target::Open, Err(error)) => self.stream_ended(id, error),
            (Target::Add { stream, watch }, outcome) => self.watch_added(stream, watch, outcome),
            (Target::Page { stream, watch }, outcome) => {
                self.watch_paged(stream, watch, outcome, now);
            }
        }
        if !self.queue.is_empty() {
            self.pump(now);
        }
    }

    /// Whether a refusal only means that this server is leaving.
    pub(super) fn next_server_may(&self, error: &Error) -> bool {
        error.code == ErrorCode::Unavailable && self.link == Link::Leaving
    }

    /// A leaving server refused a request: the next connection may do it.
    fn leave(&mut self, id: u64, mut pending: Pending, error: Error) {
        if pending.resend() == Resend::Always {
            pending.retry();
            self.pending.insert(id, pending);
            self.queue.insert(id);
        } else {
            answer(&mut self.effects, pending.to, Err(error));
        }
    }

    /// The connection is lost: what changes nothing waits for the next one, a write that may
    /// have been sent fails.
    pub(super) fn cut(&mut self, error: Error) {
        let taken = self.taken;
        let addr = &self.config.addr;
        let effects = &mut self.effects;
        let queue = &mut self.queue;
        self.pending.retain(|id, pending| {
            let sent = pending.at.is_some_and(|at| at < taken);
            if matches!(pending.to, Target::Nobody) || pending.resend() == Resend::Stream {
                queue.remove(id);
                return false;
            }
            if sent && pending.resend() == Resend::Never {
                let to = mem::replace(&mut pending.to, Target::Nobody);
                answer(effects, to, Err(unknown(addr, &error)));
                return false;
            }
            if sent {
                pending.retry();
            }
            pending.at = None;
            queue.insert(*id);
            true
        });
        self.out.clear();
        (self.taken, self.begin) = (0, None);
        (self.requests_sent, self.waits_sent) = (0, 0);
        for stream in self.streams.values_mut() {
            stream.detach();
        }
        if !matches!(self.link, Link::Closing(_) | Link::Closed) {
            self.link = Link::Down(error);
        }
    }

    /// A new connection is there: everything that waits for one goes on.
    pub(super) fn welcome(&mut self, welcome: &Welcome, now: Instant) {
        if welcome.store_id != self.store_id {
            self.change_store(welcome);
        }
        self.link = Link::Up;
        self.meet(welcome);
        let streams: Vec<u64> = self.streams.keys().copied().collect();
        for stream in streams {
            self.serve_stream(stream, now);
        }
        self.pump(now);
    }

    fn meet(&mut self, welcome: &Welcome) {
        self.frame_bytes_max = self.config.frame_bytes_max.min(welcome.frame_bytes_max);
        let max = self.config.requests_in_flight_max.min(welcome.requests_in_flight_max);
        self.requests_in_flight_max = max.max(1);
        self.revision = self.revision.max(welcome.revision);
    }

    fn change_store(&mut self, welcome: &Welcome) {
        self.store_id = welcome.store_id;
        self.revision = 0;
        let error = store_changed(&self.config.addr);
        let (effects, queue) = (&mut self.effects, &mut self.queue);
        self.pending.retain(|id, pending| {
            if !pending.bound_to_store() {
                pending.resume.floor = welcome.revision;
                return true;
            }
            queue.remove(id);
            let to = mem::replace(&mut pending.to, Target::Nobody);
            answer(effects, to, Err(error.clone()));
            false
        });
        self.end_streams(&error);
    }

    /// When the driver must call [`expire`](Self::expire).
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match self.link {
            Link::Closing(at) => Some(self.deadline.map_or(at, |deadline| deadline.min(at))),
            _ => self.deadline,
        }
    }

    /// Ends what has taken too long.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        let mut due = Vec::new();
        self.deadline = None;
        let soonest = now + DEADLINES_APART;
        for (id, pending) in &self.pending {
            match pending.deadline {
                Some(deadline) if deadline <= now => due.push(*id),
                Some(deadline) if self.deadline.is_none_or(|earliest| deadline < earliest) => {
                    self.deadline = Some(deadline.max(soonest));
                }
                _ => {}
            }
        }
        for id in due {
            let Some(pending) = self.pending.get_mut(&id) else { continue };
            let error = overdue(pending, &self.link, &self.config.addr);
            let to = mem::replace(&mut pending.to, Target::Nobody);
            self.abandon(id);
            answer(&mut self.effects, to, Err(error));
        }
    }

    /// Says goodbye: waits, watches and what was not sent yet end now, requests in flight may
    /// take `close_timeout`.
    pub(super) fn close(&mut self, now: Instant) {
        self.wake = true;
        let until = now.checked_add(self.config.close_timeout).unwrap_or(now);
        let was_up = matches!(self.link, Link::Up | Link::Leaving);
        if matches!(self.link, Link::Closing(_) | Link::Closed) {
            return;
        }
        self.link = if was_up { Link::Closing(until) } else { Link::Closed };
        let effects = &mut self.effects;
        self.pending.retain(|_, pending| {
            let stays = was_up && pending.at.is_some() && !pending.is_wait();
            if !stays {
                let to = mem::replace(&mut pending.to, Target::Nobody);
                answer(effects, to, Err(closed()));
            }
            stays
        });
        self.queue.clear();
        self.waits_sent = 0;
        self.end_streams(&closed());
        if was_up {
            self.say(Kind::Goodbye, 0);
        }
    }

    /// The driver is gone: everything ends.
    pub(super) fn end(&mut self) {
        self.link = Link::Closed;
        self.queue.clear();
        for (_, pending) in self.pending.drain() {
            answer(&mut self.effects, pending.to, Err(closed()));
        }
        self.end_streams(&closed());
    }

    /// Whether nothing is left for the driver to do, ever.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.abandoned
            || match self.link {
                Link::Closed => true,
                Link::Closing(at) => self.requests_sent == 0 || now >= at,
                _ => false,
            }
    }

    /// Whether a connection that the server is leaving has nothing left to bring.
    pub(super) fn is_left(&self) -> bool {
        self.link == Link::Leaving
            && self.requests_sent + self.waits_sent == 0
            && !self.streams.values().any(|stream| stream.opened)
    }

    /// Why there is no connection; `None` if there is one.
    pub(super) fn why_down(&self) -> Option<Error> {
        match &self.link {
            Link::Down(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Whether anything waits for a connection.
    pub(super) fn is_wanted(&self) -> bool {
        !self.pending.is_empty() || self.streams.values().any(Stream::is_active)
    }
}

fn answer(effects: &mut Effects, to: Target, outcome: Outcome) {
    if let Target::Caller(to) = to {
        effects.answers.push((to, outcome));
    }
}

fn seen(answer: &Answer) -> Revision {
    match answer {
        Answer::Reply(reply) => revision_of(reply),
        Answer::Wait(WaitOutcome::Met { revision, .. } | WaitOutcome::Timeout { revision }) => {
            *revision
        }
        Answer::StreamOpen | Answer::WatchAdd(_) | Answer::WatchCancel => 0,
    }
}

pub(super) fn closed() -> Error {
    Error::new(ErrorCode::Unavailable, "this client is closed")
}

fn store_changed(addr: &str) -> Error {
    let message = format!(
        "{addr} holds another store than before the reconnect: revisions do not compare; read \
         the present state anew"
    );
    Error::new(ErrorCode::StoreChanged, message)
}

fn unknown(addr: &str, reason: &Error) -> Error {
    let message = format!(
        "outcome unknown: the connection to {addr} was lost after the request may have been \
         sent ({reason}); give a write an idempotency key and it is sent again by itself"
    );
    Error::new(ErrorCode::Unavailable, message)
}

fn overdue(pending: &Pending, link: &Link, addr: &str) -> Error {
    let sent = pending.at.is_some() || pending.tried;
    match (sent, link) {
        (false, Link::Down(reason)) => Error::new(
            ErrorCode::Unavailable,
            format!("not sent: no connection to {addr} before the deadline ({reason})"),
        ),
        (false, _) => Error::new(
            ErrorCode::DeadlineExceeded,
            "not sent: other requests were before it until the deadline",
        ),
        (true, Link::Down(reason)) => Error::new(
            ErrorCode::Unavailable,
            format!("no connection to {addr} to send it again before the deadline ({reason})"),
        ),
        (true, _) => Error::new(
            ErrorCode::DeadlineExceeded,
            format!("no answer from {addr} before the deadline: the outcome of a write is unknown"),
        ),
    }
}

fn unsendable(error: &CodecError) -> Error {
    match error {
        CodecError::TooLarge { max, .. } => {
            let name = "rpc.frame_bytes_max".to_owned();
            Error::new(ErrorCode::FrameTooLarge, format!("not sent: {error}"))
                .with_details(Details::Limit { name, value: *max as u64 })
        }
        _ => protocol(format!("not sent: {error}")),
    }
}
