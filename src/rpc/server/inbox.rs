//! [`Inbox`]: turns what a peer sends into work, until there is enough for one turn.

use std::time::{Duration, Instant};

use super::connection::protocol;
use crate::config::RpcConfig;
use crate::error::{Details, Error, ErrorCode};
use crate::model::{KeyRange, Request};
use crate::rpc::codec::{CodecError, decode};
use crate::rpc::frame::{Header, Kind, PREFACE, split};
use crate::rpc::proto::{Call, WireCall, WireCredit, WireHello};

/// Longest name a client may give itself, bytes.
const CLIENT_NAME_BYTES_MAX: usize = 256;

/// Longest body before the hello is done, bytes: who is not known yet gets no buffers.
const HELLO_BYTES_MAX: usize = 1024;

/// What a peer has sent, as far as it is understood.
pub(super) struct Inbox {
    phase: Phase,
    /// The start of a frame that is not whole yet.
    partial: Vec<u8>,
    /// When the partial frame began.
    pub(super) partial_since: Option<Instant>,
    /// What there is to do, in order.
    pub(super) received: Vec<Received>,
    /// How many requests of `received` are heavy.
    heavy: usize,
    /// `partial` may hold whole frames, left for the next turn.
    pub(super) full: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Preface,
    Hello,
    Open,
}

pub(super) enum Received {
    /// The name the client gave.
    Hello(String),
    Request {
        id: u64,
        deadline: Option<Instant>,
        call: Result<Call, Error>,
    },
    Cancel(u64),
    Credit {
        stream: u64,
        bytes: u32,
    },
    Ping(u64),
    Goodbye,
}

/// Why a connection cannot go on.
pub(super) enum Fatal {
    /// It speaks the protocol, so it can be told in a frame.
    Error(Error),
    /// It does not: one line of text.
    NotWakeful(&'static str),
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Preface,
            partial: Vec::new(),
            partial_since: None,
            received: Vec::new(),
            heavy: 0,
            full: false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Takes in what was read.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        now: Instant,
        config: &RpcConfig,
    ) -> Result<(), Fatal> {
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(bytes);
            return self.resume(now, config);
        }
        let used = self.parse(bytes, now, config)?;
        self.partial.extend_from_slice(bytes.get(used..).unwrap_or_default());
        self.note_partial(now, used > 0);
        Ok(())
    }

    /// Goes on with frames that an earlier turn left.
    pub(super) fn resume(&mut self, now: Instant, config: &RpcConfig) -> Result<(), Fatal> {
        let mut partial = std::mem::take(&mut self.partial);
        let used = self.parse(&partial, now, config)?;
        partial.drain(..used);
        if partial.is_empty() {
            partial = Vec::new();
        }
        self.partial = partial;
        self.note_partial(now, used > 0);
        Ok(())
    }

    /// What there is to do; room for as much again.
    pub(super) fn take(&mut self) -> Vec<Received> {
        self.heavy = 0;
        std::mem::take(&mut self.received)
    }

    fn note_partial(&mut self, now: Instant, progress: bool) {
        if self.partial.is_empty() || self.full {
            self.partial_since = None;
        } else if progress || self.partial_since.is_none() {
            self.partial_since = Some(now);
        }
    }

    /// Understands `bytes` as far as there are whole frames and there is room; tells how far.
    fn parse(&mut self, bytes: &[u8], now: Instant, config: &RpcConfig) -> Result<usize, Fatal> {
        self.full = false;
        let mut rest = bytes;
        if self.phase == Phase::Preface {
            let start = rest.get(..PREFACE.len()).unwrap_or(rest);
            if !PREFACE.starts_with(start) {
                return Err(not_wakeful(start));
            }
            if start.len() < PREFACE.len() {
                return Ok(0);
            }
            rest = rest.get(PREFACE.len()..).unwrap_or_default();
            self.phase = Phase::Hello;
        }
        loop {
            if self.received.len() >= config.requests_in_flight_max
                || self.heavy >= config.heavy_requests_max
            {
                self.full = true;
                break;
            }
            let split = match self.phase {
                Phase::Open => split(rest, config.frame_bytes_max).map_err(fatal),
                _ => split(rest, HELLO_BYTES_MAX).map_err(bad_hello),
            };
            match split? {
                None => break,
                Some((header, body, after)) => {
                    rest = after;
                    let received = self.understand(header, body, now)?;
                    self.received.extend(received);
                }
            }
        }
        Ok(bytes.len() - rest.len())
    }

    fn understand(
        &mut self,
        header: Header,
        body: &[u8],
        now: Instant,
    ) -> Result<Option<Received>, Fatal> {
        let id = header.id;
        if self.phase == Phase::Hello {
            return self.hello(header, body).map(Some);
        }
        let bare = matches!(header.kind, Kind::Cancel | Kind::Ping | Kind::Pong | Kind::Goodbye);
        if bare && !body.is_empty() {
            return Err(protocol("a body where there is none"));
        }
        Ok(Some(match header.kind {
            Kind::Request if id == 0 => return Err(protocol("request id 0 is the connection's")),
            Kind::Request => {
                let wait = Duration::from_millis(u64::from(header.deadline_ms));
                let deadline = (header.deadline_ms > 0).then(|| now + wait);
                let call = decode::<WireCall<'_>>(body).map(Call::from).map_err(|error| {
                    Error::new(ErrorCode::Protocol, format!("request refused: {error}"))
                });
                self.heavy += usize::from(call.as_ref().is_ok_and(is_heavy));
                Received::Request { id, deadline, call }
            }
            Kind::Cancel => Received::Cancel(id),
            Kind::Credit => {
                let WireCredit { bytes } = decode(body).map_err(fatal)?;
                Received::Credit { stream: id, bytes }
            }
            Kind::Ping => Received::Ping(id),
            Kind::Pong => return Ok(None),
            Kind::Goodbye => Received::Goodbye,
            Kind::Hello => return Err(protocol("a second hello")),
            Kind::Welcome | Kind::Reply | Kind::Error | Kind::Push => {
                return Err(protocol("a frame that only servers send"));
            }
        }))
    }

    fn hello(&mut self, header: Header, body: &[u8]) -> Result<Received, Fatal> {
        if header.kind != Kind::Hello {
            return Err(protocol("the first frame must be a hello"));
        }
        let WireHello { client_name } = decode(body).map_err(bad_hello)?;
        if client_name.len() > CLIENT_NAME_BYTES_MAX {
            return Err(protocol("the client's name is longer than 256 bytes"));
        }
        self.phase = Phase::Open;
        let printable = client_name.chars().filter(|c| !c.is_control()).collect();
        Ok(Received::Hello(printable))
    }
}

