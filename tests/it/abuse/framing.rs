//! Malformed bytes.

use super::beside::Beside;
use super::victim::Victim;
use super::{FRAME_TOO_LARGE, MIB, PROTOCOL};
use crate::support::body::{self, Body, Details, get, key, set};
use crate::support::raw::{HELLO, PREFACE, REPLY, Raw, frame, hello, request};

#[test]
fn abuse_01_a_header_beyond_the_limit_is_refused_and_nothing_is_made_ready_for_it() {
    let victim = Victim::start();
    let beside = Beside::start(victim.addr());
    let (memory, descriptors) = (victim.peak(), victim.descriptors());
    for body_bytes in [8 * MIB as u32 + 1, u32::MAX].repeat(50) {
        let mut header = request(1, Body::new());
        header[..4].copy_from_slice(&body_bytes.to_le_bytes());
        let mut raw = victim.attack();
        raw.send(&header);
        let refusal = raw.refused();
        assert_eq!(refusal.code, FRAME_TOO_LARGE);
        let name = "rpc.frame_bytes_max".to_owned();
        assert_eq!(refusal.details, Details::Limit { name, value: 8 * MIB });
        // Before the hello, any body longer than a hello.
        let mut header = frame(HELLO, 0, 0, b"");
        header[..4].copy_from_slice(&(body_bytes / 1024).to_le_bytes());
        let mut raw = victim.connect();
        raw.send(&[&PREFACE[..], &header].concat());
        raw.expect_preface();
        let refusal = raw.refused();
        assert_eq!(refusal.code, PROTOCOL);
        assert!(refusal.message.contains("1024 bytes"), "{refusal:?}");
    }
    victim.assert_peak(memory, 16 * MIB, "200 headers of up to 4 GiB");
    victim.until_descriptors(descriptors);
    beside.finish();
}

/// Lengths of 2^60 for each kind of thing that has a length. (Nothing on the wire is empty, so no
/// count exceeds the length of its body.)
fn monstrous() -> Vec<(&'static str, Body)> {
    let many = 1 << 60;
    let job = |variant: u32| Body::request(20).u32(variant);
    vec![
        ("a key", Body::request(1).u64(many).u64(0)),
        ("a value", Body::request(0).bytes(b"k").u64(many)),
        ("a range", Body::request(2).u32(2).bytes(b"a").u64(many)),
        ("compares", Body::request(4).u64(many)),
        ("operations", Body::request(4).u64(0).u64(many)),
        ("the other operations", Body::request(4).u64(0).u64(0).u64(many)),
        ("jobs", job(0).u64(many)),
        ("settlements", job(2).u64(many)),
        ("reservations", job(3).u64(many)),
    ]
}

#[test]
fn abuse_06_lengths_beyond_reason_are_errors_that_cost_nothing() {
    let victim = Victim::start();
    let beside = Beside::start(victim.addr());
    let memory = victim.peak();
    let mut raw = victim.attack();
    for (what, body) in monstrous() {
        for _ in 0..20 {
            let refusal = raw.call(body.clone()).refusal();
            assert_eq!(refusal.code, PROTOCOL, "{what}: {refusal:?}");
        }
    }
    assert_eq!(raw.call(get(b"a")).kind, REPLY, "the connection lives");
    let mut named = victim.connect();
    named.send(&[&PREFACE[..], &frame(HELLO, 0, 0, &(1_u64 << 60).to_le_bytes())].concat());
    named.expect_preface();
    assert_eq!(named.refused().code, PROTOCOL);
    victim.assert_peak(memory, 8 * MIB, "lengths of 2^60");
    beside.finish();
}

/// Bodies full of the smallest elements, which are larger in memory than on the wire.
#[test]
fn abuse_06_a_body_costs_a_small_multiple_of_its_bytes() {
    let victim = Victim::start();
    let beside = Beside::start(victim.addr());
    let memory = victim.peak();
    let count = 250_000;
    let mut raw = victim.attack();
    let mut compares = Body::request(4).u64(count);
    for _ in 0..count {
        compares = compares.then(key(b"k").u32(0).u32(1).u64(0));
    }
    let refusal = raw.call(compares.u64(0).u64(0)).refusal();
    assert_eq!(refusal.code, super::LIMIT_EXCEEDED, "{refusal:?}");
    let mut reservations = Body::request(20).u32(3).u64(count);
    for id in 0..count {
        reservations = reservations.u64(id).u32(1);
    }
    let refusal = raw.call(reservations.u8(0)).refusal();
    assert_eq!(refusal.code, super::LIMIT_EXCEEDED, "{refusal:?}");
    victim.assert_peak(memory, 16 * 8 * MIB, "two bodies of up to 8 MiB");
    beside.finish();
}

