//! The [`ConnectionState`] of a [`ClientSession`]: what happens to requests and watches when a connection is opened,
//! lost or closed.

use std::mem;
use std::time::Instant;

use super::pending::{ReplyTarget, Resend};
use super::reason::{closed, store_changed, unknown};
use super::session::{ClientSession, answer};
use super::stream::ClientStream;
use crate::error::Error;
use crate::model::Revision;
use crate::rpc::frame::Kind;

/// The server's properties, from its welcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerWelcome {
    pub(super) store_id: u64,
    pub(super) revision: Revision,
    pub(super) frame_bytes_max: usize,
    pub(super) requests_in_flight_max: usize,
}

/// The state of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ConnectionState {
    /// Lost, for this reason.
    Down(Error),
    Up,
    /// The server has sent a goodbye: requests in flight end, the rest waits for the next connection.
    Leaving,
    /// The client closes: requests in flight end, then everything, at this time at the latest.
    Closing(Instant),
    /// Closed for good.
    Closed,
}

impl ClientSession {
    /// Handles the loss of the connection: requests that change nothing wait for the next one; a write
    /// that may have been sent fails.
    pub(super) fn cut(&mut self, error: Error) {
        let taken = self.taken;
        let addr = &self.config.addr;
        let effects = &mut self.effects;
        let queue = &mut self.queue;
        self.pending.retain(|id, pending| {
            let sent = pending.at.is_some_and(|at| at < taken);
            if matches!(pending.to, ReplyTarget::Abandoned) || pending.resend() == Resend::Stream {
                queue.remove(id);
                return false;
            }
            if sent && pending.resend() == Resend::Never {
                let to = mem::replace(&mut pending.to, ReplyTarget::Abandoned);
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
        self.resuming.cut();
        (self.taken, self.requests_sent, self.waits_sent) = (0, 0, 0);
        for stream in self.streams.values_mut() {
            stream.detach();
        }
        if !matches!(self.link, ConnectionState::Closing(_) | ConnectionState::Closed) {
            self.link = ConnectionState::Down(error);
        }
    }

    /// Handles a new connection: everything that waits for one continues.
    pub(super) fn welcome(&mut self, welcome: &ServerWelcome, now: Instant) {
        if welcome.store_id != self.store_id {
            self.change_store(welcome);
        }
        self.link = ConnectionState::Up;
        self.meet(welcome);
        self.resume(now);
        let streams: Vec<u64> = self.streams.keys().copied().collect();
        for stream in streams {
            self.serve_stream(stream, now);
        }
        self.pump(now);
    }

    pub(super) fn meet(&mut self, welcome: &ServerWelcome) {
        self.frame_bytes_max = self.config.frame_bytes_max.min(welcome.frame_bytes_max);
        let max = self.config.requests_in_flight_max.min(welcome.requests_in_flight_max);
        self.requests_in_flight_max = max.max(1);
        self.revision = self.revision.max(welcome.revision);
    }

    fn change_store(&mut self, welcome: &ServerWelcome) {
        self.store_id = welcome.store_id;
        self.revision = 0;
        let error = store_changed(&self.config.addr);
        let (effects, queue) = (&mut self.effects, &mut self.queue);
        self.pending.retain(|id, pending| {
            if pending.change_store(welcome.revision) {
                return true;
            }
            queue.remove(id);
            let to = mem::replace(&mut pending.to, ReplyTarget::Abandoned);
            answer(effects, to, Err(error.clone()));
            false
        });
        self.end_streams(&error);
        let held = self.held.iter().collect();
        self.lose(held);
    }

    /// Begins to close: waits, watches and unsent requests end now, requests in flight may take
    /// `close_timeout`. Held jobs go back, including those of a reserve in flight.
    pub(super) fn close(&mut self, now: Instant) {
        self.wake = true;
        let until = now.checked_add(self.config.close_timeout).unwrap_or(now);
        let was_up = matches!(self.link, ConnectionState::Up | ConnectionState::Leaving);
        if matches!(self.link, ConnectionState::Closing(_) | ConnectionState::Closed) {
            return;
        }
        self.link = if was_up { ConnectionState::Closing(until) } else { ConnectionState::Closed };
        let effects = &mut self.effects;
        let mut reserving = Vec::new();
        self.pending.retain(|id, pending| {
            let sent = was_up && pending.at.is_some();
            if sent && !pending.is_wait() {
                return true;
            }
            let to = mem::replace(&mut pending.to, ReplyTarget::Abandoned);
            answer(effects, to, Err(closed()));
            let stays = sent && pending.reserves();
            if stays {
                pending.deadline = None;
                reserving.push(*id);
            }
            stays
        });
        self.queue.clear();
        self.waits_sent = reserving.len();
        self.end_streams(&closed());
        if was_up {
            reserving.into_iter().for_each(|id| self.send_bare(Kind::Cancel, id));
            self.give_back(self.held.iter().collect(), now);
            self.send_bare(Kind::Goodbye, 0);
        }
    }

    /// Handles the drop of the last handle: nothing can settle the held jobs any more, so they are
    /// handed out to others at once.
    pub(super) fn abandon_all(&mut self) {
        (self.abandoned, self.wake) = (true, true);
        if matches!(self.link, ConnectionState::Up | ConnectionState::Leaving) {
            self.send_bare(Kind::Goodbye, 0);
        }
    }

    /// Ends everything with this error: the driver is gone, or there will never be another connection.
    pub(super) fn end(&mut self, error: &Error) {
        self.link = ConnectionState::Closed;
        self.refuse_all(error);
    }

    /// Ends all requests, streams and reservations; later requests are tried again.
    pub(super) fn refuse_all(&mut self, error: &Error) {
        self.lose(self.held.iter().collect());
        self.queue.clear();
        for (_, pending) in self.pending.drain() {
            answer(&mut self.effects, pending.to, Err(error.clone()));
        }
        self.end_streams(error);
    }

    /// Returns whether the driver has nothing left to do, ever.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.abandoned
            || match self.link {
                ConnectionState::Closed => true,
                ConnectionState::Closing(at) => {
                    self.requests_sent + self.waits_sent == 0 || now >= at
                }
                _ => false,
            }
    }

    /// Returns whether nothing more will arrive on a connection that the server is leaving.
    pub(super) fn is_left(&self) -> bool {
        self.link == ConnectionState::Leaving
            && self.requests_sent + self.waits_sent == 0
            && self.held.is_empty()
            && !self.streams.values().any(|stream| stream.opened)
    }

    /// Returns the reason why there is no connection; `None` if there is one.
    pub(super) fn why_down(&self) -> Option<Error> {
        match &self.link {
            ConnectionState::Down(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Returns whether anything waits for a connection.
    pub(super) fn is_wanted(&self) -> bool {
        !self.pending.is_empty()
            || !self.held.is_empty()
            || self.resuming.gives_back()
            || self.streams.values().any(ClientStream::is_active)
    }
}
