//! Jobs through the client: the same methods as in process, and no job is lost with its caller.

use std::time::Duration;

use wakeful::{
    Backoff, ErrorCode, JobRef, JobRequest, JobState, Jobs, Operations, PushOptions, PushRequest,
    Request, ReserveRequest, Schedule, Settlement, TopicSettings, Unique, Verdict,
};

use super::{connect, near_and_far, within};
use crate::process::Server;
use crate::support::until;

const NOW: Option<Duration> = Some(Duration::ZERO);
const LONG: Option<Duration> = Some(Duration::from_secs(60));

fn named(index: &str) -> PushOptions {
    PushOptions { index: Some(index.into()), ..PushOptions::default() }
}

fn reserve(wait: Option<Duration>) -> ReserveRequest {
    ReserveRequest { wait, ..ReserveRequest::new("resize") }
}

fn done(reservation: wakeful::Reservation) -> Settlement {
    Settlement { reservation, verdict: Verdict::Done { output: "url".into() } }
}

#[tokio::test]
async fn e1_jobs_are_done_over_the_wire_as_in_process() {
    let server = Server::start();
    let client = connect(server.addr()).await;
    let pushed = within(client.push("resize", "photo", named("p1"))).await.unwrap();
    assert_eq!((pushed.state, pushed.existing), (JobState::Ready, false));
    let again = within(client.push("resize", "other", named("p1"))).await.unwrap();
    assert_eq!((again.id, again.existing), (pushed.id, true));
    let job = within(client.reserve(reserve(LONG))).await.unwrap().remove(0);
    assert_eq!((job.payload.as_ref(), job.reservation.id), (&b"photo"[..], pushed.id));
    within(client.progress(job.reservation, "half")).await.unwrap();
    assert_eq!(within(client.touch(vec![job.reservation], LONG)).await.unwrap(), [None]);
    let index = JobRef::Index { topic: "resize".into(), index: "p1".into() };
    let info = within(client.get_job(index.clone())).await.unwrap();
    assert_eq!((info.state, info.epoch), (JobState::Reserved, 1));
    assert_eq!(info.progress.as_deref(), Some(&b"half"[..]));
    let (finished, settled) = within(async {
        tokio::join!(client.await_job(index, LONG), client.settle(vec![done(job.reservation)]))
    })
    .await;
    assert_eq!(settled.unwrap(), [None]);
    let finished = finished.unwrap();
    assert_eq!((finished.state, finished.output), (JobState::Done, Some("url".into())));
    let stale = within(client.settle(vec![done(job.reservation)])).await.unwrap().remove(0);
    assert_eq!(stale.unwrap().code, ErrorCode::StaleReservation);
    let page = within(client.outcomes("resize", Some(0), 0, NOW)).await.unwrap();
    assert_eq!(page.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [pushed.id]);
}

