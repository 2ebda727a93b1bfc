//! [`ClientSession`]: requests and answers, and the part of them that outlives a connection.
//!
//! Pure: no socket and no clock. Bytes to send are collected in its output, and what must be done
//! without its lock in [`Effects`].

use std::collections::BTreeSet;
use std::mem;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::environment::RandomState;
use hashbrown::HashMap;
use tokio::sync::oneshot;

use super::connection_state::{ConnectionState, ServerWelcome};
use super::inbound::{CallOutcome, Inbound, Push, ServerAnswer};
use super::jobs::{Resuming, reserved};
use super::pending::{PendingCall, ReplyTarget, Resend};
use super::reason::{closed, overdue, queue_full, unsendable};
use super::stream::ClientStream;
use crate::config::ClientConfig;
use crate::error::{Error, ErrorCode};
use crate::held::HeldJobs;
use crate::model::{Reservation, Revision, RpcCall, WaitOutcome};
use crate::rpc::codec;
use crate::rpc::frame::{Header, Kind};
use crate::rpc::proto::WireCall;

/// The shortest time between two checks of the deadlines, each of which looks at everything that is
/// pending; a deadline is at most this late.
const DEADLINES_APART: Duration = Duration::from_millis(10);

/// Requests and answers, and the part of them that outlives a connection.
#[derive(Debug)]
pub(super) struct ClientSession {
    pub(super) config: ClientConfig,
    pub(super) link: ConnectionState,
    pub(super) streams: HashMap<u64, ClientStream, RandomState>,
    pub(super) out: Vec<u8>,
    pub(super) effects: Effects,
    /// Whether the driver must be woken for new work.
    pub(super) wake: bool,
    /// Whether the last handle is gone.
    pub(super) abandoned: bool,
    pub(super) pending: HashMap<u64, PendingCall, RandomState>,
    /// Requests that wait for their turn, oldest first.
    pub(super) queue: BTreeSet<u64>,
    pub(super) next_id: u64,
    /// Requests and waits that were sent and not answered.
    pub(super) requests_sent: usize,
    pub(super) waits_sent: usize,
    /// Bytes of this connection's output that were taken to be sent.
    pub(super) taken: u64,
    /// When to check for deadlines that have passed.
    pub(super) deadline: Option<Instant>,
    pub(super) frame_bytes_max: usize,
    pub(super) requests_in_flight_max: usize,
    pub(super) store_id: u64,
    pub(super) revision: Revision,
    /// Jobs that were handed out to this client and are not settled yet.
    pub(super) held: HeldJobs,
    pub(super) resuming: Resuming,
}

/// The work to do without the lock.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) answers: Vec<(oneshot::Sender<CallOutcome>, CallOutcome)>,
    pub(super) wakers: Vec<Waker>,
}

impl Effects {
    /// Sends all outcomes; returns the jobs that came too late for their callers.
    pub(super) fn deliver(self) -> Vec<Reservation> {
        let mut unwanted = Vec::new();
        for (to, outcome) in self.answers {
            // A caller that has gone needs no answer.
            if let Err(outcome) = to.send(outcome) {
                unwanted.extend(reserved(&outcome).iter().map(|job| job.reservation));
            }
        }
        for waker in self.wakers {
            waker.wake();
        }
        unwanted
    }
}

impl ClientSession {
    /// Makes a session on a connection that begins with `welcome`.
    pub(super) fn new(config: ClientConfig, welcome: &ServerWelcome) -> Self {
        let mut session = Self {
            link: ConnectionState::Up,
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
            deadline: None,
            frame_bytes_max: 0,
            requests_in_flight_max: 0,
            store_id: welcome.store_id,
            revision: 0,
            // The server's limit on how long jobs may be held is not known here.
            held: HeldJobs::new(Duration::MAX),
            resuming: Resuming::default(),
            config,
        };
        session.meet(welcome);
        session
    }

