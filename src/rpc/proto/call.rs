//! [`RpcCall`]: the content of a `Request` frame.

use super::request::{WireCall, WireRequest};
use crate::model::facts::{Class, DiskUse, Facts, Reference, Repeat, Weight};
use crate::model::{CallOptions, Credentials, Request, WaitRequest, WatchRequest};

/// The content of a `Request` frame, in the types of the model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RpcCall {
    /// One request, answered once.
    Store {
        options: CallOptions,
        request: Request,
    },
    Wait(WaitRequest),
    StreamOpen {
        window_bytes: u32,
    },
    WatchAdd {
        stream: u64,
        watch_id: u64,
        watch: WatchRequest,
    },
    WatchCancel {
        stream: u64,
        watch_id: u64,
    },
    Login(Credentials),
}

impl RpcCall {
    /// Returns the row of the request in the table of facts.
    #[inline(always)]
    pub(crate) fn facts(&self) -> Facts<'_> {
        let of_connection = |name, class| {
            let names = Reference::Nothing;
            Facts::row(name, class, DiskUse::Nothing, Weight::Light, Repeat::Renewed, names, None)
        };
        match self {
            Self::Store { request, .. } => request.facts(),
            Self::Wait(wait) => wait.facts(),
            Self::StreamOpen { .. } => of_connection("StreamOpen", Class::Read),
            Self::WatchAdd { .. } => of_connection("WatchAdd", Class::Read),
            Self::WatchCancel { .. } => of_connection("WatchCancel", Class::Open),
            Self::Login(_) => of_connection("Login", Class::Open),
        }
    }

    /// Returns whether the request has an idempotency key.
    pub(crate) fn is_keyed(&self) -> bool {
        matches!(self, Self::Store { options, .. } if options.idempotency.is_some())
    }
}

impl<R: Into<Request>> From<R> for RpcCall {
    fn from(request: R) -> Self {
        Self::Store { options: CallOptions::default(), request: request.into() }
    }
}

impl<'a> From<&'a RpcCall> for WireCall<'a> {
    fn from(call: &'a RpcCall) -> Self {
        let (idempotency, request) = match call {
            RpcCall::Store { options, request } => {
                (options.idempotency, WireRequest::from(request))
            }
            RpcCall::Wait(wait) => (None, WireRequest::from(wait)),
            RpcCall::StreamOpen { window_bytes } => {
                (None, WireRequest::StreamOpen { window_bytes: *window_bytes })
            }
            RpcCall::WatchAdd { stream, watch_id, watch } => {
                let (stream, watch_id) = (*stream, *watch_id);
                (None, WireRequest::WatchAdd { stream, watch_id, watch: watch.into() })
            }
            RpcCall::WatchCancel { stream, watch_id } => {
                (None, WireRequest::WatchCancel { stream: *stream, watch_id: *watch_id })
            }
            RpcCall::Login(credentials) => (None, WireRequest::Login(credentials.into())),
        };
        Self { idempotency, request }
    }
}
