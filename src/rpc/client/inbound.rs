//! [`Inbound`]: frames of the server, decoded and owned, so that decoding needs no lock.

use crate::error::{Error, ErrorCode};
use crate::model::{CallReply, Event, KeyValue, Revision, WaitOutcome};
use crate::rpc::codec::{self, CodecError};
use crate::rpc::frame::{Header, Kind};
use crate::rpc::proto::{WireDelivery, WireError, WirePush, WireReply, read_durability};
use std::sync::Arc;

/// The answer to a request of any kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ServerAnswer {
    Reply(CallReply),
    Wait(WaitOutcome),
    StreamOpen,
    WatchAdd(Revision),
    WatchCancel,
}

/// The result of a request.
pub(super) type CallOutcome = Result<ServerAnswer, Error>;

/// A push on a stream.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Push {
    Events {
        events: Vec<Event>,
        deliveries: Vec<WireDelivery>,
    },
    Snapshot {
        watch: u64,
        revision: Revision,
        kvs: Vec<Arc<KeyValue>>,
    },
    SnapshotEnd {
        watch: u64,
        revision: Revision,
    },
    Progress {
        watch: u64,
        revision: Revision,
    },
    Ended {
        watch: u64,
        error: Error,
    },
    /// The push of a wait: the wait is parked, and considers everything after this revision.
    Parked {
        revision: Revision,
    },
}

/// A frame of the server after the welcome.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Inbound {
    /// A reply or an error to the request (or the stream) with this id.
    Answer {
        id: u64,
        outcome: CallOutcome,
    },
    /// A push of this many bytes to a stream or a wait; an unreadable one ends the stream.
    Push {
        id: u64,
        push: Result<Push, Error>,
        bytes: u32,
    },
    Ping(u64),
    Pong,
    Goodbye,
}

impl Inbound {
    /// Decodes a frame. An unreadable body fails only the request or stream that it belongs to.
    ///
    /// # Errors
    /// The connection cannot continue: the server ended it with this reason, or sent what only
    /// clients send.
    pub(super) fn decode(header: &Header, body: &[u8]) -> Result<Self, Error> {
        let id = header.id;
        Ok(match header.kind {
            Kind::Reply => Self::Answer { id, outcome: answer(header, body) },
            Kind::Error if id == 0 => return Err(refusal(body)),
            Kind::Error => Self::Answer { id, outcome: Err(refusal(body)) },
            Kind::Push => Self::Push { id, push: push(body), bytes: header.body_bytes },
            Kind::Ping => Self::Ping(id),
            Kind::Pong => Self::Pong,
            Kind::Goodbye => Self::Goodbye,
            Kind::Hello | Kind::Welcome | Kind::Request | Kind::Cancel | Kind::Credit => {
                let kind = header.kind;
                return Err(protocol(format!("the server sent a {kind:?} frame out of place")));
            }
        })
    }
}

/// Returns the error in the body of an `Error` frame.
pub(super) fn refusal(body: &[u8]) -> Error {
    match codec::decode::<WireError<'_>>(body) {
        Ok(wire) => wire.into(),
        Err(error) => unreadable(&error),
    }
}

/// Returns the error for a server that violated the protocol.
pub(super) fn protocol(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::Protocol, message)
}

/// Returns the error for an invalid frame or body from the server.
pub(super) fn unreadable(error: &CodecError) -> Error {
    let code = match error {
        CodecError::TooLarge { .. } => ErrorCode::FrameTooLarge,
        _ => ErrorCode::Protocol,
    };
    Error::new(code, format!("the server's answer cannot be read: {error}"))
}

fn answer(header: &Header, body: &[u8]) -> CallOutcome {
    let durability = read_durability(header.durability).map_err(|error| unreadable(&error))?;
    let reply = codec::decode::<WireReply<'_>>(body).map_err(|error| unreadable(&error))?;
    Ok(match reply {
        WireReply::Wait { met: true, revision, event } => {
            ServerAnswer::Wait(WaitOutcome::Met { revision, event: event.map(Event::from) })
        }
        WireReply::Wait { met: false, revision, .. } => {
            ServerAnswer::Wait(WaitOutcome::Timeout { revision })
        }
        WireReply::StreamOpen => ServerAnswer::StreamOpen,
        WireReply::WatchAdd { revision } => ServerAnswer::WatchAdd(revision),
        WireReply::WatchCancel => ServerAnswer::WatchCancel,
        other => match other.into_store_reply() {
            Some(reply) => ServerAnswer::Reply(CallReply { reply, durability }),
            None => return Err(protocol("a reply of an unknown kind")),
        },
    })
}

fn push(body: &[u8]) -> Result<Push, Error> {
    let push = codec::decode::<WirePush<'_>>(body).map_err(|error| unreadable(&error))?;
    Ok(match push {
        WirePush::Events { events, deliveries } => {
            Push::Events { events: events.into_iter().map(Event::from).collect(), deliveries }
        }
        WirePush::Snapshot { watch_id, revision, kvs } => Push::Snapshot {
            watch: watch_id,
            revision,
            kvs: kvs.into_iter().map(|kv| Arc::new(kv.into())).collect(),
        },
        WirePush::SnapshotEnd { watch_id, revision } => {
            Push::SnapshotEnd { watch: watch_id, revision }
        }
        WirePush::Progress { watch_id, revision } => Push::Progress { watch: watch_id, revision },
        WirePush::Ended { watch_id, error } => Push::Ended { watch: watch_id, error: error.into() },
        WirePush::Parked { revision } => Push::Parked { revision },
    })
}
