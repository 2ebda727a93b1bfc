//! W3, W4, W7, W9, W10 on the wire: streams, watch ids, credit and fragments.

use std::collections::HashMap;

use crate::support::body::{
    self, Delivery, Details, From, KeyValue, Push, key, prefix, set, stream_open, watch_add,
    watch_cancel,
};
use crate::support::eventually;
use crate::support::raw::{CANCEL, Frame, PUSH, REPLY, Raw, credit, frame, request};
use crate::support::server::Server;

const WATCH_NOT_FOUND: u16 = 9;
const WATCH_EXISTS: u16 = 10;
const CANCELLED: u16 = 13;
const ROOMY: u32 = 1 << 30;

/// Joins the parts of deliveries, as a client must.
#[derive(Default)]
struct Shown {
    events: HashMap<u64, Vec<KeyValue>>,
    /// The revision that continues in the next delivery, by watch.
    open: HashMap<u64, u64>,
    fragments: usize,
}

impl Shown {
    fn take(&mut self, frame: &Frame) {
        let Push::Events { events, deliveries } = frame.push() else {
            panic!("not events: {frame:?}")
        };
        for Delivery { watch_id, revision, first, count, skipped, fragment } in deliveries {
            assert_eq!(skipped, 0);
            let part = &events[first as usize..(first + count) as usize];
            let (first, last) = (part.first().unwrap(), part.last().unwrap());
            match self.open.remove(&watch_id) {
                Some(open) => assert_eq!(first.mod_revision, open, "the fragment goes on"),
                None => {
                    let before = self.events.get(&watch_id).and_then(|events| events.last());
                    assert!(before.is_none_or(|kv| kv.mod_revision < first.mod_revision));
                }
            }
            assert!(last.mod_revision <= revision);
            if fragment {
                assert_eq!(last.mod_revision, revision);
                self.open.insert(watch_id, revision);
                self.fragments += 1;
            }
            self.events.entry(watch_id).or_default().extend_from_slice(part);
        }
    }

    fn revisions(&self, watch_id: u64) -> Vec<u64> {
        let events = self.events.get(&watch_id);
        events.into_iter().flatten().map(|kv| kv.mod_revision).collect()
    }
}

#[test]
fn w8_a_stream_its_watch_and_a_write_may_come_in_one_segment() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    raw.send(
        &[
            request(1, stream_open(ROOMY)),
            request(2, watch_add(1, 0, prefix(b"a"), From::Now)),
            request(3, set(b"a", b"1")),
            request(4, watch_add(1, 1, prefix(b"a"), From::Revision(2))),
            request(5, watch_cancel(1, 1)),
        ]
        .concat(),
    );
    raw.next().reply(15).end();
    assert_eq!(raw.next().reply(16).u64(), 1);
    assert_eq!(raw.next().reply(0).u64(), 2);
    assert_eq!(raw.next().reply(16).u64(), 2);
    raw.next().reply(17).end();
    let mut shown = Shown::default();
    let push = raw.next();
    assert_eq!(push.id, 1, "pushes carry the stream's id");
    shown.take(&push);
    assert_eq!(shown.revisions(0), [2]);
}

#[test]
fn w10_one_watch_of_many_is_cancelled() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    let stream = raw.open_stream(ROOMY);
    for watch_id in 0..50 {
        raw.watch(stream, watch_id, prefix(b"a"), From::Now);
    }
    raw.call(watch_cancel(stream, 17)).reply(17).end();
    assert_eq!(raw.status().watches, 49);
    assert_eq!(raw.call(watch_cancel(stream, 17)).refusal().code, WATCH_NOT_FOUND);
    assert_eq!(raw.call(watch_add(stream, 18, key(b"b"), From::Now)).refusal().code, WATCH_EXISTS);
    let mut setter = Raw::open(server.addr());
    setter.set(b"a", b"1");
    let mut shown = Shown::default();
    shown.take(&raw.next());
    for watch_id in 0..50 {
        let expected: &[u64] = if watch_id == 17 { &[] } else { &[2] };
        assert_eq!(shown.revisions(watch_id), expected, "watch {watch_id}");
    }
    let Push::Events { events, deliveries } = ({
        setter.set(b"a", b"2");
        raw.next().push()
    }) else {
        panic!("not events")
    };
    assert_eq!((events.len(), deliveries.len()), (1, 49), "an event stands in a frame once");
}

