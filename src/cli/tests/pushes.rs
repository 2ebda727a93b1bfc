//! `job push`.

use super::jobs::{job, one, refused};
use super::*;
use crate::{JobReply, JobState, Pushed};

fn pushed(existing: bool) -> Answer {
    job(JobReply::Pushed(vec![Pushed { id: 17, state: JobState::Ready, existing }]))
}

#[test]
fn a_push_prints_the_id_and_json_whether_it_was_there() {
    check(
        "job push resize photo",
        [pushed(false)],
        expect![[r#"
        > Job(Push { jobs: [PushRequest { topic: "resize", payload: "photo", options: PushOptions { index: None, unique: Unfinished, order_key: None, priority: 0, delay: 0ns, retry_max: None, loss_max: None, backoff: None } }], wait: 0ns })
        17
        exit 0
    "#]],
    );
    check(
        "job push resize --index a --unique 5m --delay 5s --retry-max 0 --loss-max 9 --order-key k \
         --priority 7 --backoff 1s,1m --wait-room 10s --durability fsync --json",
        [pushed(true)],
        expect![[r#"
            > Job(Push { jobs: [PushRequest { topic: "resize", payload: "", options: PushOptions { index: Some("a"), unique: Finished(300s), order_key: Some("k"), priority: 7, delay: 5s, retry_max: Some(0), loss_max: Some(9), backoff: Some(List([1s, 60s])) } }], wait: 10s }) as Fsync
            {"id":17,"state":"Ready","existing":true,"durability":"fsync"}
            exit 0
        "#]],
    );
    check(
        "job push resize -5",
        [refused(ErrorCode::Full)],
        expect![[r#"
        > Job(Push { jobs: [PushRequest { topic: "resize", payload: "-5", options: PushOptions { index: None, unique: Unfinished, order_key: None, priority: 0, delay: 0ns, retry_max: None, loss_max: None, backoff: None } }], wait: 0ns })
        error: no, because
        exit 1
    "#]],
    );
}

#[test]
fn a_push_that_waits_prints_what_job_wait_prints_and_exits_as_it_does() {
    check(
        "job push shout hello --wait 24h --wait-room 5s",
        [pushed(false), one(JobState::Reserved), one(JobState::Done)],
        expect![[r#"
            > Job(Push { jobs: [PushRequest { topic: "shout", payload: "hello", options: PushOptions { index: None, unique: Unfinished, order_key: None, priority: 0, delay: 0ns, retry_max: None, loss_max: None, backoff: None } }], wait: 5s })
            > Job(Await { job: Id(17), wait: Some(30s) })
            > Job(Await { job: Id(17), wait: Some(30s) })
            small	photo
            exit 0
        "#]],
    );
    check(
        "job push shout hello --wait 5s --raw",
        [pushed(true), one(JobState::Done)],
        expect![[r#"
            > Job(Push { jobs: [PushRequest { topic: "shout", payload: "hello", options: PushOptions { index: None, unique: Unfinished, order_key: None, priority: 0, delay: 0ns, retry_max: None, loss_max: None, backoff: None } }], wait: 0ns })
            > Job(Await { job: Id(17), wait: Some(5s) })
            small	photoexit 0
        "#]],
    );
    check(
        "job push shout hello --wait 5s",
        [pushed(false), one(JobState::Dead)],
        expect![[r#"
            > Job(Push { jobs: [PushRequest { topic: "shout", payload: "hello", options: PushOptions { index: None, unique: Unfinished, order_key: None, priority: 0, delay: 0ns, retry_max: None, loss_max: None, backoff: None } }], wait: 0ns })
            > Job(Await { job: Id(17), wait: Some(5s) })
            error: job 17 is a dead letter: first
            exit 1
        "#]],
    );
    check(
        "job push shout hello --wait 5s --json",
        [pushed(false), one(JobState::Cancelled)],
        expect![[r#"
            > Job(Push { jobs: [PushRequest { topic: "shout", payload: "hello", options: PushOptions { index: None, unique: Unfinished, order_key: None, priority: 0, delay: 0ns, retry_max: None, loss_max: None, backoff: None } }], wait: 0ns })
            > Job(Await { job: Id(17), wait: Some(5s) })
            {"id":17,"topic":"resize","state":"Cancelled","payload":null,"index":"photo-17","order_key":null,"priority":0,"epoch":2,"failures":1,"losses":0,"retry_max":3,"pushed":1700000000000,"due":null,"started":1700000001000,"finished":1700000002000,"progress":null,"errors":["first"],"output":null,"outcome":5}
            exit 1
        "#]],
    );
    check(
        "job push shout hello --wait 5s",
        [pushed(false), one(JobState::Ready)],
        expect![[r#"
            > Job(Push { jobs: [PushRequest { topic: "shout", payload: "hello", options: PushOptions { index: None, unique: Unfinished, order_key: None, priority: 0, delay: 0ns, retry_max: None, loss_max: None, backoff: None } }], wait: 0ns })
            > Job(Await { job: Id(17), wait: Some(5s) })
            exit 4
        "#]],
    );
}

#[test]
fn a_job_whose_result_cannot_be_awaited_is_named_in_the_error() {
    check(
        "job push shout hello --wait 5s",
        [pushed(false), refused(ErrorCode::Unavailable)],
        expect![[r#"
            > Job(Push { jobs: [PushRequest { topic: "shout", payload: "hello", options: PushOptions { index: None, unique: Unfinished, order_key: None, priority: 0, delay: 0ns, retry_max: None, loss_max: None, backoff: None } }], wait: 0ns })
            > Job(Await { job: Id(17), wait: Some(5s) })
            error: while waiting for job 17: no, because; `wakeful job wait 17` continues to wait
            exit 5
        "#]],
    );
    check(
        "job push shout hello --wait 5s --json",
        [refused(ErrorCode::Full)],
        expect![[r#"
            > Job(Push { jobs: [PushRequest { topic: "shout", payload: "hello", options: PushOptions { index: None, unique: Unfinished, order_key: None, priority: 0, delay: 0ns, retry_max: None, loss_max: None, backoff: None } }], wait: 0ns })
            {"error":{"code":"Full","message":"no, because"}}
            exit 1
        "#]],
    );
}

#[test]
fn a_call_of_a_push_may_take_as_long_as_it_waits() {
    let second = Duration::from_secs(1);
    for (options, waits) in [
        ("", 0),
        ("--wait 5s", 5),
        ("--wait 5m", 30),
        ("--wait-room 5m", 300),
        ("--wait 9s --wait-room 5s", 9),
    ] {
        let line = format!("job push shout {options}");
        let command = parse(line.trim()).unwrap().command;
        assert_eq!(command.deadline(second), second * (1 + waits), "{options}");
        assert_eq!(command.reports_losses(), options.contains("--wait "), "{options}");
    }
}

#[test]
fn a_time_that_has_passed_is_refused_before_anything_is_pushed() {
    for at in ["2001-02-03T04:05:06Z", "2001-02-03T05:05:06 --tz Europe/Berlin"] {
        let cli = parse(&format!("job push shout hello --at {at}")).unwrap();
        let store = Scripted { answers: Mutex::default(), asked: Mutex::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ran = runtime.block_on(cli.command.run(&store, &mut Output::memory(false)));
        let failure = ran.unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.message().contains("2001-02-03T04:05:06Z, has passed"), "{failure:?}");
        assert_eq!(store.asked.into_inner(), [""; 0]);
    }
}
