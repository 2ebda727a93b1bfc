//! [`Authorization`]: the proved identity of a connection, and its permissions.

use std::sync::Arc;
use std::time::Duration;

use super::audit::Audit;
use super::outbox::Outbox;
use crate::actor::message::Done;
use crate::auth::{Access, Action, Auth, Credentials, Login};
use crate::error::{Error, ErrorCode};
use crate::handle::Wakeful;
use crate::model::{KeyBuffer, KeyRequest, RpcCall, ServiceInfo};
use crate::queue::user_fingerprint;
use crate::session::{Identity, Session, Via};

/// The proved identity of a connection, and its permissions. Without users, everything is permitted.
pub(super) struct Authorization {
    session: Arc<Session>,
    guard: Option<AuthState>,
    audit: Audit,
}

/// The login of a connection, on a server with users.
struct AuthState {
    auth: Auth,
    connection: u64,
    /// The generation of the user file that the permissions come from.
    generation: u64,
    entered: Option<(Login, Arc<Access>)>,
}

/// The effect of a changed user file on a connection.
pub(super) enum AccessChange {
    /// The permissions are unchanged.
    Same,
    /// The new permissions.
    Changed(Arc<Access>),
    /// The login is no longer valid.
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
            // A certificate proves a name, which may not be that of a user.
            let identity = session.identity().filter(|identity| identity.via == Via::Certificate);
            let generation = auth.generation();
            let entered =
                identity.and_then(|identity| auth.enter_by_certificate(session.peer(), identity));
            AuthState { auth: auth.clone(), connection: session.id(), generation, entered }
        });
        let session = Arc::clone(session);
        if guard.as_ref().is_some_and(|guard| guard.entered.is_none()) {
            // A certificate of an unknown user is no identity.
            session.set_identity(None);
        }
        Self { session, guard, audit: Audit::default() }
    }

    /// Returns true if the server has users.
    pub(super) fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }

    /// Returns the time limit of the login; `None` once logged in, and without users.
    pub(super) fn login_timeout(&self) -> Option<Duration> {
        let guard = self.guard.as_ref().filter(|guard| guard.entered.is_none());
        guard.map(|guard| guard.auth.login_timeout())
    }

    /// Returns the fingerprint of the logged-in user, by which the queue decides who may resume a
    /// reservation; 0 without users.
    pub(super) fn user(&self) -> u64 {
        let entered = self.guard.as_ref().and_then(|guard| guard.entered.as_ref());
        entered.map_or(0, |(login, _)| user_fingerprint(&login.identity.name))
    }

    /// Returns the permissions that the actors must check themselves, because only they know the
    /// subject of some requests; `None` if everything is permitted.
    pub(super) fn restriction(&self) -> Option<Arc<Access>> {
        let (_, access) = self.guard.as_ref()?.entered.as_ref()?;
        (!access.is_admin()).then(|| Arc::clone(access))
    }

    /// Returns those of `services` that the peer may call.
    pub(super) fn callable(&self, mut services: Vec<ServiceInfo>) -> Vec<ServiceInfo> {
        if let Some(access) = self.restriction() {
            services.retain(|offered| access.has(Action::Call, offered.name.as_bytes()));
        }
        services
    }

    /// Updates the permissions from the user file, and returns what changed.
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

    /// Checks a call as far as the call itself shows its subject, and logs an administrative act.
    /// Call [`revise`](Self::revise) first in the same turn: these are the permissions as of then.
    ///
    /// # Errors
    /// `NotLoggedIn` or `PermissionDenied`.
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

    /// Checks a request about one key, which is no administrative act; otherwise as
    /// [`check`](Self::check).
    ///
    /// # Errors
    /// `NotLoggedIn` or `PermissionDenied`.
    #[inline]
    pub(super) fn check_key(&self, request: &KeyRequest, keys: &KeyBuffer) -> Result<(), Error> {
        let Some(guard) = &self.guard else { return Ok(()) };
        let (_, access) = guard.entered.as_ref().ok_or_else(not_logged_in)?;
        access.permits_key(request, keys).map_err(Error::from)
    }

    /// Checks whether a method may be called, without a line in the audit log.
    ///
    /// # Errors
    /// `NotLoggedIn` or `PermissionDenied`.
    pub(super) fn check_method(&self, method: &str) -> Result<(), Error> {
        let Some(guard) = &self.guard else { return Ok(()) };
        let (_, access) = guard.entered.as_ref().ok_or_else(not_logged_in)?;
        access.permits_call(method).map_err(Error::from)
    }

    /// Passes an answer of the queue to the audit log.
    pub(super) fn answered(&mut self, answer: &Result<Done, Error>) {
        self.audit.answered(answer);
    }

    /// Logs the peer in.
    ///
    /// # Errors
    /// Those of [`Auth::login`]; `InvalidArgument` without users, or after a login.
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
        // The user may have been removed while its password was checked.
        guard.generation = guard.auth.generation();
        let access = guard.auth.access(&login).ok_or_else(login_over)?;
        let identity = login.identity.clone();
        guard.entered = Some((login, access));
        self.session.set_identity(Some(identity.clone()));
        Ok(identity)
    }
}

/// Returns the refusal of any request but a login before the login.
pub(crate) fn not_logged_in() -> Error {
    let message = "not logged in: this server has users; log in first";
    Error::new(ErrorCode::NotLoggedIn, message)
}

/// Returns the reason why a connection ends whose login is no longer valid.
pub(super) fn login_over() -> Error {
    let message =
        "the login is no longer valid: the user, its password or its token was removed or changed";
    Error::new(ErrorCode::NotLoggedIn, message)
}

/// Returns the reason why a connection ends that did not log in.
pub(super) fn login_late() -> Error {
    let message = "no login within auth.login_timeout; the connection closes";
    Error::new(ErrorCode::NotLoggedIn, message)
}