#[test]
fn w10_unknown_streams_and_watches_are_errors_to_the_request() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    let refusal = raw.call(watch_add(77, 0, key(b"a"), From::Now)).refusal();
    assert_eq!(refusal.code, WATCH_NOT_FOUND);
    assert!(refusal.message.contains("77"), "{refusal:?}");
    assert_eq!(raw.call(watch_cancel(77, 0)).refusal().code, WATCH_NOT_FOUND);
    // A request that is not a stream.
    let wait = raw.park(body::wait(key(b"a"), body::CHANGED, 60_000));
    assert_eq!(raw.call(watch_add(wait, 0, key(b"a"), From::Now)).refusal().code, WATCH_NOT_FOUND);
    let stream = raw.open_stream(ROOMY);
    let nothing = body::Body::request(16).u64(stream).u64(1).then(key(b"a")).u32(0);
    let nothing = nothing.u8(0).u8(0).u8(0).u8(0).u64(0).u8(0);
    assert_eq!(raw.call(nothing).refusal().code, 1, "neither puts nor deletes");
    let refusal = raw.call(watch_add(stream, 1, key(b"a"), From::Revision(9))).refusal();
    assert_eq!((refusal.code, refusal.details), (4, Details::Revisions { oldest: 1, current: 1 }));
}

#[test]
fn w9_pushes_stop_at_the_window_and_go_on_with_credit() {
    let server = Server::start();
    let (mut slow, mut setter) = (Raw::open(server.addr()), Raw::open(server.addr()));
    let stream = slow.open_stream(1000);
    let quick = slow.open_stream(ROOMY);
    slow.watch(stream, 1, prefix(b"a"), From::Now);
    slow.watch(quick, 1, prefix(b"b"), From::Now);
    let mut shown = Shown::default();
    let mut uncredited = 0;
    for n in 0..100 {
        setter.set(b"a", &[b'x'; 100]);
        if uncredited < 1000 {
            let push = slow.next();
            assert_eq!(push.id, stream);
            uncredited += push.body.len();
            shown.take(&push);
        } else {
            // No more events of it arrive; the connection and its other stream continue.
            assert_eq!(setter.set(b"b", b""), setter.status().revision);
            assert_eq!(slow.next().id, quick, "after {n} events");
        }
    }
    assert!(shown.revisions(1).len() < 20);
    while shown.revisions(1).len() < 100 {
        slow.send(&credit(stream, uncredited as u32));
        uncredited = 0;
        while uncredited < 1000 && shown.revisions(1).len() < 100 {
            let push = slow.next();
            assert!(push.body.len() < 80_000, "frames are small, so that streams take turns");
            uncredited += push.body.len();
            shown.take(&push);
        }
    }
    let revisions = shown.revisions(1);
    assert!(revisions.is_sorted() && revisions.len() == 100, "{revisions:?}");
}

#[test]
fn w9_a_window_of_nothing_shows_nothing_until_there_is_credit() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    raw.set(b"a", b"");
    let stream = raw.open_stream(0);
    raw.watch(stream, 1, key(b"a"), From::Revision(2));
    raw.status();
    raw.send(&credit(stream, 1));
    assert_eq!(raw.next().kind, PUSH);
}

#[test]
fn w4_a_revision_larger_than_a_frame_comes_in_fragments() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    let value = vec![b'x'; 10_000];
    let names: Vec<Vec<u8>> = (0..100).map(|n| format!("key-{n:03}").into_bytes()).collect();
    let sets: Vec<(&[u8], &[u8])> = names.iter().map(|name| (&name[..], &value[..])).collect();
    raw.set(b"key-before", b"");
    assert_eq!(raw.call(body::txn_of_sets(&sets)).kind, REPLY);
    raw.set(b"key-after", b"");
    let stream = raw.open_stream(ROOMY);
    raw.ask(watch_add(stream, 1, prefix(b"key"), From::Revision(2)));
    raw.ask(watch_add(stream, 2, prefix(b"key-0"), From::Revision(3)));
    let mut shown = Shown::default();
    while shown.revisions(1).len() < 102 || shown.revisions(2).len() < 100 {
        let frame = raw.next();
        if frame.kind == PUSH {
            shown.take(&frame);
        }
    }
    assert!(shown.fragments >= 10, "{} fragments", shown.fragments);
    assert!(shown.open.is_empty());
    let expected: Vec<u64> = [2].into_iter().chain([3; 100]).chain([4]).collect();
    assert_eq!(shown.revisions(1), expected);
    assert_eq!(shown.revisions(2), [3; 100]);
    let mut keys: Vec<&[u8]> = shown.events[&1].iter().map(|kv| &kv.key[..]).collect();
    keys.dedup();
    assert_eq!(keys.len(), 102, "none is missing, none comes twice");
}

