//! What an inbox makes of bytes, however they come; for tests and fuzzers.

use super::inbox::{InboundFrame, Inbox, ProtocolError};
use crate::config::RpcConfig;
use crate::rpc::json::{JsonCall, JsonRequest};

/// Everything that is understood of these pieces, each taken in as a connection does; and behind it
/// why the connection ends, if it does. The same for all pieces of the same bytes.
///
/// Panics if more is understood in a turn than there may be, or a turn goes nowhere.
pub(crate) fn decoded<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    config: &RpcConfig,
) -> Vec<String> {
    let (mut inbox, mut told) = (Inbox::new(), Vec::new());
    let now = crate::environment::now();
    for piece in pieces {
        let mut taken_in = inbox.push(piece, now, config);
        loop {
            let received = inbox.take();
            assert!(received.len() <= config.requests_in_flight_max, "more than in a turn");
            assert!(taken_in.is_err() || !inbox.full || !received.is_empty(), "a turn for nothing");
            told.extend(received.iter().map(describe));
            if let Err(fatal) = taken_in {
                told.push(send_error(&fatal));
                return told;
            }
            if !inbox.full {
                break;
            }
            taken_in = inbox.resume(now, config);
        }
    }
    told
}

fn describe(received: &InboundFrame) -> String {
    match received {
        InboundFrame::Hello { client, server } => format!("hello {client:?} {server:?}"),
        InboundFrame::Request { id, deadline, call } => {
            format!("request {id} (deadline: {}) {call:?}", deadline.is_some())
        }
        InboundFrame::Cancel(id) => format!("cancel {id}"),
        InboundFrame::Credit { stream, bytes } => format!("credit {stream} {bytes}"),
        InboundFrame::Ping(id) => format!("ping {id}"),
        InboundFrame::Goodbye => "goodbye".to_owned(),
        InboundFrame::Json(JsonRequest { id, what, .. }) => {
            let deadline = matches!(what, JsonCall::Call { deadline: Some(_), .. });
            format!("{} (deadline: {deadline}) {what:?}", String::from_utf8_lossy(id))
        }
    }
}

fn send_error(fatal: &ProtocolError) -> String {
    match fatal {
        ProtocolError::Error(error) => format!("end: {error}"),
        ProtocolError::NotWakeful(line) => format!("end: {line}"),
        ProtocolError::Silent(why) => format!("end, without a word: {why}"),
    }
}
