//! What an inbox makes of bytes, however they come; for tests and fuzzers.

use super::inbox::{Fatal, Inbox, Received};
use crate::config::RpcConfig;
use crate::rpc::json::{Ask, What};

/// Everything that is understood of these pieces, each taken in as a connection does; and behind it
/// why the connection ends, if it does. The same for all pieces of the same bytes.
///
/// Panics if more is understood in a turn than there may be, or a turn goes nowhere.
pub(crate) fn understood<'a>(
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
            told.extend(received.iter().map(tell));
            if let Err(fatal) = taken_in {
                told.push(tell_fatal(&fatal));
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

fn tell(received: &Received) -> String {
    match received {
        Received::Hello { client, server } => format!("hello {client:?} {server:?}"),
        Received::Request { id, deadline, call } => {
            format!("request {id} (deadline: {}) {call:?}", deadline.is_some())
        }
        Received::Cancel(id) => format!("cancel {id}"),
        Received::Credit { stream, bytes } => format!("credit {stream} {bytes}"),
        Received::Ping(id) => format!("ping {id}"),
        Received::Goodbye => "goodbye".to_owned(),
        Received::Json(Ask { id, what, .. }) => {
            let deadline = matches!(what, What::Call { deadline: Some(_), .. });
            format!("{} (deadline: {deadline}) {what:?}", String::from_utf8_lossy(id))
        }
    }
}

fn tell_fatal(fatal: &Fatal) -> String {
    match fatal {
        Fatal::Error(error) => format!("end: {error}"),
        Fatal::NotWakeful(line) => format!("end: {line}"),
        Fatal::Silent(why) => format!("end, without a word: {why}"),
    }
}
