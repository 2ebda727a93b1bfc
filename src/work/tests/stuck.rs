//! Handlers that block their thread.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc::unbounded_channel;

use super::{LONG, does, options, queue, until, within, work};
use crate::work::{HandlerOptions, JobHandler, Thread};
use crate::{Reservation, Verdict};

/// Blocks its thread for `block` until the sender is dropped, hangs for `wait`, otherwise is done.
fn blocks() -> (mpsc::Sender<()>, impl JobHandler<Job = String, Output = String>) {
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let handler = does(move |job, _| {
        let released = Arc::clone(&released);
        async move {
            match &*job {
                // An error means that it is released.
                "block" => drop(released.lock().recv()),
                "wait" => std::future::pending().await,
                _ => {}
            }
            Ok(job)
        }
    });
    (release, handler)
}

#[actix_rt::test]
async fn j18_a_stuck_handler_fails_is_replaced_and_shown_until_it_ends() {
    for thread in [Thread::Own, Thread::Blocking] {
        let queue = queue();
        let (release, handler) = blocks();
        let attempt_timeout = Duration::from_millis(20);
        let worker = work(&queue, handler, HandlerOptions { thread, attempt_timeout, ..options() });
        queue.add(&["block"]).await;
        assert_eq!(queue.error().await, "timed out after 20ms, and still blocks its thread");
        until("it is shown", || worker.stats().stuck == 1).await;
        assert_eq!(worker.stats().replaced, 1);
        queue.add(&["x"]).await;
        assert!(matches!(queue.settled(2).await[1], Verdict::Done { .. }));
        drop(release);
        until("it has ended", || worker.stats().stuck == 0).await;
        assert_eq!(within(worker.stop(LONG)).await.stuck, 0);
        assert_eq!(queue.verdicts().len(), 2, "what it said too late was settled");
    }
}

#[actix_rt::test]
async fn j18_those_beside_a_stuck_handler_are_given_back_at_no_cost() {
    let queue = queue();
    let (release, handler) = blocks();
    // Long enough that both have begun before the first times out.
    let attempt_timeout = Duration::from_secs(2);
    let worker = work(&queue, handler, HandlerOptions { attempt_timeout, ..options() });
    queue.add(&["wait"]).await;
    until("it waits", || worker.stats().running == 1).await;
    queue.add(&["block"]).await;
    until("a thread is stuck", || worker.stats().stuck == 1).await;
    let verdicts = queue.settled(2).await;
    assert!(matches!(verdicts[..2], [Verdict::Retry { .. }, Verdict::Release]), "{verdicts:?}");
    // The replacement thread processes jobs.
    queue.add(&["x"]).await;
    assert!(matches!(queue.settled(3).await[2], Verdict::Done { .. }));
    assert_eq!(within(worker.stop(Duration::ZERO)).await.stuck, 1);
    drop(release);
}

#[actix_rt::test]
async fn j18_no_more_threads_are_stuck_than_may_be() {
    let queue = queue();
    let (release, handler) = blocks();
    let options =
        HandlerOptions { attempt_timeout: Duration::from_millis(10), stuck_max: 1, ..options() };
    let worker = work(&queue, handler, options);
    queue.add(&["block"]).await;
    until("one is stuck", || worker.stats().stuck == 1).await;
    queue.add(&["block", "x"]).await;
    // No thread is free for them until the first handler returns.
    until("both are held", || worker.stats().running == 2).await;
    until("the second is shown", || !queue.notes.lock().is_empty()).await;
    assert!(queue.notes.lock()[0].starts_with(b"stuck: "));
    assert_eq!((worker.stats().replaced, worker.stats().stuck), (1, 2));
    assert_eq!(queue.verdicts().len(), 1);
    drop(release);
    let verdicts = queue.settled(3).await;
    assert!(verdicts.iter().any(|verdict| matches!(verdict, Verdict::Done { .. })));
    within(worker.stop(LONG)).await;
}

/// The handler has no time limit of its own: its time ends with the cancel grace.
#[actix_rt::test]
async fn j18_a_handler_that_blocks_its_thread_after_its_job_was_taken_away_is_replaced_and_shown() {
    let queue = queue();
    let (release, blocks) = blocks();
    let (blocks, (told, mut tells)) = (Arc::new(blocks), unbounded_channel());
    let handler = does(move |job, cx| {
        let (blocks, told) = (Arc::clone(&blocks), told.clone());
        async move {
            told.send(()).unwrap();
            blocks.handle(job, &cx).await
        }
    });
    let cancel_grace = Duration::from_millis(10);
    let worker = work(&queue, handler, HandlerOptions { cancel_grace, ..options() });
    let pushed = queue.add(&["block"]).await;
    assert_eq!(within(tells.recv()).await, Some(()), "it has begun");
    queue.revoke([Reservation { id: pushed[0].id, epoch: 1 }]);
    until("it is shown, and not held", || {
        let stats = worker.stats();
        (stats.stuck, stats.replaced, stats.running) == (1, 1, 0)
    })
    .await;
    queue.add(&["x"]).await;
    assert!(matches!(queue.settled(1).await[..], [Verdict::Done { .. }]));
    drop(release);
    until("it has ended", || worker.stats().stuck == 0).await;
    assert_eq!(within(worker.stop(LONG)).await.stuck, 0);
    assert_eq!(queue.verdicts().len(), 1, "what it said too late was settled");
}