#[test]
fn abuse_07_trailing_bytes_and_bad_variants_harm_one_request() {
    let victim = Victim::start();
    let beside = Beside::start(victim.addr());
    let mut raw = victim.attack();
    for (what, body) in [
        ("trailing bytes", get(b"a").u8(0)),
        ("no such request", Body::request(u32::MAX)),
        ("no such choice", Body::request(3).u32(3).bytes(b"a").u8(0)),
        ("no such bool", Body::request(0).bytes(b"a").bytes(b"b").u64(0).u64(0).u8(2).u8(0)),
        ("no such option", Body::new().u8(2).u32(1).bytes(b"a").u64(0)),
        ("cut short", Body::request(1).u64(3)),
        ("nothing", Body::new()),
        // The error of a settlement is text: retry after 0, with bytes that are not UTF-8.
        ("no UTF-8", {
            let settle = Body::request(20).u32(2).u64(1).u64(1).u32(1);
            settle.u32(1).u8(0).bytes(b"\xff\xfe")
        }),
    ] {
        let (bad, good) = (raw.ask(body), raw.ask(get(b"a")));
        let answers = [raw.next(), raw.next()];
        for answer in answers {
            match answer.id {
                id if id == bad => assert_eq!(answer.refusal().code, PROTOCOL, "{what}"),
                id => assert_eq!((id, answer.kind), (good, REPLY), "{what}"),
            }
        }
    }
    // Once framing is lost, there is no next request to serve.
    let mut broken = request(raw.ask(get(b"a")) + 1, get(b"a"));
    assert_eq!(raw.next().kind, REPLY);
    broken[4] = 99;
    raw.send(&broken);
    assert_eq!(raw.refused().code, PROTOCOL);
    beside.finish();
}

/// A TLS handshake at a port without TLS, and other protocols at a port with TLS: see also the
/// tests of TLS.
#[test]
fn abuse_08_foreign_protocols_get_one_clear_line() {
    let victim = Victim::start();
    let beside = Beside::start(victim.addr());
    let descriptors = victim.descriptors();
    let tls = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 500]].concat();
    for (sent, said) in [
        (&tls[..], "TLS"),
        (b"WAKEFUL\x02and more", "version 1"),
        (b"\0\0\0\0\0\0\0\0", "the wakeful protocol"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the wakeful protocol"),
        (b"*1\r\n$4\r\nPING\r\n", "the wakeful protocol"),
    ] {
        for _ in 0..10 {
            let mut raw = victim.connect();
            raw.send(sent);
            let line = String::from_utf8(raw.rest()).unwrap();
            assert!(line.starts_with("ERR wakeful: ") && line.contains(said), "{line:?}");
            assert!(line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
        }
    }
    victim.until_descriptors(descriptors);
    beside.finish();
}

#[test]
fn abuse_09_an_id_in_flight_twice_ends_the_connection_and_what_it_held() {
    let victim = Victim::start();
    let beside = Beside::start(victim.addr());
    let descriptors = victim.descriptors();
    let wait = || body::wait(key(b"never"), body::CHANGED, 600_000);
    // In one segment, none of which is executed.
    let mut raw = victim.attack();
    raw.send(&[request(7, set(b"twice", b"1")), request(7, set(b"twice", b"2"))].concat());
    assert_eq!(raw.refused().code, PROTOCOL);
    let mut raw = victim.attack();
    let id = raw.park(wait());
    raw.send(&request(id, get(b"a")));
    assert_eq!(raw.refused().code, PROTOCOL);
    let mut raw = victim.attack();
    let stream = raw.open_stream(1000);
    raw.send(&request(stream, get(b"a")));
    assert_eq!(raw.refused().code, PROTOCOL);
    victim.until_descriptors(descriptors);
    let mut witness = Raw::open(victim.addr());
    let status = witness.status();
    assert_eq!((status.waits, status.keys), (0, 1), "only the key of the client beside");
    beside.finish();
}

/// A peer is no attacker if its hello arrives in pieces, or its name contains a line break.
#[test]
fn abuse_07_a_hello_in_pieces_is_a_hello() {
    let victim = Victim::start();
    let mut raw = victim.connect();
    for byte in [&PREFACE[..], &hello("slow but right")].concat() {
        raw.send(&[byte]);
    }
    raw.expect_preface();
    assert_eq!(raw.next().id, 0);
}
