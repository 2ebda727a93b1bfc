//! The memory kept for peers that do not read, as the server counts it.

use super::beside::Beside;
use super::victim::Victim;
use super::{KIB, LIMIT_EXCEEDED, MIB};
use crate::support::body::{self, From, Push, get, key, prefix};
use crate::support::raw::{CANCEL, ERROR, PUSH, REPLY, Raw, credit, frame, request};
use crate::support::{eventually, jobs};

/// Maximum for one connection: its limit, and one more answer or batch.
const ONE: u64 = 256 * KIB + MIB + 64 * KIB;

fn limited() -> Victim {
    Victim::with(&[
        "store.total_bytes_max=64MiB",
        "store.history_bytes_max=8MiB",
        "rpc.write_timeout=10m",
        "rpc.ping_interval=10m",
    ])
}

fn large() -> Vec<u8> {
    vec![b'x'; MIB as usize]
}

#[test]
fn abuse_10_streams_without_credit_keep_nothing() {
    let victim = limited();
    let mut witness = Raw::open(victim.addr());
    witness.set(b"big", &large());
    let beside = Beside::start(victim.addr());
    let memory = victim.peak();
    let mut deaf = victim.attack();
    let mut streams = Vec::new();
    for _ in 0..400 {
        let stream = deaf.open_stream(0);
        deaf.watch(stream, 1, key(b"big"), From::Now);
        streams.push(stream);
        witness.set(b"big", &large());
    }
    assert_eq!(witness.kept(), 0);
    victim.assert_peak(memory, 100 * MIB, "400 streams without credit");
    beside.is_served();
    // Credit brings the remaining events, or the report that the watch was overtaken.
    deaf.send(&credit(streams[0], 1));
    let frame = deaf.next();
    assert_eq!((frame.kind, frame.id), (PUSH, streams[0]));
    assert!(matches!(frame.push(), Push::Ended { .. }), "{frame:?}");
    deaf.send(&credit(streams[399], 1));
    let frame = deaf.next();
    assert_eq!((frame.kind, frame.id), (PUSH, streams[399]));
    assert!(frame.body.len() as u64 > MIB, "{frame:?}");
    beside.finish();
}

#[test]
fn abuse_10_streams_with_credit_together_keep_the_limit_of_their_connection() {
    let victim = limited();
    let mut witness = Raw::open(victim.addr());
    let beside = Beside::start(victim.addr());
    let mut deaf = victim.attack();
    for n in 0..100_u32 {
        let stream = deaf.open_stream(1);
        deaf.watch(stream, 1, key(format!("big/{n}").as_bytes()), From::Now);
    }
    for n in 0..100_u32 {
        witness.set(format!("big/{n}").as_bytes(), &large());
        witness.set(format!("big/{n}").as_bytes(), b"");
        let kept = witness.kept();
        assert!(kept <= ONE + ONE, "{kept} bytes after {n} events");
    }
    beside.is_served();
    // When the peer reads, it receives everything that was not overtaken.
    let mut shown = 0;
    while shown < 100 {
        let frame = deaf.next();
        assert_eq!(frame.kind, PUSH, "{frame:?}");
        shown += 1;
    }
    eventually("nothing is kept", || witness.kept() == 0);
    beside.finish();
}

