//! R1, R2: one answer for each request, and none for work that came too late.

use std::collections::HashSet;

use crate::support::body::{self, Body, Reader, get, key, prefix, set, set_fields};
use crate::support::raw::{ERROR, PUSH, REPLY, REQUEST, Raw, frame, request};
use crate::support::server::Server;

const DEADLINE_EXCEEDED: u16 = 12;

#[test]
fn r1_a_thousand_requests_at_once_have_an_answer_each() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    let mut bytes = Vec::new();
    for id in 1..=1000 {
        let name = format!("key-{}", id % 100);
        let body = match id % 4 {
            0 => set(name.as_bytes(), b"value"),
            1 => get(name.as_bytes()),
            2 => body::count(prefix(b"key-")),
            _ => Body::request(99),
        };
        bytes.extend_from_slice(&request(id, body));
    }
    raw.send(&bytes);
    let mut answered = HashSet::new();
    for _ in 0..1000 {
        let answer = raw.next();
        assert!((1..=1000).contains(&answer.id) && answered.insert(answer.id), "{answer:?}");
        let kind = if answer.id % 4 == 3 { ERROR } else { REPLY };
        assert_eq!(answer.kind, kind, "{answer:?}");
    }
    raw.send(&frame(9, 0, 5, b""));
    assert_eq!(raw.next().id, 5, "nothing but the pong follows");
}

#[test]
fn r1_more_requests_than_are_read_at_once_are_answered_too() {
    let server = Server::start_with(|config| {
        config.rpc.requests_in_flight_max = 3;
        config.rpc.heavy_requests_max = 1;
    });
    let mut raw = Raw::open(server.addr());
    let mut bytes = Vec::new();
    for id in 1..=100 {
        let body = if id % 3 == 0 { body::count(prefix(b"")) } else { get(b"a") };
        bytes.extend_from_slice(&request(id, body));
    }
    raw.send(&bytes);
    let answered: HashSet<u64> = (0..100).map(|_| raw.next().id).collect();
    assert_eq!(answered, (1..=100).collect());
}

