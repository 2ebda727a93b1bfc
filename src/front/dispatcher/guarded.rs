//! Logins and revocation: what a [`RequestDispatcher`] does on a server with users. Remembers the
//! scope of what lasts, and ends what is no longer permitted.

use std::sync::Arc;
use std::time::Duration;

use super::{End, Fatal, PendingWatch, RequestDispatcher, UnansweredWait, WatchScope};
use crate::actor::AnswerSink;
use crate::actor::message::{CancelWaits, Done, Requests, StreamRef, Task, TaskRequest};
use crate::auth::{Access, Credentials, reads};
use crate::error::Error;
use crate::front::authorization::{AccessChange, login_over};
use crate::front::jobs::OWN_ID;
use crate::front::request_log::TARGET;
use crate::model::{KeyBuffer, RpcCall};
use crate::store::{StoreError, client_of_user};
use crate::stranger_lines::LineKind;

impl RequestDispatcher {
    /// Returns true if the peer must log in and has not.
    pub(crate) fn is_strange(&self) -> bool {
        self.authorization.login_timeout().is_some()
    }

    /// Returns true if a request may be logged, where requests are logged: the lines of peers that
    /// have not logged in are limited.
    pub(super) fn may_log_request(&self) -> bool {
        !self.is_strange()
            || tracing::enabled!(target: TARGET, tracing::Level::DEBUG)
                && self.wakeful.strangers().admits(LineKind::Request)
    }

    /// Returns the time limit of the login; `None` once logged in, and without users.
    pub(in crate::front) fn login_timeout(&self) -> Option<Duration> {
        self.authorization.login_timeout()
    }

    /// Processes a login, and answers it.
    ///
    /// # Errors
    /// The id is in flight.
    pub(crate) async fn login(&mut self, id: u64, credentials: Credentials) -> Result<(), End> {
        self.note_id(id)?;
        let answer = self.authorization.login(credentials).await;
        if let Ok(identity) = &answer {
            self.jobs.user = self.authorization.user();
            let name = format!("{} as {}", self.owner.name, identity.name);
            let client = client_of_user(&identity.name);
            self.rename_owner(name, client);
        }
        self.answers.push_back((id, answer.map(Done::LoggedIn)));
        Ok(())
    }

    /// Returns the scope of a wait or watch; `None` without users, and for other calls.
    pub(super) fn awaits(&self, call: &Result<RpcCall, Error>) -> Option<Box<PendingWatch>> {
        if !self.authorization.is_guarded() {
            return None;
        }
        let (watch_id, range, reads) = match call.as_ref().ok()? {
            RpcCall::Wait(wait) => (0, &wait.range, false),
            RpcCall::WatchAdd { watch_id, watch, .. } => (*watch_id, &watch.range, reads(watch)),
            _ => return None,
        };
        let interest = WatchScope { range: range.clone(), reads };
        Some(Box::new(PendingWatch { watch_id, interest }))
    }

    /// Ends what is no longer permitted: waits, watches, method calls, requests parked in the queue,
    /// and reservations of jobs.
    ///
    /// # Errors
    /// The login is no longer valid, so the connection must end.
    pub(in crate::front) async fn revise(&mut self) -> Result<(), End> {
        match self.authorization.revise() {
            AccessChange::Same => Ok(()),
            AccessChange::Gone => {
                self.jobs.parted = true;
                Err(End::Fatal(Fatal::Error(login_over())))
            }
            AccessChange::Changed(access) => {
                self.refuse_denied_rest(&access);
                self.end_denied_waits(&access);
                self.end_denied_calls(&access);
                self.jobs.revise(&self.wakeful, &access, Arc::clone(&self.outbox) as _);
                self.end_denied_watches(&access).await
            }
        }
    }

    /// Refuses requests that are no longer permitted and not handed over yet.
    fn refuse_denied_rest(&mut self, access: &Access) {
        for work in &mut self.works {
            let permit = match &work.task {
                Task::Key(request) => access.permits_key(request, &self.keys),
                Task::Store(task) => access.permits_store(&task.request),
                Task::Wait { request, .. } => access.permits_wait(request),
                Task::OpenStream { .. } => access.permits_stream(),
                Task::Watch { request, .. } => access.permits_watch(request),
                Task::CancelWatch { .. } | Task::Refused(_) => Ok(()),
            };
            if let Err(need) = permit {
                work.task = Task::refused(need);
            }
        }
        for (id, denial) in self.jobs.take_denied_rest(access) {
            self.answers.push_back((id, Err(denial.into())));
        }
    }

    fn end_denied_waits(&mut self, access: &Access) {
        let denied = |parked: &UnansweredWait| {
            parked.interest.as_ref().is_some_and(|interest| interest.is_denied(access))
        };
        let mut handles = Vec::new();
        for (id, parked) in self.waits.extract_if(|_, parked| denied(parked)) {
            handles.push(parked.handle);
            self.answers.push_back((id, Err(StoreError::Denied.into())));
        }
        if !handles.is_empty() {
            // bound: one for each change of the users
            self.wakeful.store().do_send(CancelWaits(handles));
        }
    }

    fn end_denied_calls(&mut self, access: &Access) {
        for (id, denial) in self.calls.end_denied(access) {
            self.answers.push_back((id, Err(denial.into())));
        }
    }

    async fn end_denied_watches(&mut self, access: &Access) -> Result<(), End> {
        let works = self.streams.end_denied(access).into_iter().map(|(stream, watch_id)| {
            let task = Task::CancelWatch { stream: StreamRef::Open(stream), watch_id };
            TaskRequest { id: OWN_ID, deadline: None, task }
        });
        let works: Vec<TaskRequest> = works.collect();
        if works.is_empty() {
            return Ok(());
        }
        let sink = Arc::clone(&self.outbox) as Arc<dyn AnswerSink>;
        let owner = Arc::clone(&self.owner);
        let keys = KeyBuffer::default();
        let requests = Requests { owner, works, keys, sink, restriction: None, replies: None };
        // A watch that has ended meanwhile needs no cancel, so the answers do not matter.
        self.wakeful.store().send(requests).await.map(drop).map_err(|_| End::Gone)
    }

    /// Removes from answers of the queue what the peer may not see.
    pub(super) fn screen(&mut self, answers: &mut Vec<(u64, Result<Done, Error>)>) {
        if !self.authorization.is_guarded() {
            return;
        }
        let restriction = self.authorization.restriction();
        answers.retain(|(id, _)| *id != OWN_ID);
        for (id, answer) in answers {
            self.jobs.screen(*id, answer, restriction.as_deref());
        }
        self.jobs.give_back(&self.wakeful, Arc::clone(&self.outbox) as _);
    }
}