#[test]
fn w7_a_snapshot_is_followed_by_its_end_and_by_events() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    for n in 0..100 {
        raw.set(format!("a{n:03}").as_bytes(), &[b'x'; 10_000]);
    }
    let stream = raw.open_stream(ROOMY);
    assert_eq!(raw.watch(stream, 1, prefix(b"a"), From::Snapshot), 101);
    let mut keys = Vec::new();
    loop {
        match raw.next().push() {
            Push::Snapshot { watch_id: 1, revision: 101, kvs } => {
                keys.extend(kvs.into_iter().map(|kv| kv.key));
            }
            Push::SnapshotEnd { watch_id: 1, revision: 101 } => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(keys.len() == 100 && keys.is_sorted());
    Raw::open(server.addr()).set(b"a", b"");
    let mut shown = Shown::default();
    shown.take(&raw.next());
    assert_eq!(shown.revisions(1), [102]);
}

#[test]
fn w10_a_cancelled_stream_is_freed_and_says_so() {
    let server = Server::start();
    let (mut raw, mut setter) = (Raw::open(server.addr()), Raw::open(server.addr()));
    for round in 0..20 {
        // Its id may be reused once it was answered.
        raw.send(&request(1, stream_open(ROOMY)));
        raw.next().reply(15).end();
        for watch_id in 0..3 {
            let add = watch_add(1, watch_id, prefix(b"a"), From::Now);
            raw.send(&request(2, add));
            assert_eq!(raw.next().reply(16).u64(), round + 1);
        }
        // An event is on its way when the stream is cancelled.
        setter.ask(set(b"a", b""));
        raw.send(&frame(CANCEL, 0, 1, b""));
        let mut answer = raw.next();
        while answer.kind == PUSH {
            answer = raw.next();
        }
        assert_eq!((answer.id, answer.refusal().code), (1, CANCELLED));
        setter.next();
        let revision = setter.status().revision;
        assert_eq!(revision, round + 2);
    }
    eventually("streams are freed", || setter.status().streams == 0);
    assert_eq!(setter.status().watches, 0);
    setter.set(b"a", b"");
    raw.send(&frame(9, 0, 7, b""));
    assert_eq!(raw.next().id, 7, "nothing but the pong follows");
}

#[test]
fn t5_streams_whose_client_vanishes_leave_nothing() {
    let server = Server::start();
    let mut witness = Raw::open(server.addr());
    for n in 0..10 {
        let mut raw = Raw::open(server.addr());
        let stream = raw.open_stream(if n % 2 == 0 { 0 } else { ROOMY });
        for watch_id in 0..700 {
            raw.ask(watch_add(stream, watch_id, prefix(b"a"), From::Now));
        }
        raw.ask(set(b"a", b""));
        eventually("they watch", || witness.status().watches == 700);
        drop(raw);
        eventually("all is freed", || {
            let status = witness.status();
            (status.watches, status.streams, status.connections) == (0, 0, 1)
        });
    }
}

#[test]
fn t5_churn_of_streams_and_watches_leaves_nothing() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    for round in 0..20_u64 {
        let mut bytes = Vec::new();
        for n in 0..100 {
            let id = 1 + round * 1000 + n * 4;
            bytes.extend_from_slice(&request(id, stream_open(100)));
            bytes.extend_from_slice(&request(id + 1, watch_add(id, 0, prefix(b""), From::Now)));
            bytes.extend_from_slice(&request(id + 2, set(b"a", b"")));
            bytes.extend_from_slice(&frame(CANCEL, 0, id, b""));
        }
        raw.send(&bytes);
        let mut answers = 0;
        while answers < 400 {
            answers += usize::from(raw.next().kind != PUSH);
        }
    }
    let mut witness = Raw::open(server.addr());
    eventually("all is freed", || {
        let status = witness.status();
        (status.watches, status.streams) == (0, 0)
    });
}

/// Streams with much to deliver share the connection with requests.
#[test]
fn w9_busy_streams_do_not_keep_requests_waiting() {
    const STREAMS: u64 = 8;
    const EVENTS: u64 = 12;
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    socket2::SockRef::from(raw.socket()).set_recv_buffer_size(64 * 1024).unwrap();
    for _ in 0..EVENTS {
        raw.set(b"a", &vec![b'x'; 1 << 20]);
    }
    let mut bytes = Vec::new();
    for stream in 101..101 + STREAMS {
        bytes.extend_from_slice(&request(stream, stream_open(u32::MAX)));
        let add = watch_add(stream, 0, prefix(b"a"), From::Revision(2));
        bytes.extend_from_slice(&request(1000 + stream, add));
    }
    raw.send(&bytes);
    let mut shown = 0;
    while shown < 4 {
        shown += usize::from(raw.next().kind == PUSH);
    }
    raw.send(&request(5000, body::status()));
    loop {
        let frame = raw.next();
        if frame.id == 5000 {
            break;
        }
        shown += usize::from(frame.kind == PUSH);
    }
    let all = (STREAMS * EVENTS) as usize;
    assert!(shown < all / 2, "the request waited for {shown} of {all} pushes");
}
