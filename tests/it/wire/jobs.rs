//! Jobs over the wire: they go to waiting workers, and return when a connection ends.

use std::time::Duration;

use crate::support::body;
use crate::support::eventually;
use crate::support::jobs::{Reservation, done, get, hold, push, reserve, resume, touch};
use crate::support::raw::{CANCEL, ERROR, GOODBYE, Raw, frame, request};
use crate::support::server::Server;

const CANCELLED: u16 = 13;
const UNAVAILABLE: u16 = 14;
const INVALID_ARGUMENT: u16 = 1;
const LIMIT_EXCEEDED: u16 = wakeful::ErrorCode::LimitExceeded as u16;
const STALE_RESERVATION: u16 = 25;
const JOB_NOT_FOUND: u16 = 27;
const READY: u32 = 0;
const DONE: u32 = 3;
const TOPIC: &[u8] = b"resize";
const MINUTE: u64 = 60_000;
const HOURS: u64 = 6 * 60 * MINUTE;

#[test]
fn j1_a_job_is_pushed_reserved_and_done() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    let id = raw.push_job(TOPIC, b"photo");
    assert_eq!(raw.call(get(id)).job_state(), READY);
    let job = raw.reserve_one(TOPIC);
    assert_eq!((job.reservation.id, job.reservation.epoch), (id, 1));
    assert_eq!((&job.payload[..], job.losses), (&b"photo"[..], 0));
    assert_eq!(raw.call(touch(job.reservation)).settled(), [None]);
    assert_eq!(raw.call(done(job.reservation, b"url")).settled(), [None]);
    assert_eq!(raw.call(get(id)).job_state(), DONE);
    assert!(raw.call(reserve(TOPIC, 1, 0)).reserved().is_empty(), "none is left");
    assert_eq!(raw.call(get(id + 1)).refusal().code, JOB_NOT_FOUND);
}

#[test]
fn r1_requests_of_one_read_are_done_in_order() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    let asked: Vec<u8> = (1..=50_u64)
        .flat_map(|n| {
            let push = request(2 * n - 1, push(TOPIC, &n.to_le_bytes()));
            [push, request(2 * n, reserve(TOPIC, 1, 0))].concat()
        })
        .collect();
    raw.send(&asked);
    let mut payloads = vec![0; 51];
    for _ in 0..100 {
        let answer = raw.next();
        if answer.id.is_multiple_of(2) {
            let job = answer.reserved().remove(0);
            payloads[answer.id as usize / 2] = u64::from_le_bytes(job.payload.try_into().unwrap());
        } else {
            answer.pushed();
        }
    }
    assert_eq!(payloads, (0..=50).collect::<Vec<u64>>());
}

#[test]
fn r1_a_parked_reserve_is_answered_when_a_job_comes() {
    let server = Server::start();
    let (mut worker, mut pusher) = (Raw::open(server.addr()), Raw::open(server.addr()));
    let id = worker.ask(reserve(TOPIC, 4, MINUTE));
    // The worker's connection continues meanwhile.
    worker.set(b"a", b"1");
    let job = pusher.push_job(TOPIC, b"photo");
    let answer = worker.next();
    assert_eq!(answer.id, id);
    let jobs = answer.reserved();
    assert_eq!((jobs.len(), jobs[0].reservation.id), (1, job));
}

#[test]
fn r1_a_reserve_has_its_answer_when_its_time_is_over() {
    let server = Server::start();
    let mut worker = Raw::open(server.addr());
    assert!(worker.call(reserve(TOPIC, 1, 50)).reserved().is_empty());
}

#[test]
fn j3_a_settlement_of_an_old_epoch_is_refused_and_changes_nothing() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    raw.push_job(TOPIC, b"photo");
    let job = raw.reserve_one(TOPIC);
    assert_eq!(raw.call(done(job.reservation, b"first")).settled(), [None]);
    for late in [done(job.reservation, b"second"), touch(job.reservation)] {
        let refusal = raw.call(late).settled().remove(0).expect("a refusal");
        assert_eq!(refusal.code, STALE_RESERVATION);
    }
}

#[test]
fn t1_a_cancelled_reserve_has_one_answer_and_takes_no_job() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    let id = raw.ask(reserve(TOPIC, 1, MINUTE));
    raw.send(&frame(CANCEL, 0, id, b""));
    let answer = raw.next();
    assert_eq!((answer.id, answer.refusal().code), (id, CANCELLED));
    // A request and its cancel in the same write.
    raw.send(&[request(70, reserve(TOPIC, 1, MINUTE)), frame(CANCEL, 0, 70, b"")].concat());
    let answer = raw.next();
    assert_eq!((answer.id, answer.refusal().code), (70, CANCELLED));
    let job = raw.push_job(TOPIC, b"photo");
    assert_eq!(raw.call(get(job)).job_state(), READY);
    // An answer that was sent is not affected by a cancel.
    raw.send(&frame(CANCEL, 0, id, b""));
    assert_eq!(raw.reserve_one(TOPIC).reservation.id, job);
}

