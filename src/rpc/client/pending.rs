//! [`Pending`]: a request that has no answer yet, and what a lost connection means for it.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::inbound::Outcome;
use crate::model::{
    GetRequest, KeyRange, RangeRequest, Reply, Request, Revision, WaitCondition, WaitRequest,
};
use crate::rpc::proto::{Call, millis};

/// A request that has no answer yet.
#[derive(Debug)]
pub(super) struct Pending {
    /// What is asked, kept to be sent again.
    pub(super) call: Call,
    /// Who gets the answer.
    pub(super) to: Target,
    /// When the caller gives up.
    pub(super) deadline: Option<Instant>,
    /// Where in the output of this connection it begins; `None` while it waits for its turn.
    pub(super) at: Option<u64>,
    /// Whether it may have been sent on a connection that was lost.
    pub(super) tried: bool,
    /// What a wait needs to go on after a lost connection.
    pub(super) resume: Resume,
}

/// Who gets the answer.
#[derive(Debug)]
pub(super) enum Target {
    /// A [`Call`](super::Call), or the `add` of a watch.
    Caller(oneshot::Sender<Outcome>),
    /// Nobody any more; the server still has it.
    Nobody,
    /// These waits, which were sent right after it: its revision is where they begin.
    Waits(Vec<u64>),
    /// The stream of this id is to be open.
    Open,
    /// A watch is to be on its stream.
    Add { stream: u64, watch: u64 },
    /// A watch reads on in its snapshot.
    Page { stream: u64, watch: u64 },
}

/// What a wait needs to go on after a lost connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Resume {
    /// When its time is over; `None` if only the server knows.
    pub(super) ends: Option<Instant>,
    /// The newest revision this client had seen when the wait was made.
    pub(super) floor: Revision,
    /// A revision between the call and its registration by the server, once known.
    pub(super) begin: Option<Revision>,
}

/// What may be done with a request whose connection was lost after it may have been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resend {
    /// It changes nothing, or only once: it is sent again.
    Always,
    /// It may have been done: the caller is told so.
    Never,
    /// It belongs to a stream, which asks anew.
    Stream,
}

impl Pending {
    pub(super) fn new(call: Call, to: Target) -> Self {
        Self { call, to, deadline: None, at: None, tried: false, resume: Resume::default() }
    }

    /// Whether it is a wait, which takes none of the places for requests in flight.
    pub(super) fn is_wait(&self) -> bool {
        matches!(self.call, Call::Wait(_))
    }

    pub(super) fn resend(&self) -> Resend {
        match (&self.to, &self.call) {
            (Target::Waits(_) | Target::Open | Target::Add { .. } | Target::Page { .. }, _)
            | (_, Call::StreamOpen { .. } | Call::WatchAdd { .. } | Call::WatchCancel { .. }) => {
                Resend::Stream
            }
            (_, Call::Wait(_) | Call::Store { idempotency: Some(_), .. }) => Resend::Always,
            (_, Call::Store { request, .. }) if only_reads(request) => Resend::Always,
            _ => Resend::Never,
        }
    }

    /// Whether the server must be asked where the wait begins, so that it can go on from there.
    pub(super) fn needs_begin(&self) -> bool {
        matches!(
            &self.call,
            Call::Wait(WaitRequest { condition: WaitCondition::Changed, after: None, .. })
        )
    }

    /// Makes a request that was on a lost connection ready to be sent again.
    ///
    /// A wait for a change goes on from where it began. Where the server never told where that
    /// was, from the newest revision this client knew: that can show a change of shortly before
    /// the call, but never lose one.
    pub(super) fn retry(&mut self) {
        self.at = None;
        self.tried = true;
        let Resume { floor, begin, .. } = self.resume;
        if self.needs_begin()
            && let Call::Wait(wait) = &mut self.call
        {
            wait.after = Some(begin.unwrap_or(floor));
        }
    }

    /// Whether it means something else, or nothing, in another store than it was made for.
    pub(super) fn bound_to_store(&self) -> bool {
        match &self.call {
            Call::Wait(wait) => {
                wait.after.is_some()
                    || matches!(wait.condition, WaitCondition::ModRevisionAbove(revision) if revision > 0)
            }
            Call::Store { idempotency: Some(_), .. } => self.tried,
            Call::Store { request: Request::Get(GetRequest { revision, .. }), .. }
            | Call::Store { request: Request::Range(RangeRequest { revision, .. }), .. } => {
                *revision > 0
            }
            _ => false,
        }
    }

    /// The deadline for the header; a wait's own timeout shrinks to what is left of it.
    pub(super) fn set_out(&mut self, now: Instant) -> u32 {
        if let Call::Wait(wait) = &mut self.call {
            if let Some(ends) = self.resume.ends {
                // At least a moment: the server then looks once and answers.
                let left = ends.saturating_duration_since(now);
                wait.timeout = Some(left.max(Duration::from_millis(1)));
            }
            return 0;
        }
        self.deadline.map_or(0, |deadline| {
            let left = millis(deadline.saturating_duration_since(now)).max(1);
            u32::try_from(left).unwrap_or(u32::MAX)
        })
    }
}

fn only_reads(request: &Request) -> bool {
    matches!(
        request,
        Request::Get(_)
            | Request::Range(_)
            | Request::LeaseTimeToLive(_)
            | Request::LeaseList { .. }
            | Request::Status
            | Request::Watchers { .. }
    )
}

/// Asks for nothing but the current revision, at the least cost.
pub(super) fn ask_revision() -> Call {
    let request = RangeRequest { count_only: true, ..RangeRequest::new(KeyRange::key(&[0])) };
    Call::Store { idempotency: None, request: Request::Range(request) }
}

/// The revision a reply was made at.
pub(super) fn revision_of(reply: &Reply) -> Revision {
    match reply {
        Reply::Set(reply) => reply.revision,
        Reply::Get(reply) => reply.revision,
        Reply::Range(reply) => reply.revision,
        Reply::Delete(reply) | Reply::LeaseRevoke(reply) => reply.revision,
        Reply::Txn(reply) => reply.revision,
        Reply::LeaseGrant(reply) | Reply::LeaseKeepAlive(reply) => reply.revision,
        Reply::LeaseTimeToLive(reply) => reply.revision,
        Reply::LeaseList(reply) => reply.revision,
        Reply::Compact(reply) => reply.revision,
        Reply::Status(reply) => reply.revision,
        Reply::Watchers(reply) => reply.revision,
        Reply::EndWatcher => 0,
    }
}
