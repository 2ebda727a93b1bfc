//! Workers over a connection that may be cut, to a server that may be killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use wakeful::work::{Cancelled, KeyStorage, TopicQueue, conformance};
use wakeful::{
    ErrorCode, HandlerOptions, JobError, JobHandler, JobRef, JobState, Jobs, PushOptions,
};

use super::{connect, near_and_far};
use crate::durable::Home;
use crate::process::Server;
use crate::support::handlers::{
    Gate, LONG, does, echoes, job, patient, push, result, retries, topic,
};
use crate::support::{until, within};

#[actix_rt::test]
async fn e1_topics_and_keys_over_the_wire_keep_every_rule_of_a_queue_and_a_storage() {
    let server = Server::start();
    let client = connect(server.addr()).await;
    let made = AtomicU64::new(0);
    let fresh = || made.fetch_add(1, Ordering::Relaxed);
    let queue = async || TopicQueue::new(client.clone(), format!("topic-{}", fresh()));
    assert_eq!(conformance::queue(queue).await, Ok(()));
    let storage = async || KeyStorage::new(client.clone(), format!("results/{}/", fresh()));
    assert_eq!(conformance::storage(storage).await, Ok(()));
}

#[actix_rt::test]
async fn e1_jobs_are_handled_over_the_wire_and_their_results_arrive() {
    let server = Server::start();
    let (near, far) = (connect(server.addr()).await, connect(server.addr()).await);
    let storage = Arc::new(KeyStorage::new(far.clone(), "results/"));
    let handler = does(async |job, cx| {
        cx.progress("begun").await?;
        Ok(format!("{job}!"))
    });
    let options = patient().with_storage(Arc::clone(&storage));
    let worker = far.work("t", handler, options).unwrap();
    let mut ids = Vec::new();
    for nth in 0..50 {
        ids.push(push(&near, "t", &nth.to_string(), PushOptions::default()).await);
    }
    for (nth, id) in ids.iter().enumerate() {
        assert_eq!(result(&near, "t", *id).await.unwrap(), format!("{nth}!"));
    }
    let kept = within(wakeful::work::Storage::len(&storage)).await.unwrap();
    assert_eq!(kept, 50);
    within(worker.stop(LONG)).await;
    assert_eq!(topic(&near, "t").await.done_total, 50);
}

#[actix_rt::test]
async fn j5_a_job_of_a_remote_worker_is_tried_again_and_then_a_dead_letter() {
    let server = Server::start();
    let (near, far) = (connect(server.addr()).await, connect(server.addr()).await);
    let handler = does(async |job, cx| match (&*job, cx.failures()) {
        ("flaky", 2..) => Ok(job),
        ("panics", _) => panic!("boom"),
        _ => Err(JobError::retry(format!("failure {}", cx.failures()))),
    });
    let worker = far.work("t", handler, patient()).unwrap();
    let flaky = push(&near, "t", "flaky", retries(2)).await;
    let never = push(&near, "t", "never", retries(1)).await;
    let panics = push(&near, "t", "panics", retries(0)).await;
    assert_eq!(result(&near, "t", flaky).await.unwrap(), "flaky");
    for (id, errors) in
        [(never, &["failure 0", "failure 1"][..]), (panics, &["panicked: boom"][..])]
    {
        let error = result(&near, "t", id).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::JobDead);
        let dead = job(&near, id).await;
        assert_eq!((dead.state, dead.losses), (JobState::Dead, 0));
        assert_eq!(dead.errors, errors);
    }
    within(worker.stop(LONG)).await;
}

#[actix_rt::test]
async fn j15_a_cancel_reaches_the_handler_of_a_remote_worker() {
    let server = Server::start();
    let (near, far) = (connect(server.addr()).await, connect(server.addr()).await);
    let (told, mut tells) = mpsc::unbounded_channel();
    let handler = does(move |job, cx| {
        let told = told.clone();
        async move {
            told.send(None).unwrap();
            told.send(Some(cx.cancelled().await)).unwrap();
            Ok(job)
        }
    });
    let worker = far.work("t", handler, patient()).unwrap();
    let id = push(&near, "t", "x", PushOptions::default()).await;
    assert_eq!(within(tells.recv()).await, Some(None));
    within(near.cancel_job(JobRef::Id(id))).await.unwrap();
    assert_eq!(within(tells.recv()).await, Some(Some(Cancelled::Revoked)));
    let error = result(&near, "t", id).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::JobCancelled);
    until("it is not held", async || worker.stats().running == 0).await;
    assert_eq!((worker.stats().revoked, worker.stats().done), (1, 0));
    within(worker.stop(LONG)).await;
}