#[test]
fn r1_an_id_that_is_parked_is_in_flight() {
    for twice in [reserve(TOPIC, 1, MINUTE), body::status()] {
        let server = Server::start();
        let mut raw = Raw::open(server.addr());
        raw.send(&request(5, reserve(TOPIC, 1, MINUTE)));
        raw.send(&request(5, twice));
        assert!(raw.refused().message.contains("in flight"));
    }
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    raw.send(&[request(5, body::status()), request(5, push(TOPIC, b""))].concat());
    assert!(raw.refused().message.contains("in flight"));
}

#[test]
fn requests_to_the_queue_take_no_idempotency_key() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    let mut keyed = request(9, push(TOPIC, b"photo"));
    keyed[20] = 1;
    keyed.splice(21..21, [7; 16]);
    let length = u32::try_from(keyed.len() - 20).unwrap();
    keyed[..4].copy_from_slice(&length.to_le_bytes());
    raw.send(&keyed);
    let refusal = raw.next().refusal();
    assert_eq!(refusal.code, INVALID_ARGUMENT);
    assert!(refusal.message.contains("index"), "{refusal:?}");
}

/// Closed completely, or only on the sending side; the visibility timeout does not matter.
#[test]
fn j17_a_closed_connection_gives_its_jobs_to_another() {
    for half in [false, true] {
        let server = Server::start();
        let (mut worker, mut other) = (Raw::open(server.addr()), Raw::open(server.addr()));
        let id = other.push_job(TOPIC, b"photo");
        let job = worker.call(hold(TOPIC, HOURS)).reserved().remove(0);
        assert_eq!((job.reservation.id, job.reservation.epoch), (id, 1));
        let waiting = other.ask(reserve(TOPIC, 1, MINUTE));
        if half {
            worker.shutdown_write();
        } else {
            drop(worker);
        }
        let answer = other.next();
        assert_eq!(answer.id, waiting);
        let again = answer.reserved().remove(0);
        assert_eq!((again.reservation.id, again.reservation.epoch), (id, 2));
        assert_eq!(again.losses, 1);
    }
}

#[test]
fn j21_a_connection_that_announced_it_is_resumed_by_the_next() {
    let server = Server::start();
    let (mut worker, mut other) = (Raw::open(server.addr()), Raw::open(server.addr()));
    other.push_job(TOPIC, b"photo");
    assert_eq!(worker.call(resume(&[])).resumed(), []);
    let job = worker.call(hold(TOPIC, HOURS)).reserved().remove(0);
    drop(worker);
    eventually("its end is noticed", || other.status().connections == 1);
    assert!(other.call(reserve(TOPIC, 1, 0)).reserved().is_empty(), "it is held");
    let mut worker = Raw::open(server.addr());
    let unknown = Reservation { id: 99, epoch: 1 };
    let resumed = worker.call(resume(&[unknown, job.reservation])).resumed();
    assert_eq!(resumed, [None, Some(TOPIC.to_vec())]);
    assert_eq!(worker.call(done(job.reservation, b"url")).settled(), [None]);
    // The resume is too late, and its answer reports that.
    assert_eq!(worker.call(resume(&[job.reservation])).resumed(), [None]);
}

#[test]
fn j21_whoever_says_goodbye_is_not_waited_for() {
    let server = Server::start();
    let (mut worker, mut other) = (Raw::open(server.addr()), Raw::open(server.addr()));
    other.push_job(TOPIC, b"photo");
    worker.call(resume(&[])).resumed();
    let job = worker.call(hold(TOPIC, HOURS)).reserved().remove(0);
    let waiting = other.ask(reserve(TOPIC, 1, MINUTE));
    worker.send(&frame(GOODBYE, 0, 0, b""));
    drop(worker);
    let answer = other.next();
    assert_eq!(answer.id, waiting);
    let again = answer.reserved().remove(0);
    assert_eq!((again.reservation.id, again.reservation.epoch), (job.reservation.id, 2));
}

#[test]
fn s10_more_than_one_request_may_name_are_not_resumed() {
    let server = Server::start_with(|config| config.queue.push_jobs_max = 2);
    let mut raw = Raw::open(server.addr());
    let one = Reservation { id: 1, epoch: 1 };
    let refusal = raw.call(resume(&[one, one, one])).refusal();
    assert_eq!(refusal.code, LIMIT_EXCEEDED);
    assert!(refusal.message.contains("queue.push_jobs_max"), "{refusal:?}");
    assert_eq!(raw.call(resume(&[one, one])).resumed(), [None, None]);
}

