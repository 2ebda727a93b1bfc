//! Links byte by byte, as in `docs/protocol.md`, against a relay process.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use super::{Relay, TOKEN};
use crate::process::TIMEOUT;
use crate::support::body::{Body, Reader, refusal};
use crate::support::raw::{HELLO, PING, PONG, PREFACE, WELCOME, frame, http_body};

const LINK_PREFACE: &[u8; 8] = b"WAKELNK\x01";

/// A socket to which bytes are written by hand.
struct Raw(TcpStream);

impl Raw {
    fn connect(addr: &str) -> Self {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self(socket)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Returns the kind, id and body of the next frame.
    fn frame(&mut self) -> (u8, u64, Vec<u8>) {
        let header = self.bytes(20);
        let length = u32::from_le_bytes(header[..4].try_into().unwrap());
        let id = u64::from_le_bytes(header[12..].try_into().unwrap());
        (header[4], id, self.bytes(length as usize))
    }

    fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        rest
    }

    /// Asserts that the relay ends the connection, in any way: after a violation it need not read
    /// the rest.
    fn ended(&mut self) {
        let mut rest = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut rest) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    }

    /// Asserts that the connection is refused with an error frame, and closed; returns code and
    /// message.
    fn refused(&mut self) -> (u16, String) {
        assert_eq!(self.bytes(8), LINK_PREFACE);
        let (kind, _, body) = self.frame();
        assert_eq!(kind, 5);
        let mut reader = Reader::new(&body);
        let refused = refusal(&mut reader);
        assert_eq!(self.rest(), b"");
        (refused.code, refused.message)
    }
}

/// Returns the body of the hello of a link with a token.
fn hello(name: &str, token: &str) -> Vec<u8> {
    let body = Body::new().bytes(name.as_bytes()).u8(1).u32(1).bytes(token.as_bytes());
    frame(HELLO, 0, 0, &body.u8(1).u32(8).into_bytes())
}

/// Returns a frame of yamux: version 0, type, flags, stream, length.
fn yamux(kind: u8, flags: u16, stream: u32, length: u32) -> Vec<u8> {
    let mut bytes = vec![0, kind];
    bytes.extend_from_slice(&flags.to_be_bytes());
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes
}

fn open(relay: &Relay, name: &str) -> Raw {
    let mut raw = Raw::connect(&relay.accepting);
    raw.send(&[&LINK_PREFACE[..], &hello(name, TOKEN)].concat());
    assert_eq!(raw.bytes(8), LINK_PREFACE);
    let (kind, _, body) = raw.frame();
    assert_eq!(kind, WELCOME);
    // The relay offers no services, and accepts 512 streams.
    assert_eq!(body, [0, 0, 2, 0, 0]);
    raw
}

#[test]
fn l1_a_link_is_a_handshake_and_then_yamux() {
    let relay = Relay::start();
    let mut raw = open(&relay, "by hand");
    // The first stream is for pings.
    let ping = frame(PING, 0, 77, b"");
    raw.send(&[yamux(0, 1, 1, 20), ping].concat());
    // Among any other frames of yamux, a pong arrives on stream 1.
    let pong = frame(PONG, 0, 77, b"");
    let mut said = Vec::new();
    while !said.windows(pong.len()).any(|window| window == pong) {
        said.extend(raw.bytes(1));
    }
    assert!(relay.run("by hand", &["get", "a", "--deadline", "1s"]).code != Some(0));
    // For a client that requests this server, a stream of an even number opens, which begins with
    // the client's preface.
    let mut client = Raw::connect(&relay.listening);
    let body = Body::new().bytes(b"me").bytes(b"by hand").into_bytes();
    let start = [&PREFACE[..], &frame(HELLO, 0, 0, &body)].concat();
    client.send(&start);
    while !said.windows(start.len()).any(|window| window == start) {
        said.extend(raw.bytes(1));
    }
}

#[test]
fn l3_a_hello_that_is_none_is_one_error_then_the_end() {
    let relay = Relay::start();
    let code = |bytes: &[u8]| {
        let mut raw = Raw::connect(&relay.accepting);
        raw.send(&[&LINK_PREFACE[..], bytes].concat());
        raw.refused()
    };
    assert_eq!(code(&hello("edge", "0123456789abcdef")).0, 52, "LinkRefused");
    assert_eq!(code(&hello("", TOKEN)).0, 1, "InvalidArgument");
    assert_eq!(code(&hello(&"x".repeat(257), TOKEN)).0, 1);
    assert_eq!(code(&hello("a\nb", TOKEN)).0, 1);
    assert_eq!(code(&frame(PING, 0, 0, b"")).0, 15, "Protocol");
    assert_eq!(code(&frame(HELLO, 0, 0, b"short")).0, 15);
    // Refused at its header, before its body arrives.
    let (number, message) = code(&frame(HELLO, 0, 0, &[0; 5000])[..20]);
    assert_eq!(number, 2, "LimitExceeded");
    assert!(message.contains("link.hello_bytes_max"), "{message}");
    let huge = [&u32::MAX.to_le_bytes()[..], &[HELLO, 1, 0, 0], &[0; 12]].concat();
    assert_eq!(code(&huge).0, 2);
}

