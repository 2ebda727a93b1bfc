//! [`Authorization`]: who a connection has proved to be, and what it may do.

use std::sync::Arc;
use std::time::Duration;

use super::audit::Audit;
use super::outbox::Outbox;
use crate::actor::message::Done;
use crate::auth::{Access, Action, Auth, Credentials, Login};
use crate::error::{Error, ErrorCode};
use crate::handle::Wakeful;
use crate::model::{RpcCall, ServiceInfo};
use crate::queue::user_fingerprint;
use crate::session::{Identity, Session, Via};

/// Who a connection has proved to be, and what it may do. Where there are no users, everything.
pub(super) struct Authorization {
    session: Arc<Session>,
    guard: Option<AuthState>,
    audit: Audit,
}

/// Of a connection where there are users.
struct AuthState {
    auth: Auth,
    connection: u64,
    /// Of what is known of users, when it was last looked at.
    generation: u64,
    entered: Option<(Login, Arc<Access>)>,
}

/// What came of a change of what is known of users.
pub(super) enum AccessChange {
    /// Nothing that concerns this connection.
    Same,
    /// It may do other things than before.
    Changed(Arc<Access>),
    /// Its login is not valid any more.
    Gone,
}

impl Drop for AuthState {
    fn drop(&mut self) {
        self.auth.leave(self.connection);
    }
}

impl Authorization {
    pub(super) fn new(wakeful: &Wakeful, session: &Arc<Session>, outbox: &Arc<Outbox>) -> Self {
        let guard = wakeful.auth().map(|auth| {
            let outbox = Arc::clone(outbox);
            auth.listen(session.id(), move || outbox.revise());
            // A certificate proves a name; whether that is a user's is seen here.
            let identity = session.identity().filter(|identity| identity.via == Via::Certificate);
            let generation = auth.generation();
            let entered =
                identity.and_then(|identity| auth.enter_by_certificate(session.peer(), identity));
            AuthState { auth: auth.clone(), connection: session.id(), generation, entered }
        });
        let session = Arc::clone(session);
        if guard.as_ref().is_some_and(|guard| guard.entered.is_none()) {
            // Nobody that is known.
            session.set_identity(None);
        }
        Self { session, guard, audit: Audit::default() }
    }

    /// Whether there are users.
    pub(super) fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }

    /// How long a login may take, if it is still to come.
    pub(super) fn login_timeout(&self) -> Option<Duration> {
        let guard = self.guard.as_ref().filter(|guard| guard.entered.is_none());
        guard.map(|guard| guard.auth.login_timeout())
    }

    /// The fingerprint of the user that has logged in, by which the queue knows who may resume a
    /// reservation; 0 where there are no users.
    pub(super) fn user(&self) -> u64 {
        let entered = self.guard.as_ref().and_then(|guard| guard.entered.as_ref());
        entered.map_or(0, |(login, _)| user_fingerprint(&login.identity.name))
    }

    /// What is to be asked of those who know what a request is about; nothing of whoever may do
    /// everything.
    pub(super) fn restriction(&self) -> Option<Arc<Access>> {
        let (_, access) = self.guard.as_ref()?.entered.as_ref()?;
        (!access.is_admin()).then(|| Arc::clone(access))
    }

    /// Of all the services there are, those whose methods may be called.
    pub(super) fn callable(&self, mut services: Vec<ServiceInfo>) -> Vec<ServiceInfo> {
        if let Some(access) = self.restriction() {
            services.retain(|offered| access.has(Action::Call, offered.name.as_bytes()));
        }
        services
    }

    /// Takes note of what is known of users now.
    pub(super) fn revise(&mut self) -> AccessChange {
        let Some(guard) = &mut self.guard else { return AccessChange::Same };
        let generation = guard.auth.generation();
        if generation == guard.generation {
            return AccessChange::Same;
        }
        guard.generation = generation;
        let Some((login, access)) = &mut guard.entered else { return AccessChange::Same };
        match guard.auth.access(login) {
            Some(new) if new == *access => AccessChange::Same,
            Some(new) => {
                *access = Arc::clone(&new);
                AccessChange::Changed(new)
            }
            None => {
                guard.entered = None;
                self.session.set_identity(None);
                AccessChange::Gone
            }
        }
    }

    /// Whether a request is permitted, as far as its words say what it is about. What is known of
    /// users must be what it was at the last [`revise`](Self::revise).
    pub(super) fn check(&mut self, call: &RpcCall) -> Result<(), Error> {
        if let Some(guard) = &self.guard {
            let (_, access) = guard.entered.as_ref().ok_or_else(not_logged_in)?;
            let permit = match call {
                RpcCall::Store { request, .. } => access.permits(request),
                RpcCall::Wait(wait) => access.permits_wait(wait),
                RpcCall::StreamOpen { .. } => access.permits_stream(),
                RpcCall::WatchAdd { watch, .. } => access.permits_watch(watch),
                RpcCall::WatchCancel { .. } | RpcCall::Login(_) => Ok(()),
            };
            permit.map_err(Error::from)?;
        }
        if let RpcCall::Store { request, .. } = call {
            self.audit.note(&self.session, request);
        }
        Ok(())
    }

    /// Whether a method may be called, which is not noted.
    pub(super) fn check_method(&self, method: &str) -> Result<(), Error> {
        let Some(guard) = &self.guard else { return Ok(()) };
        let (_, access) = guard.entered.as_ref().ok_or_else(not_logged_in)?;
        access.permits_call(method).map_err(Error::from)
    }

    /// Takes note of an answer of the queue.
    pub(super) fn answered(&mut self, answer: &Result<Done, Error>) {
        self.audit.answered(answer);
    }

    /// Lets somebody in.
    ///
    /// # Errors
    /// Those of [`Auth::login`]; `InvalidArgument` where there are no users, or after a login.
    pub(super) async fn login(&mut self, credentials: Credentials) -> Result<Identity, Error> {
        let refuse = |message: String| Err(Error::new(ErrorCode::InvalidArgument, message));
        let Some(guard) = &mut self.guard else {
            return refuse("this server has no users: connect without a login".to_owned());
        };
        if let Some((login, _)) = &guard.entered {
            let name = &login.identity.name;
            return refuse(format!("logged in as {name} already; open another connection"));
        }
        let login = guard.auth.login(self.session.peer(), credentials).await?;
        // It may have gone while its password was checked.
        guard.generation = guard.auth.generation();
        let access = guard.auth.access(&login).ok_or_else(login_over)?;
        let identity = login.identity.clone();
        guard.entered = Some((login, access));
        self.session.set_identity(Some(identity.clone()));
        Ok(identity)
    }
}

/// What a stranger is told that asks for anything but to be let in.
pub(crate) fn not_logged_in() -> Error {
    let message = "not logged in: this server has users; log in first";
    Error::new(ErrorCode::NotLoggedIn, message)
}

/// Why a connection ends whose login is not valid any more.
pub(super) fn login_over() -> Error {
    let message = "the login is not valid any more: the user is gone, or its password or token is";
    Error::new(ErrorCode::NotLoggedIn, message)
}

/// Why a connection ends that does not log in.
pub(super) fn login_late() -> Error {
    let message = "no login within auth.login_timeout; the connection closes";
    Error::new(ErrorCode::NotLoggedIn, message)
}
