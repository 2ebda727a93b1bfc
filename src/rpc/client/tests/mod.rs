//! The client against a scripted server on a real socket.

mod handshake;
mod jobs;
mod real;
mod requests;
mod watches;

use std::time::Duration;

use bytes::{Buf, BytesMut};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Client;
use crate::config::ClientConfig;
use crate::error::{Error, ErrorCode};
use crate::model::{Event, GetReply, KeyValue, Reply, Revision, RpcCall, SetReply};
use crate::rpc::codec;
use crate::rpc::frame::{self, Header, Kind, PREFACE};
use crate::rpc::proto::{
    WireCall, WireCredit, WireDelivery, WireError, WireEvent, WireHello, WirePush, WireReply,
    WireWelcome, read_durability,
};

const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Nothing in these tests takes longer unless it hangs.
async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("hangs")
}

/// A server that follows the test's script.
struct Server {
    listener: TcpListener,
    config: ClientConfig,
}

/// One connection of the server.
struct Peer {
    socket: TcpStream,
    received: BytesMut,
    hello: String,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = ClientConfig::new(listener.local_addr().unwrap().to_string());
        config.reconnect_backoff_min = Duration::from_millis(1);
        config.reconnect_backoff_max = Duration::from_millis(5);
        Self { listener, config }
    }

    /// Returns a client, and the server's end of its connection.
    async fn connect(&self) -> (Client, Peer) {
        self.connect_with(self.config.clone()).await
    }

    async fn connect_with(&self, config: ClientConfig) -> (Client, Peer) {
        let (client, peer) =
            within(async { tokio::join!(Client::connect_with(config), self.accept(7, 10)) }).await;
        (client.unwrap(), peer)
    }

    /// Refuses the next connection.
    async fn refuse(&self, code: ErrorCode) {
        let (mut socket, _) = within(self.listener.accept()).await.unwrap();
        socket.write_all(&refusal(&Error::new(code, "refused"))).await.unwrap();
        // Not closed before the client has read it.
        while within(socket.read_buf(&mut BytesMut::with_capacity(64))).await.unwrap_or(0) > 0 {}
    }

    /// Accepts the next connection, and welcomes it to `store_id` at `revision`.
    async fn accept(&self, store_id: u64, revision: Revision) -> Peer {
        let (socket, _) = within(self.listener.accept()).await.unwrap();
        let mut peer = Peer { socket, received: BytesMut::new(), hello: String::new() };
        while peer.received.len() < PREFACE.len() {
            peer.more().await;
        }
        assert_eq!(peer.received[..8], PREFACE);
        peer.received.advance(8);
        let (header, body) = peer.frame().await;
        assert_eq!(header.kind, Kind::Hello);
        codec::decode::<WireHello<'_>>(&body).unwrap().client_name.clone_into(&mut peer.hello);
        peer.socket.write_all(&PREFACE).await.unwrap();
        let welcome = WireWelcome {
            server_version: "test",
            store_id,
            revision,
            frame_bytes_max: FRAME_BYTES_MAX as u32,
            requests_in_flight_max: 4096,
            ping_interval_ms: 30_000,
        };
        peer.send(Kind::Welcome, 0, &welcome).await;
        peer
    }
}

/// Returns what a server sends that refuses a connection instead of welcoming it.
fn refusal(error: &Error) -> Vec<u8> {
    let (mut out, body) = (PREFACE.to_vec(), WireError::from(error));
    codec::encode_frame(&mut out, Kind::Error, 0, 0, &body, FRAME_BYTES_MAX).unwrap();
    out
}

impl Peer {
    async fn more(&mut self) -> usize {
        within(self.socket.read_buf(&mut self.received)).await.unwrap_or(0)
    }

    async fn frame(&mut self) -> (Header, Vec<u8>) {
        self.try_frame().await.expect("closed")
    }

    /// Returns the next frame; `None` at the end of the connection.
    async fn try_frame(&mut self) -> Option<(Header, Vec<u8>)> {
        loop {
            if let Some((header, body, rest)) =
                frame::split(&self.received, FRAME_BYTES_MAX).unwrap()
            {
                let (body, used) = (body.to_vec(), self.received.len() - rest.len());
                self.received.advance(used);
                return Some((header, body));
            }
            if self.more().await == 0 {
                return None;
            }
        }
    }

