//! T1, T5: a wait has one answer and leaves nothing behind.

use std::collections::HashSet;

use crate::support::body::{self, Push, key, prefix, set};
use crate::support::eventually;
use crate::support::raw::{CANCEL, ERROR, PUSH, REPLY, Raw, frame, request};
use crate::support::server::Server;

const MANY: u64 = 1000;
const CANCELLED: u16 = 13;

fn wait_for(id: u64, timeout_ms: u64) -> Vec<u8> {
    let name = format!("key-{id}");
    request(id, body::wait(key(name.as_bytes()), body::CHANGED, timeout_ms))
}

/// Parks [`MANY`] waits, each for a key of its own.
fn park_many(raw: &mut Raw, timeout_ms: u64) {
    let bytes: Vec<u8> = (1..=MANY).flat_map(|id| wait_for(id, timeout_ms)).collect();
    raw.send(&bytes);
    for id in 1..=MANY {
        let frame = raw.next();
        assert_eq!(frame.id, id);
        assert_eq!(frame.push(), Push::Parked { revision: 1 });
    }
}

#[test]
fn t1_a_wait_is_parked_then_answered_once() {
    let server = Server::start();
    let (mut waiter, mut setter) = (Raw::open(server.addr()), Raw::open(server.addr()));
    let id = waiter.park(body::wait(prefix(b"a"), body::CHANGED, 60_000));
    assert_eq!(setter.set(b"b", b""), 2);
    assert_eq!(setter.set(b"ab", b"1"), 3);
    assert_eq!(setter.set(b"ab", b"2"), 4);
    let answer = waiter.next();
    assert_eq!(answer.id, id);
    let mut reply = answer.reply(14);
    assert_eq!((reply.bool(), reply.u64()), (true, 3));
    assert_eq!(reply.option(body::event).unwrap().value, b"1");
    reply.end();
    assert_eq!(waiter.status().waits, 0);
}

#[test]
fn t3_a_wait_that_still_searches_is_parked_where_it_is() {
    let server = Server::start_with(|config| config.store.slice_max = 4);
    let (mut waiter, mut setter) = (Raw::open(server.addr()), Raw::open(server.addr()));
    for _ in 0..100 {
        setter.set(b"a", b"");
    }
    waiter.send(&request(1, body::wait_after(prefix(b"b"), body::CHANGED, 60_000, 1)));
    let parked = waiter.next();
    assert_eq!(parked.push(), Push::Parked { revision: 5 }, "four events were looked at");
    setter.set(b"b", b"");
    assert_eq!(waiter.next().id, 1);
}

#[test]
fn t5_waits_that_time_out_leave_nothing() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    let bytes: Vec<u8> = (1..=MANY).flat_map(|id| wait_for(id, 100)).collect();
    raw.send(&bytes);
    let mut answered = HashSet::new();
    while answered.len() < MANY as usize {
        let frame = raw.next();
        if frame.kind == PUSH {
            assert!(!answered.contains(&frame.id), "parked before it was answered");
            continue;
        }
        let mut reply = frame.reply(14);
        assert_eq!((reply.bool(), reply.u64(), reply.u8()), (false, 1, 0));
        assert!(answered.insert(frame.id), "one answer each");
    }
    raw.send(&request(5000, body::status()));
    let status = body::read_status(&raw.next().body);
    assert_eq!((status.waits, status.watches, status.streams), (0, 0, 0));
}

#[test]
fn t5_waits_that_are_cancelled_leave_nothing() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    park_many(&mut raw, 600_000);
    let bytes: Vec<u8> = (1..=MANY).flat_map(|id| frame(CANCEL, 0, id, b"")).collect();
    raw.send(&bytes);
    let mut answered = HashSet::new();
    for _ in 1..=MANY {
        let answer = raw.next();
        assert_eq!(answer.refusal().code, CANCELLED);
        assert!(answered.insert(answer.id), "one answer each");
    }
    raw.send(&request(5000, body::status()));
    assert_eq!(body::read_status(&raw.next().body).waits, 0);
}

#[test]
fn t5_waits_whose_client_vanishes_leave_nothing() {
    let server = Server::start();
    let mut witness = Raw::open(server.addr());
    for reset in [false, true] {
        let mut raw = Raw::open(server.addr());
        park_many(&mut raw, 600_000);
        assert_eq!(witness.status().waits, MANY);
        if reset {
            socket2::SockRef::from(raw.socket())
                .set_linger(Some(std::time::Duration::ZERO))
                .unwrap();
        }
        drop(raw);
        eventually("the waits are freed", || witness.status().waits == 0);
        eventually("the connection is gone", || witness.status().connections == 1);
    }
}

/// In the predecessor of this service, the eleventh event for a forgotten waiter blocked every
/// write.
#[test]
fn t5_events_for_a_waiter_that_went_away_block_no_write() {
    let server = Server::start();
    let mut setter = Raw::open(server.addr());
    for _ in 0..10 {
        let mut waiter = Raw::open(server.addr());
        waiter.park(body::wait(key(b"hot"), body::CHANGED, 600_000));
        // One that is never read, one that is cancelled, one whose client vanishes.
        let id = waiter.park(body::wait(key(b"hot"), body::CHANGED, 600_000));
        waiter.send(&frame(CANCEL, 0, id, b""));
    }
    let mut lazy = Raw::open(server.addr());
    lazy.park(body::wait(key(b"hot"), body::CHANGED, 600_000));
    for n in 0..200 {
        assert_eq!(setter.set(b"hot", b"event"), n + 2);
    }
    eventually("nothing waits", || setter.status().waits == 0);
    assert_eq!(lazy.next().kind, REPLY);
}

/// A cancel at any point of a wait's life: exactly one answer, of either kind.
#[test]
fn t1_a_cancel_and_an_event_at_once_make_one_answer() {
    let server = Server::start();
    let (mut waiter, mut setter) = (Raw::open(server.addr()), Raw::open(server.addr()));
    for id in 1..=300 {
        waiter.send(&request(id, body::wait(key(b"hot"), body::CHANGED, 600_000)));
        if id % 3 != 0 {
            assert_eq!(waiter.next().kind, PUSH);
        }
        setter.ask(set(b"hot", b""));
        waiter.send(&frame(CANCEL, 0, id, b""));
        let mut answer = waiter.next();
        if answer.kind == PUSH {
            answer = waiter.next();
        }
        assert_eq!(answer.id, id, "{answer:?}");
        if answer.kind == ERROR {
            assert_eq!(answer.refusal().code, CANCELLED);
        } else {
            answer.reply(14);
        }
        setter.next();
    }
    waiter.send(&frame(9, 0, 1, b""));
    assert_eq!(waiter.next().kind, 10, "nothing but the pong follows");
    assert_eq!(setter.status().waits, 0);
}

#[test]
fn t5_a_wait_cancelled_in_the_same_segment_is_parked_and_cancelled() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    raw.send(&[wait_for(1, 600_000), frame(CANCEL, 0, 1, b"")].concat());
    assert_eq!(raw.next().push(), Push::Parked { revision: 1 });
    assert_eq!(raw.next().refusal().code, CANCELLED);
    raw.send(&request(2, body::status()));
    assert_eq!(body::read_status(&raw.next().body).waits, 0);
}
