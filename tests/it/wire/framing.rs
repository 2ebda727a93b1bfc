//! R4: bytes that are not the protocol, or violate it, end one request or one connection, and no
//! more.

use crate::support::body::{self, Body, Details, get, key, set};
use crate::support::raw::{
    CANCEL, CREDIT, ERROR, GOODBYE, PING, PONG, PREFACE, PUSH, REPLY, REQUEST, Raw, WELCOME,
    credit, frame, hello, http_body, request,
};
use crate::support::server::Server;

const PROTOCOL: u16 = 15;
const FRAME_TOO_LARGE: u16 = 16;

/// A witness, which another connection must not disturb.
struct Bystander(Raw);

impl Bystander {
    fn new(server: &Server) -> Self {
        let mut raw = Raw::open(server.addr());
        raw.set(b"bystander", b"here");
        Self(raw)
    }

    fn check(&mut self) {
        assert_eq!(self.0.call(get(b"bystander")).kind, REPLY);
    }
}

#[test]
fn r4_frames_may_come_in_any_pieces() {
    let server = Server::start();
    let script = [
        PREFACE.to_vec(),
        hello("pieces"),
        request(1, set(b"a", b"1")),
        request(2, get(b"a")),
        frame(PING, 0, 9, b""),
        request(3, set(b"a", b"2")),
    ]
    .concat();
    let mut answers = None;
    for pieces in [1, 7, 20, 21, script.len()] {
        let mut raw = Raw::connect(server.addr());
        for piece in script.chunks(pieces) {
            raw.send(piece);
        }
        raw.expect_preface();
        let frames: Vec<_> = (0..5).map(|_| raw.next()).collect();
        let mut kinds: Vec<_> = frames.iter().map(|frame| (frame.kind, frame.id)).collect();
        assert_eq!(kinds[0], (WELCOME, 0));
        // In any order: a pong may precede the replies to requests before the ping.
        kinds.sort_unstable();
        assert_eq!(*answers.get_or_insert_with(|| kinds.clone()), kinds);
    }
    assert_eq!(answers.unwrap(), [(WELCOME, 0), (REPLY, 1), (REPLY, 2), (REPLY, 3), (PONG, 9)]);
}

#[test]
fn r4_http_is_answered_in_http() {
    let server = Server::start();
    let mut bystander = Bystander::new(&server);
    for sent in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /v1/keys HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut raw = Raw::connect(server.addr());
        raw.send(sent.as_bytes());
        let response = String::from_utf8(raw.rest()).unwrap();
        let body = http_body(&response);
        assert!(body.contains("not HTTP") && body.contains("docs/protocol.md"), "{body}");
        // The request that the response recommends works.
        let (_, json) = body.split_once("printf '").unwrap();
        let (json, _) = json.split_once('\'').unwrap();
        let mut raw = Raw::connect(server.addr());
        raw.send(json.as_bytes());
        raw.shutdown_write();
        let answer = String::from_utf8(raw.rest()).unwrap();
        assert!(answer.contains("\"revision\":") && answer.contains("\"error\":null"), "{answer}");
        bystander.check();
    }
}

#[test]
fn r4_a_foreign_protocol_gets_one_line_of_text() {
    let server = Server::start();
    let mut bystander = Bystander::new(&server);
    let tls = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 500]].concat();
    for (sent, said) in [
        (&tls[..], "no TLS"),
        (b"WAKEFUL\x02and more", "version 1"),
        (b"\0\0\0\0\0\0\0\0", "the wakeful protocol"),
        (b"*1\r\n$4\r\nPING\r\n", "the wakeful protocol"),
        (b"WAKE UP", "the wakeful protocol"),
    ] {
        let mut raw = Raw::connect(server.addr());
        raw.send(sent);
        let line = String::from_utf8(raw.rest()).unwrap();
        assert!(line.starts_with("ERR wakeful: ") && line.contains(said), "{line:?}");
        assert!(line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
        bystander.check();
    }
}