/// Whether it may take much longer than a look-up.
fn is_heavy(call: &Call) -> bool {
    match call {
        Call::Store { request, .. } => match request {
            Request::Range(_) | Request::Txn(_) | Request::LeaseRevoke(_) => true,
            Request::LeaseTimeToLive(_) | Request::LeaseList { .. } => true,
            Request::Watchers { .. } => true,
            Request::Delete(delete) => !matches!(delete.range, KeyRange::Key(_)),
            _ => false,
        },
        Call::Wait(wait) => wait.after.is_some() || !matches!(wait.range, KeyRange::Key(_)),
        Call::StreamOpen { .. } | Call::WatchAdd { .. } | Call::WatchCancel { .. } => false,
    }
}

fn bad_hello(error: CodecError) -> Fatal {
    match error {
        CodecError::TooLarge { .. } => protocol("the hello is longer than 1024 bytes"),
        error => fatal(error),
    }
}

fn fatal(error: CodecError) -> Fatal {
    let message = format!("{error}; the connection closes");
    Fatal::Error(match error {
        CodecError::TooLarge { max, .. } => {
            let name = "rpc.frame_bytes_max".to_owned();
            Error::new(ErrorCode::FrameTooLarge, message)
                .with_details(Details::Limit { name, value: max as u64 })
        }
        _ => Error::new(ErrorCode::Protocol, message),
    })
}

/// What a peer that does not begin with the preface is told.
fn not_wakeful(start: &[u8]) -> Fatal {
    let same = start.iter().zip(&PREFACE).take_while(|(a, b)| a == b).count();
    Fatal::NotWakeful(match start {
        _ if same == PREFACE.len() - 1 => {
            "ERR wakeful: this server speaks version 1 of its protocol, the client another; \
             update the older of the two\n"
        }
        [0x16, ..] => "ERR wakeful: this port speaks no TLS; connect without it\n",
        [b'G' | b'P' | b'H' | b'D' | b'O' | b'C' | b'T', ..] => {
            "ERR wakeful: this port speaks the wakeful protocol, not HTTP; see docs/protocol.md\n"
        }
        _ => "ERR wakeful: this port speaks the wakeful protocol; see docs/protocol.md\n",
    })
}
