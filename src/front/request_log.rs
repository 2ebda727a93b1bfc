//! [`RequestLog`]: one log event for each request of a connection.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Instant;

use crate::environment::RandomState;
use tracing::Level;

use crate::environment;
use crate::error::{Error, ErrorCode};
use crate::model::{JobRequest, KeyBuffer, KeyRequest, Request, RpcCall};

/// The target of these events, by which a log filter enables them.
pub(super) const TARGET: &str = "wakeful::request";

/// The unanswered requests; empty while the log is disabled, which then costs the check of one number
/// per request.
#[derive(Default)]
pub(super) struct RequestLog {
    begun: HashMap<u64, StartedRequest, RandomState>,
}

struct StartedRequest {
    method: Cow<'static, str>,
    at: Instant,
}

impl RequestLog {
    pub(super) fn asked(&mut self, id: u64, call: &Result<RpcCall, Error>) {
        self.begin(id, || call.as_ref().map_or(Cow::Borrowed("unreadable"), method));
    }

    pub(super) fn asked_key(&mut self, id: u64, request: &KeyRequest, keys: &KeyBuffer) {
        self.begin(id, || method(&keys.view(request).to_owned().into()));
    }

    fn begin(&mut self, id: u64, method: impl FnOnce() -> Cow<'static, str>) {
        if tracing::enabled!(target: TARGET, Level::DEBUG) {
            self.begun.insert(id, StartedRequest { method: method(), at: environment::now() });
        }
    }

    /// Logs a refused request without an id.
    pub(super) fn refused(&self) {
        tracing::debug!(target: TARGET, method = "unreadable", outcome = "Refused");
    }

    /// Logs a call whose service or method does not exist, or that lacks its arguments.
    pub(super) fn refused_method(&self, method: &str, code: ErrorCode) {
        let method = method.escape_debug();
        tracing::debug!(target: TARGET, %method, outcome = %code);
    }

    /// Logs the end of a request, with the error if it was refused.
    #[inline]
    pub(super) fn answered(&mut self, id: u64, error: Option<&Error>) {
        if !self.begun.is_empty() {
            self.log_answer(id, error);
        }
    }

    fn log_answer(&mut self, id: u64, error: Option<&Error>) {
        let Some(StartedRequest { method, at }) = self.begun.remove(&id) else { return };
        let micros = u64::try_from(environment::since(at).as_micros()).unwrap_or(u64::MAX);
        let outcome = error.map(|error| error.code.to_string());
        let outcome = outcome.as_deref().unwrap_or("Ok");
        tracing::debug!(target: TARGET, request = id, %method, outcome, micros);
    }
}

/// Returns the name of a request, without the key, job or value that it is about.
fn method(call: &RpcCall) -> Cow<'static, str> {
    match call {
        // Escaped, because the client chooses the name.
        RpcCall::Store { request: Request::Invoke(invocation), .. } => {
            invocation.method.escape_debug().to_string().into()
        }
        // `Get` is the request for a key.
        RpcCall::Store { request: Request::Job(JobRequest::Get(_)), .. } => "JobGet".into(),
        call => call.facts().name.into(),
    }
}