#[test]
fn r4_broken_framing_is_one_error_then_the_end() {
    let server = Server::start();
    let mut bystander = Bystander::new(&server);
    let with = |at: usize, byte: u8| {
        let mut bytes = request(1, get(b"a"));
        bytes[at] = byte;
        bytes
    };
    for (what, bytes) in [
        ("kind 0", with(4, 0)),
        ("kind 12", with(4, 12)),
        ("kind 255", with(4, 255)),
        ("codec 0", with(5, 0)),
        ("codec 2", with(5, 2)),
        ("reserved", with(7, 1)),
        ("a ping that is to be durable", {
            let mut bytes = frame(PING, 0, 1, b"");
            bytes[6] = 1;
            bytes
        }),
        ("a request with id 0", request(0, get(b"a"))),
        ("a welcome", frame(WELCOME, 0, 0, b"")),
        ("a reply", frame(REPLY, 0, 1, b"")),
        ("an error", frame(ERROR, 0, 1, b"")),
        ("a push", frame(PUSH, 0, 1, b"")),
        ("a second hello", hello("again")),
        ("a credit without bytes", frame(CREDIT, 0, 1, b"")),
        ("a credit with too many", frame(CREDIT, 0, 1, &[0; 5])),
        ("a ping with a body", frame(PING, 0, 1, b"x")),
        ("a pong with a body", frame(PONG, 0, 1, b"x")),
        ("a cancel with a body", frame(CANCEL, 0, 1, b"x")),
        ("a goodbye with a body", frame(GOODBYE, 0, 0, b"x")),
    ] {
        let mut raw = Raw::open(server.addr());
        raw.send(&bytes);
        let refusal = raw.refused();
        assert_eq!(refusal.code, PROTOCOL, "{what}: {refusal:?}");
        bystander.check();
    }
}

#[test]
fn r4_a_bad_hello_is_one_error_then_the_end() {
    let server = Server::start();
    for (what, bytes) in [
        ("a request first", request(1, get(b"a"))),
        ("a ping first", frame(PING, 0, 1, b"")),
        ("an empty hello", frame(1, 0, 0, b"")),
        ("a name that is not UTF-8", frame(1, 0, 0, &Body::new().bytes(b"\xff").into_bytes())),
        ("a long name", hello(&"x".repeat(257))),
        ("trailing bytes", frame(1, 0, 0, &Body::new().bytes(b"x").u8(0).into_bytes())),
        ("the header of a long hello", frame(1, 0, 0, &[0; 5000])[..20].to_vec()),
        ("no frame at all", vec![0; 20]),
    ] {
        let mut raw = Raw::connect(server.addr());
        raw.send(PREFACE);
        raw.send(&bytes);
        raw.expect_preface();
        let refusal = raw.refused();
        assert_eq!(refusal.code, PROTOCOL, "{what}: {refusal:?}");
    }
    let mut raw = Raw::connect(server.addr());
    raw.send(PREFACE);
    raw.send(&hello(&"x".repeat(256)));
    raw.expect_preface();
    assert_eq!(raw.next().kind, WELCOME);
}

#[test]
fn r4_an_oversize_frame_is_refused_at_its_header() {
    let server = Server::start();
    let mut bystander = Bystander::new(&server);
    for body_bytes in [8 * 1024 * 1024 + 1, u32::MAX] {
        let mut raw = Raw::open(server.addr());
        let mut header = request(1, Body::new());
        header[..4].copy_from_slice(&body_bytes.to_le_bytes());
        raw.send(&header);
        let refusal = raw.refused();
        assert_eq!(refusal.code, FRAME_TOO_LARGE);
        let name = "rpc.frame_bytes_max".to_owned();
        assert_eq!(refusal.details, Details::Limit { name, value: 8 * 1024 * 1024 });
        bystander.check();
    }
}

#[test]
fn r4_a_truncated_frame_and_a_close_is_the_end() {
    let server = Server::start();
    let whole = request(1, set(b"truncated", b"value"));
    for length in [1, 19, 20, 21, whole.len() - 1] {
        let mut raw = Raw::open(server.addr());
        raw.send(&whole[..length]);
        raw.shutdown_write();
        raw.expect_end();
    }
    let mut raw = Raw::open(server.addr());
    assert_eq!(raw.status().keys, 0, "nothing truncated is done");
}

