//! [`Peer`]: a connection that shows frames as received.

use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::auth::Credentials;
use crate::model::RpcCall;
use crate::rpc::codec;
use crate::rpc::frame::{self, Header, Kind, PREFACE};
use crate::rpc::proto::{WireCall, WireHello};
use crate::test_timeout::TEST_TIMEOUT;

const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) struct Peer {
    socket: TcpStream,
    received: BytesMut,
    next_id: u64,
}

impl Peer {
    /// Connects, and logs in if there is a token.
    pub(super) async fn connect(addr: SocketAddr, token: Option<&str>) -> Self {
        let socket = TcpStream::connect(addr).await.unwrap();
        let mut peer = Self { socket, received: BytesMut::new(), next_id: 1 };
        let mut out = PREFACE.to_vec();
        let hello = WireHello { client_name: "", server: "" };
        append(&mut out, Kind::Hello, 0, 0, &hello);
        peer.socket.write_all(&out).await.unwrap();
        while peer.received.len() < PREFACE.len() {
            peer.more().await;
        }
        peer.received.advance(PREFACE.len());
        assert_eq!(peer.frame().await.0.kind, Kind::Welcome);
        if let Some(token) = token {
            let answers = peer.ask(&[RpcCall::Login(Credentials::token(token))]).await;
            assert!(answers[0].starts_with("0 Reply"), "{answers:?}");
        }
        peer
    }

    /// Sends requests with one write; returns the frames up to the last answer, in order, each with the
    /// index of its request.
    pub(super) async fn ask(&mut self, calls: &[RpcCall]) -> Vec<String> {
        self.ask_within(0, calls).await
    }

    /// Sends requests, without waiting for their answers; returns the id of the first.
    pub(super) async fn send(&mut self, deadline_ms: u32, calls: &[RpcCall]) -> u64 {
        let first = self.next_id;
        let mut out = Vec::new();
        for call in calls {
            append(&mut out, Kind::Request, self.next_id, deadline_ms, &WireCall::from(call));
            self.next_id += 1;
        }
        self.socket.write_all(&out).await.unwrap();
        first
    }

    /// Does the same as [`ask`](Self::ask), with a deadline unless it is 0.
    pub(super) async fn ask_within(&mut self, deadline_ms: u32, calls: &[RpcCall]) -> Vec<String> {
        let first = self.send(deadline_ms, calls).await;
        let (mut frames, mut answered) = (Vec::new(), 0);
        while answered < calls.len() {
            let (header, body) = self.frame().await;
            assert!(header.id >= first, "{header:?} belongs to an earlier request");
            let Header { kind, durability, id, .. } = header;
            frames.push(format!("{} {kind:?} {durability} {}", id - first, body.escape_ascii()));
            answered += usize::from(matches!(kind, Kind::Reply | Kind::Error));
        }
        frames
    }

    async fn more(&mut self) {
        let read = self.socket.read_buf(&mut self.received);
        let read = tokio::time::timeout(TEST_TIMEOUT, read).await.expect("an answer").unwrap();
        assert!(read > 0, "the connection ended");
    }

    async fn frame(&mut self) -> (Header, Vec<u8>) {
        loop {
            let split = frame::split(&self.received, FRAME_BYTES_MAX).unwrap();
            if let Some((header, body, rest)) = split {
                let (body, used) = (body.to_vec(), self.received.len() - rest.len());
                self.received.advance(used);
                return (header, body);
            }
            self.more().await;
        }
    }
}

fn append<T: Serialize>(out: &mut Vec<u8>, kind: Kind, id: u64, deadline_ms: u32, body: &T) {
    codec::encode_frame(out, kind, id, deadline_ms, body, FRAME_BYTES_MAX).unwrap();
}
