//! R4: connections that are too slow, or silent for too long, are closed.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use crate::support::body::{self, get, key, set};
use crate::support::eventually;
use crate::support::raw::{ERROR, PING, PONG, PREFACE, REPLY, Raw, WELCOME, frame, hello, request};
use crate::support::server::Server;

const SOON: Duration = Duration::from_millis(200);
const PROTOCOL: u16 = 15;

/// Sends one byte after another, slowly, until the other side closes; returns what it sent.
fn trickle(raw: &Raw, bytes: &[u8]) -> Vec<u8> {
    let mut socket = raw.socket();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut said = Vec::new();
    for byte in bytes {
        // A refusal is read below.
        let _ = socket.write_all(&[*byte]);
        let mut buffer = [0; 4096];
        match socket.read(&mut buffer) {
            Ok(0) => return said,
            Ok(count) => said.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("still open after {} bytes", bytes.len());
}

#[test]
fn r4_no_hello_in_time_is_the_end() {
    let server = Server::start_with(|config| config.rpc.handshake_timeout = SOON);
    for said in [&b""[..], b"WAKE"] {
        let mut raw = Raw::connect(server.addr());
        raw.send(said);
        let line = String::from_utf8(raw.rest()).unwrap();
        assert!(line.starts_with("ERR wakeful: no preface within rpc.handshake_timeout"), "{line}");
    }
    for said in [&PREFACE[..], &[&PREFACE[..], &hello("slow")[..25]].concat()] {
        let mut raw = Raw::connect(server.addr());
        raw.send(said);
        raw.expect_preface();
        let refusal = raw.refused();
        assert_eq!(refusal.code, PROTOCOL);
        assert!(refusal.message.contains("rpc.handshake_timeout"), "{refusal:?}");
    }
    let raw = Raw::connect(server.addr());
    let slow = [&PREFACE[..], &hello(&"x".repeat(200))].concat();
    assert!(trickle(&raw, &slow).starts_with(PREFACE));
    let mut witness = Raw::open(server.addr());
    eventually("their places are free", || witness.status().connections == 1);
}

#[test]
fn r4_a_frame_that_takes_too_long_is_the_end() {
    let server = Server::start_with(|config| config.rpc.frame_timeout = SOON);
    let whole = request(1, set(b"a", &[b'x'; 1000]));
    // After the hello, in a segment of its own and in the same one.
    for together in [false, true] {
        let mut raw = Raw::connect(server.addr());
        let start = [&PREFACE[..], &hello("slow")].concat();
        if together {
            raw.send(&[&start[..], &whole[..100]].concat());
        } else {
            raw.send(&start);
        }
        raw.expect_preface();
        assert_eq!(raw.next().kind, WELCOME);
        if !together {
            raw.send(&whole[..100]);
        }
        let sent = Instant::now();
        let refusal = raw.refused();
        assert!(refusal.message.contains("rpc.frame_timeout"), "{refusal:?}");
        assert!(sent.elapsed() < Duration::from_secs(10), "{:?}", sent.elapsed());
    }
    let raw = Raw::open(server.addr());
    assert_eq!(trickle(&raw, &whole)[4], ERROR);
}

#[test]
fn r4_a_silent_peer_is_pinged_and_closed() {
    let server = Server::start_with(|config| {
        config.rpc.ping_interval = Duration::from_millis(50);
        config.rpc.ping_timeout = SOON;
    });
    let mut raw = Raw::open(server.addr());
    raw.park(body::wait(key(b"a"), body::CHANGED, 60_000));
    let mut witness = Raw::open(server.addr());
    for _ in 0..5 {
        let ping = witness.next();
        assert_eq!((ping.kind, ping.body.len()), (PING, 0));
        witness.send(&frame(PONG, 0, ping.id, b""));
    }
    // The peer is silent, as with a pulled cable: it gets a ping, does not answer, and its
    // resources are freed.
    let ping = raw.next();
    assert_eq!(ping.kind, PING);
    assert!(raw.next_or_end().is_none(), "closed without another word");
    witness.send(&request(1, body::status()));
    loop {
        let answer = witness.next();
        if answer.kind == PING {
            witness.send(&frame(PONG, 0, answer.id, b""));
            continue;
        }
        let status = body::read_status(&answer.body);
        assert_eq!((status.waits, status.connections), (0, 1));
        break;
    }
}

#[test]
fn r4_who_takes_no_output_is_closed() {
    let server = Server::start_with(|config| config.rpc.write_timeout = SOON);
    let mut witness = Raw::open(server.addr());
    witness.set(b"a", &vec![b'x'; 1 << 20]);
    let mut raw = Raw::open(server.addr());
    raw.park(body::wait(key(b"b"), body::CHANGED, 60_000));
    for _ in 0..50 {
        raw.ask(get(b"a"));
    }
    eventually("it is closed and freed", || {
        let status = witness.status();
        (status.waits, status.connections) == (0, 1)
    });
}

/// A peer that takes some of its output is alive, even if it sends nothing.
#[test]
fn r4_who_takes_output_slowly_is_not_silent() {
    let server = Server::start_with(|config| {
        config.rpc.ping_interval = Duration::from_millis(300);
        config.rpc.ping_timeout = Duration::from_millis(300);
    });
    let mut raw = Raw::open(server.addr());
    socket2::SockRef::from(raw.socket()).set_recv_buffer_size(16 * 1024).unwrap();
    raw.set(b"a", &vec![b'x'; 1 << 20]);
    let requests: Vec<u8> = (100..130).flat_map(|id| request(id, get(b"a"))).collect();
    raw.send(&requests);
    // 30 MiB, at about 15 MiB a second: much longer than a silent peer is kept.
    let start = Instant::now();
    let mut taken = 0;
    while taken < 30 {
        let frame = raw.next();
        if frame.kind == PING {
            continue;
        }
        assert_eq!(frame.kind, REPLY);
        taken += 1;
        let due = start + Duration::from_millis(65) * taken;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// While answers wait for a slow reader, its requests are not read, so an incomplete one may be
/// complete in the socket.
#[test]
fn r4_a_frame_that_the_server_does_not_read_on_is_not_slow() {
    let server = Server::start_with(|config| config.rpc.frame_timeout = Duration::from_millis(500));
    let mut raw = Raw::open(server.addr());
    raw.set(b"a", &vec![b'x'; 1 << 20]);
    let mut requests: Vec<u8> = (100..130).flat_map(|id| request(id, get(b"a"))).collect();
    requests.extend(request(130, set(b"b", &[b'x'; 200_000])));
    raw.send(&requests);
    // Twice the limit of a frame.
    std::thread::sleep(Duration::from_secs(1));
    for _ in 100..=130 {
        let answer = raw.next();
        assert_eq!(answer.kind, REPLY, "{answer:?}");
    }
}
