//! A [`RpcCall`] in the types of the wire.

use super::request::{WireCall, WireRequest};
use crate::model::RpcCall;

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
