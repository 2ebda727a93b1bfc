//! Messages of the refusals and failures that the client itself causes.

use super::connection_state::ConnectionState;
use super::inbound::protocol;
use super::pending::PendingCall;
use crate::error::{Details, Error, ErrorCode};
use crate::rpc::codec::CodecError;

pub(super) fn closed() -> Error {
    Error::new(ErrorCode::Unavailable, "this client is closed")
}

pub(super) fn store_changed(addr: &str) -> Error {
    let message = format!(
        "{addr} holds another store than before the reconnect, or one that may have lost what it last showed: \
         its id differs, and earlier revisions and reservations are invalid; read the current state again"
    );
    Error::new(ErrorCode::StoreChanged, message)
}

pub(super) fn unknown(addr: &str, reason: &Error) -> Error {
    let message = format!(
        "outcome unknown: the connection to {addr} was lost after the request may have been \
         sent ({reason}); give a write an idempotency key, or each job of a push an index that \
         stays taken, after the job is done, for as long as the call may take, and it is resent \
         automatically"
    );
    Error::new(ErrorCode::Unavailable, message)
}

pub(super) fn overdue(pending: &PendingCall, link: &ConnectionState, addr: &str) -> Error {
    let sent = pending.at.is_some() || pending.tried;
    match (sent, link) {
        (false, ConnectionState::Down(reason)) => Error::new(
            ErrorCode::Unavailable,
            format!("not sent: no connection to {addr} before the deadline ({reason})"),
        ),
        (false, _) => Error::new(
            ErrorCode::DeadlineExceeded,
            "not sent: other requests were before it until the deadline",
        ),
        (true, ConnectionState::Down(reason)) => Error::new(
            ErrorCode::Unavailable,
            format!("no connection to {addr} to resend it before the deadline ({reason})"),
        ),
        (true, _) => Error::new(
            ErrorCode::DeadlineExceeded,
            format!("no answer from {addr} before the deadline: the outcome of a write is unknown"),
        ),
    }
}

pub(super) fn unsendable(error: &CodecError) -> Error {
    match error {
        CodecError::TooLarge { max, .. } => {
            let name = "rpc.frame_bytes_max".to_owned();
            Error::new(ErrorCode::FrameTooLarge, format!("not sent: {error}"))
                .with_details(Details::Limit { name, value: *max as u64 })
        }
        _ => protocol(format!("not sent: {error}")),
    }
}

pub(super) fn queue_full(max: usize) -> Error {
    let name = "client.requests_queued_max".to_owned();
    Error::new(ErrorCode::LimitExceeded, format!("{max} requests wait for their turn ({name})"))
        .with_details(Details::Limit { name, value: max as u64 })
}
