//! [`MethodContext`]: information for a method about its call.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::session::{Identity, Peer, Session};

/// Information for a method, or an [`Interceptor`](super::Interceptor), about its call. Cheap to
/// clone; may outlive the call.
#[derive(Clone)]
pub struct MethodContext {
    call: Arc<CallState>,
}

pub(super) struct CallState {
    pub(super) method: String,
    pub(super) session: Arc<Session>,
    pub(super) node: Arc<dyn Any + Send + Sync>,
    pub(super) deadline: Option<Instant>,
    pub(super) cancelled: CancellationToken,
    pub(super) span: tracing::Span,
}

impl MethodContext {
    pub(super) fn new(call: CallState) -> Self {
        Self { call: Arc::new(call) }
    }

    /// Returns the name of the called method, `SERVICE.METHOD`.
    pub fn method(&self) -> &str {
        &self.call.method
    }

    /// Returns the session of the connection that the call arrived on.
    pub fn session(&self) -> &Arc<Session> {
        &self.call.session
    }

    /// Returns the peer of the connection.
    pub fn peer(&self) -> &Peer {
        self.call.session.peer()
    }

    /// Returns the identity that the peer has proved.
    pub fn identity(&self) -> Option<Identity> {
        self.call.session.identity()
    }

    /// Returns the [state](Session::state) of type `T` of the connection.
    pub fn state<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.call.session.state()
    }

    /// Returns the time until which the caller waits; the method is dropped then.
    pub fn deadline(&self) -> Option<Instant> {
        self.call.deadline
    }

    /// Returns true if the result is no longer awaited: the caller cancelled or disconnected, or
    /// its deadline has passed. The method itself is dropped then; this is for tasks that it
    /// started elsewhere.
    pub fn is_cancelled(&self) -> bool {
        self.call.cancelled.is_cancelled()
    }

    /// Completes when the result is no longer awaited, and when the method has ended.
    ///
    /// Cancel: harmless.
    pub fn cancelled(&self) -> WaitForCancellationFutureOwned {
        self.call.cancelled.clone().cancelled_owned()
    }

    /// Returns the node on which the method runs, in the type that the caller gave.
    pub(crate) fn node(&self) -> &(dyn Any + Send + Sync) {
        &*self.call.node
    }

    /// Returns the span of the call, in which the method runs.
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