#[test]
fn l3_strangers_are_told_where_they_are() {
    let relay = Relay::start();
    let said = |addr: &str, bytes: &[u8]| {
        let mut raw = Raw::connect(addr);
        raw.send(bytes);
        String::from_utf8(raw.rest()).unwrap()
    };
    for stranger in [&PREFACE[..], b"{\"method\"", b"\x16\x03\x01\x02"] {
        let line = said(&relay.accepting, stranger);
        assert!(line.starts_with("ERR wakeful: this port") && line.ends_with('\n'), "{line}");
    }
    let response = said(&relay.accepting, b"GET / HTTP/1.1\r\n\r\n");
    assert!(http_body(&response).contains("links of servers"), "{response}");
    let response = said(&relay.listening, b"GET / HTTP/1.1\r\n\r\n");
    assert!(http_body(&response).contains("not HTTP"), "{response}");
    let line = said(&relay.accepting, b"WAKELNK\x02");
    assert!(line.contains("version 1 of links"), "{line}");
    let line = said(&relay.listening, LINK_PREFACE);
    assert!(line.contains("accepting on"), "{line}");
    // Nothing of them is left: the relay still serves.
    let _server = relay.serve("home");
    relay.until_there("home");
}

#[test]
fn l3_who_dials_and_says_nothing_is_ended() {
    let limits = ["--limit", "link.handshake_timeout=200ms", "--limit", "link.handshakes_max=3"];
    let relay = Relay::start_at("127.0.0.1:0", "127.0.0.1:0", &limits);
    let mut silent: Vec<Raw> = (0..2).map(|_| Raw::connect(&relay.accepting)).collect();
    silent[1].send(&LINK_PREFACE[..4]);
    // One address has two of three places.
    let mut third = Raw::connect(&relay.accepting);
    let (code, message) = third.refused();
    assert_eq!(code, 2);
    assert!(message.contains("link.handshakes_max"), "{message}");
    for raw in &mut silent {
        let (code, message) = raw.refused();
        assert_eq!(code, 15);
        assert!(message.contains("link.handshake_timeout"), "{message}");
    }
    // A peer that authenticates, but then never sends a ping, is closed, too.
    let mut mute = Raw::connect(&relay.accepting);
    mute.send(&[&LINK_PREFACE[..], &hello("mute", TOKEN)].concat());
    mute.rest();
}

#[test]
fn l7_a_link_that_falls_silent_is_ended() {
    let limits = ["--limit", "link.ping_interval=50ms", "--limit", "link.ping_timeout=50ms"];
    let relay = Relay::start_at("127.0.0.1:0", "127.0.0.1:0", &limits);
    let mut raw = open(&relay, "half open");
    raw.send(&[yamux(0, 1, 1, 20), frame(PING, 0, 1, b"")].concat());
    // The relay sends a ping, gets no answer, and frees the link and its name.
    raw.rest();
    let refusal = relay.run("half open", &["get", "a"]);
    assert!(refusal.stderr.contains("no server half open"), "{}", refusal.stderr);
}

#[test]
fn l8_a_link_that_breaks_the_rules_ends_alone() {
    let relay = Relay::start();
    let _server = relay.serve("home");
    relay.until_there("home");
    let control = [yamux(0, 1, 1, 20), frame(PING, 0, 1, b"")].concat();
    let wrong: [(&str, Vec<u8>); 5] = [
        ("no yamux at all", vec![0xff; 64]),
        ("a frame of 4 GiB", yamux(0, 1, 1, u32::MAX)),
        ("a request about the link", [yamux(0, 1, 1, 20), frame(3, 0, 1, b"")].concat()),
        ("a body about the link", [yamux(0, 1, 1, 21), frame(PING, 0, 1, b"x")].concat()),
        ("the end of the control stream", [&*control, &*yamux(0, 4, 1, 0)].concat()),
    ];
    for (what, bytes) in wrong {
        let mut raw = open(&relay, "wrong");
        raw.send(&bytes);
        raw.ended();
        crate::process::until(&format!("{what}: its name is free"), || {
            relay.run("wrong", &["get", "a"]).stderr.contains("no server wrong")
        });
        relay.ok("home", &["set", "a", "1"]);
    }
    // Unrequested streams are dropped; the link continues.
    let mut raw = open(&relay, "streams");
    raw.send(&control);
    for stream in 1..200 {
        raw.send(&yamux(1, 1, 2 * stream + 1, 0));
    }
    let ping = frame(PING, 0, 99, b"");
    raw.send(&[yamux(0, 0, 1, 20), ping].concat());
    let pong = frame(PONG, 0, 99, b"");
    let mut said = Vec::new();
    while !said.windows(pong.len()).any(|window| window == pong) {
        said.extend(raw.bytes(1));
    }
    raw.0.shutdown(Shutdown::Both).unwrap();
}
