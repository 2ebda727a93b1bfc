//! A line-based door: a small example of a door, which serves keys, waits, watches and jobs.
//!
//! A request is a line, `ID COMMAND ARGUMENT...`, and so is an answer, `ID ok ...` or
//! `ID error CODE: ...`. The front is responsible for permissions, limits, logs and the end of a
//! connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};

use crate::actor::message::Done;
use crate::address::cannot_listen;
use crate::auth::Credentials;
use crate::error::{Error, ErrorCode};
use crate::front::{
    Accept, Decoded, End, Fatal, OutputBuffer, Protocol, PushCursor, ReadContext, Received,
    RequestDispatcher, Server, WrittenPush, protocol,
};
use crate::handle::Wakeful;
use crate::model::{
    CallReply, GetRequest, JobReply, JobRequest, KeyRange, KvRequest, PushRequest, RangeRequest,
    Reply, Request, ReserveRequest, RpcCall, SetRequest, WaitOutcome, WaitRequest, WatchRequest,
};
use crate::session::Identity;
use crate::watch::{WatchDelivery, WatchUpdate};

/// Opens a line-based door to `node`; returns its address.
pub(super) async fn listen(node: &Wakeful) -> Result<SocketAddr, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|it| cannot_listen(&it))?;
    let open = || Server::serve(node, listener, Lines).map_err(|it| cannot_listen(&it));
    node.add_door(open).await
}

/// Accepts the connections of the door.
#[derive(Clone)]
struct Lines;

impl Accept for Lines {
    type Socket = TcpStream;
    type Protocol = LineProtocol;

    async fn accept(
        &self,
        socket: TcpStream,
        _peer: SocketAddr,
        _deadline: Instant,
    ) -> Option<(TcpStream, Option<Identity>)> {
        Some((socket, None))
    }

    fn protocol(&self, _node: &Wakeful) -> LineProtocol {
        LineProtocol::default()
    }

    fn refusal(&self, error: &Error) -> Vec<u8> {
        refusal(0, error).into_bytes()
    }
}

/// The line-based protocol on one connection.
#[derive(Default)]
pub(super) struct LineProtocol {
    /// True once a complete line was read.
    is_open: bool,
}

impl Protocol for LineProtocol {
    type Own = Infallible;

    fn read(
        &mut self,
        bytes: &[u8],
        reading: &mut ReadContext<'_>,
    ) -> Result<Decoded<Infallible>, Fatal> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        if end.unwrap_or(bytes.len()) > reading.bytes_max() {
            return Err(protocol("a line is too long"));
        }
        let Some(end) = end else { return Ok(Decoded::Partial { used: 0 }) };
        let line = bytes.get(..end).and_then(|line| std::str::from_utf8(line).ok());
        let received =
            line.and_then(understand).ok_or_else(|| protocol("a line cannot be read"))?;
        self.is_open = true;
        let is_idle = !matches!(received, Received::Request { .. });
        Ok(Decoded::Item { used: end + 1, received: Some(received), is_idle })
    }

    fn is_open(&self) -> bool {
        self.is_open
    }

    fn late(&self) -> Fatal {
        Fatal::Foreign("0 error Protocol: no line within rpc.handshake_timeout\n")
    }

    async fn take(
        &mut self,
        own: Infallible,
        _: &mut RequestDispatcher,
        _out: &mut OutputBuffer,
    ) -> Result<(), End> {
        match own {}
    }

    fn answer(
        &mut self,
        out: &mut OutputBuffer,
        id: u64,
        answer: Result<Done, Error>,
    ) -> Result<(), End> {
        let line = match answer {
            // The answer follows.
            Ok(Done::Parked(..)) => return Ok(()),
            Ok(done) => format!("{id} ok{}\n", shown(done)),
            Err(error) => refusal(id, &error),
        };
        out.buffer().extend_from_slice(line.as_bytes());
        Ok(())
    }

    fn push(
        &mut self,
        out: &mut OutputBuffer,
        stream: u64,
        cursor: &mut PushCursor,
    ) -> Result<WrittenPush, End> {
        let (mut lines, mut ended) = (String::new(), None);
        if let Some(WatchDelivery { watch_id, update, .. }) = cursor.next() {
            match update {
                WatchUpdate::Events { first, count, .. } => {
                    for event in cursor.batch().events_of(*first, *count) {
                        let (key, value) = (text(&event.kv.key), text(&event.kv.value));
                        lines += &format!("{stream} changed {watch_id} {key} {value}\n");
                    }
                }
                WatchUpdate::Ended(error) => {
                    ended = Some(*watch_id);
                    let Error { code, message, .. } = Error::from(error.clone());
                    lines = format!("{stream} ended {watch_id} {code}: {message}\n");
                }
                // No command requests them.
                WatchUpdate::Snapshot { .. }
                | WatchUpdate::SnapshotEnd { .. }
                | WatchUpdate::Progress { .. } => {}
            }
        }
        cursor.advance_to(cursor.at().0 + 1, 0);
        out.buffer().extend_from_slice(lines.as_bytes());
        Ok(WrittenPush { bytes: lines.len(), ended, closes: false })
    }

    fn say_goodbye(&mut self, out: &mut OutputBuffer) {
        out.buffer().extend_from_slice(b"0 bye\n");
    }

    fn refuse(&mut self, out: &mut OutputBuffer, error: &Error, _is_new: bool) {
        out.buffer().extend_from_slice(refusal(0, error).as_bytes());
    }
}

