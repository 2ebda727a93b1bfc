//! The fate of taken jobs: results, verdicts, concurrency, and jobs that are revoked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::{LONG, TEST_TIMEOUT, does, hangs, options, queue, topic, until, within, work};
use crate::work::tests::tapped::unavailable;
use crate::work::{Cancelled, HandlerOptions, JobError, NewJob, Queue, Schema, Thread};
use crate::{Blob, Details, Error, ErrorCode, Reservation, Settlement, Verdict};

#[actix_rt::test]
async fn a_result_is_settled_as_its_schema_encodes_it() {
    let queue = queue();
    queue.add(&["photo"]).await;
    let worker = work(&queue, does(async |job, _| Ok(format!("{job}!"))), options());
    let output = topic().encode(&"photo!".to_owned()).unwrap();
    assert_eq!(queue.settled(1).await, [Verdict::Done { output }]);
    until("it is counted", || worker.stats().running == 0).await;
    assert_eq!(worker.stats().done, 1);
    within(worker.stop(LONG)).await;
}

#[actix_rt::test]
async fn a_thousand_jobs_are_each_done_once_wherever_handlers_run() {
    for thread in [Thread::Own, Thread::Here, Thread::Blocking] {
        let queue = queue();
        let texts: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        queue.add(&texts).await;
        let options = HandlerOptions { thread, concurrency: 8, ..options() };
        // Some end at once, some after a turn: both paths through a handler's actor.
        let handler = does(async |job, _| {
            if job.len() < 3 {
                tokio::task::yield_now().await;
            }
            Ok(job)
        });
        let worker = work(&queue, handler, options);
        let mut outputs: Vec<String> = queue
            .settled(1_000)
            .await
            .into_iter()
            .map(|verdict| match verdict {
                Verdict::Done { output } => crate::work::Bincode.decode(&output).unwrap(),
                other => panic!("{other:?}"),
            })
            .collect();
        outputs.sort_by_key(|output| output.parse::<u32>().unwrap());
        assert_eq!(outputs, texts);
        within(worker.stop(LONG)).await;
    }
}

#[actix_rt::test]
async fn each_word_of_a_handler_is_its_verdict() {
    let queue = queue();
    let worker = work(
        &queue,
        does(async |job, _| match &*job {
            "retry" => Err("x".parse::<u8>().map(|_| ()).unwrap_err().into()),
            "retry after" => Err(JobError::retry_after(LONG, "later")),
            "fail" => Err(JobError::fail("never")),
            _ => Err(JobError::snooze(LONG)),
        }),
        HandlerOptions { concurrency: 1, ..options() },
    );
    queue.add(&["retry", "retry after", "fail", "snooze"]).await;
    let expected = [
        Verdict::Retry { after: None, error: "invalid digit found in string".to_owned() },
        Verdict::Retry { after: Some(LONG), error: "later".to_owned() },
        Verdict::Fail { error: "never".to_owned() },
        Verdict::Snooze { after: LONG },
    ];
    assert_eq!(queue.settled(4).await, expected);
    let stats = worker.stats();
    assert_eq!((stats.failed, stats.snoozed), (3, 1));
    within(worker.stop(LONG)).await;
}

#[actix_rt::test]
async fn j5_a_payload_that_does_not_decode_is_a_dead_letter_at_once() {
    let queue = queue();
    queue.push(vec![NewJob::new("x")]).await.unwrap();
    let worker = work(&queue, hangs(), options());
    let error = queue.error().await;
    assert!(error.starts_with("cannot decode the payload: "), "{error}");
    assert_eq!(queue.inner.dead().len(), 1);
    within(worker.stop(LONG)).await;
}

#[actix_rt::test]
async fn concurrency_is_reached_and_never_passed() {
    for thread in [Thread::Own, Thread::Blocking] {
        let queue = queue();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let gate = Arc::new(Semaphore::new(0));
        let handler = {
            let (now, most, gate) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&gate));
            does(move |job, _| {
                let (now, most, gate) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&gate));
                async move {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    gate.acquire().await.unwrap().forget();
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok(job)
                }
            })
        };
        let worker = work(&queue, handler, HandlerOptions { thread, ..options() });
        queue.add(&["x"; 50]).await;
        until("as many run as may", || now.load(Ordering::SeqCst) == 4).await;
        assert_eq!(queue.len().await, Ok(46), "more were taken than can be begun");
        gate.add_permits(50);
        queue.settled(50).await;
        assert_eq!(most.load(Ordering::SeqCst), 4);
        within(worker.stop(LONG)).await;
    }
}

