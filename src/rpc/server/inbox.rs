//! [`Inbox`]: turns what a peer sends into work, until there is enough for one turn.

mod json;
mod refusal;

use std::time::{Duration, Instant};

use self::refusal::{bad_hello, bad_login, fatal};
pub(in crate::rpc) use self::refusal::{is_undecided, not_wakeful};
use super::connection::protocol;
use crate::config::RpcConfig;
use crate::config::SERVER_NAME_BYTES_MAX;
use crate::error::{Error, ErrorCode};
use crate::rpc::codec::decode;
use crate::rpc::frame::{Header, Kind, PREFACE, split};
use crate::rpc::json::{ConnectionStart, JsonCall, JsonRequest, Splitter};
use crate::rpc::proto::{RpcCall, WireCall, WireCredit, WireHello, read_durability};

/// Longest body before the hello is done, bytes: who is not known yet gets no buffers.
pub(in crate::rpc) const HELLO_BYTES_MAX: usize = 1024;

/// What a peer has sent, as far as it is understood.
pub(super) struct Inbox {
    phase: ProtocolPhase,
    /// The start of a frame that is not whole yet.
    partial: Vec<u8>,
    /// When the partial frame began.
    pub(super) partial_since: Option<Instant>,
    /// When bytes were last read.
    read_at: Option<Instant>,
    /// What there is to do, in order.
    pub(super) received: Vec<InboundFrame>,
    /// How many requests of `received` are heavy.
    heavy: usize,
    /// Frames since the last turn that ask for nothing.
    idle: u64,
    /// `partial` may hold whole frames, left for the next turn.
    pub(super) full: bool,
    /// Of the value that is not whole yet.
    splitter: Splitter,
    /// Why nothing more can be understood, once what was is done.
    broken: Option<&'static str>,
    /// The peer has to log in, and has not.
    pub(super) stranger: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ProtocolPhase {
    Preface,
    Hello,
    Open,
    /// JSON in place of all that.
    Json,
}

pub(super) enum InboundFrame {
    /// The name the client gave, and that of the server it means.
    Hello {
        client: String,
        server: String,
    },
    Request {
        id: u64,
        deadline: Option<Instant>,
        call: Result<RpcCall, Error>,
    },
    Cancel(u64),
    Credit {
        stream: u64,
        bytes: u32,
    },
    Ping(u64),
    Goodbye,
    Json(JsonRequest),
}

/// Why a connection cannot go on.
pub(super) enum ProtocolError {
    /// It speaks the protocol, so it can be told in a frame.
    Error(Error),
    /// It does not: one line of text.
    NotWakeful(&'static str),
    /// There is no request to answer it to.
    Silent(&'static str),
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            phase: ProtocolPhase::Preface,
            partial: Vec::new(),
            partial_since: None,
            read_at: None,
            received: Vec::new(),
            heavy: 0,
            idle: 0,
            full: false,
            splitter: Splitter::default(),
            broken: None,
            stranger: false,
        }
    }

    /// Whether the peer has shown that it speaks the protocol.
    pub(super) fn has_preface(&self) -> bool {
        self.phase != ProtocolPhase::Preface
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, ProtocolPhase::Open | ProtocolPhase::Json)
    }

    /// Whether the peer speaks JSON.
    pub(super) fn is_json(&self) -> bool {
        self.phase == ProtocolPhase::Json
    }