#[test]
fn r1_every_request_has_the_reply_of_its_number() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    assert_eq!(raw.set(b"a", b"1"), 2);

    let answer = raw.call(get(b"a"));
    let mut reply = answer.reply(1);
    assert_eq!(reply.u64(), 2);
    let kv = reply.option(body::key_value).unwrap();
    assert_eq!((kv.key, kv.value), (b"a".to_vec(), b"1".to_vec()));
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version, kv.lease), (2, 2, 1, 0));
    reply.end();

    let answer =
        raw.call(Body::request(2).then(prefix(b"")).u64(0).u32(0).u8(0).u8(0).u8(0).bytes(b""));
    let mut reply = answer.reply(2);
    assert_eq!(reply.u64(), 2);
    assert_eq!(reply.list(body::key_value).len(), 1);
    assert_eq!((reply.bool(), reply.u64()), (false, 1), "more, count");
    reply.end();

    let compare = Body::new().then(key(b"a")).u32(0).u32(0).bytes(b"1");
    let success = Body::new().u32(0).then(set_fields(b"b", b"2"));
    let failure = Body::new().u32(1).bytes(b"a").u64(0);
    let txn = Body::request(4).u64(1).then(compare).u64(1).then(success).u64(1).then(failure);
    let answer = raw.call(txn);
    let mut reply = answer.reply(4);
    assert_eq!((reply.u64(), reply.bool(), reply.u64(), reply.u32()), (3, true, 1, 0));
    assert_eq!((reply.u64(), reply.bool(), reply.u64(), reply.u8()), (3, true, 0, 0));
    reply.end();

    let answer = raw.call(Body::request(3).then(key(b"b")).u8(1));
    let mut reply = answer.reply(3);
    assert_eq!((reply.u64(), reply.u64()), (4, 1));
    assert_eq!(reply.list(body::key_value)[0].key, b"b");
    reply.end();

    let answer = raw.call(Body::request(5).u64(77).u64(60_000));
    let mut reply = answer.reply(5);
    assert_eq!((reply.u64(), reply.u64(), reply.u64()), (4, 77, 60_000));
    reply.end();
    let answer = raw.call(Body::request(6).u64(77));
    let mut reply = answer.reply(6);
    assert_eq!((reply.u64(), reply.u64(), reply.u64()), (4, 77, 60_000));
    raw.call(Body::request(0).bytes(b"leased").bytes(b"").u64(77).u64(0).u8(0).u8(0));
    let answer = raw.call(Body::request(8).u64(77));
    let mut reply = answer.reply(8);
    assert_eq!((reply.u64(), reply.u64(), reply.u64()), (5, 77, 60_000));
    assert!(reply.u64() <= 60_000);
    assert_eq!(reply.list(Reader::bytes), [b"leased".to_vec()]);
    let answer = raw.call(Body::request(9).u64(0).u32(0));
    let mut reply = answer.reply(9);
    assert_eq!((reply.u64(), reply.list(Reader::u64), reply.bool()), (5, vec![77], false));
    let answer = raw.call(Body::request(7).u64(77));
    let mut reply = answer.reply(7);
    assert_eq!((reply.u64(), reply.u64(), reply.u64()), (6, 1, 0));

    let answer = raw.call(body::compact(4));
    let mut reply = answer.reply(10);
    assert_eq!((reply.u64(), reply.u64()), (6, 4));
    let status = raw.status();
    assert_eq!((status.revision, status.oldest, status.keys, status.connections), (6, 4, 1, 1));

    let wait = raw.park(body::wait(prefix(b"z"), body::CHANGED, 60_000));
    let answer = raw.call(Body::request(12).u64(0).u32(0));
    let mut reply = answer.reply(12);
    assert_eq!((reply.u64(), reply.u64()), (6, 1), "revision, one watcher");
    let (id, is_watch, owner) = (reply.u64(), reply.bool(), reply.text());
    assert!(!is_watch && owner.ends_with(" (raw)"), "{owner}");
    assert_eq!((reply.u32(), reply.bytes(), reply.u64()), (1, b"z".to_vec(), 0));
    assert!(!reply.bool());
    reply.end();
    let ender = raw.ask(Body::request(13).u64(id));
    let mut answers = [raw.next(), raw.next()];
    answers.sort_by_key(|answer| answer.id);
    assert_eq!(answers[0].id, wait);
    assert_eq!(answers[0].refusal().code, 11, "ended by an operator");
    assert_eq!(answers[1].id, ender);
    answers[1].reply(13).end();

    let answer = raw.call(body::wait(key(b"a"), 1, 1000));
    let mut reply = answer.reply(14);
    assert_eq!((reply.bool(), reply.u64()), (true, 6));
    assert_eq!(reply.option(body::event).unwrap().key, b"a");
    reply.end();

    let stream = raw.open_stream(1 << 20);
    assert_eq!(raw.watch(stream, 5, key(b"a"), body::From::Now), 6);
    raw.call(body::watch_cancel(stream, 5)).reply(17).end();
}

#[test]
fn r1_the_same_idempotency_key_does_a_write_once() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    let once = |value: &[u8]| {
        Body::new()
            .u8(1)
            .u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677)
            .u32(0)
            .then(set_fields(b"a", value))
    };
    let first = raw.call(once(b"1"));
    assert_eq!(raw.call(once(b"1")).body, first.body);
    assert_eq!(raw.call(once(b"2")).refusal().code, 8);
    assert_eq!(raw.status().revision, 2);
}

/// A reply remembered for retries is not pushed out by the writes of another connection.
#[test]
fn s9_many_writes_of_one_connection_leave_the_replies_of_another() {
    let server = Server::start_with(|config| config.store.idempotency_keys_max = 20);
    let once =
        |key: u128, value: &[u8]| Body::new().u8(1).u128(key).u32(0).then(set_fields(b"a", value));
    let mut careful = Raw::open(server.addr());
    let first = careful.call(once(1, b"careful"));
    let mut busy = Raw::open(server.addr());
    for key in 1_000..1_100 {
        busy.call(once(key, b"busy")).reply(0);
    }
    drop(careful);
    let mut again = Raw::open(server.addr());
    assert_eq!(again.call(once(1, b"careful")).body, first.body, "by whatever connection");
    let revision = busy.status().revision;
    busy.call(once(1_000, b"busy")).reply(0);
    assert_eq!(busy.status().revision, revision + 1, "its own were forgotten");
}

