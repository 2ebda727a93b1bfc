//! A throw-away server for the tests of the load generator: it knows the protocol's shapes and
//! nothing about doing them well.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::error::{Error, ErrorCode};
use crate::model::{
    Event, GetReply, HubRequest, KeyRange, KeyValue, KvRequest, Reply, Request, SetReply,
    StatusReply, StoreRequest, WaitOutcome,
};
use crate::rpc::codec::{self, BODY_BYTES_LIMIT};
use crate::rpc::frame::{self, Kind, PREFACE};
use crate::rpc::proto::{
    Call, WireCall, WireDelivery, WireError, WireEvent, WirePush, WireReply, WireWelcome,
};

/// A key that is always refused.
pub(super) const REFUSED: &str = "key:000000000007";

#[derive(Default)]
struct Store {
    revision: u64,
    keys: HashMap<Vec<u8>, Arc<KeyValue>>,
    /// Those interested in keys, and whether in a wait (and its id) or in a watch (stream, id).
    waits: Vec<(usize, u64, KeyRange)>,
    watches: Vec<(usize, u64, u64, KeyRange)>,
    peers: Vec<TcpStream>,
}

/// Serves on a port of its own for as long as the process lives.
pub(super) fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let store = Arc::new(Mutex::new(Store { revision: 1, ..Store::default() }));
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (socket, store) = (socket.unwrap(), store.clone());
            let peer = {
                let mut store = store.lock().unwrap();
                store.peers.push(socket.try_clone().unwrap());
                store.peers.len() - 1
            };
            std::thread::spawn(move || converse(socket, peer, &store));
        }
    });
    addr
}

fn converse(mut socket: TcpStream, peer: usize, store: &Mutex<Store>) {
    let mut preface = [0; 8];
    socket.read_exact(&mut preface).unwrap();
    assert_eq!(preface, PREFACE);
    let (mut input, mut bytes) = (Vec::new(), [0; 64 * 1024]);
    while let Ok(count @ 1..) = socket.read(&mut bytes) {
        input.extend_from_slice(&bytes[..count]);
        let mut left = &input[..];
        let mut output = Vec::new();
        while let Some((header, body, rest)) = frame::split(left, 1 << 20).unwrap() {
            left = rest;
            match header.kind {
                Kind::Hello => welcome(&mut output),
                Kind::Request => {
                    let call = codec::decode::<WireCall<'_>>(body).unwrap().into();
                    store.lock().unwrap().answer(&mut output, peer, header.id, call);
                }
                Kind::Credit | Kind::Pong => {}
                kind => panic!("unexpected {kind:?}"),
            }
        }
        input = left.to_vec();
        // Under the lock, so that it does not run into the middle of an event's frame.
        let _store = store.lock().unwrap();
        if socket.write_all(&output).is_err() {
            return;
        }
    }
}

fn welcome(output: &mut Vec<u8>) {
    output.extend_from_slice(&PREFACE);
    let body = WireWelcome {
        server_version: "fake",
        store_id: 1,
        revision: 1,
        frame_bytes_max: 1 << 20,
        requests_in_flight_max: 4_096,
        ping_interval_ms: 30_000,
    };
    codec::encode_frame(output, Kind::Welcome, 0, 0, &body, BODY_BYTES_LIMIT).unwrap();
    // Every client must cope with a ping at any time.
    codec::encode_bare(output, Kind::Ping, 1);
}

fn reply(output: &mut Vec<u8>, id: u64, body: &WireReply<'_>) {
    codec::encode_frame(output, Kind::Reply, id, 0, body, BODY_BYTES_LIMIT).unwrap();
}

impl Store {
    fn answer(&mut self, output: &mut Vec<u8>, peer: usize, id: u64, call: Call) {
        match call {
            Call::Store { request, .. } => match self.request(request) {
                Ok(done) => reply(output, id, &(&done).into()),
                Err(error) => {
                    let body = WireError::from(&error);
                    codec::encode_frame(output, Kind::Error, id, 0, &body, BODY_BYTES_LIMIT)
                        .unwrap();
                }
            },
            Call::Wait(wait) => {
                self.waits.push((peer, id, wait.range));
                let parked = WirePush::Parked { revision: self.revision };
                codec::encode_frame(output, Kind::Push, id, 0, &parked, BODY_BYTES_LIMIT).unwrap();
            }
            Call::StreamOpen { .. } => reply(output, id, &WireReply::StreamOpen),
            Call::WatchAdd { stream, watch_id, watch } => {
                self.watches.push((peer, stream, watch_id, watch.range));
                reply(output, id, &WireReply::WatchAdd { revision: self.revision });
            }
            Call::WatchCancel { .. } => reply(output, id, &WireReply::WatchCancel),
            Call::Login(_) => unreachable!("the bench has nobody to log in as"),
        }
    }

    fn request(&mut self, request: Request) -> Result<Reply, Error> {
        Ok(match request {
            Request::Store(StoreRequest::Kv(KvRequest::Set(set))) if set.key == REFUSED => {
                return Err(Error::new(ErrorCode::LimitExceeded, "refused"));
            }
            Request::Store(StoreRequest::Kv(KvRequest::Set(set))) => {
                self.revision += 1;
                let kv = Arc::new(KeyValue {
                    key: set.key.clone(),
                    value: set.value,
                    create_revision: self.revision,
                    mod_revision: self.revision,
                    version: 1,
                    lease: 0,
                });
                self.keys.insert(set.key.to_vec(), kv.clone());
                self.show(&Event { kv, previous: None });
                let revision = self.revision;
                Reply::Set(SetReply { revision, changed: true, lease: 0, previous: None })
            }
            Request::Store(StoreRequest::Kv(KvRequest::Get(get))) => {
                let kv = self.keys.get(&get.key[..]).cloned();
                Reply::Get(GetReply { revision: self.revision, kv })
            }
            Request::Store(StoreRequest::Hub(HubRequest::Status)) => {
                Reply::Status(Box::new(StatusReply {
                    revision: self.revision,
                    oldest: 1,
                    waits: self.waits.len() as u64,
                    watches: self.watches.len() as u64,
                    ..StatusReply::default()
                }))
            }
            request => panic!("unexpected {request:?}"),
        })
    }

    fn show(&mut self, event: &Event) {
        let mut output: HashMap<usize, Vec<u8>> = HashMap::new();
        let outcome = WaitOutcome::Met { revision: self.revision, event: Some(event.clone()) };
        self.waits.retain(|(peer, id, range)| {
            let met = range.contains(&event.kv.key);
            if met {
                reply(output.entry(*peer).or_default(), *id, &(&outcome).into());
            }
            !met
        });
        for (peer, stream, watch_id, range) in &self.watches {
            if range.contains(&event.kv.key) {
                let delivery = WireDelivery {
                    watch_id: *watch_id,
                    revision: self.revision,
                    first: 0,
                    count: 1,
                    skipped: 0,
                    fragment: false,
                };
                let events = vec![WireEvent::of(event, false, false)];
                let push = WirePush::Events { events, deliveries: vec![delivery] };
                let output = output.entry(*peer).or_default();
                codec::encode_frame(output, Kind::Push, *stream, 0, &push, BODY_BYTES_LIMIT)
                    .unwrap();
            }
        }
        for (peer, output) in output {
            // A peer that is gone needs no event.
            let _ = self.peers[peer].write_all(&output);
        }
    }
}