    /// Takes in what was read.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        now: Instant,
        config: &RpcConfig,
    ) -> Result<(), ProtocolError> {
        self.read_at = Some(now);
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
    pub(super) fn resume(&mut self, now: Instant, config: &RpcConfig) -> Result<(), ProtocolError> {
        let mut partial = std::mem::take(&mut self.partial);
        // Deadlines count from when the bytes were read, however long they waited for a turn.
        let used = self.parse(&partial, self.read_at.unwrap_or(now), config)?;
        partial.drain(..used);
        if partial.is_empty() {
            partial = Vec::new();
        }
        self.partial = partial;
        self.note_partial(now, used > 0);
        Ok(())
    }

    /// What there is to do; room for as much again.
    pub(super) fn take(&mut self) -> Vec<InboundFrame> {
        self.heavy = 0;
        std::mem::take(&mut self.received)
    }

    /// Frames since the last turn that ask for nothing: pings, pongs, cancels, credits, goodbyes.
    pub(super) fn take_idle(&mut self) -> u64 {
        std::mem::take(&mut self.idle)
    }

    fn note_partial(&mut self, now: Instant, progress: bool) {
        if self.partial.is_empty() || self.full {
            self.partial_since = None;
        } else if progress || self.partial_since.is_none() {
            self.partial_since = Some(now);
        }
    }

    /// Understands `bytes` as far as there are whole frames and there is room; tells how far.
    fn parse(
        &mut self,
        bytes: &[u8],
        now: Instant,
        config: &RpcConfig,
    ) -> Result<usize, ProtocolError> {
        self.full = false;
        if self.phase == ProtocolPhase::Preface {
            match ConnectionStart::of(bytes) {
                ConnectionStart::Json => self.phase = ProtocolPhase::Json,
                ConnectionStart::Space if bytes.len() <= HELLO_BYTES_MAX => return Ok(0),
                ConnectionStart::Space | ConnectionStart::Other => {}
            }
        }
        if self.phase == ProtocolPhase::Json {
            return self.parse_json(bytes, now, config);
        }
        let mut rest = bytes;
        if self.phase == ProtocolPhase::Preface {
            let start = rest.get(..PREFACE.len()).unwrap_or(rest);
            if is_undecided(start) {
                return Ok(0);
            }
            if !PREFACE.starts_with(start) {
                return Err(ProtocolError::NotWakeful(not_wakeful(start)));
            }
            if start.len() < PREFACE.len() {
                return Ok(0);
            }
            rest = rest.get(PREFACE.len()..).unwrap_or_default();
            self.phase = ProtocolPhase::Hello;
        }
        loop {
            if self.has_enough(config) {
                self.full = true;
                break;
            }
            let split = match self.phase {
                ProtocolPhase::Open if self.stranger => {
                    split(rest, config.login_frame_bytes_max).map_err(bad_login)
                }
                ProtocolPhase::Open => split(rest, config.frame_bytes_max).map_err(fatal),
                _ => split(rest, HELLO_BYTES_MAX).map_err(bad_hello),
            };
            match split? {
                None => break,
                Some((header, body, after)) => {
                    rest = after;
                    let received = self.understand(header, body, now)?;
                    let login = self.stranger && received.as_ref().is_some_and(is_login);
                    self.received.extend(received);
                    if login {
                        // How long what follows may be depends on what comes of it.
                        self.full = true;
                        break;
                    }
                }
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// Whether there is enough for one turn.
    fn has_enough(&self, config: &RpcConfig) -> bool {
        self.received.len() >= config.requests_in_flight_max
            || self.heavy >= config.heavy_requests_max
    }

    fn understand(
        &mut self,
        header: Header,
        body: &[u8],
        now: Instant,
    ) -> Result<Option<InboundFrame>, ProtocolError> {
        let id = header.id;
        if self.phase == ProtocolPhase::Hello {
            return self.hello(header, body).map(Some);
        }
        let bare = matches!(header.kind, Kind::Cancel | Kind::Ping | Kind::Pong | Kind::Goodbye);
        self.idle += u64::from(bare || header.kind == Kind::Credit);
        if bare && !body.is_empty() {
            return Err(protocol("a body where there is none"));
        }
        Ok(Some(match header.kind {
            Kind::Request if id == 0 => return Err(protocol("request id 0 is the connection's")),
            Kind::Request => {
                let wait = Duration::from_millis(u64::from(header.deadline_ms));
                let deadline = (header.deadline_ms > 0).then(|| now + wait);
                let call = call(&header, body);
                self.heavy +=
                    usize::from(call.as_ref().is_ok_and(|call| call.facts().weight.is_heavy()));
                InboundFrame::Request { id, deadline, call }
            }
            Kind::Cancel => InboundFrame::Cancel(id),
            Kind::Credit => {
                let WireCredit { bytes } = decode(body).map_err(fatal)?;
                InboundFrame::Credit { stream: id, bytes }
            }
            Kind::Ping => InboundFrame::Ping(id),
            Kind::Pong => return Ok(None),
            Kind::Goodbye => InboundFrame::Goodbye,
            Kind::Hello => return Err(protocol("a second hello")),
            Kind::Welcome | Kind::Reply | Kind::Error | Kind::Push => {
                return Err(protocol("a frame that only servers send"));
            }
        }))
    }

    fn hello(&mut self, header: Header, body: &[u8]) -> Result<InboundFrame, ProtocolError> {
        if header.kind != Kind::Hello {
            return Err(protocol("the first frame must be a hello"));
        }
        let WireHello { client_name, server } = decode(body).map_err(bad_hello)?;
        let client = super::client_name::client_name(client_name).map_err(protocol)?;
        if server.len() > SERVER_NAME_BYTES_MAX {
            return Err(protocol("the server's name is longer than 256 bytes"));
        }
        self.phase = ProtocolPhase::Open;
        Ok(InboundFrame::Hello { client, server: server.to_owned() })
    }
}

/// What a request asks for; an error concerns it alone.
fn call(header: &Header, body: &[u8]) -> Result<RpcCall, Error> {
    let refused = |code, error| Error::new(code, format!("request refused: {error}"));
    let call = decode::<WireCall<'_>>(body).map(RpcCall::from);
    let mut call = call.map_err(|error| refused(ErrorCode::Protocol, error))?;
    let durability = read_durability(header.durability);
    let durability = durability.map_err(|error| refused(ErrorCode::InvalidArgument, error))?;
    if let RpcCall::Store { options, .. } = &mut call {
        options.durability = durability;
    }
    Ok(call)
}

fn is_login(received: &InboundFrame) -> bool {
    match received {
        InboundFrame::Request { call, .. }
        | InboundFrame::Json(JsonRequest { what: JsonCall::Call { call, .. }, .. }) => {
            matches!(call, Ok(RpcCall::Login(_)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::model::{
        GetRequest, JobRequest, KeyRange, KvRequest, PushRequest, RangeRequest, Request, Schedule,
    };
    use crate::rpc::codec::{encode_bare, encode_frame};

    /// What was understood, in words.
    fn tell(received: InboundFrame) -> String {
        match received {
            InboundFrame::Hello { client, .. } => format!("hello {client}"),
            InboundFrame::Request { id, deadline, call } => {
                let deadline = if deadline.is_some() { " in time" } else { "" };
                format!("request {id}{deadline}: {}", call.is_ok())
            }
            InboundFrame::Cancel(id) => format!("cancel {id}"),
            InboundFrame::Credit { stream, bytes } => format!("credit {stream} {bytes}"),
            InboundFrame::Ping(id) => format!("ping {id}"),
            InboundFrame::Goodbye => "goodbye".to_owned(),
            InboundFrame::Json(ask) => format!("{ask:?}"),
        }
    }

    fn request(out: &mut Vec<u8>, id: u64, deadline_ms: u32, request: impl Into<Request>) {
        let call = RpcCall::from(request.into());
        let wire = WireCall::from(&call);
        encode_frame(out, Kind::Request, id, deadline_ms, &wire, usize::MAX).unwrap();
    }

    fn get() -> KvRequest {
        KvRequest::Get(GetRequest { key: "a".into(), revision: 0 })
    }

    fn script() -> (Vec<u8>, Vec<&'static str>) {
        let mut out = PREFACE.to_vec();
        let hello = WireHello { client_name: "me", server: "" };
        encode_frame(&mut out, Kind::Hello, 0, 0, &hello, usize::MAX).unwrap();
        request(&mut out, 1, 0, get());
        encode_bare(&mut out, Kind::Pong, 8);
        request(&mut out, 2, 5, get());
        encode_frame(&mut out, Kind::Request, 3, 0, &7_u8, usize::MAX).unwrap();
        encode_bare(&mut out, Kind::Cancel, 1);
        encode_frame(&mut out, Kind::Credit, 4, 0, &WireCredit { bytes: 9 }, usize::MAX).unwrap();
        encode_bare(&mut out, Kind::Ping, 6);
        encode_bare(&mut out, Kind::Goodbye, 0);
        let understood = vec![
            "hello me",
            "request 1: true",
            "request 2 in time: true",
            "request 3: false",
            "cancel 1",
            "credit 4 9",
            "ping 6",
            "goodbye",
        ];
        (out, understood)
    }

    /// Pushes the pieces and takes everything after each, as a connection does.
    fn understand<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
        config: &RpcConfig,
    ) -> (Vec<String>, Inbox) {
        let mut inbox = Inbox::new();
        let mut understood = Vec::new();
        for piece in pieces {
            let pushed = inbox.push(piece, Instant::now(), config);
            assert!(pushed.is_ok());
            understood.extend(inbox.take().into_iter().map(tell));
            while inbox.full {
                assert!(inbox.resume(Instant::now(), config).is_ok());
                let taken = inbox.take();
                assert!(!taken.is_empty() || !inbox.full, "every turn goes on");
                understood.extend(taken.into_iter().map(tell));
            }
        }
        (understood, inbox)
    }

    #[test]
    fn r4_frames_may_be_split_anywhere() {
        let (script, expected) = script();
        let config = Config::new().rpc;
        for at in 0..=script.len() {
            let (first, second) = script.split_at(at);
            let (understood, inbox) = understand([first, second], &config);
            assert_eq!(understood, expected, "split at {at}");
            assert!(inbox.partial.is_empty() && inbox.partial_since.is_none());
            for and_at in at..=script.len() {
                let pieces = [first, &script[at..and_at], &script[and_at..]];
                assert_eq!(understand(pieces, &config).0, expected, "split at {at} and {and_at}");
            }
        }
        let (understood, _) = understand(script.chunks(1), &config);
        assert_eq!(understood, expected, "byte by byte");
    }

    #[test]
    fn s10_a_turn_has_a_limit_of_requests_and_of_heavy_ones() {
        let (mut script, mut expected) = script();
        let goodbye = script.len() - 20;
        script.truncate(goodbye);
        expected.pop();
        let expected: Vec<String> = expected
            .into_iter()
            .map(str::to_owned)
            .chain((10..20).map(|id| format!("request {id}: true")))
            .collect();
        for id in 10..15 {
            request(&mut script, id, 0, KvRequest::Range(RangeRequest::new(KeyRange::all())));
        }
        for id in 15..20 {
            let (cron, timezone) = ("0 3 * * *".to_owned(), "UTC".to_owned());
            let push = PushRequest::new("t", "");
            let schedule = Schedule { name: "s".into(), cron, timezone, push };
            request(&mut script, id, 0, Request::Job(JobRequest::SetSchedule(Box::new(schedule))));
        }
        for (requests, heavy) in [(1, 1), (2, 1), (3, 2), (100, 3), (100, 100)] {
            let mut config = Config::new().rpc;
            config.requests_in_flight_max = requests;
            config.heavy_requests_max = heavy;
            let mut inbox = Inbox::new();
            assert!(inbox.push(&script, Instant::now(), &config).is_ok());
            assert!(inbox.received.len() <= requests && inbox.heavy <= heavy);
            for size in [1, 7, script.len()] {
                assert_eq!(understand(script.chunks(size), &config).0, expected);
            }
        }
    }

    #[test]
    fn r2_a_deadline_counts_from_the_read_not_from_the_turn() {
        let mut script = PREFACE.to_vec();
        let hello = WireHello { client_name: "", server: "" };
        encode_frame(&mut script, Kind::Hello, 0, 0, &hello, 1024).unwrap();
        for id in 1..=2 {
            request(&mut script, id, 50, KvRequest::Range(RangeRequest::new(KeyRange::all())));
        }
        let mut config = Config::new().rpc;
        config.heavy_requests_max = 1;
        let (mut inbox, read) = (Inbox::new(), Instant::now());
        assert!(inbox.push(&script, read, &config).is_ok());
        let mut deadlines = Vec::new();
        for turn in 1..=2 {
            for received in inbox.take() {
                if let InboundFrame::Request { deadline, .. } = received {
                    deadlines.push(deadline);
                }
            }
            assert!(inbox.resume(read + Duration::from_secs(turn), &config).is_ok());
        }
        assert_eq!(deadlines, [Some(read + Duration::from_millis(50)); 2]);
    }

    #[test]
    fn r4_a_frame_begins_when_its_first_byte_comes() {
        let (script, _) = script();
        let config = Config::new().rpc;
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut inbox = Inbox::new();
        let hello = 8 + 20 + 8 + 2 + 8;
        assert!(inbox.push(&script[..hello + 1], at(0), &config).is_ok());
        assert_eq!(inbox.partial_since, Some(at(0)));
        assert!(inbox.push(&script[hello + 1..hello + 5], at(5), &config).is_ok());
        assert_eq!(inbox.partial_since, Some(at(0)), "more of the same frame");
        assert!(inbox.push(&script[hello + 5..hello + 50], at(6), &config).is_ok());
        assert_eq!(inbox.partial_since, Some(at(6)), "the next frame");
        let _ = inbox.take();
        let mut pongs = Vec::new();
        encode_bare(&mut pongs, Kind::Pong, 1);
        encode_bare(&mut pongs, Kind::Pong, 2);
        let mut inbox = Inbox::new();
        assert!(inbox.push(&script[..hello], at(0), &config).is_ok());
        assert!(inbox.push(&pongs[..5], at(1), &config).is_ok());
        assert!(inbox.push(&pongs[5..25], at(2), &config).is_ok());
        assert_eq!(inbox.partial_since, Some(at(2)), "a frame that asks for nothing is one, too");
    }
}