/// Returns a handler whose first run waits at `gate`, and whose later runs return their number.
fn waits_the_first_time(gate: &Gate) -> impl JobHandler<Job = String, Output = String> {
    let gate = gate.clone();
    does(move |_, cx| {
        let gate = gate.clone();
        async move {
            if cx.reservation().epoch == 1 {
                gate.pass().await;
            }
            Ok(format!("run {}", cx.reservation().epoch))
        }
    })
}

/// A grace period long enough for a slow machine; a visibility timeout of this length never ends.
const GRACE: [&str; 2] = ["--limit", "queue.resume_grace=60s"];

#[actix_rt::test]
async fn j21_a_job_goes_on_while_its_connection_is_cut() {
    let (server, proxy, near, far) = near_and_far(&GRACE).await;
    let gate = Gate::new();
    let worker = far.work("t", waits_the_first_time(&gate), patient()).unwrap();
    let id = push(&near, "t", "x", PushOptions::default()).await;
    until("it runs", async || worker.stats().running == 1).await;
    proxy.move_to(server.addr());
    gate.open(1);
    assert_eq!(result(&near, "t", id).await.unwrap(), "run 1");
    let done = job(&near, id).await;
    assert_eq!((done.epoch, done.losses, done.failures), (1, 0, 0));
    until("it is told", async || worker.stats().done == 1).await;
    assert_eq!(worker.stats().revoked, 0);
    within(worker.stop(LONG)).await;
}

/// Two workers share a connection: each learns of the loss of its own job at once, although neither
/// touches its job for minutes.
#[actix_rt::test]
async fn j21_workers_that_return_too_late_are_told_at_once_and_fenced() {
    let (server, proxy, near, far) = near_and_far(&["--limit", "queue.resume_grace=50ms"]).await;
    let (told, mut tells) = mpsc::unbounded_channel();
    let handler = || {
        let told = told.clone();
        does(move |job, cx| {
            let told = told.clone();
            async move {
                told.send((cx.topic().to_string(), cx.cancelled().await)).unwrap();
                Ok(job)
            }
        })
    };
    let workers = ["a", "b"].map(|topic| far.work(topic, handler(), patient()).unwrap());
    let mut ids = Vec::new();
    for topic in ["a", "b"] {
        ids.push(push(&near, topic, "x", PushOptions::default()).await);
    }
    until("both run", async || workers.iter().all(|worker| worker.stats().running == 1)).await;
    // Nothing listens behind the proxy any more.
    proxy.move_to("127.0.0.1:1");
    let mut others = Vec::new();
    for (topic, id) in ["a", "b"].into_iter().zip(&ids) {
        let other = near.work(topic, echoes(), patient()).unwrap();
        assert_eq!(result(&near, topic, *id).await.unwrap(), "x");
        others.push(other);
    }
    proxy.move_to(server.addr());
    let mut revoked = [within(tells.recv()).await.unwrap(), within(tells.recv()).await.unwrap()];
    revoked.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(revoked, ["a", "b"].map(|topic| (topic.to_owned(), Cancelled::Revoked)));
    for (worker, id) in workers.into_iter().zip(&ids) {
        until("it is not held", async || worker.stats().running == 0).await;
        assert_eq!((worker.stats().revoked, worker.stats().done), (1, 0));
        within(worker.stop(LONG)).await;
        let done = job(&near, *id).await;
        assert_eq!((done.state, done.epoch, done.losses), (JobState::Done, 2, 1));
    }
    for other in others {
        within(other.stop(LONG)).await;
    }
}

#[actix_rt::test]
async fn j17_a_job_whose_connection_was_cut_is_handed_out_again_and_done_once() {
    let (server, proxy, near, far) = near_and_far(&["--limit", "queue.resume_grace=0s"]).await;
    let gate = Gate::new();
    let worker = far.work("t", waits_the_first_time(&gate), patient()).unwrap();
    let id = push(&near, "t", "x", PushOptions::default()).await;
    until("it runs", async || worker.stats().running == 1).await;
    proxy.move_to(server.addr());
    // By the same worker, over its next connection.
    assert_eq!(result(&near, "t", id).await.unwrap(), "run 2");
    let done = job(&near, id).await;
    assert_eq!((done.epoch, done.losses, done.failures), (2, 1, 0));
    // The result of the first run has no effect.
    gate.open(1);
    let next = push(&near, "t", "y", retries(0)).await;
    gate.open(1);
    assert_eq!(result(&near, "t", next).await.unwrap(), "run 1");
    within(worker.stop(LONG)).await;
    assert_eq!(result(&near, "t", id).await.unwrap(), "run 2");
    assert_eq!(topic(&near, "t").await.done_total, 2);
}

