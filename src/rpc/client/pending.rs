//! [`PendingCall`]: a request without an answer, and what a lost connection means for it.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::inbound::CallOutcome;
use super::jobs::{self, job_of};
use crate::model::facts::Repeat;
use crate::model::{JobRequest, Request, Revision, RpcCall, WaitCondition};
use crate::rpc::proto::{durability_byte, millis};

/// A request without an answer.
#[derive(Debug)]
pub(super) struct PendingCall {
    /// The call, kept to be resent.
    pub(super) call: RpcCall,
    /// The receiver of the answer.
    pub(super) to: ReplyTarget,
    /// The time when the caller gives up.
    pub(super) deadline: Option<Instant>,
    /// The time from the request until then; `None` for no limit.
    pub(super) lasts: Option<Duration>,
    /// The position of the request in the output of this connection; `None` while it waits for its
    /// turn.
    pub(super) at: Option<u64>,
    /// Whether it may have been sent on a connection that was lost.
    pub(super) tried: bool,
    /// The state that a wait needs to continue after a lost connection.
    pub(super) resume: Resume,
}

/// The receiver of the answer.
#[derive(Debug)]
pub(super) enum ReplyTarget {
    /// A [`Call`](super::Call), or the `add` of a watch.
    Caller(oneshot::Sender<CallOutcome>),
    /// No receiver; the server still has the request.
    Abandoned,
    /// The stream with this id is being opened.
    Open,
    /// A watch is being added to its stream.
    Add { stream: u64, watch: u64 },
    /// A watch requests the next page of its snapshot.
    Page { stream: u64, watch: u64 },
    /// Reservations are being resumed.
    Resume,
}

/// The state that a wait needs to continue after a lost connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Resume {
    /// The time when the wait ends; `None` if only the server knows.
    pub(super) ends: Option<Instant>,
    /// The newest revision that this client had seen when the wait was made.
    pub(super) floor: Revision,
    /// The server has parked the wait after considering everything up to this revision.
    pub(super) parked: Option<Revision>,
    /// Whether the caller has specified the revision to wait after.
    pub(super) after_given: bool,
}

/// Whether a request may be resent if its connection was lost after it may have been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resend {
    /// The request changes nothing, or only once: it is resent.
    Always,
    /// The request may have been executed, which its caller learns.
    Never,
    /// The request belongs to a stream or to this connection, which will send a new one.
    Stream,
}

impl PendingCall {
    pub(super) fn new(call: RpcCall, to: ReplyTarget) -> Self {
        Self {
            call,
            to,
            deadline: None,
            lasts: None,
            at: None,
            tried: false,
            resume: Resume::default(),
        }
    }

    /// Returns whether the request is a wait of any kind, which does not count as a request in flight.
    pub(super) fn is_wait(&self) -> bool {
        matches!(self.call, RpcCall::Wait(_)) || job_of(&self.call).is_some_and(JobRequest::parks)
    }

    /// Returns whether the answer may hand out jobs.
    pub(super) fn reserves(&self) -> bool {
        matches!(job_of(&self.call), Some(JobRequest::Reserve(_)))
    }

    /// Returns whether the request settles or keeps jobs; a leaving server still accepts such requests.
    pub(super) fn concludes(&self) -> bool {
        job_of(&self.call).is_some_and(JobRequest::concludes)
    }

    /// Returns how long a wait takes by itself; `None` if only the server knows.
    pub(super) fn own_wait(&self) -> Option<Duration> {
        match &self.call {
            RpcCall::Wait(wait) => wait.timeout,
            call => job_of(call).and_then(JobRequest::wait),
        }
    }

    pub(super) fn resend(&self) -> Resend {
        if let ReplyTarget::Open
        | ReplyTarget::Add { .. }
        | ReplyTarget::Page { .. }
        | ReplyTarget::Resume = self.to
        {
            return Resend::Stream;
        }
        let may = |repeats| if repeats { Resend::Always } else { Resend::Never };
        match self.call.facts().repeat {
            Repeat::Always => Resend::Always,
            Repeat::Keyed => may(self.call.is_keyed()),
            Repeat::Indexed => may(jobs::stays_indexed(&self.call, self.lasts)),
            Repeat::Never => Resend::Never,
            Repeat::Renewed => Resend::Stream,
        }
    }

    /// Prepares a request that was on a lost connection for being resent.
    ///
    /// A wait continues from where it was parked: everything since then is in the history, so nothing
    /// is lost. A wait for any change that the server had not reported as parked continues from the
    /// newest revision that this client knew when it was made: it can return a change from shortly
    /// before the call, but never miss one. Other conditions are evaluated again.
    pub(super) fn retry(&mut self) {
        self.at = None;
        self.tried = true;
        let RpcCall::Wait(wait) = &mut self.call else { return };
        if let Some(parked) = self.resume.parked.take() {
            wait.after = Some(parked);
        } else if wait.after.is_none() && wait.condition == WaitCondition::Changed {
            wait.after = Some(self.resume.floor);
        }
    }

    /// Adapts the request to another store than the one it was made for, at `revision` now; returns
    /// whether it has the same meaning there.
    pub(super) fn change_store(&mut self, revision: Revision) -> bool {
        self.resume.floor = revision;
        match &mut self.call {
            RpcCall::Wait(wait) => {
                let of_revisions = match wait.condition {
                    WaitCondition::Changed => wait.after.is_some(),
                    WaitCondition::ModRevisionAbove(above) => above > 0,
                    WaitCondition::Exists
                    | WaitCondition::Absent
                    | WaitCondition::Equals(_)
                    | WaitCondition::Differs(_) => false,
                };
                if of_revisions || self.resume.after_given {
                    return false;
                }
                // The state is evaluated again.
                wait.after = None;
                true
            }
            RpcCall::Store { options, request } => {
                let facts = request.facts();
                let indexed = facts.repeat == Repeat::Indexed;
                let once = options.idempotency.is_some() || indexed;
                let done_maybe = once && self.tried;
                !done_maybe && !facts.names.is_of_store()
            }
            // Requests of streams, which end with the store.
            RpcCall::StreamOpen { .. } | RpcCall::WatchAdd { .. } | RpcCall::WatchCancel { .. } => {
                true
            }
            // Sent before anything else.
            RpcCall::Login(_) => true,
        }
    }

    /// Returns the requested durability, for the header.
    pub(super) fn durability(&self) -> u8 {
        match &self.call {
            RpcCall::Store { options, .. } => durability_byte(options.durability),
            _ => 0,
        }
    }

    /// Returns the deadline for the header; a wait's own timeout is reduced to what is left of it.
    pub(super) fn set_out(&mut self, now: Instant) -> u32 {
        if self.is_wait() {
            if let Some(ends) = self.resume.ends {
                let left = ends.saturating_duration_since(now);
                // At least a moment: the server then checks once and answers.
                let left = left.max(Duration::from_millis(1));
                match &mut self.call {
                    RpcCall::Wait(wait) => wait.timeout = Some(left),
                    RpcCall::Store { request: Request::Job(job), .. } => {
                        job.wait_at_most(left, left)
                    }
                    _ => {}
                }
            }
            return 0;
        }
        self.deadline.map_or(0, |deadline| {
            let left = millis(deadline.saturating_duration_since(now)).max(1);
            u32::try_from(left).unwrap_or(u32::MAX)
        })
    }
}
