//! [`RpcCall`]: the content of a request of a connection, however it arrived.

use super::facts::{Class, DiskUse, Facts, Reference, Repeat, Weight};
use super::{CallOptions, Credentials, Request, WaitRequest, WatchRequest};

/// The content of a request of a connection, in the types of the model.
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