#[tokio::test]
async fn e1_topics_and_schedules_are_run_over_the_wire() {
    let server = Server::start();
    let client = connect(server.addr()).await;
    let settings = TopicSettings {
        concurrency: Some(1),
        retry_max: Some(0),
        backoff: Some(Backoff::Constant(Duration::from_millis(5))),
        ..TopicSettings::default()
    };
    let topic = within(client.set_topic("resize", settings.clone())).await.unwrap();
    assert_eq!(topic.settings, settings);
    assert!(within(client.pause_topic("resize", true)).await.unwrap().paused);
    let job = within(client.push("resize", "photo", PushOptions::default())).await.unwrap();
    assert!(within(client.reserve(reserve(NOW))).await.unwrap().is_empty(), "it is paused");
    within(client.pause_topic("resize", false)).await.unwrap();
    let reserved = within(client.reserve(reserve(LONG))).await.unwrap().remove(0);
    let verdict = Verdict::Retry { after: None, error: "no".to_owned() };
    let failed = vec![Settlement { reservation: reserved.reservation, verdict }];
    assert_eq!(within(client.settle(failed)).await.unwrap(), [None]);
    let dead = within(client.list_jobs("resize", JobState::Dead, 0, 0)).await.unwrap();
    assert_eq!((dead.jobs.len(), dead.jobs[0].id), (1, job.id));
    assert_eq!(dead.jobs[0].errors, ["no"]);
    assert_eq!(within(client.replay("resize", None)).await.unwrap(), 1);
    let info = within(client.cancel_job(JobRef::Id(job.id))).await.unwrap();
    assert_eq!(info.id, job.id);
    let refusal = within(client.cancel_job(JobRef::Id(job.id))).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::JobFinished);
    let jobs = vec![PushRequest::new("resize", "a"), PushRequest::new("crop", "b")];
    assert_eq!(within(client.push_all(jobs, Duration::ZERO)).await.unwrap().len(), 2);
    assert_eq!(within(client.clear_topic("resize")).await.unwrap(), 1);
    let names: Vec<_> = within(client.topics()).await.unwrap();
    let names: Vec<_> = names.iter().map(|topic| topic.name.to_string()).collect();
    assert_eq!(names, ["crop", "resize"]);
    assert_eq!(within(client.topic_info("crop")).await.unwrap().ready, 1);
    let refusal = within(client.topic_info("none")).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::TopicNotFound);
    let schedule = Schedule {
        name: "nightly".into(),
        cron: "0 4 * * *".to_owned(),
        timezone: "Europe/Berlin".to_owned(),
        push: PushRequest::new("resize", "all"),
    };
    assert!(within(client.set_schedule(schedule.clone())).await.unwrap().next.is_some());
    assert_eq!(within(client.schedules()).await.unwrap()[0].schedule, schedule);
    within(client.remove_schedule("nightly")).await.unwrap();
    let refusal = within(client.remove_schedule("nightly")).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::ScheduleNotFound);
}

#[tokio::test]
async fn j7_j8_j9_what_is_left_over_is_deleted_over_the_wire() {
    let server = Server::start();
    let client = connect(server.addr()).await;
    let unique = Unique::Finished(Duration::from_secs(3_600));
    let options = || PushOptions {
        index: Some("i".into()),
        unique,
        retry_max: Some(0),
        ..PushOptions::default()
    };
    let push = || client.push("resize", "photo", options());
    let first = within(push()).await.unwrap().id;
    let refusal = within(client.free_index("resize", "i")).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::JobUnfinished);
    let refusal = within(client.delete_topic("resize", false)).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::TopicInUse);
    let reserved = within(client.reserve(reserve(LONG))).await.unwrap().remove(0);
    let refusal = within(client.delete_topic("resize", true)).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::TopicInUse);
    let verdict = Verdict::Fail { error: "no".to_owned() };
    let failed = vec![Settlement { reservation: reserved.reservation, verdict }];
    assert_eq!(within(client.settle(failed)).await.unwrap(), [None]);
    assert_eq!(within(client.delete_dead("resize", Some(first))).await.unwrap(), 1);
    let refusal = within(client.delete_dead("resize", Some(first))).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::JobNotFound);
    assert!(within(push()).await.unwrap().existing, "the index stays taken");
    assert!(within(client.free_index("resize", "i")).await.unwrap());
    assert!(!within(client.free_index("resize", "i")).await.unwrap());
    assert!(!within(push()).await.unwrap().existing);
    assert_eq!(within(client.delete_topic("resize", true)).await.unwrap(), 1);
    assert!(within(client.topics()).await.unwrap().is_empty());
}

/// Whether the call was dropped before or after the job arrived, the next worker gets it, with no
/// attempt lost.
#[tokio::test]
async fn a_dropped_reserve_gives_its_jobs_back() {
    let server = Server::start();
    let (worker, other) = (connect(server.addr()).await, connect(server.addr()).await);
    for _ in 0..50 {
        let reserving = worker.go(Request::Job(JobRequest::Reserve(reserve(LONG))));
        let pushed = other.push("resize", "photo", PushOptions::default());
        let pushed = within(pushed).await.unwrap();
        drop(reserving);
        let job = within(other.reserve(reserve(LONG))).await.unwrap().remove(0);
        assert_eq!((job.reservation.id, job.losses, job.failures), (pushed.id, 0, 0));
        assert_eq!(within(other.settle(vec![done(job.reservation)])).await.unwrap(), [None]);
    }
}