#[test]
fn abuse_10_answers_that_are_not_read_are_not_made() {
    let victim = limited();
    let mut witness = Raw::open(victim.addr());
    for n in 0..60_u32 {
        witness.set(format!("big/{n}").as_bytes(), &large());
    }
    let beside = Beside::start(victim.addr());
    let mut deaf = victim.attack();
    let gets = (0..60_u64).flat_map(|n| request(n + 1, get(format!("big/{n}").as_bytes())));
    deaf.send(&gets.collect::<Vec<_>>());
    eventually("it is not read from", || witness.kept() > 0);
    witness.call(body::delete(prefix(b"big/"))).reply(3);
    let revision = witness.status().revision;
    witness.call(body::compact(revision)).reply(10);
    let kept = witness.kept();
    assert!(kept <= ONE, "{kept} bytes of keys that are gone");
    beside.is_served();
    // Each request is answered once, in order; those that had to wait show the state when they are
    // executed.
    let mut there = 0;
    for id in 1..=60 {
        let frame = deaf.next();
        assert_eq!((frame.kind, frame.id), (REPLY, id));
        there += usize::from(frame.body.len() as u64 > MIB);
    }
    assert!(there < 40, "{there} were answered without being read");
    eventually("nothing is kept", || witness.kept() == 0);
    beside.finish();
}

#[test]
fn abuse_10_what_a_message_opens_and_uses_outlives_a_pause_in_between() {
    let victim = limited();
    let mut witness = Raw::open(victim.addr());
    witness.set(b"big", &large());
    let mut raw = victim.attack();
    let parts = [
        request(1, body::stream_open(u32::MAX)),
        request(2, get(b"big")),
        request(3, body::watch_add(1, 7, key(b"a"), From::Now)),
        request(4, get(b"big")),
        request(5, body::stream_open(u32::MAX)),
        request(6, body::watch_add(5, 8, key(b"a"), From::Now)),
        request(7, body::wait(key(b"b"), body::CHANGED, 600_000)),
        frame(CANCEL, 0, 7, b""),
    ];
    raw.send(&parts.concat());
    let mut ids: Vec<(u8, u64)> = (0..8).map(|_| raw.next()).map(|it| (it.kind, it.id)).collect();
    let cancelled = ids.pop();
    let expected = [(REPLY, 1), (REPLY, 2), (REPLY, 3), (REPLY, 4), (REPLY, 5), (REPLY, 6)];
    assert_eq!(ids, [&expected[..], &[(PUSH, 7)]].concat());
    assert_eq!(cancelled, Some((ERROR, 7)), "what is cancelled in the same breath");
    witness.set(b"a", b"v");
    let mut shown: Vec<u64> = (0..2).map(|_| raw.next().id).collect();
    shown.sort_unstable();
    assert_eq!(shown, [1, 5]);
}

#[test]
fn abuse_10_all_together_keep_the_limit_of_the_service_and_small_requests_are_served() {
    let victim = Victim::with(&[
        "rpc.total_output_bytes_max=8MiB",
        "rpc.write_timeout=10m",
        "rpc.ping_interval=10m",
    ]);
    let mut witness = Raw::open(victim.addr());
    witness.set(b"big", &large());
    let beside = Beside::start(victim.addr());
    let mut deaf = Vec::new();
    for _ in 0..40 {
        let mut raw = victim.attack();
        // Waits whose condition is met, watches, and answers.
        for n in 0..10_u32 {
            raw.park(body::wait(key(format!("wait/{n}").as_bytes()), body::CHANGED, 600_000));
        }
        let stream = raw.open_stream(u32::MAX);
        raw.watch(stream, 1, prefix(b"wait/"), From::Now);
        raw.send(&(100..160).flat_map(|id| request(id, get(b"big"))).collect::<Vec<_>>());
        deaf.push(raw);
    }
    for n in 0..10_u32 {
        witness.set(format!("wait/{n}").as_bytes(), &large());
        beside.is_served();
    }
    eventually("it is at its limit", || witness.kept() >= 8 * MIB);
    let kept = witness.kept();
    assert!(kept <= 12 * MIB, "{kept} bytes");
    let mut refused = 0;
    // A refusal states the reason.
    let first = &mut deaf[39];
    let (mut answers, mut waits) = (0, 0);
    while answers < 60 || waits < 10 {
        let frame = first.next();
        if frame.kind == ERROR {
            let refusal = frame.refusal();
            assert_eq!(refusal.code, LIMIT_EXCEEDED, "{refusal:?}");
            assert!(refusal.message.contains("rpc.total_output_bytes_max"), "{refusal:?}");
            refused += 1;
        }
        if frame.kind != PUSH {
            answers += usize::from(frame.id >= 100);
            waits += usize::from(frame.id < 100);
        }
    }
    assert!(refused > 0);
    beside.is_served();
    drop(deaf);
    eventually("nothing is kept", || witness.kept() == 0);
    assert!(witness.call(get(b"big")).body.len() as u64 > MIB, "who comes later is served");
    beside.finish();
}

