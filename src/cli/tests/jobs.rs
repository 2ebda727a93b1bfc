//! `job` and `topics`.

use super::*;
use crate::{JobInfo, JobPage, JobReply, JobState, Reservation, ReservedJob};

pub(super) fn job(reply: JobReply) -> Answer {
    Answer::Reply(Reply::Job(reply))
}

fn info(state: JobState) -> JobInfo {
    let finished = state.is_finished().then_some(1_700_000_002_000);
    JobInfo {
        id: 17,
        topic: "resize".into(),
        state,
        payload: None,
        index: Some("photo-17".into()),
        order_key: None,
        priority: 0,
        epoch: 2,
        failures: 1,
        losses: 0,
        retry_max: 3,
        pushed: 1_700_000_000_000,
        due: None,
        started: Some(1_700_000_001_000),
        finished,
        progress: None,
        errors: vec!["first".into()],
        output: (state == JobState::Done).then(|| "small\tphoto".into()),
        outcome: finished.map(|_| 5),
    }
}

pub(super) fn one(state: JobState) -> Answer {
    job(JobReply::Job(Box::new(info(state))))
}

pub(super) fn refused(code: ErrorCode) -> Answer {
    Answer::Refusal(Error::new(code, "no, because"))
}

#[test]
fn a_job_is_named_by_id_or_by_topic_and_index() {
    check(
        "job get 17",
        [one(JobState::Reserved)],
        expect![[r#"
        > Job(Get(Id(17)))
        id         17
        topic      resize
        state      reserved
        index      photo-17
        runs       2 (1 failures, 0 losses, 3 retries)
        pushed     2023-11-14T22:13:20Z
        started    2023-11-14T22:13:21Z
        error      first
        exit 0
    "#]],
    );
    check(
        "job get resize --index photo-17 --json",
        [one(JobState::Done)],
        expect![[r#"
            > Job(Get(Index { topic: "resize", index: "photo-17" }))
            {"id":17,"topic":"resize","state":"Done","payload":null,"index":"photo-17","order_key":null,"priority":0,"epoch":2,"failures":1,"losses":0,"retry_max":3,"pushed":1700000000000,"due":null,"started":1700000001000,"finished":1700000002000,"progress":null,"errors":["first"],"output":"small\tphoto","outcome":5}
            exit 0
        "#]],
    );
    check(
        "job get resize",
        [],
        expect![[r#"
        error: `resize` is not a job id; write an id, or TOPIC --index INDEX
        exit 2
    "#]],
    );
    check(
        "job get 99",
        [refused(ErrorCode::JobNotFound)],
        expect![[r#"
        > Job(Get(Id(99)))
        error: no, because
        exit 3
    "#]],
    );
    check(
        "job cancel resize --index photo-17",
        [one(JobState::Cancelled)],
        expect![[r#"
        > Job(Cancel(Index { topic: "resize", index: "photo-17" }))
        cancelled 17
        exit 0
    "#]],
    );
}

#[test]
fn waiting_for_a_job_prints_its_result_and_exits_as_it_ended() {
    check(
        "job wait 17",
        [one(JobState::Done)],
        expect![[r#"
        > Job(Await { job: Id(17), wait: Some(30s) })
        small	photo
        exit 0
    "#]],
    );
    check(
        "job wait 17 --raw",
        [one(JobState::Done)],
        expect![[r#"
        > Job(Await { job: Id(17), wait: Some(30s) })
        small	photoexit 0
    "#]],
    );
    check(
        "job wait 17",
        [one(JobState::Dead)],
        expect![[r#"
        > Job(Await { job: Id(17), wait: Some(30s) })
        error: job 17 is a dead letter: first
        exit 1
    "#]],
    );
    check(
        "job wait 17",
        [one(JobState::Cancelled)],
        expect![[r#"
        > Job(Await { job: Id(17), wait: Some(30s) })
        error: job 17 was cancelled
        exit 1
    "#]],
    );
    check(
        "job wait 17 --json",
        [one(JobState::Dead)],
        expect![[r#"
            > Job(Await { job: Id(17), wait: Some(30s) })
            {"id":17,"topic":"resize","state":"Dead","payload":null,"index":"photo-17","order_key":null,"priority":0,"epoch":2,"failures":1,"losses":0,"retry_max":3,"pushed":1700000000000,"due":null,"started":1700000001000,"finished":1700000002000,"progress":null,"errors":["first"],"output":null,"outcome":5}
            exit 1
        "#]],
    );
    check(
        "job wait 17 --timeout 5s",
        [one(JobState::Ready)],
        expect![[r#"
        > Job(Await { job: Id(17), wait: Some(5s) })
        exit 4
    "#]],
    );
    check(
        "job wait resize --index photo-17",
        [one(JobState::Ready), one(JobState::Reserved), one(JobState::Done)],
        expect![[r#"
            > Job(Await { job: Index { topic: "resize", index: "photo-17" }, wait: Some(30s) })
            > Job(Await { job: Id(17), wait: Some(30s) })
            > Job(Await { job: Id(17), wait: Some(30s) })
            small	photo
            exit 0
        "#]],
    );
}

fn page(jobs: &[JobState], after: u64, more: bool) -> Answer {
    let jobs = jobs.iter().map(|state| info(*state)).collect();
    job(JobReply::Jobs(JobPage { jobs, after, more }))
}

#[test]
fn lists_are_read_to_their_end() {
    let none = || page(&[], 0, false);
    check(
        "job ls resize",
        [
            page(&[JobState::Ready], 17, true),
            page(&[JobState::Ready], 18, false),
            none(),
            page(&[JobState::Reserved], 19, false),
        ],
        expect![[r#"
            > Job(List { topic: "resize", state: Ready, after: 0, limit: 0 })
            > Job(List { topic: "resize", state: Ready, after: 17, limit: 0 })
            > Job(List { topic: "resize", state: Delayed, after: 0, limit: 0 })
            > Job(List { topic: "resize", state: Reserved, after: 0, limit: 0 })
            ID  STATE  RUNS  FAILURES  LOSSES  INDEX
            17  ready     2         1       0  photo-17
            17  ready     2         1       0  photo-17
            17  reserved     2         1       0  photo-17
            exit 0
        "#]],
    );
    check(
        "job ls resize --state done --limit 1 --json",
        [page(&[JobState::Done, JobState::Done], 17, true)],
        expect![[r#"
            > Job(List { topic: "resize", state: Done, after: 0, limit: 1 })
            {"id":17,"topic":"resize","state":"Done","payload":null,"index":"photo-17","order_key":null,"priority":0,"epoch":2,"failures":1,"losses":0,"retry_max":3,"pushed":1700000000000,"due":null,"started":1700000001000,"finished":1700000002000,"progress":null,"errors":["first"],"output":"small\tphoto","outcome":5}
            exit 0
        "#]],
    );
    check(
        "job ls resize",
        [none(), none(), none()],
        expect![[r#"
        > Job(List { topic: "resize", state: Ready, after: 0, limit: 0 })
        > Job(List { topic: "resize", state: Delayed, after: 0, limit: 0 })
        > Job(List { topic: "resize", state: Reserved, after: 0, limit: 0 })
        exit 0
    "#]],
    );
    check(
        "job dead resize",
        [page(&[JobState::Dead], 17, false)],
        expect![[r#"
        > Job(List { topic: "resize", state: Dead, after: 0, limit: 0 })
        17 photo-17 at 2023-11-14T22:13:22Z after 2 runs: first
        exit 0
    "#]],
    );
    check(
        "job dead resize --json",
        [page(&[JobState::Dead], 17, false)],
        expect![[r#"
            > Job(List { topic: "resize", state: Dead, after: 0, limit: 0 })
            {"id":17,"topic":"resize","state":"Dead","payload":null,"index":"photo-17","order_key":null,"priority":0,"epoch":2,"failures":1,"losses":0,"retry_max":3,"pushed":1700000000000,"due":null,"started":1700000001000,"finished":1700000002000,"progress":null,"errors":["first"],"output":null,"outcome":5}
            exit 0
        "#]],
    );
    check(
        "job ls nothing",
        [refused(ErrorCode::TopicNotFound)],
        expect![[r#"
        > Job(List { topic: "nothing", state: Ready, after: 0, limit: 0 })
        error: no, because
        exit 3
    "#]],
    );
}

#[test]
fn outcomes_go_on_from_the_last() {
    let ended = [JobState::Done, JobState::Dead, JobState::Cancelled];
    check(
        "job outcomes resize --after 4 --count 5",
        [
            page(&ended, 7, false),
            page(&[], 7, false),
            refused(ErrorCode::Unavailable),
            page(&ended, 10, false),
        ],
        expect![[r#"
            > Job(Outcomes { topic: "resize", after: Some(4), limit: 0, wait: Some(30s) })
            > Job(Outcomes { topic: "resize", after: Some(7), limit: 0, wait: Some(30s) })
            > Job(Outcomes { topic: "resize", after: Some(7), limit: 0, wait: Some(30s) })
            > Job(Outcomes { topic: "resize", after: Some(7), limit: 0, wait: Some(30s) })
            done 17 photo-17 (outcome 5): small\tphoto
            dead 17 photo-17 (outcome 5): first
            cancelled 17 photo-17 (outcome 5)
            done 17 photo-17 (outcome 5): small\tphoto
            dead 17 photo-17 (outcome 5): first
            exit 0
        "#]],
    );
    check(
        "job outcomes resize --json --count 1",
        [page(&ended[..1], 5, false)],
        expect![[r#"
            > Job(Outcomes { topic: "resize", after: None, limit: 0, wait: Some(30s) })
            {"id":17,"topic":"resize","state":"Done","payload":null,"index":"photo-17","order_key":null,"priority":0,"epoch":2,"failures":1,"losses":0,"retry_max":3,"pushed":1700000000000,"due":null,"started":1700000001000,"finished":1700000002000,"progress":null,"errors":["first"],"output":"small\tphoto","outcome":5}
            exit 0
        "#]],
    );
    check(
        "job outcomes resize",
        [refused(ErrorCode::Unavailable)],
        expect![[r#"
        > Job(Outcomes { topic: "resize", after: None, limit: 0, wait: Some(30s) })
        error: no, because
        exit 5
    "#]],
    );
}

#[test]
fn what_is_held_is_settled_by_id_and_epoch() {
    let settled = || job(JobReply::Settled(vec![None]));
    check(
        "job ack 17 2 small",
        [settled()],
        expect![[r#"
        > Job(Settle([Settlement { reservation: Reservation { id: 17, epoch: 2 }, verdict: Done { output: "small" } }]))
        done 17
        exit 0
    "#]],
    );
    check(
        "job nack 17 2 why",
        [settled()],
        expect![[r#"
        > Job(Settle([Settlement { reservation: Reservation { id: 17, epoch: 2 }, verdict: Retry { after: None, error: "why" } }]))
        failed 17
        exit 0
    "#]],
    );
    check(
        "job nack 17 2 why --after 0s --json",
        [settled()],
        expect![[r#"
            > Job(Settle([Settlement { reservation: Reservation { id: 17, epoch: 2 }, verdict: Retry { after: Some(0ns), error: "why" } }]))
            {"id":17,"epoch":2,"result":"failed"}
            exit 0
        "#]],
    );
    check(
        "job nack 17 2 why --fail",
        [settled()],
        expect![[r#"
        > Job(Settle([Settlement { reservation: Reservation { id: 17, epoch: 2 }, verdict: Fail { error: "why" } }]))
        failed 17
        exit 0
    "#]],
    );
    check(
        "job nack 17 2 --snooze 1h",
        [settled()],
        expect![[r#"
        > Job(Settle([Settlement { reservation: Reservation { id: 17, epoch: 2 }, verdict: Snooze { after: 3600s } }]))
        snoozed 17
        exit 0
    "#]],
    );
    check(
        "job nack 17 2 --release",
        [settled()],
        expect![[r#"
        > Job(Settle([Settlement { reservation: Reservation { id: 17, epoch: 2 }, verdict: Release }]))
        released 17
        exit 0
    "#]],
    );
    check(
        "job touch 17 2 --visibility 5m",
        [settled()],
        expect![[r#"
        > Job(Touch { reservations: [Reservation { id: 17, epoch: 2 }], visibility: Some(300s) })
        touched 17
        exit 0
    "#]],
    );
    check(
        "job progress 17 2 half",
        [settled()],
        expect![[r#"
        > Job(Progress { reservation: Reservation { id: 17, epoch: 2 }, progress: "half" })
        noted 17
        exit 0
    "#]],
    );
    let stale = Error::new(ErrorCode::StaleReservation, "somebody else's");
    check(
        "job ack 17 1",
        [job(JobReply::Settled(vec![Some(stale)]))],
        expect![[r#"
        > Job(Settle([Settlement { reservation: Reservation { id: 17, epoch: 1 }, verdict: Done { output: "" } }]))
        error: somebody else's
        exit 1
    "#]],
    );
}

#[test]
fn what_is_reserved_by_hand_is_held_until_it_is_settled() {
    let reserved = |jobs| job(JobReply::Reserved(jobs));
    let held = |id| ReservedJob {
        reservation: Reservation { id, epoch: 2 },
        topic: "resize".into(),
        payload: "a\nb".into(),
        index: None,
        order_key: Some("k".into()),
        failures: 1,
        losses: 0,
        pushed: 5,
    };
    let stale = || Some(Error::new(ErrorCode::StaleReservation, "settled"));
    check(
        "job reserve resize --credits 2 --visibility 30ms",
        [
            reserved(vec![held(17), held(18)]),
            job(JobReply::Settled(vec![stale(), None])),
            job(JobReply::Settled(vec![stale()])),
        ],
        expect![[r#"
            > Job(Reserve(ReserveRequest { topic: "resize", credits: 2, wait: Some(30s), visibility: Some(30ms) }))
            > Job(Touch { reservations: [Reservation { id: 17, epoch: 2 }, Reservation { id: 18, epoch: 2 }], visibility: None })
            > Job(Touch { reservations: [Reservation { id: 18, epoch: 2 }], visibility: None })
            17 2 a\nb
            18 2 a\nb
            exit 0
        "#]],
    );
    check(
        "job reserve resize --wait 1s --visibility 30ms --json",
        [reserved(vec![held(17)]), job(JobReply::Settled(vec![stale()]))],
        expect![[r#"
            > Job(Reserve(ReserveRequest { topic: "resize", credits: 1, wait: Some(1s), visibility: Some(30ms) }))
            > Job(Touch { reservations: [Reservation { id: 17, epoch: 2 }], visibility: None })
            {"reservation":{"id":17,"epoch":2},"topic":"resize","payload":"a\nb","index":null,"order_key":"k","failures":1,"losses":0,"pushed":5}
            exit 0
        "#]],
    );
    check(
        "job reserve resize --wait 0s",
        [reserved(vec![])],
        expect![[r#"
        > Job(Reserve(ReserveRequest { topic: "resize", credits: 1, wait: Some(0ns), visibility: Some(30s) }))
        exit 4
    "#]],
    );
}