#[actix_rt::test]
async fn j15_a_job_that_is_taken_away_cancels_its_handler_and_is_not_settled() {
    let queue = queue();
    let (told, mut tells) = mpsc::unbounded_channel();
    let handler = does(move |_, cx| {
        let told = told.clone();
        async move {
            told.send(None).unwrap();
            told.send(Some(cx.cancelled().await)).unwrap();
            Ok(String::new())
        }
    });
    let worker = work(&queue, handler, options());
    let pushed = queue.add(&["x"]).await;
    assert_eq!(within(tells.recv()).await, Some(None));
    // Reservations of another worker, or other reservations of the job, do not concern this worker.
    queue.revoke([Reservation { id: pushed[0].id, epoch: 7 }]);
    queue.revoke([Reservation { id: pushed[0].id, epoch: 1 }]);
    assert_eq!(within(tells.recv()).await, Some(Some(Cancelled::Revoked)));
    until("it is not held", || worker.stats().running == 0).await;
    assert_eq!(worker.stats().revoked, 1);
    within(worker.stop(LONG)).await;
    assert_eq!(queue.verdicts(), []);
}

#[actix_rt::test]
async fn j15_a_job_that_is_taken_away_in_its_first_turn_cancels_its_handler_too() {
    let queue = queue();
    let (go_on, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(parking_lot::Mutex::new(gate));
    let handler = does(move |_, cx| {
        let gate = Arc::clone(&gate);
        async move {
            // Not awaited, so the first turn lasts until then. An error means that it is released.
            let _ = gate.lock().recv();
            Err(JobError::fail(format!("{:?}", cx.cancelled().await)))
        }
    });
    let worker = work(&queue, handler, HandlerOptions { cancel_grace: LONG, ..options() });
    let pushed = queue.add(&["x"]).await;
    until("it is held", || worker.stats().running == 1 && queue.is_taken()).await;
    queue.revoke([Reservation { id: pushed[0].id, epoch: 1 }]);
    until("it is taken away", || worker.stats().revoked == 1).await;
    drop(go_on);
    until("it has ended", || worker.stats().running == 0).await;
    within(worker.stop(LONG)).await;
    assert_eq!(queue.verdicts(), []);
}

#[actix_rt::test]
async fn a_handler_that_does_not_heed_is_dropped_after_the_cancel_grace() {
    let queue = queue();
    let cancel_grace = Duration::from_millis(10);
    let worker = work(&queue, hangs(), HandlerOptions { cancel_grace, ..options() });
    let pushed = queue.add(&["x"]).await;
    until("it runs", || worker.stats().running == 1).await;
    queue.revoke([Reservation { id: pushed[0].id, epoch: 1 }]);
    until("it is dropped", || worker.stats().running == 0).await;
    within(worker.stop(LONG)).await;
    assert_eq!(queue.verdicts(), []);
}

#[actix_rt::test]
async fn j17_a_job_that_runs_long_is_held_on_to() {
    let queue = queue();
    let gate = Arc::new(Semaphore::new(0));
    let handler = {
        let gate = Arc::clone(&gate);
        does(move |job, _| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(job)
            }
        })
    };
    let visibility = Duration::from_millis(600);
    let worker = work(&queue, handler, HandlerOptions { visibility, ..options() });
    let pushed = queue.add(&["x"]).await;
    let reservation = Reservation { id: pushed[0].id, epoch: 1 };
    until("it is touched thrice", || queue.touched.lock().len() >= 3).await;
    assert!(queue.touched.lock().iter().all(|touched| *touched == reservation));
    gate.add_permits(1);
    assert!(matches!(queue.settled(1).await[..], [Verdict::Done { .. }]));
    within(worker.stop(LONG)).await;
}

#[actix_rt::test]
async fn a_context_tells_of_the_attempt_and_takes_notes() {
    let queue = queue();
    let job = NewJob {
        payload: topic().encode(&"x".to_owned()).unwrap(),
        options: crate::PushOptions {
            index: Some(Blob::from("seventeen")),
            retry_max: Some(1),
            ..crate::PushOptions::default()
        },
    };
    queue.push(vec![job]).await.unwrap();
    let handler = does(async |_, cx| {
        cx.progress("half").await?;
        if cx.failures() == 0 {
            return Err(JobError::retry("first"));
        }
        let index = cx.index().cloned().unwrap_or_default();
        Ok(format!("{index} {} {}", cx.reservation().epoch, cx.losses()))
    });
    let worker = work(&queue, handler, options());
    let output = topic().encode(&"seventeen 2 0".to_owned()).unwrap();
    assert_eq!(queue.settled(2).await[1], Verdict::Done { output });
    assert_eq!(*queue.notes.lock(), ["half", "half"].map(Blob::from));
    within(worker.stop(LONG)).await;
}

