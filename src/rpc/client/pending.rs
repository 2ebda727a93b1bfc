//! [`Pending`]: a request that has no answer yet, and what a lost connection means for it.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::inbound::Outcome;
use super::jobs::{self, job_of};
use crate::model::facts::Repeat;
use crate::model::{JobRequest, Request, Revision, WaitCondition};
use crate::rpc::proto::{Call, durability_byte, millis};

/// A request that has no answer yet.
#[derive(Debug)]
pub(super) struct Pending {
    /// What is asked, kept to be sent again.
    pub(super) call: Call,
    /// Who gets the answer.
    pub(super) to: Target,
    /// When the caller gives up.
    pub(super) deadline: Option<Instant>,
    /// How long that was from when it was asked; `None` if the caller does not.
    pub(super) lasts: Option<Duration>,
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
    /// The stream of this id is to be open.
    Open,
    /// A watch is to be on its stream.
    Add { stream: u64, watch: u64 },
    /// A watch reads on in its snapshot.
    Page { stream: u64, watch: u64 },
    /// Reservations are to be this connection's.
    Resume,
}

/// What a wait needs to go on after a lost connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Resume {
    /// When its time is over; `None` if only the server knows.
    pub(super) ends: Option<Instant>,
    /// The newest revision this client had seen when the wait was made.
    pub(super) floor: Revision,
    /// The server parked it, having looked at everything up to this revision.
    pub(super) parked: Option<Revision>,
    /// Whether the caller has said after which revision.
    pub(super) after_given: bool,
}

/// What may be done with a request whose connection was lost after it may have been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resend {
    /// It changes nothing, or only once: it is sent again.
    Always,
    /// It may have been done: the caller is told so.
    Never,
    /// It belongs to a stream, or to this connection, which asks anew.
    Stream,
}

impl Pending {
    pub(super) fn new(call: Call, to: Target) -> Self {
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

    /// Whether it is a wait, of whatever kind, which takes none of the places for requests in
    /// flight.
    pub(super) fn is_wait(&self) -> bool {
        matches!(self.call, Call::Wait(_)) || job_of(&self.call).is_some_and(JobRequest::parks)
    }

    /// Whether its answer may hand out jobs.
    pub(super) fn reserves(&self) -> bool {
        matches!(job_of(&self.call), Some(JobRequest::Reserve(_)))
    }

    /// Whether it settles or holds on to jobs, which a server that leaves still takes.
    pub(super) fn concludes(&self) -> bool {
        job_of(&self.call).is_some_and(JobRequest::concludes)
    }

    /// How long a wait takes by itself; `None` if only the server knows.
    pub(super) fn own_wait(&self) -> Option<Duration> {
        match &self.call {
            Call::Wait(wait) => wait.timeout,
            call => job_of(call).and_then(JobRequest::wait),
        }
    }

    pub(super) fn resend(&self) -> Resend {
        if let Target::Open | Target::Add { .. } | Target::Page { .. } | Target::Resume = self.to {
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

    /// Makes a request that was on a lost connection ready to be sent again.
    ///
    /// A wait goes on from where it was parked: what happened since comes from history, so
    /// nothing is lost. A wait for a change of which the server had not said so goes on from the
    /// newest revision this client knew when it was made: that can show a change of shortly
    /// before the call, but never lose one. Other conditions are looked at anew.
    pub(super) fn retry(&mut self) {
        self.at = None;
        self.tried = true;
        let Call::Wait(wait) = &mut self.call else { return };
        if let Some(parked) = self.resume.parked.take() {
            wait.after = Some(parked);
        } else if wait.after.is_none() && wait.condition == WaitCondition::Changed {
            wait.after = Some(self.resume.floor);
        }
    }

    /// Makes it ready for another store than it was made for, at `revision` now; whether it
    /// means the same there.
    pub(super) fn change_store(&mut self, revision: Revision) -> bool {
        self.resume.floor = revision;
        match &mut self.call {
            Call::Wait(wait) => {
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
                // The state is looked at anew.
                wait.after = None;
                true
            }
            Call::Store { options, request } => {
                let facts = request.facts();
                let indexed = facts.repeat == Repeat::Indexed;
                let once = options.idempotency.is_some() || indexed;
                let done_maybe = once && self.tried;
                !done_maybe && !facts.names.is_of_store()
            }
            // Of streams, which end with the store.
            Call::StreamOpen { .. } | Call::WatchAdd { .. } | Call::WatchCancel { .. } => true,
            // Done before anything else.
            Call::Login(_) => true,
        }
    }

    /// How durable the answer is to be, for the header.
    pub(super) fn durability(&self) -> u8 {
        match &self.call {
            Call::Store { options, .. } => durability_byte(options.durability),
            _ => 0,
        }
    }

    /// The deadline for the header; a wait's own timeout shrinks to what is left of it.
    pub(super) fn set_out(&mut self, now: Instant) -> u32 {
        if self.is_wait() {
            if let Some(ends) = self.resume.ends {
                let left = ends.saturating_duration_since(now);
                // At least a moment: the server then looks once and answers.
                let left = left.max(Duration::from_millis(1));
                match &mut self.call {
                    Call::Wait(wait) => wait.timeout = Some(left),
                    Call::Store { request: Request::Job(job), .. } => job.wait_at_most(left, left),
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
