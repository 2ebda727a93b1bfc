//! Deadlines of a connection: a peer that takes too long is disconnected, a silent one is pinged.

use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use super::Connection;
use crate::environment;
use crate::error::{Error, ErrorCode};
use crate::front::authorization::login_late;
use crate::front::protocol::{End, Fatal, Protocol, protocol};
use crate::stranger_lines::{LineKind, log_stranger};

impl<S: AsyncRead + AsyncWrite + Unpin, W: Protocol> Connection<S, W> {
    pub(super) fn note_blocked(&mut self, progress: bool) {
        if !progress && self.blocked.is_some() {
            return;
        }
        let now = environment::now();
        self.blocked = Some(now);
        // A peer that takes output is alive, although its input is not read meanwhile.
        (self.heard, self.pinged) = (now, None);
        self.arm(now + self.config().write_timeout);
    }

    /// Sets the timer to `deadline`, unless it ends before.
    pub(super) fn arm(&mut self, deadline: Instant) {
        if deadline < self.timer.deadline().into_std() {
            self.timer.as_mut().reset(deadline.into());
        }
    }

    /// Ends a connection that took too long, pings a silent peer, and sets the timer for the next
    /// check.
    pub(super) fn check_deadlines(&mut self) -> Result<(), End> {
        let now = environment::now();
        let waits = self.dispatcher.has_answers() || self.dispatcher.has_rest();
        if !self.may_read() || self.room() == 0 || waits {
            // This side does not read, so silence is not the peer's fault.
            (self.heard, self.pinged) = (now, None);
            self.inbox.partial_since = self.inbox.partial_since.map(|_| now);
        }
        let config = self.config();
        let too_slow = |what: &str| Err(End::Fatal(protocol(what)));
        if !self.wakeful.store().connected() {
            // No request of this connection can be answered any more.
            let error = Error::new(ErrorCode::Unavailable, "the service has stopped");
            return Err(End::Fatal(Fatal::Error(error)));
        }
        if !self.protocol.is_open() && self.accepted + config.handshake_timeout <= now {
            return Err(End::Fatal(self.protocol.late()));
        }
        if self.login_deadline().is_some_and(|deadline| deadline <= now) {
            return Err(End::Fatal(Fatal::Error(login_late())));
        }
        if self.inbox.partial_since.is_some_and(|since| since + config.frame_timeout <= now) {
            return too_slow("a frame took longer than rpc.frame_timeout");
        }
        if self.blocked.is_some_and(|since| since + config.write_timeout <= now) {
            log_stranger!(
                self.dispatcher,
                LineKind::Stalled,
                INFO,
                "reads nothing for rpc.write_timeout; closing"
            );
            return Err(End::Gone);
        }
        if self.pinged.is_some_and(|at| at + config.ping_timeout <= now) {
            log_stranger!(
                self.dispatcher,
                LineKind::Stalled,
                INFO,
                "silent after a ping for rpc.ping_timeout; closing"
            );
            return Err(End::Gone);
        }
        if self.hung_up.is_some_and(|since| since + config.shutdown_grace <= now) {
            return Err(End::Gone);
        }
        // Without pings, the kernel probes the peer, which may be idle without a limit.
        let pings = self.protocol.is_open() && self.protocol.has_pings();
        let silent = pings && self.heard + config.ping_interval <= now;
        if silent && self.pinged.is_none() {
            self.pinged = Some(now);
            self.protocol.ping(&mut self.output);
        }
        let next = self.next_deadline();
        self.timer.as_mut().reset(next.into());
        Ok(())
    }

    /// Returns the time by which the peer must have logged in.
    fn login_deadline(&self) -> Option<Instant> {
        self.dispatcher.login_timeout().map(|timeout| self.accepted + timeout)
    }

    pub(super) fn next_deadline(&self) -> Instant {
        let config = self.config();
        let steady = match self.pinged {
            _ if !self.protocol.is_open() => self.accepted + config.handshake_timeout,
            Some(at) => at + config.ping_timeout,
            None if !self.protocol.has_pings() => environment::now() + config.ping_interval,
            None => self.heard + config.ping_interval,
        };
        let frame = self.inbox.partial_since.map(|since| since + config.frame_timeout);
        let write = self.blocked.map(|since| since + config.write_timeout);
        let end = self.hung_up.map(|since| since + config.shutdown_grace);
        let login = self.login_deadline();
        [frame, write, end, login].into_iter().flatten().fold(steady, Instant::min)
    }
}