#[actix_rt::test]
async fn errors_of_the_queue_are_outlasted_and_nothing_is_said_twice() {
    let queue = queue();
    queue.next_errors.lock().extend([unavailable(), unavailable()]);
    queue.settle_errors.lock().extend([unavailable(), unavailable()]);
    queue.refusals.lock().extend([unavailable()]);
    queue.add(&["a", "b", "c"]).await;
    let worker = work(&queue, does(async |job, _| Ok(job)), options());
    assert_eq!(queue.settled(3).await.len(), 3);
    assert_eq!(worker.stats().queue_errors, 4);
    within(worker.stop(LONG)).await;
    assert_eq!(queue.verdicts().len(), 3);
}

#[actix_rt::test]
async fn a_smaller_limit_of_the_queue_is_kept_to() {
    let queue = queue();
    let limit = Details::Limit { name: "queue.credits_max".to_owned(), value: 1 };
    let refusal = Error::new(ErrorCode::LimitExceeded, "too many").with_details(limit);
    queue.next_errors.lock().push_back(refusal);
    queue.add(&["a", "b"]).await;
    let worker = work(&queue, does(async |job, _| Ok(job)), options());
    queue.settled(2).await;
    assert_eq!(worker.stats().queue_errors, 0);
    within(worker.stop(TEST_TIMEOUT)).await;
}

#[actix_rt::test]
async fn another_limit_of_the_queue_makes_no_requests_smaller() {
    let queue = queue();
    let limit = Details::Limit { name: "queue.parked_max".to_owned(), value: 1 };
    let refusal = Error::new(ErrorCode::LimitExceeded, "too many wait").with_details(limit);
    queue.next_errors.lock().push_back(refusal);
    queue.add(&["a", "b"]).await;
    let worker = work(&queue, does(async |job, _| Ok(job)), options());
    queue.settled(2).await;
    assert_eq!((worker.stats().queue_errors, queue.most_asked()), (1, 4));
    within(worker.stop(TEST_TIMEOUT)).await;
}

/// As after a lost connection: its jobs are at the head again, before the next touch.
#[actix_rt::test]
async fn j15_the_older_run_of_a_job_that_comes_again_is_cancelled_and_counts_until_it_ends() {
    let queue = queue();
    let (told, mut tells) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let handler = {
        let gate = Arc::clone(&gate);
        does(move |job, cx| {
            let (told, gate) = (told.clone(), Arc::clone(&gate));
            async move {
                if cx.reservation().epoch == 1 {
                    told.send(None).unwrap();
                    told.send(Some(cx.cancelled().await)).unwrap();
                }
                gate.acquire().await.unwrap().forget();
                Ok(job)
            }
        })
    };
    let worker = work(&queue, handler, HandlerOptions { cancel_grace: LONG, ..options() });
    let pushed = queue.add(&["x"]).await;
    assert_eq!(within(tells.recv()).await, Some(None));
    let reservation = Reservation { id: pushed[0].id, epoch: 1 };
    let settlement = Settlement { reservation, verdict: Verdict::Release };
    assert_eq!(queue.inner.settle(vec![settlement]).await, Ok(vec![None]));
    assert_eq!(within(tells.recv()).await, Some(Some(Cancelled::Revoked)));
    until("both runs count", || worker.stats().running == 2).await;
    assert_eq!(worker.stats().revoked, 1);
    gate.add_permits(2);
    assert!(matches!(queue.settled(1).await[..], [Verdict::Done { .. }]));
    until("both have ended", || worker.stats().running == 0).await;
    within(worker.stop(LONG)).await;
    assert_eq!(queue.verdicts().len(), 1, "the older run was settled");
}

#[actix_rt::test]
async fn an_option_that_is_for_ever_is_no_panic() {
    for thread in [Thread::Own, Thread::Here, Thread::Blocking] {
        let queue = queue();
        let for_ever = HandlerOptions {
            attempt_timeout: Duration::MAX,
            visibility: Duration::MAX,
            stuck_after: Duration::MAX,
            cancel_grace: Duration::MAX,
            wait: Duration::MAX,
            thread,
            ..options()
        };
        let handler = does(async |job, cx| {
            if job == "revoked" {
                cx.cancelled().await;
            }
            Ok(job)
        });
        let worker = work(&queue, handler, for_ever);
        let revoked = queue.add(&["revoked"]).await;
        until("it runs", || worker.stats().running == 1 && queue.is_taken()).await;
        queue.revoke([Reservation { id: revoked[0].id, epoch: 1 }]);
        until("it has ended", || worker.stats().running == 0).await;
        queue.add(&["x"]).await;
        assert!(matches!(queue.settled(1).await[..], [Verdict::Done { .. }]));
        within(worker.stop(Duration::MAX)).await;
    }
}