#[tokio::test]
async fn a_client_that_closes_gives_its_jobs_back_at_no_cost() {
    let server = Server::start();
    let (worker, other) = (connect(server.addr()).await, connect(server.addr()).await);
    within(other.push("resize", "photo", PushOptions::default())).await.unwrap();
    let first = within(worker.reserve(reserve(LONG))).await.unwrap().remove(0);
    within(worker.close()).await;
    let job = within(other.reserve(reserve(LONG))).await.unwrap().remove(0);
    assert_eq!(job.reservation.id, first.reservation.id);
    assert_eq!((job.reservation.epoch, job.losses), (2, 0));
}

#[tokio::test]
async fn j17_a_reserve_goes_on_after_a_cut_and_lost_jobs_come_again() {
    let (server, proxy, other, worker) = near_and_far(&["--limit", "queue.resume_grace=0s"]).await;
    within(other.push("resize", "first", PushOptions::default())).await.unwrap();
    let first = within(worker.reserve(reserve(LONG))).await.unwrap().remove(0);
    // The job was neither touched nor settled, so this worker loses it by the cut.
    proxy.move_to(server.addr());
    let again = within(worker.reserve(reserve(LONG))).await.unwrap().remove(0);
    assert_eq!(again.reservation.id, first.reservation.id);
    assert_eq!((again.reservation.epoch, again.losses), (2, 1));
    let stale = within(worker.settle(vec![done(first.reservation)])).await.unwrap().remove(0);
    assert_eq!(stale.unwrap().code, ErrorCode::StaleReservation);
    let mut waiting = Box::pin(worker.reserve(reserve(LONG)));
    tokio::select! {
        jobs = &mut waiting => panic!("none is there: {jobs:?}"),
        status = within(worker.status()) => drop(status.unwrap()),
    }
    proxy.move_to(server.addr());
    let second = within(other.push("resize", "second", PushOptions::default())).await.unwrap();
    let mut come = vec![within(waiting).await.unwrap().remove(0).reservation.id];
    // By the cut, the worker lost the first job again.
    come.push(within(worker.reserve(reserve(LONG))).await.unwrap().remove(0).reservation.id);
    come.sort_unstable();
    assert_eq!(come, [first.reservation.id, second.id]);
}

#[tokio::test]
async fn j21_a_job_is_the_clients_own_after_a_cut_and_another_is_settled_by_whoever_returns() {
    let (server, proxy, other, worker) = near_and_far(&["--limit", "queue.resume_grace=60s"]).await;
    within(other.push("resize", "photo", PushOptions::default())).await.unwrap();
    let job = within(worker.reserve(reserve(LONG))).await.unwrap().remove(0);
    proxy.move_to(server.addr());
    assert!(
        within(other.reserve(reserve(NOW))).await.unwrap().is_empty(),
        "it waits for its worker"
    );
    assert_eq!(within(worker.touch(vec![job.reservation], None)).await.unwrap(), [None]);
    // Any client that has the reservation can resume it, whatever happened to the first one.
    proxy.move_to("127.0.0.1:1");
    until("its end is noticed", async || within(other.status()).await.unwrap().connections == 1)
        .await;
    drop(worker);
    let resumed = within(other.resume(vec![job.reservation])).await.unwrap();
    assert_eq!(resumed, [true]);
    let stale = wakeful::Reservation { epoch: 2, ..job.reservation };
    assert_eq!(within(other.resume(vec![stale, job.reservation])).await.unwrap(), [false, true]);
    assert_eq!(within(other.settle(vec![done(job.reservation)])).await.unwrap(), [None]);
    let info = within(other.get_job(JobRef::Id(job.reservation.id))).await.unwrap();
    assert_eq!((info.state, info.epoch, info.losses), (JobState::Done, 1, 0));
}

#[tokio::test]
async fn j17_the_jobs_of_a_client_that_is_dropped_are_anothers_at_once() {
    let server = Server::start_with(&["--limit", "queue.resume_grace=1h"]);
    let (worker, other) = (connect(server.addr()).await, connect(server.addr()).await);
    within(other.push("resize", "photo", PushOptions::default())).await.unwrap();
    let hour = Some(Duration::from_secs(3600));
    let request = ReserveRequest { visibility: hour, ..reserve(LONG) };
    within(worker.reserve(request)).await.unwrap();
    drop(worker);
    let job = within(other.reserve(reserve(LONG))).await.unwrap().remove(0);
    assert_eq!((job.reservation.epoch, job.losses), (2, 1));
}