#[actix_rt::test]
async fn j17_another_worker_takes_over_from_one_whose_connection_was_cut() {
    let (_server, proxy, near, far) = near_and_far(&["--limit", "queue.resume_grace=50ms"]).await;
    let gate = Gate::new();
    let first = far.work("t", waits_the_first_time(&gate), patient()).unwrap();
    let id = push(&near, "t", "x", PushOptions::default()).await;
    until("it runs", async || first.stats().running == 1).await;
    let second = near.work("t", waits_the_first_time(&gate), patient()).unwrap();
    // Nothing listens behind the proxy any more.
    proxy.move_to("127.0.0.1:1");
    assert_eq!(result(&near, "t", id).await.unwrap(), "run 2");
    until("it is told to the second", async || second.stats().done == 1).await;
    assert_eq!(first.stats().done, 0);
    within(second.stop(LONG)).await;
    within(first.stop(Duration::ZERO)).await;
}

#[actix_rt::test]
async fn j2_j21_every_job_is_done_once_though_the_server_is_killed_under_its_worker() {
    let home = Home::new();
    let server = home.server_with(&GRACE);
    let addr = server.addr().to_owned();
    let (near, far) = (connect(&addr).await, connect(&addr).await);
    let gate = Gate::new();
    let handler = {
        let gate = gate.clone();
        does(move |job, _| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Ok(job)
            }
        })
    };
    let options = HandlerOptions { concurrency: 4, ..patient() };
    let worker = far.work("t", handler, options).unwrap();
    let mut ids = Vec::new();
    for nth in 0..40 {
        ids.push(push(&near, "t", &nth.to_string(), retries(0)).await);
    }
    gate.open(10);
    until("some are done, some run", async || {
        let topic = topic(&near, "t").await;
        (topic.done_total, topic.reserved) == (10, 4)
    })
    .await;
    let _server = home.restart(server, "KILL", &GRACE);
    gate.open(1_000);
    let near = connect(&addr).await;
    for (nth, id) in ids.iter().enumerate() {
        assert_eq!(result(&near, "t", *id).await.unwrap(), nth.to_string());
    }
    let counts = topic(&near, "t").await;
    assert_eq!((counts.pushed_total, counts.done_total), (40, 40));
    // A done or running job does not run again after the loss of its server.
    let done = within(near.list_jobs("t", JobState::Done, 0, 0)).await.unwrap().jobs;
    assert!(done.iter().all(|job| (job.epoch, job.failures, job.losses) == (1, 0, 0)), "{done:?}");
    within(worker.stop(LONG)).await;
}

#[actix_rt::test]
async fn a_worker_ends_with_its_client() {
    let server = Server::start();
    let client = connect(server.addr()).await;
    let mut worker = client.work("t", echoes(), patient()).unwrap();
    let id = push(&client, "t", "x", PushOptions::default()).await;
    result(&client, "t", id).await.unwrap();
    within(client.close()).await;
    assert_eq!(within(worker.ended()).await.stuck, 0);
}

/// Regression: results that were ready at the same time were settled in one request that did not
/// fit in a frame, and their jobs ran again.
#[actix_rt::test]
async fn j12_results_that_no_frame_holds_together_are_settled_in_parts() {
    const JOBS: usize = 40;
    let server = Server::start();
    let (near, far) = (connect(server.addr()).await, connect(server.addr()).await);
    let all = Arc::new(tokio::sync::Barrier::new(JOBS));
    let handler = does(move |_, _| {
        let all = Arc::clone(&all);
        async move {
            all.wait().await;
            Ok("r".repeat(900 * 1024))
        }
    });
    let mut ids = Vec::new();
    for _ in 0..JOBS {
        ids.push(push(&near, "t", "job", PushOptions::default()).await);
    }
    let worker = far.work("t", handler, HandlerOptions { concurrency: JOBS, ..patient() }).unwrap();
    for id in ids {
        assert_eq!(result(&near, "t", id).await.unwrap().len(), 900 * 1024);
        let done = job(&near, id).await;
        assert_eq!((done.epoch, done.failures, done.losses), (1, 0, 0));
    }
    within(worker.stop(LONG)).await;
}

/// Regression: an error too long for a frame was not sent, and its job was held until its
/// visibility timeout.
#[actix_rt::test]
async fn j5_an_error_as_long_as_no_frame_is_cut_off() {
    let server = Server::start();
    let (near, far) = (connect(server.addr()).await, connect(server.addr()).await);
    let handler = does(async |_, _| Err(JobError::fail("e".repeat(9 * 1024 * 1024))));
    let worker = far.work("t", handler, patient()).unwrap();
    let id = push(&near, "t", "job", PushOptions::default()).await;
    assert_eq!(result(&near, "t", id).await.unwrap_err().code, ErrorCode::JobDead);
    assert!(job(&near, id).await.errors[0].starts_with("eee"));
    within(worker.stop(LONG)).await;
}