#[test]
fn r4_a_malformed_body_is_an_error_to_its_request_alone() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    let long = Body::request(0).u64(1 << 60).then(Body::new().bytes(b"x"));
    let nested = Body::request(4).u64(1 << 60);
    for (what, body) in [
        ("empty", Body::new()),
        ("no such request", Body::request(20)),
        ("no such request", Body::request(u32::MAX)),
        ("cut short", Body::request(1).u64(3)),
        ("trailing", get(b"a").u8(0)),
        ("no such option", Body::new().u8(2).u32(1).bytes(b"a").u64(0)),
        ("no such bool", Body::request(0).bytes(b"a").bytes(b"b").u64(0).u64(0).u8(2).u8(0)),
        ("no such range", Body::request(3).u32(3).bytes(b"a").u8(0)),
        ("no such condition", Body::request(14).then(key(b"a")).u32(6).u8(0).u8(0)),
        ("a key as long as anything", long),
        ("more compares than anything", nested),
    ] {
        let frame = raw.call(body);
        let refusal = frame.refusal();
        assert_eq!(refusal.code, PROTOCOL, "{what}: {refusal:?}");
        assert_eq!(refusal.details, Details::None);
    }
    assert_eq!(raw.call(get(b"a")).kind, REPLY, "the connection lives");
}

#[test]
fn r4_a_duplicate_id_is_one_error_then_the_end() {
    let server = Server::start();
    let wait = || body::wait(key(b"never"), body::CHANGED, 60_000);
    // In one segment, of which only the error is answered.
    let mut raw = Raw::open(server.addr());
    raw.send(&[request(7, wait()), request(7, get(b"a"))].concat());
    assert_eq!(raw.refused().code, PROTOCOL);
    // The id of a parked wait.
    let mut raw = Raw::open(server.addr());
    let id = raw.park(wait());
    raw.send(&request(id, get(b"a")));
    assert_eq!(raw.refused().code, PROTOCOL);
    // The id of a stream.
    let mut raw = Raw::open(server.addr());
    let stream = raw.open_stream(1000);
    raw.send(&request(stream, get(b"a")));
    assert_eq!(raw.refused().code, PROTOCOL);
    // The id of an answered request may be reused, and ids may descend.
    let mut raw = Raw::open(server.addr());
    for id in [7, 7, 3, u64::MAX, 3] {
        raw.send(&request(id, get(b"a")));
        assert_eq!(raw.next().id, id);
    }
}

#[test]
fn r4_what_is_unknown_is_ignored_where_it_may_be_late() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    let late = [
        frame(CANCEL, 0, 99, b""),
        frame(CANCEL, 0, 0, b""),
        credit(99, 1000),
        credit(0, u32::MAX),
        frame(PONG, 0, 99, b""),
    ];
    raw.send(&late.concat());
    assert_eq!(raw.call(get(b"a")).kind, REPLY);
}

#[test]
fn r4_pings_are_answered_with_their_id() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    for id in [0, 1, u64::MAX] {
        raw.send(&frame(PING, 0, id, b""));
        let pong = raw.next();
        assert_eq!((pong.kind, pong.id, pong.body.len()), (PONG, id, 0));
    }
}

#[test]
fn r4_one_connection_too_many_is_told_so() {
    let server = Server::start_with(|config| config.rpc.connections_max = 2);
    let first = Raw::open(server.addr());
    let _second = Raw::open(server.addr());
    // Whether the client sends its hello first or not.
    for speaks in [true, false, true] {
        let mut third = Raw::connect(server.addr());
        if speaks {
            third.send(PREFACE);
            third.send(&hello("third"));
            third.send(&frame(REQUEST, 0, 1, &get(b"a").into_bytes()));
        }
        third.expect_preface();
        let refusal = third.refused();
        assert_eq!(refusal.code, 2);
        let name = "rpc.connections_max".to_owned();
        assert_eq!(refusal.details, Details::Limit { name, value: 2 });
    }
    drop(first);
    crate::support::eventually("the place of one that left is free", || {
        let mut raw = Raw::connect(server.addr());
        raw.send(PREFACE);
        raw.send(&hello("next"));
        raw.expect_preface();
        raw.next().kind == WELCOME
    });
}