    /// Returns the next frame, a request, with its id.
    async fn request(&mut self) -> (u64, RpcCall) {
        let (header, body) = self.frame().await;
        assert_eq!(header.kind, Kind::Request, "{header:?}");
        let mut call = codec::decode::<WireCall<'_>>(&body).unwrap().into();
        if let RpcCall::Store { options, .. } = &mut call {
            options.durability = read_durability(header.durability).unwrap();
        }
        (header.id, call)
    }

    /// Expects the next frame to be of this kind, with hardly any body; returns its id.
    async fn expect(&mut self, kind: Kind) -> u64 {
        let (header, _) = self.frame().await;
        assert_eq!(header.kind, kind, "{header:?}");
        header.id
    }

    async fn expect_credit(&mut self, stream: u64) -> u32 {
        let (header, body) = self.frame().await;
        assert_eq!((header.kind, header.id), (Kind::Credit, stream), "{header:?}");
        codec::decode::<WireCredit>(&body).unwrap().bytes
    }

    /// Waits until the client has closed the connection.
    async fn expect_end(&mut self) {
        while self.more().await > 0 {}
    }

    async fn send<T: Serialize>(&mut self, kind: Kind, id: u64, body: &T) -> u32 {
        let mut out = Vec::new();
        let bytes = codec::encode_frame(&mut out, kind, id, 0, body, FRAME_BYTES_MAX).unwrap();
        self.raw(&out).await;
        bytes as u32
    }

    async fn bare(&mut self, kind: Kind, id: u64) {
        self.raw(&Header::bare(kind, id).encode()).await;
    }

    async fn raw(&mut self, bytes: &[u8]) {
        within(self.socket.write_all(bytes)).await.unwrap();
    }

    async fn reply(&mut self, id: u64, reply: &Reply) {
        self.send(Kind::Reply, id, &WireReply::from(reply)).await;
    }

    async fn durable_reply(&mut self, id: u64, durability: u8, reply: &Reply) {
        let mut out = Vec::new();
        let header = Header { durability, ..Header::bare(Kind::Reply, id) };
        let body = WireReply::from(reply);
        codec::encode_headed(&mut out, header, &body, FRAME_BYTES_MAX).unwrap();
        self.raw(&out).await;
    }

    async fn refuse(&mut self, id: u64, code: ErrorCode) {
        let error = Error::new(code, "refused by the test");
        self.send(Kind::Error, id, &WireError::from(&error)).await;
    }

    /// Answers the opening of a stream and its first watch; returns the id of the stream, and the
    /// watch.
    async fn grant_watch(&mut self, revision: Revision) -> (u64, crate::model::WatchRequest) {
        let (stream, call) = self.request().await;
        assert!(matches!(call, RpcCall::StreamOpen { .. }), "{call:?}");
        let (id, call) = self.request().await;
        let RpcCall::WatchAdd { stream: on, watch_id: 1, watch } = call else { panic!("{call:?}") };
        assert_eq!(on, stream);
        self.send(Kind::Reply, stream, &WireReply::StreamOpen).await;
        self.send(Kind::Reply, id, &WireReply::WatchAdd { revision }).await;
        (stream, watch)
    }

    /// Pushes events of these revisions to watch 1, the last up to `revision`; returns the number of
    /// bytes.
    async fn push(
        &mut self,
        stream: u64,
        revisions: &[Revision],
        revision: Revision,
        fragment: bool,
    ) -> u32 {
        let events: Vec<Event> = revisions.iter().map(|revision| event(*revision)).collect();
        let push = WirePush::Events {
            events: events.iter().map(|event| WireEvent::of(event, false, false)).collect(),
            deliveries: vec![WireDelivery {
                watch_id: 1,
                revision,
                first: 0,
                count: revisions.len() as u32,
                skipped: 0,
                fragment,
            }],
        };
        self.send(Kind::Push, stream, &push).await
    }
}

fn event(revision: Revision) -> Event {
    Event { kv: key_value("k", revision).into(), previous: None }
}

fn key_value(key: &str, revision: Revision) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: "v".into(),
        create_revision: revision,
        mod_revision: revision,
        version: 1,
        lease: 0,
    }
}

fn got(revision: Revision) -> Reply {
    Reply::Get(GetReply { revision, kv: None })
}

fn set(revision: Revision) -> Reply {
    Reply::Set(SetReply { revision, changed: true, lease: 0, previous: None })
}
