//! [`RequestLog`]: an event for each request of a connection, for whoever wants to see them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Instant;

use crate::environment::RandomState;
use tracing::Level;

use crate::actor::message::Done;
use crate::environment;
use crate::error::{Error, ErrorCode};
use crate::model::{JobRequest, Request, RpcCall};

/// What a filter calls these events by: they are one for each request, unlike any others.
pub(super) const TARGET: &str = "wakeful::request";

/// The requests that are not yet answered; none while they are not logged, so that it costs the look
/// at one number for each request.
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
        if tracing::enabled!(target: TARGET, Level::DEBUG) {
            let method = call.as_ref().map_or(Cow::Borrowed("unreadable"), method);
            self.begun.insert(id, StartedRequest { method, at: environment::now() });
        }
    }

    /// A request that got no number.
    pub(super) fn refused(&self) {
        tracing::debug!(target: TARGET, method = "unreadable", outcome = "Refused");
    }

    /// A call of a service of the application that is not there, or that lacks its params.
    pub(super) fn refused_method(&self, method: &str, code: ErrorCode) {
        let method = method.escape_debug();
        tracing::debug!(target: TARGET, %method, outcome = %code);
    }

    pub(super) fn answered(&mut self, id: u64, answer: &Result<Done, Error>) {
        // A wait that is parked has its answer still to come.
        if self.begun.is_empty() || matches!(answer, Ok(Done::Parked(..))) {
            return;
        }
        let Some(StartedRequest { method, at }) = self.begun.remove(&id) else { return };
        let micros = u64::try_from(environment::since(at).as_micros()).unwrap_or(u64::MAX);
        let outcome = answer.as_ref().err().map(|error| error.code.to_string());
        let outcome = outcome.as_deref().unwrap_or("Ok");
        tracing::debug!(target: TARGET, request = id, %method, outcome, micros);
    }
}

/// Returns the name of a request, without the key, job or value that it is about.
fn method(call: &RpcCall) -> Cow<'static, str> {
    match call {
        // Whatever a client calls a method is escaped.
        RpcCall::Store { request: Request::Invoke(invocation), .. } => {
            invocation.method.escape_debug().to_string().into()
        }
        // As the one of a key is called `Get`.
        RpcCall::Store { request: Request::Job(JobRequest::Get(_)), .. } => "JobGet".into(),
        call => call.facts().name.into(),
    }
}