/// Parses a line; `None` if it has no id.
fn understand(line: &str) -> Option<Received<Infallible>> {
    if line == "bye" {
        return Some(Received::Goodbye);
    }
    let (id, rest) = line.split_once(' ')?;
    let id = id.parse().ok().filter(|id| *id > 0)?;
    if rest == "cancel" {
        return Some(Received::Cancel(id));
    }
    Some(Received::Request { id, deadline: None, call: Box::new(call(rest)) })
}

fn call(line: &str) -> Result<RpcCall, Error> {
    let words: Vec<&str> = line.split(' ').collect();
    let kv = |request: KvRequest| Ok(RpcCall::from(request));
    let job = |request| Ok(RpcCall::from(Request::Job(request)));
    match *words {
        ["login", user, password] => Ok(RpcCall::Login(Credentials::password(user, password))),
        ["get", key] => kv(KvRequest::Get(GetRequest { key: key.into(), revision: 0 })),
        ["set", key, value] => kv(KvRequest::Set(SetRequest::new(key, value))),
        ["keys", prefix] => kv(KvRequest::Range(RangeRequest::new(KeyRange::prefix(prefix)))),
        ["compact", revision] => match revision.parse() {
            Ok(revision) => kv(KvRequest::Compact(revision)),
            Err(_) => Err(Error::new(ErrorCode::InvalidArgument, "a revision is a number")),
        },
        ["stream"] => Ok(RpcCall::StreamOpen { window_bytes: u32::MAX }),
        ["watch", stream, key] => match stream.parse() {
            Ok(stream) => {
                let watch = WatchRequest::new(KeyRange::key(key));
                Ok(RpcCall::WatchAdd { stream, watch_id: 1, watch })
            }
            Err(_) => Err(Error::new(ErrorCode::InvalidArgument, "a stream is a number")),
        },
        ["wait", key] => Ok(RpcCall::Wait(WaitRequest::new(KeyRange::key(key)))),
        ["push", topic, job_payload] => {
            let jobs = vec![PushRequest::new(topic, job_payload)];
            job(JobRequest::Push { jobs, wait: Duration::ZERO })
        }
        ["reserve", topic] => job(JobRequest::Reserve(ReserveRequest::new(topic))),
        _ => Err(Error::new(ErrorCode::Protocol, "no such command")),
    }
}

/// Returns the text after `ok`.
fn shown(done: Done) -> String {
    match done {
        Done::Reply(CallReply { reply: Reply::Get(get), .. }) => {
            get.kv.map_or_else(String::new, |kv| format!(" {}", text(&kv.value)))
        }
        Done::Reply(CallReply { reply: Reply::Range(range), .. }) => {
            range.kvs.iter().map(|kv| format!(" {}", text(&kv.key))).collect()
        }
        Done::Reply(CallReply { reply: Reply::Job(JobReply::Reserved(jobs)), .. }) => {
            jobs.iter().map(|job| format!(" {}", text(&job.payload))).collect()
        }
        Done::Waited(WaitOutcome::Met { event: Some(event), .. }) => {
            format!(" {}", text(&event.kv.value))
        }
        Done::LoggedIn(identity) => format!(" {}", identity.name),
        _ => String::new(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn refusal(id: u64, error: &Error) -> String {
    format!("{id} error {}: {}\n", error.code, error.message)
}
