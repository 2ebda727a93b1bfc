//! Retries need no capacity, keep their place, always leave a trace, and repeat nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wakeful::work::{NewJob, Queue, TopicQueue};
use wakeful::{
    Backoff, ErrorCode, JobError, JobHandler, JobState, Jobs, PushOptions, PushRequest,
    TopicSettings,
};

use super::{Seen, start};
use crate::support::handlers::{LONG, does, job, patient, push, result, retries, texts, topic};
use crate::support::{TIMEOUT, until, within};

/// Returns a handler that records each job, and fails `times` times at it.
fn fails(times: u32, seen: &Seen) -> impl JobHandler<Job = String, Output = String> {
    let seen = seen.clone();
    does(move |job, cx| {
        seen.note(&job);
        async move { if cx.failures() < times { Err(JobError::retry("not yet")) } else { Ok(job) } }
    })
}

#[actix_rt::test]
async fn s05_a_retry_needs_no_room_in_a_full_queue() {
    let (wakeful, seen) = (start(), Seen::default());
    let one = TopicSettings { jobs_max: Some(1), ..TopicSettings::default() };
    within(wakeful.set_topic("t", one)).await.unwrap();
    let first = push(&wakeful, "t", "first", retries(3)).await;
    let full = within(wakeful.push("t", "refused", PushOptions::default())).await.unwrap_err();
    assert_eq!(full.code, ErrorCode::Full);
    // Waits for the capacity that each retry would compete for.
    let payload = texts("t").encode(&"second".to_owned()).unwrap();
    let second = wakeful.push_all(vec![PushRequest::new("t", payload)], TIMEOUT);
    tokio::pin!(second);
    assert!(futures_util::poll!(second.as_mut()).is_pending());
    let worker = wakeful.handle("t", fails(3, &seen), patient()).unwrap();
    assert_eq!(result(&wakeful, "t", first).await.unwrap(), "first");
    let second = within(second).await.unwrap().remove(0).id;
    within(wakeful.cancel_job(wakeful::JobRef::Id(second))).await.unwrap();
    assert_eq!(seen.all()[..4], ["first"; 4]);
    within(worker.stop(LONG)).await;
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn s05_a_cleared_queue_takes_jobs_and_a_closed_one_refuses_them() {
    let wakeful = start();
    for _ in 0..2 {
        push(&wakeful, "t", "x", PushOptions::default()).await;
        push(&wakeful, "t", "y", PushOptions::default()).await;
        assert_eq!(within(wakeful.clear_topic("t")).await.unwrap(), 2);
    }
    let queue = TopicQueue::new(wakeful.clone(), "t");
    within(queue.push(vec![NewJob::new("x")])).await.unwrap();
    within(queue.close()).await.unwrap();
    let refused = within(queue.push(vec![NewJob::new("x")])).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unavailable);
    within(wakeful.stop()).await;
    let refused = within(wakeful.push("t", "x", PushOptions::default())).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unavailable);
}

#[actix_rt::test]
async fn s06_a_retry_comes_after_its_pause() {
    let (wakeful, seen) = (start(), Seen::default());
    let worker = wakeful.handle("t", fails(1, &seen), patient()).unwrap();
    let paused = PushOptions { backoff: Some(Backoff::Constant(LONG)), ..PushOptions::default() };
    let id = push(&wakeful, "t", "x", paused).await;
    until("it is delayed", async || job(&wakeful, id).await.state == JobState::Delayed).await;
    let job = job(&wakeful, id).await;
    assert!(job.due.unwrap() >= job.pushed + u64::try_from(LONG.as_millis()).unwrap());
    assert_eq!(seen.all(), ["x"]);
    within(worker.stop(LONG)).await;
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn s06_a_retry_keeps_its_place_among_those_of_its_order_key() {
    let (wakeful, seen) = (start(), Seen::default());
    let options = || PushOptions {
        order_key: Some("customer".into()),
        backoff: Some(Backoff::Constant(Duration::from_millis(5))),
        ..PushOptions::default()
    };
    push(&wakeful, "t", "first", options()).await;
    let last = push(&wakeful, "t", "second", options()).await;
    let worker = wakeful.handle("t", fails(2, &seen), patient()).unwrap();
    result(&wakeful, "t", last).await.unwrap();
    assert_eq!(seen.all(), ["first", "first", "first", "second", "second", "second"]);
    within(worker.stop(LONG)).await;
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn s07_past_its_budget_a_job_is_a_dead_letter_that_can_be_replayed() {
    let (wakeful, mended) = (start(), Arc::new(AtomicBool::new(false)));
    let handler = {
        let mended = Arc::clone(&mended);
        does(move |job, cx| {
            let mended = mended.load(Ordering::SeqCst);
            let error = format!("failed {}", cx.failures());
            async move { if mended { Ok(job) } else { Err(JobError::retry(error)) } }
        })
    };
    let worker = wakeful.handle("t", handler, patient()).unwrap();
    let id = push(&wakeful, "t", "x", retries(1)).await;
    let never = push(&wakeful, "t", "y", retries(0)).await;
    for (id, runs) in [(id, 2), (never, 1)] {
        let error = result(&wakeful, "t", id).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::JobDead);
        let dead = job(&wakeful, id).await;
        assert_eq!((dead.state, dead.failures, dead.epoch), (JobState::Dead, runs, runs));
        assert_eq!(dead.errors.len(), runs as usize);
        assert!(dead.payload.is_some(), "it is all there");
    }
    let counts = topic(&wakeful, "t").await;
    assert_eq!((counts.pushed_total, counts.dead, counts.evicted_total), (2, 2, 0));
    mended.store(true, Ordering::SeqCst);
    assert_eq!(within(wakeful.replay("t", None)).await.unwrap(), 2);
    assert_eq!(result(&wakeful, "t", id).await.unwrap(), "x");
    assert_eq!(result(&wakeful, "t", never).await.unwrap(), "y");
    within(worker.stop(LONG)).await;
    within(wakeful.stop()).await;
}

/// Work of two handlers on a message is two jobs, each with its own budget.
#[actix_rt::test]
async fn s13_a_retry_repeats_only_the_handler_that_failed() {
    let (wakeful, mailed, indexed) = (start(), Seen::default(), Seen::default());
    let mail = wakeful.handle("mail", fails(2, &mailed), patient()).unwrap();
    let index = wakeful.handle("index", fails(0, &indexed), patient()).unwrap();
    let payload = texts("mail").encode(&"message".to_owned()).unwrap();
    let push = |topic: &str| PushRequest {
        options: retries(2),
        ..PushRequest::new(topic, payload.clone())
    };
    // Both or neither is pushed.
    let both = vec![push("mail"), push("index")];
    let pushed = within(wakeful.push_all(both, Duration::ZERO)).await.unwrap();
    assert_eq!(result(&wakeful, "mail", pushed[0].id).await.unwrap(), "message");
    assert_eq!(result(&wakeful, "index", pushed[1].id).await.unwrap(), "message");
    assert_eq!((mailed.all().len(), indexed.all().len()), (3, 1));
    within(mail.stop(LONG)).await;
    within(index.stop(LONG)).await;
    within(wakeful.stop()).await;
}
