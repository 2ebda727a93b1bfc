//! [`MethodContext`]: what a method knows of its call.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::service::Wakeful;
use crate::session::{Identity, Peer, Session};

/// What a method, or an [`Interceptor`](super::Interceptor), knows of its call. Cheap to clone, and
/// may outlive the call.
#[derive(Clone)]
pub struct MethodContext {
    call: Arc<Call>,
}

pub(super) struct Call {
    pub(super) method: String,
    pub(super) session: Arc<Session>,
    pub(super) wakeful: Wakeful,
    pub(super) deadline: Option<Instant>,
    pub(super) cancelled: CancellationToken,
    pub(super) span: tracing::Span,
}

impl MethodContext {
    pub(super) fn new(call: Call) -> Self {
        Self { call: Arc::new(call) }
    }

    /// What was called, `SERVICE.METHOD`.
    pub fn method(&self) -> &str {
        &self.call.method
    }

    /// The connection that the call came by.
    pub fn session(&self) -> &Arc<Session> {
        &self.call.session
    }

    /// Who is at the other end of it.
    pub fn peer(&self) -> &Peer {
        self.call.session.peer()
    }

    /// Who that has proved to be.
    pub fn identity(&self) -> Option<Identity> {
        self.call.session.identity()
    }

    /// The [state](Session::state) of type `T` of the connection.
    pub fn state<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.call.session.state()
    }

    /// Until when the caller waits; the method is dropped then.
    pub fn deadline(&self) -> Option<Instant> {
        self.call.deadline
    }

    /// Whether nobody waits for the result any more: the caller cancelled or went, or its deadline
    /// has passed. The method itself is dropped then; this is for what it has started elsewhere.
    pub fn is_cancelled(&self) -> bool {
        self.call.cancelled.is_cancelled()
    }

    /// Ends when nobody waits for the result any more, and when the method has ended.
    ///
    /// Cancel: harmless.
    pub fn cancelled(&self) -> WaitForCancellationFutureOwned {
        self.call.cancelled.clone().cancelled_owned()
    }

    /// The service that the method belongs to.
    pub fn wakeful(&self) -> &Wakeful {
        &self.call.wakeful
    }

    /// The span of the call, in which the method runs.
    pub fn span(&self) -> &tracing::Span {
        &self.call.span
    }
}

impl fmt::Debug for MethodContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("MethodContext");
        shown.field("method", &self.call.method).field("session", &self.call.session);
        shown.field("deadline", &self.call.deadline).finish_non_exhaustive()
    }
}