    /// Accepts a request and sends it if possible; returns its id.
    pub(super) fn submit(
        &mut self,
        call: RpcCall,
        to: oneshot::Sender<CallOutcome>,
        within: Option<Duration>,
        now: Instant,
    ) -> u64 {
        let mut pending = PendingCall::new(call, ReplyTarget::Caller(to));
        pending.resume.floor = self.revision;
        pending.deadline = within.and_then(|within| now.checked_add(within));
        if let RpcCall::Wait(wait) = &pending.call {
            pending.resume.after_given = wait.after.is_some();
        }
        if pending.is_wait() {
            pending.resume.ends = pending.own_wait().and_then(|wait| now.checked_add(wait));
            let grace = self.config.wait_grace;
            pending.deadline = pending.resume.ends.and_then(|ends| ends.checked_add(grace));
        }
        pending.lasts = pending.deadline.map(|deadline| deadline - now);
        let id = self.new_id();
        if let Some(error) = self.refusal() {
            answer(&mut self.effects, pending.to, Err(error));
            return id;
        }
        if let Some(known) = self.known_answer(&pending.call) {
            answer(&mut self.effects, pending.to, Ok(known));
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

    /// Makes a request that a stream needs.
    pub(super) fn ask(&mut self, id: u64, call: RpcCall, to: ReplyTarget, now: Instant) {
        self.enter(id, PendingCall::new(call, to), now);
    }

    pub(super) fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn refusal(&self) -> Option<Error> {
        if matches!(self.link, ConnectionState::Closing(_) | ConnectionState::Closed) {
            return Some(closed());
        }
        let max = self.config.requests_queued_max;
        (self.queue.len() >= max).then(|| queue_full(max))
    }

    pub(super) fn enter(&mut self, id: u64, pending: PendingCall, now: Instant) {
        let at_once = self.queue.is_empty() && self.admits(pending.is_wait())
            || self.is_parting() && pending.concludes();
        self.pending.insert(id, pending);
        if at_once {
            self.send(id, now);
        } else {
            self.queue.insert(id);
            // Without a connection, a request makes the driver open one.
            self.wake |= matches!(self.link, ConnectionState::Down(_));
        }
    }

    fn admits(&self, wait: bool) -> bool {
        self.link == ConnectionState::Up
            && !self.resuming.is_under_way()
            && self.out.len() < self.config.output_bytes_max
            && (wait || self.requests_sent < self.requests_in_flight_max)
    }

    /// Returns whether nothing new begins on this connection; settlements of its jobs are still sent.
    fn is_parting(&self) -> bool {
        matches!(self.link, ConnectionState::Leaving | ConnectionState::Closing(_))
    }

    /// Handles a server that accepts nothing new any more: settlements of this connection's jobs are
    /// sent now, because on the next connection they would be too late.
    fn part(&mut self, now: Instant) {
        self.link = ConnectionState::Leaving;
        let concludes = |id: &&u64| self.pending.get(*id).is_some_and(PendingCall::concludes);
        let last: Vec<u64> = self.queue.iter().filter(concludes).copied().collect();
        for id in last {
            self.queue.remove(&id);
            self.send(id, now);
        }
    }

    /// Sends the requests that wait for their turn, oldest first, as far as possible.
    pub(super) fn pump(&mut self, now: Instant) {
        while let Some(id) = self.queue.first().copied() {
            let Some(pending) = self.pending.get(&id) else {
                self.queue.pop_first();
                continue;
            };
            if let ReplyTarget::Add { stream, .. } = pending.to
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

    pub(super) fn send(&mut self, id: u64, now: Instant) {
        if self.pending.get(&id).is_some_and(PendingCall::reserves) {
            self.announce(now);
        }
        let Some(pending) = self.pending.get_mut(&id) else { return };
        let deadline_ms = pending.set_out(now);
        let at = self.taken + self.out.len() as u64;
        let body = WireCall::from(&pending.call);
        self.wake |= self.out.is_empty();
        let max = self.frame_bytes_max;
        let durability = pending.durability();
        let header = Header { durability, deadline_ms, ..Header::bare(Kind::Request, id) };
        match codec::encode_headed(&mut self.out, header, &body, max) {
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

    /// Appends a frame about the connection or a stream.
    pub(super) fn send_bare(&mut self, kind: Kind, id: u64) {
        self.wake |= self.out.is_empty();
        codec::encode_bare(&mut self.out, kind, id);
    }

    /// Cancels the request `id`.
    pub(super) fn abandon(&mut self, id: u64) {
        if self.forget(id) {
            return;
        }
        if let Some(pending) = self.pending.get_mut(&id) {
            // It keeps its place: the server has it until it answers.
            pending.to = ReplyTarget::Abandoned;
            pending.deadline = None;
            self.send_bare(Kind::Cancel, id);
        }
    }

    /// Withdraws a request that was not sent yet; returns whether it was withdrawn.
    pub(super) fn forget(&mut self, id: u64) -> bool {
        let unsent = self.pending.get(&id).is_some_and(|pending| pending.at.is_none());
        if unsent {
            self.pending.remove(&id);
            self.queue.remove(&id);
        }
        unsent
    }

    /// Moves the output to `into`, which must be empty. From then on, it may have been sent.
    pub(super) fn take_output(&mut self, into: &mut Vec<u8>, now: Instant) {
        mem::swap(&mut self.out, into);
        self.taken += into.len() as u64;
        if !self.queue.is_empty() {
            self.pump(now);
        }
    }

    /// Processes a frame of the server.
    ///
    /// # Errors
    /// The connection cannot continue.
    pub(super) fn apply(&mut self, inbound: Inbound, now: Instant) -> Result<(), Error> {
        match inbound {
            Inbound::Answer { id, outcome } => self.answered(id, outcome, now),
            Inbound::Push { id, push: Ok(Push::Parked { revision }), .. } => {
                self.parked(id, revision)
            }
            Inbound::Push { id, push, bytes } => return self.pushed(id, push, bytes),
            // A server that takes no output needs no pong: the output that it gets shows that this end
            // is alive.
            Inbound::Ping(id) if self.out.len() < self.config.output_bytes_max => {
                self.send_bare(Kind::Pong, id);
            }
            Inbound::Ping(_) | Inbound::Pong => {}
            Inbound::Goodbye => {
                if self.link == ConnectionState::Up {
                    self.part(now);
                }
            }
        }
        Ok(())
    }

    fn parked(&mut self, id: u64, revision: Revision) {
        self.revision = self.revision.max(revision);
        if let Some(wait) = self.pending.get_mut(&id).filter(|wait| wait.at.is_some()) {
            wait.resume.parked = Some(revision);
        }
    }

    fn answered(&mut self, id: u64, outcome: CallOutcome, now: Instant) {
        if self.pending.get(&id).is_none_or(|pending| pending.at.is_none()) {
            // Already cancelled; or the answer ends a whole stream.
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
        self.note_jobs(&pending.call, &outcome);
        match (pending.to, outcome) {
            (ReplyTarget::Resume, outcome) => self.resumed(&pending.call, &outcome),
            (ReplyTarget::Caller(to), Err(error)) if self.next_server_may(&error) => {
                pending.to = ReplyTarget::Caller(to);
                self.leave(id, pending, error);
            }
            (ReplyTarget::Caller(to), outcome) => self.effects.answers.push((to, outcome)),
            (ReplyTarget::Abandoned, outcome) => self.take_unwanted(&outcome, now),
            (ReplyTarget::Open, Ok(_)) => {}
            (ReplyTarget::Open, Err(error)) => self.stream_ended(id, error),
            (ReplyTarget::Add { stream, watch }, outcome) => {
                self.watch_added(stream, watch, outcome, now);
            }
            (ReplyTarget::Page { stream, watch }, outcome) => {
                self.watch_paged(stream, watch, outcome, now);
            }
        }
        if !self.queue.is_empty() {
            self.pump(now);
        }
    }

    /// Returns whether a refusal only means that this server is leaving.
    pub(super) fn next_server_may(&self, error: &Error) -> bool {
        error.code == ErrorCode::Unavailable && self.link == ConnectionState::Leaving
    }

    /// Handles a request that a leaving server refused: the next connection may execute it.
    fn leave(&mut self, id: u64, mut pending: PendingCall, error: Error) {
        if pending.resend() == Resend::Always {
            pending.retry();
            self.pending.insert(id, pending);
            self.queue.insert(id);
        } else {
            answer(&mut self.effects, pending.to, Err(error));
        }
    }

    /// Returns when the driver must call [`expire`](Self::expire).
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match self.link {
            ConnectionState::Closing(at) => {
                Some(self.deadline.map_or(at, |deadline| deadline.min(at)))
            }
            _ => self.deadline,
        }
    }

    /// Ends requests whose deadlines have passed.
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
            let to = mem::replace(&mut pending.to, ReplyTarget::Abandoned);
            self.abandon(id);
            answer(&mut self.effects, to, Err(error));
        }
    }
}

pub(super) fn answer(effects: &mut Effects, to: ReplyTarget, outcome: CallOutcome) {
    if let ReplyTarget::Caller(to) = to {
        effects.answers.push((to, outcome));
    }
}

fn seen(answer: &ServerAnswer) -> Revision {
    match answer {
        ServerAnswer::Reply(reply) => reply.reply.revision().unwrap_or_default(),
        ServerAnswer::Wait(
            WaitOutcome::Met { revision, .. } | WaitOutcome::Timeout { revision },
        ) => *revision,
        ServerAnswer::StreamOpen | ServerAnswer::WatchAdd(_) | ServerAnswer::WatchCancel => 0,
    }
}
