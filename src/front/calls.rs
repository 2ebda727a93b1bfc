//! [`Calls`]: the running method calls of a connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::environment::RandomState;

use super::outbox::{Outbox, Outgoing};
use crate::auth::{Access, Denied};
use crate::error::Error;
use crate::fair::ClientId;
use crate::handle::Wakeful;
use crate::methods::{MethodCaller, RunningCall};
use crate::model::Invocation;
use crate::session::Session;

/// The running method calls of a connection, by request id. Their answers arrive through the outbox;
/// dropping this drops the methods.
#[derive(Default)]
pub(super) struct Calls {
    /// `None` until the method is started.
    pending: HashMap<u64, Option<StartedCall>, RandomState>,
    /// Calls to be started, in order.
    asked: Vec<(u64, Option<Instant>, Invocation)>,
    /// Distinguishes a call from an earlier one with the same id.
    serial: u64,
    guarded: bool,
}

struct StartedCall {
    serial: u64,
    /// The name of the method; only on a server with users.
    method: Option<String>,
    _running: RunningCall,
}

impl Calls {
    /// Returns an empty set; `guarded` on a server with users.
    pub(super) fn new(guarded: bool) -> Self {
        Self { guarded, ..Self::default() }
    }

    /// Takes a call, which begins with the next [`start`](Self::start).
    pub(super) fn ask(&mut self, id: u64, deadline: Option<Instant>, invocation: Invocation) {
        self.pending.insert(id, None);
        self.asked.push((id, deadline, invocation));
    }

    /// Starts the accepted calls, and returns those that cannot be started.
    pub(super) fn start(
        &mut self,
        wakeful: &Wakeful,
        session: &Arc<Session>,
        client: ClientId,
        outbox: &Arc<Outbox>,
    ) -> Vec<(u64, Error)> {
        let mut refused = Vec::new();
        for (id, deadline, invocation) in std::mem::take(&mut self.asked) {
            self.serial += 1;
            let (serial, outbox) = (self.serial, Arc::clone(outbox));
            let (session, node) = (Arc::clone(session), wakeful.as_node());
            let caller = MethodCaller { session, client, node, deadline, request: Some(id) };
            let method = self.guarded.then(|| invocation.method.clone());
            let answer = move |result| outbox.push(Outgoing::Returned(id, serial, result));
            match wakeful.methods().start(invocation, caller, answer) {
                Ok(running) => {
                    self.pending
                        .insert(id, Some(StartedCall { serial, method, _running: running }));
                }
                Err(error) => {
                    self.pending.remove(&id);
                    refused.push((id, error));
                }
            }
        }
        refused
    }

    /// Returns true if the call `id` is running or to be started.
    pub(super) fn contains(&self, id: u64) -> bool {
        !self.pending.is_empty() && self.pending.contains_key(&id)
    }

    /// Removes the answered call `id`; returns false if it was cancelled before.
    pub(super) fn answered(&mut self, id: u64, serial: u64) -> bool {
        let started = self.pending.get(&id).and_then(Option::as_ref);
        let wanted = started.is_some_and(|started| started.serial == serial);
        wanted && self.pending.remove(&id).is_some()
    }

    /// Drops the call `id`; returns false if it was not started.
    pub(super) fn cancel(&mut self, id: u64) -> bool {
        let started = self.pending.get(&id).is_some_and(Option::is_some);
        started && self.pending.remove(&id).is_some()
    }

    /// Drops the calls that are no longer permitted, running or to be started, and returns each with
    /// the permission it lacks.
    pub(super) fn end_denied(&mut self, access: &Access) -> Vec<(u64, Denied)> {
        let denied = |started: &Option<StartedCall>| {
            access.permits_call(started.as_ref()?.method.as_ref()?).err()
        };
        let pending = self.pending.iter();
        let mut ended: Vec<(u64, Denied)> =
            pending.filter_map(|(id, started)| Some((*id, denied(started)?))).collect();
        self.asked.retain(|(id, _, invocation)| match access.permits_call(&invocation.method) {
            Ok(()) => true,
            Err(denial) => {
                ended.push((*id, denial));
                false
            }
        });
        ended.iter().for_each(|(id, _)| drop(self.pending.remove(id)));
        ended
    }

    /// Drops all calls.
    pub(super) fn end_all(&mut self) {
        *self = Self { serial: self.serial, ..Self::new(self.guarded) };
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Action, Pattern, Role};
    use crate::model::Payload;

    /// Regression: a call behind requests that the store had not taken yet ran although the permission
    /// was revoked meanwhile.
    #[test]
    fn a4_a_call_that_is_not_started_is_refused_when_it_is_revoked() {
        let mut calls = Calls::new(true);
        for (id, method) in [(1, "Kept.Do"), (2, "Lost.Do")] {
            calls.ask(
                id,
                None,
                Invocation { method: method.to_owned(), argument: Payload::Json("1".into()) },
            );
        }
        let mut role = Role::default();
        role.grant(Action::Call, Pattern::One("Kept".into()));
        let denied = calls.end_denied(&Access::new([&role]));
        assert_eq!(denied, [(2, Denied::On(Action::Call))]);
        let asked: Vec<u64> = calls.asked.iter().map(|(id, ..)| *id).collect();
        assert_eq!((asked, calls.contains(1), calls.contains(2)), (vec![1], true, false));
    }
}