#[test]
fn abuse_10_a_worker_that_does_not_read_is_handed_no_more_jobs() {
    let victim = limited();
    let mut witness = Raw::open(victim.addr());
    let beside = Beside::start(victim.addr());
    let mut deaf = victim.attack();
    let reserves = (1..=60_u64).flat_map(|id| request(id, jobs::reserve(b"t", 1, 600_000)));
    deaf.send(&reserves.collect::<Vec<_>>());
    // Answered once the requests have reached the queue.
    deaf.send(&request(1_000, body::status()));
    let answer = deaf.next();
    assert_eq!((answer.kind, answer.id), (REPLY, 1_000));
    let ids: Vec<u64> = (0..40).map(|_| witness.push_job(b"t", &large())).collect();
    beside.is_served();
    let kept = witness.kept();
    assert!(kept <= 3 * ONE, "{kept} bytes of jobs");
    let left = witness.call(jobs::reserve(b"t", 40, 0)).reserved().len();
    assert!(left > 0, "those it does not take go to others");
    // When the peer reads, it is handed jobs again.
    let mut handed = 0;
    while handed < 60 {
        let frame = deaf.next();
        let job = frame.reserved();
        assert_eq!(job.len(), 1, "{frame:?}");
        handed += 1;
        if handed >= ids.len() / 8 {
            witness.push_job(b"t", b"small");
        }
    }
    eventually("nothing is kept", || witness.kept() == 0);
    beside.finish();
}

#[test]
fn abuse_10_large_answers_of_the_queue_are_made_one_after_the_other() {
    let victim = limited();
    let mut witness = Raw::open(victim.addr());
    let id = witness.push_job(b"t", &large());
    let mut raw = victim.attack();
    let mut parts: Vec<Vec<u8>> = (1..=40).map(|it| request(it, jobs::get(id))).collect();
    parts.push(request(41, jobs::reserve(b"none", 1, 600_000)));
    parts.push(frame(CANCEL, 0, 41, b""));
    raw.send(&parts.concat());
    eventually("it is not read from", || witness.kept() > 0);
    assert!(witness.kept() <= 2 * ONE, "{} bytes", witness.kept());
    for id in 1..=40 {
        let answer = raw.next();
        assert_eq!((answer.kind, answer.id), (REPLY, id));
        assert!(answer.body.len() as u64 > MIB);
    }
    let cancelled = raw.next();
    assert_eq!((cancelled.kind, cancelled.id), (ERROR, 41), "what waits behind them is cancelled");
    eventually("nothing is kept", || witness.kept() == 0);
}

#[test]
fn abuse_10_pushes_that_wait_for_room_are_counted() {
    let victim = Victim::with(&["queue.topic_jobs_max=1"]);
    let mut witness = Raw::open(victim.addr());
    witness.push_job(b"t", b"first");
    let mut raw = victim.attack();
    let parked: Vec<u64> =
        (0..20).map(|_| raw.ask(jobs::push_or_wait(b"t", &vec![b'x'; 100_000], 600_000))).collect();
    eventually("they are counted", || witness.kept() >= 20 * 100_000);
    assert!(witness.kept() < 20 * 101_000);
    raw.set(b"its connection", b"is served");
    for id in &parked {
        raw.send(&frame(CANCEL, 0, *id, b""));
        assert_eq!(raw.next().kind, ERROR);
    }
    assert_eq!(witness.kept(), 0);
}
