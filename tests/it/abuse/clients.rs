//! Clients that die, send requests again, or no longer wait.

use std::time::Duration;

use super::beside::Beside;
use super::victim::Victim;
use super::{DEADLINE_EXCEEDED, MIB};
use crate::support::body::{Body, Reader, get, key_value, set, set_fields};
use crate::support::raw::{REPLY, REQUEST, Raw, frame, request};
use crate::support::{eventually, jobs};

#[test]
fn abuse_17_a_killed_client_leaves_no_watch_no_wait_and_no_job() {
    let victim = Victim::start();
    let beside = Beside::start(victim.addr());
    let descriptors = victim.descriptors();
    let server = victim.server();
    let running =
        [&["watch", "a", "--prefix"][..], &["wait", "b"]].map(|command| server.spawn(command));
    let mut witness = Raw::open(victim.addr());
    eventually("both are there", || {
        let status = witness.status();
        (status.waits, status.watches) == (1, 2)
    });
    for process in running {
        process.signal("KILL");
        process.finish();
    }
    eventually("what they held is freed", || {
        let status = witness.status();
        (status.waits, status.watches, status.streams) == (0, 1, 1)
    });
    // A worker whose connection breaks in the middle of its job.
    let id = witness.push_job(b"topic", b"payload");
    let mut worker = victim.attack();
    assert_eq!(worker.reserve_one(b"topic").reservation.epoch, 1);
    // A reset without a goodbye, as when the process is killed.
    socket2::SockRef::from(worker.socket()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(worker);
    let again = witness.reserve_one(b"topic");
    assert_eq!((again.reservation.id, again.reservation.epoch, again.losses), (id, 2, 1));
    drop(witness);
    victim.until_descriptors(descriptors);
    beside.finish();
}

/// A connection stays open, but its worker does nothing more.
#[test]
fn abuse_17_a_hung_worker_loses_its_job_when_its_time_is_over() {
    let victim = Victim::start();
    let beside = Beside::start(victim.addr());
    let (mut hung, mut other) = (victim.attack(), victim.attack());
    let id = other.push_job(b"topic", b"payload");
    let held = hung.call(jobs::hold(b"topic", 300)).reserved();
    assert_eq!(held[0].reservation.id, id);
    let again = other.reserve_one(b"topic");
    assert_eq!((again.reservation.id, again.reservation.epoch, again.losses), (id, 2, 1));
    let late = hung.call(jobs::done(held[0].reservation, b"late")).settled();
    assert!(late[0].is_some(), "what it says of it later is refused");
    assert_eq!(other.call(jobs::done(again.reservation, b"done")).settled(), [None]);
    beside.finish();
}

/// Returns the last revision of the key, if it exists.
fn revision_of(raw: &mut Raw, key: &[u8]) -> Option<u64> {
    let reply = raw.call(get(key));
    let mut reader: Reader<'_> = reply.reply(1);
    let _ = reader.u64();
    reader.option(key_value).map(|kv| kv.mod_revision)
}

#[test]
fn abuse_18_a_write_whose_answer_was_lost_is_done_once_when_it_is_sent_again() {
    let victim = Victim::start();
    let beside = Beside::start(victim.addr());
    let body = || {
        let fields = set_fields(b"once", b"1");
        Body::new().u8(1).u128(0xfeed_f00d).u32(0).then(fields)
    };
    // The answer is on its way when the connection breaks, and is never read.
    let mut first = victim.attack();
    first.send(&request(1, body()));
    let mut witness = Raw::open(victim.addr());
    eventually("it is done", || revision_of(&mut witness, b"once").is_some());
    socket2::SockRef::from(first.socket()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(first);
    let revision = revision_of(&mut witness, b"once");
    for _ in 0..3 {
        let mut again = victim.attack();
        let answer = again.call(body());
        let mut reader = answer.reply(0);
        assert_eq!((Some(reader.u64()), reader.bool()), (revision, true), "the same answer");
    }
    assert_eq!(revision_of(&mut witness, b"once"), revision);
    // The same idempotency key for another request is an error, and does not get the first answer.
    let other = Body::new().u8(1).u128(0xfeed_f00d).u32(0).then(set_fields(b"once", b"2"));
    assert_eq!(witness.call(other).refusal().code, 8);
    beside.finish();
}

#[test]
fn abuse_19_what_nobody_waits_for_any_more_is_not_done() {
    let victim = Victim::start();
    let mut witness = Raw::open(victim.addr());
    for n in 0..2 {
        witness.set(format!("big/{n}").as_bytes(), &vec![b'x'; MIB as usize]);
    }
    let beside = Beside::start(victim.addr());
    let mut raw = victim.attack();
    // More answers than the sockets hold, each in a turn of its own, then a set in the same write.
    let page = || {
        let range = Body::new().u32(1).bytes(b"big/");
        Body::request(2).then(range).u64(0).u32(0).u8(0).u8(0).u8(0).bytes(b"")
    };
    let mut bytes: Vec<u8> = (1..=64).flat_map(|id| request(id, page())).collect();
    bytes.extend(frame(REQUEST, 300, 100, &set(b"late", b"").into_bytes()));
    bytes.extend(frame(REQUEST, 600_000, 101, &set(b"early", b"").into_bytes()));
    raw.send(&bytes);
    // The deadline passes while the client reads nothing: the request has arrived, but its turn has
    // not come.
    beside.is_served();
    std::thread::sleep(Duration::from_millis(400));
    for _ in 0..66 {
        let answer = raw.next();
        match answer.id {
            100 => assert_eq!(answer.refusal().code, DEADLINE_EXCEEDED),
            _ => assert_eq!(answer.kind, REPLY, "{answer:?}"),
        }
    }
    assert_eq!(revision_of(&mut witness, b"late"), None, "it was done all the same");
    assert!(revision_of(&mut witness, b"early").is_some());
    beside.finish();
}