/// Extreme numbers in every field: each request is answered, and the store continues.
#[test]
fn r4_no_number_is_too_large_or_too_small() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    raw.set(b"a", b"1");
    let stream = raw.open_stream(u32::MAX);
    for n in [0, 1, 2, 3, u64::from(u32::MAX), 1 << 63, u64::MAX - 1, u64::MAX] {
        let n32 = n as u32;
        let range = || prefix(b"");
        let bodies = [
            Body::request(0).bytes(b"a").bytes(b"1").u64(n).u64(0).u8(0).u8(0),
            Body::request(0).bytes(b"a").bytes(b"1").u64(0).u64(n).u8(1).u8(1),
            Body::request(1).bytes(b"a").u64(n),
            Body::request(2).then(range()).u64(n).u32(n32).u8(1).u8(1).u8(0).bytes(b"b"),
            Body::request(2).then(range()).u64(n).u32(n32).u8(0).u8(0).u8(1).bytes(b""),
            Body::request(4).u64(1).then(key(b"a")).u32(3).u32(1).u64(n).u64(0).u64(0),
            Body::request(5).u64(n).u64(60_000),
            Body::request(5).u64(0).u64(n),
            Body::request(6).u64(n),
            Body::request(7).u64(n),
            Body::request(8).u64(n),
            Body::request(9).u64(n).u32(n32),
            Body::request(10).u64(n),
            Body::request(12).u64(n).u32(n32),
            Body::request(13).u64(n),
            // after, and timeout_ms
            Body::request(14).then(key(b"x")).u32(0).u8(1).u64(n).u8(1).u64(1),
            Body::request(14).then(range()).u32(2).u8(1).u64(n).u8(1).u64(1),
            Body::request(14).then(range()).u32(5).u64(n).u8(0).u8(1).u64(1),
            Body::request(14).then(key(b"x")).u32(5).u64(n).u8(1).u64(n).u8(1).u64(1),
            Body::request(14).then(key(b"absent")).u32(2).u8(0).u8(1).u64(n),
            body::watch_add(stream, n, range(), body::From::Revision(n)),
            body::watch_add(n, n, range(), body::From::Now),
            // progress_ms
            Body::request(16)
                .u64(stream)
                .u64(!n)
                .then(range())
                .u32(0)
                .u8(1)
                .u8(1)
                .u8(0)
                .u8(0)
                .u64(n)
                .u8(0),
            body::watch_cancel(stream, n),
            body::watch_cancel(n, n),
        ];
        for body in bodies {
            let id = raw.ask(body);
            // Watches may deliver the revisions in between.
            loop {
                let answer = raw.next();
                if answer.kind != PUSH {
                    assert_eq!(answer.id, id, "{answer:?}");
                    break;
                }
            }
        }
    }
    raw.ask(set(b"alive", b""));
    assert!(server.wakeful().store().connected(), "the store lives");
}

/// R2: the earlier work takes longer than the deadline allows, so the request is not executed.
#[test]
fn r2_expired_work_is_not_done() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    let sets: Vec<(Vec<u8>, &[u8])> =
        (0..1000).map(|n| (format!("key-{n:04}").into_bytes(), &b"x"[..])).collect();
    let sets: Vec<(&[u8], &[u8])> = sets.iter().map(|(key, value)| (&key[..], *value)).collect();
    assert_eq!(raw.call(body::txn_of_sets(&sets)).kind, REPLY);
    // One message to the store: 14 transactions of 1000 sets each, then one with a deadline of a
    // millisecond, in which no store executes 14,000 sets.
    let mut bytes = Vec::new();
    for id in 101..115 {
        bytes.extend_from_slice(&request(id, body::txn_of_sets(&sets)));
    }
    bytes.extend_from_slice(&frame(REQUEST, 1, 200, &set(b"late", b"").into_bytes()));
    bytes.extend_from_slice(&frame(REQUEST, 60_000, 201, &set(b"early", b"").into_bytes()));
    raw.send(&bytes);
    for _ in 0..16 {
        let answer = raw.next();
        match answer.id {
            200 => {
                let refusal = answer.refusal();
                assert_eq!(refusal.code, DEADLINE_EXCEEDED, "{refusal:?}");
            }
            _ => assert_eq!(answer.kind, REPLY, "{answer:?}"),
        }
    }
    assert_eq!(raw.status().keys, 1001, "the keys and `early`, but not `late`");
}