/// The connection stays open and usable, but has lost the job.
#[test]
fn j17_a_hung_worker_loses_what_it_may_hold_no_longer_and_nothing_else() {
    let server = Server::start();
    let (mut worker, mut other) = (Raw::open(server.addr()), Raw::open(server.addr()));
    let (long, short) = (other.push_job(TOPIC, b"long"), other.push_job(TOPIC, b"short"));
    let held = worker.call(hold(TOPIC, HOURS)).reserved().remove(0);
    let lost = worker.call(hold(TOPIC, 50)).reserved().remove(0);
    assert_eq!((held.reservation.id, lost.reservation.id), (long, short));
    // Two jobs are requested, and only this one is ready.
    let again = other.call(reserve(TOPIC, 2, MINUTE)).reserved();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].reservation.id, again[0].reservation.epoch), (short, 2));
    assert_eq!(again[0].losses, 1);
    let late = worker.call(done(lost.reservation, b"late")).settled().remove(0);
    assert_eq!(late.expect("a refusal").code, STALE_RESERVATION);
    assert_eq!(worker.call(done(held.reservation, b"url")).settled(), [None]);
    assert_eq!(other.call(done(again[0].reservation, b"url")).settled(), [None]);
}

#[test]
fn j17_requests_that_wait_leave_with_their_connection() {
    let server = Server::start();
    let mut gone = Raw::open(server.addr());
    gone.ask(reserve(TOPIC, 1, MINUTE));
    // The reserve has arrived, because a later request is answered.
    gone.set(b"a", b"");
    drop(gone);
    let mut raw = Raw::open(server.addr());
    eventually("the connection is gone", || raw.status().connections == 1);
    let id = raw.push_job(TOPIC, b"photo");
    let job = raw.reserve_one(TOPIC);
    assert_eq!((job.reservation.id, job.losses), (id, 0));
}

#[test]
fn j19_goodbye_lets_a_worker_finish() {
    let mut server =
        Server::start_with(|config| config.rpc.shutdown_grace = Duration::from_secs(60));
    let mut worker = Raw::open(server.addr());
    worker.push_job(TOPIC, b"photo");
    let job = worker.reserve_one(TOPIC);
    let waiting = worker.ask(reserve(TOPIC, 1, MINUTE));
    worker.set(b"a", b"");
    server.begin_stop();
    let (mut goodbyes, mut refused) = (0, 0);
    for _ in 0..2 {
        let frame = worker.next();
        match frame.kind {
            GOODBYE => goodbyes += 1,
            ERROR => {
                assert_eq!((frame.id, frame.refusal().code), (waiting, UNAVAILABLE));
                refused += 1;
            }
            _ => panic!("{frame:?}"),
        }
    }
    assert_eq!((goodbyes, refused), (1, 1));
    assert_eq!(worker.call(push(TOPIC, b"more")).refusal().code, UNAVAILABLE);
    assert_eq!(worker.call(reserve(TOPIC, 1, 0)).refusal().code, UNAVAILABLE);
    assert_eq!(worker.call(touch(job.reservation)).settled(), [None]);
    assert_eq!(worker.call(done(job.reservation, b"url")).settled(), [None]);
    worker.expect_end();
    server.finish_stop(Duration::from_secs(10));
}

#[test]
fn r5_a_worker_says_goodbye_and_finishes() {
    let server = Server::start();
    let mut worker = Raw::open(server.addr());
    worker.push_job(TOPIC, b"photo");
    let job = worker.reserve_one(TOPIC);
    worker.send(&frame(GOODBYE, 0, 0, b""));
    assert_eq!(worker.call(done(job.reservation, b"url")).settled(), [None]);
    worker.expect_end();
}

#[test]
fn r1_requests_that_wait_do_not_count_as_in_flight() {
    let server = Server::start_with(|config| config.rpc.requests_in_flight_max = 2);
    let mut worker = Raw::open(server.addr());
    let waiting: Vec<u64> = (0..10).map(|_| worker.ask(reserve(TOPIC, 1, MINUTE))).collect();
    let mut pusher = Raw::open(server.addr());
    worker.set(b"a", b"");
    let mut answered = Vec::new();
    for _ in 0..10 {
        pusher.push_job(TOPIC, b"photo");
        answered.push(worker.next().id);
    }
    answered.sort_unstable();
    assert_eq!(answered, waiting);
}
