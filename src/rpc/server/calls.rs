//! [`Calls`]: the calls of methods that a connection has under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use ahash::RandomState;

use super::outbox::{Outbox, Outgoing};
use crate::error::Error;
use crate::methods::{Caller, Running};
use crate::model::Invocation;
use crate::service::Wakeful;
use crate::session::Session;

/// The calls of methods that a connection has under way, by request id. The answer to each comes by
/// the outbox; dropping this drops the methods.
#[derive(Default)]
pub(super) struct Calls {
    running: HashMap<u64, (u64, Running), RandomState>,
    /// Tells a call from an earlier one with the same id.
    serial: u64,
}

impl Calls {
    /// Starts a call.
    ///
    /// # Errors
    /// Nothing was called.
    pub(super) fn start(
        &mut self,
        id: u64,
        deadline: Option<Instant>,
        invocation: Invocation,
        (service, session, outbox): (&Wakeful, &Arc<Session>, &Arc<Outbox>),
    ) -> Result<(), Error> {
        let (session, wakeful) = (Arc::clone(session), service.clone());
        let outbox = Arc::clone(outbox);
        self.serial += 1;
        let serial = self.serial;
        let caller = Caller { session, wakeful, deadline };
        let running = service.methods().start(invocation, caller, move |result| {
            outbox.push(Outgoing::Returned(id, serial, result));
        })?;
        self.running.insert(id, (serial, running));
        Ok(())
    }

    /// Whether the call `id` is under way.
    pub(super) fn contains(&self, id: u64) -> bool {
        !self.running.is_empty() && self.running.contains_key(&id)
    }

    /// Notes the answer to the call `id`; whether that is wanted still.
    pub(super) fn answered(&mut self, id: u64, serial: u64) -> bool {
        let wanted = self.running.get(&id).is_some_and(|(running, _)| *running == serial);
        wanted && self.running.remove(&id).is_some()
    }

    /// Drops the call `id`; whether it was under way.
    pub(super) fn cancel(&mut self, id: u64) -> bool {
        !self.running.is_empty() && self.running.remove(&id).is_some()
    }

    /// Ends all.
    pub(super) fn end_all(&mut self) {
        self.running = HashMap::default();
    }

    pub(super) fn len(&self) -> usize {
        self.running.len()
    }
}
