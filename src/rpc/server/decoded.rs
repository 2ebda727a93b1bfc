//! [`decoded`]: the items that an inbox decodes from bytes, for tests and fuzzers.

use std::time::Instant;

use super::native::{NativeItem, NativeProtocol};
use super::port::{PortItem, PortProtocol};
use crate::config::RpcConfig;
use crate::front::{Fatal, Inbox, Received};
use crate::model::{CallOptions, RpcCall};
use crate::rpc::json::{JsonCall, JsonRequest};

/// An inbox and its protocol, as of a connection to a port.
pub(super) struct PortReader {
    pub(super) inbox: Inbox<PortProtocol>,
    pub(super) protocol: PortProtocol,
}

impl PortReader {
    pub(super) fn new(config: &RpcConfig) -> Self {
        let protocol =
            PortProtocol::Native(NativeProtocol::new(config.frame_bytes_max, None, None));
        Self { inbox: Inbox::new(), protocol }
    }

    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        now: Instant,
        config: &RpcConfig,
    ) -> Result<(), Fatal> {
        self.inbox.push(&mut self.protocol, bytes, now, config)
    }

    pub(super) fn resume(&mut self, now: Instant, config: &RpcConfig) -> Result<(), Fatal> {
        self.inbox.resume(&mut self.protocol, now, config)
    }

    pub(super) fn take(&mut self) -> Vec<Received<PortItem>> {
        let (mut received, keys) = self.inbox.take();
        for item in &mut received {
            if let Received::Key { id, deadline, request } = *item {
                // As the decoder reads it, which the callers need not distinguish.
                let options = CallOptions { idempotency: None, durability: request.durability };
                let request = keys.view(&request).to_owned().into();
                let call = Box::new(Ok(RpcCall::Store { options, request }));
                *item = Received::Request { id, deadline, call };
            }
        }
        received
    }

    /// Returns true if some input is left for the next turn.
    pub(super) fn is_full(&self) -> bool {
        self.inbox.full
    }
}

/// Decodes the pieces as a connection does. Returns the items, and last the reason why the connection
/// ends, if it does. The result does not depend on how the bytes are split into pieces.
///
/// Panics if a turn has more items than the limit, or makes no progress.
pub(crate) fn decoded<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    config: &RpcConfig,
) -> Vec<String> {
    let (mut reader, mut told) = (PortReader::new(config), Vec::new());
    let now = crate::environment::now();
    for piece in pieces {
        let mut taken_in = reader.push(piece, now, config);
        loop {
            let received = reader.take();
            assert!(received.len() <= config.requests_in_flight_max, "more than in a turn");
            assert!(
                taken_in.is_err() || !reader.is_full() || !received.is_empty(),
                "a turn for nothing"
            );
            told.extend(received.iter().map(describe));
            if let Err(fatal) = taken_in {
                told.push(send_error(&fatal));
                return told;
            }
            if !reader.is_full() {
                break;
            }
            taken_in = reader.resume(now, config);
        }
    }
    told
}

fn describe(received: &Received<PortItem>) -> String {
    match received {
        Received::Request { id, deadline, call } => {
            format!("request {id} (deadline: {}) {call:?}", deadline.is_some())
        }
        Received::Key { id, .. } => format!("key request {id}"),
        Received::Cancel(id) => format!("cancel {id}"),
        Received::Credit { stream, bytes } => format!("credit {stream} {bytes}"),
        Received::Goodbye => "goodbye".to_owned(),
        Received::Own(PortItem::Native(NativeItem::Hello { client, server })) => {
            format!("hello {client:?} {server:?}")
        }
        Received::Own(PortItem::Native(NativeItem::Ping(id))) => format!("ping {id}"),
        Received::Own(PortItem::Json(ask)) => {
            let JsonRequest { id, what, .. } = &**ask;
            let deadline = matches!(what, JsonCall::Call { deadline: Some(_), .. });
            format!("{} (deadline: {deadline}) {what:?}", String::from_utf8_lossy(id))
        }
    }
}

fn send_error(fatal: &Fatal) -> String {
    match fatal {
        Fatal::Error(error) => format!("end: {error}"),
        Fatal::Foreign(line) => format!("end: {line}"),
        Fatal::Silent(why) => format!("end, without a word: {why}"),
    }
}
