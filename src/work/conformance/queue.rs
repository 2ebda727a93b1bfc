//! The rules of a [`Queue`].

use std::time::Duration;

use futures_util::FutureExt;

use super::{Broken, RuleResult, done, same};
use crate::error::{Error, ErrorCode};
use crate::model::{Blob, PushOptions, ReservedJob, Settlement, Verdict};
use crate::work::{NewJob, Next, Queue};

/// Time limit of a rule.
const TIMEOUT: Duration = Duration::from_secs(20);
/// A visibility that does not end during a rule.
const LONG: Duration = Duration::from_secs(600);
/// A visibility whose end a rule awaits.
const SHORT: Duration = Duration::from_millis(50);

/// Runs every rule of a [`Queue`], each on a queue from `make`, which must be empty and not shared.
///
/// # Errors
///
/// The first violated rule.
pub async fn queue<Q: Queue>(make: impl AsyncFn() -> Q) -> Result<(), Broken> {
    macro_rules! rules {
        ($($rule:ident)*) => {$(
            let kept = tokio::time::timeout(TIMEOUT * 2, $rule(&make().await)).await;
            kept.unwrap_or_else(|_| Err("the rule does not end".to_owned()))
                .map_err(|found| Broken { rule: stringify!($rule), found })?;
        )*};
    }
    rules! {
        no_more_come_than_are_asked_for
        jobs_come_in_the_order_of_their_pushes
        an_empty_queue_answers_when_the_wait_is_over
        a_push_wakes_who_waits
        a_job_that_is_held_does_not_come_again
        a_job_that_is_done_does_not_come_again
        each_hand_out_has_a_later_epoch
        an_old_epoch_settles_nothing
        each_settlement_is_answered_by_itself_in_order
        a_failure_is_followed_by_another_run_until_retry_max
        a_retry_comes_when_it_said
        a_failure_for_good_is_not_run_again
        to_snooze_and_to_release_cost_nothing
        a_job_that_is_not_touched_is_lost_and_comes_again
        a_touch_with_an_old_epoch_is_refused
        a_dropped_next_loses_no_job
        len_counts_what_waits
        clear_removes_what_waits_and_nothing_else
        close_ends_who_waits_and_refuses_pushes
        what_is_held_can_be_settled_after_close
    }
    Ok(())
}

async fn push(queue: &impl Queue, payloads: &[&str]) -> RuleResult {
    let jobs = payloads.iter().map(|payload| NewJob::new(*payload)).collect();
    let pushed = done("a push", queue.push(jobs).await)?;
    same("answers to a push", pushed.len(), payloads.len())
}

async fn push_with(queue: &impl Queue, options: PushOptions) -> RuleResult {
    let job = NewJob { payload: Blob::from("job"), options };
    done("a push", queue.push(vec![job]).await).map(drop)
}

async fn take(
    queue: &impl Queue,
    credits: u32,
    wait: Duration,
) -> Result<Vec<ReservedJob>, String> {
    done("next", queue.next(Next { credits, wait, visibility: LONG }).await)
}

/// Returns the single job that arrives.
async fn one(queue: &impl Queue) -> Result<ReservedJob, String> {
    let mut jobs = take(queue, 1, TIMEOUT).await?;
    jobs.pop().ok_or_else(|| "no job comes".to_owned())
}

async fn nothing(queue: &impl Queue) -> RuleResult {
    same("jobs handed out", payloads(&take(queue, 10, Duration::ZERO).await?), Vec::new())
}

fn payloads(jobs: &[ReservedJob]) -> Vec<String> {
    jobs.iter().map(|job| job.payload.to_string()).collect()
}

async fn answer(
    queue: &impl Queue,
    job: &ReservedJob,
    verdict: Verdict,
) -> Result<Option<Error>, String> {
    let settlement = Settlement { reservation: job.reservation, verdict };
    let answers = done("to settle", queue.settle(vec![settlement]).await)?;
    same("answers to one settlement", answers.len(), 1)?;
    Ok(answers.into_iter().next().flatten())
}

async fn settle(queue: &impl Queue, job: &ReservedJob, verdict: Verdict) -> RuleResult {
    same("the answer to a holder's settlement", answer(queue, job, verdict).await?, None)
}

async fn is_stale(queue: &impl Queue, job: &ReservedJob) -> RuleResult {
    let code = answer(queue, job, success()).await?.map(|error| error.code);
    same("the answer to a late settlement", code, Some(ErrorCode::StaleReservation))
}

fn success() -> Verdict {
    Verdict::Done { output: Blob::from("output") }
}

fn retry() -> Verdict {
    Verdict::Retry { after: Some(Duration::ZERO), error: "it failed".to_owned() }
}

async fn jobs_come_in_the_order_of_their_pushes(queue: &impl Queue) -> RuleResult {
    push(queue, &["a", "b"]).await?;
    push(queue, &["c"]).await?;
    let mut came = Vec::new();
    while came.len() < 3 {
        came.extend(payloads(&[one(queue).await?]));
    }
    same("jobs", came, vec!["a".to_owned(), "b".to_owned(), "c".to_owned()])
}

async fn no_more_come_than_are_asked_for(queue: &impl Queue) -> RuleResult {
    push(queue, &["a", "b", "c"]).await?;
    let came = take(queue, 2, TIMEOUT).await?.len();
    if (1..=2).contains(&came) { Ok(()) } else { Err(format!("{came} come where 2 may")) }
}

async fn an_empty_queue_answers_when_the_wait_is_over(queue: &impl Queue) -> RuleResult {
    nothing(queue).await?;
    let came = take(queue, 1, Duration::from_millis(10)).await?;
    same("jobs handed out", came.len(), 0)
}

async fn a_push_wakes_who_waits(queue: &impl Queue) -> RuleResult {
    let waiting = one(queue);
    let pushing = async {
        // Lets the wait begin, if one turn is enough for that.
        tokio::task::yield_now().await;
        push(queue, &["a"]).await
    };
    let (came, pushed) = futures_util::join!(waiting, pushing);
    pushed?;
    same("the job handed out", payloads(&[came?]), vec!["a".to_owned()])
}

async fn a_job_that_is_held_does_not_come_again(queue: &impl Queue) -> RuleResult {
    push(queue, &["a"]).await?;
    one(queue).await?;
    nothing(queue).await
}

async fn a_job_that_is_done_does_not_come_again(queue: &impl Queue) -> RuleResult {
    push(queue, &["a"]).await?;
    let job = one(queue).await?;
    settle(queue, &job, success()).await?;
    nothing(queue).await?;
    is_stale(queue, &job).await
}

async fn each_hand_out_has_a_later_epoch(queue: &impl Queue) -> RuleResult {
    push(queue, &["a"]).await?;
    let first = one(queue).await?;
    settle(queue, &first, Verdict::Release).await?;
    let second = one(queue).await?.reservation;
    let first = first.reservation;
    if second.id == first.id && second.epoch > first.epoch {
        Ok(())
    } else {
        Err(format!("{second:?} comes after {first:?}"))
    }
}

async fn an_old_epoch_settles_nothing(queue: &impl Queue) -> RuleResult {
    push(queue, &["a"]).await?;
    let first = one(queue).await?;
    settle(queue, &first, Verdict::Release).await?;
    let second = one(queue).await?;
    is_stale(queue, &first).await?;
    settle(queue, &second, success()).await
}

async fn each_settlement_is_answered_by_itself_in_order(queue: &impl Queue) -> RuleResult {
    push(queue, &["a", "b"]).await?;
    let (a, b) = (one(queue).await?, one(queue).await?);
    settle(queue, &a, success()).await?;
    let both = [a, b].map(|job| Settlement { reservation: job.reservation, verdict: success() });
    let answers = done("to settle", queue.settle(both.into()).await)?;
    let refused: Vec<bool> = answers.iter().map(Option::is_some).collect();
    same("which of a stale and a good settlement are refused", refused, vec![true, false])
}

async fn a_failure_is_followed_by_another_run_until_retry_max(queue: &impl Queue) -> RuleResult {
    push_with(queue, PushOptions { retry_max: Some(2), ..PushOptions::default() }).await?;
    for failures in 0..3 {
        let job = one(queue).await?;
        same("reported failures", job.failures, failures)?;
        settle(queue, &job, retry()).await?;
    }
    nothing(queue).await
}

async fn a_retry_comes_when_it_said(queue: &impl Queue) -> RuleResult {
    push(queue, &["a"]).await?;
    let later = |after| Verdict::Retry { after: Some(after), error: "it failed".to_owned() };
    settle(queue, &one(queue).await?, later(SHORT)).await?;
    settle(queue, &one(queue).await?, later(LONG)).await?;
    nothing(queue).await
}

async fn a_failure_for_good_is_not_run_again(queue: &impl Queue) -> RuleResult {
    push(queue, &["a"]).await?;
    settle(queue, &one(queue).await?, Verdict::Fail { error: "never".to_owned() }).await?;
    nothing(queue).await
}

async fn to_snooze_and_to_release_cost_nothing(queue: &impl Queue) -> RuleResult {
    let none = PushOptions { retry_max: Some(0), loss_max: Some(0), ..PushOptions::default() };
    push_with(queue, none).await?;
    settle(queue, &one(queue).await?, Verdict::Snooze { after: Duration::ZERO }).await?;
    settle(queue, &one(queue).await?, Verdict::Release).await?;
    let job = one(queue).await?;
    same("failures and losses", (job.failures, job.losses), (0, 0))
}

async fn a_job_that_is_not_touched_is_lost_and_comes_again(queue: &impl Queue) -> RuleResult {
    push(queue, &["a"]).await?;
    let next = Next { credits: 1, wait: TIMEOUT, visibility: SHORT };
    let first = done("next", queue.next(next).await)?;
    let first = first.first().ok_or("no job comes")?;
    let second = one(queue).await?;
    same("failures and losses", (second.failures, second.losses), (0, 1))?;
    is_stale(queue, first).await?;
    settle(queue, &second, success()).await
}

async fn a_touch_with_an_old_epoch_is_refused(queue: &impl Queue) -> RuleResult {
    push(queue, &["a"]).await?;
    let first = one(queue).await?;
    settle(queue, &first, Verdict::Release).await?;
    let second = one(queue).await?;
    let both = vec![first.reservation, second.reservation];
    let answers = done("to touch", queue.touch(both, LONG).await)?;
    let codes: Vec<_> = answers.iter().map(|a| a.as_ref().map(|error| error.code)).collect();
    same("answers to a touch", codes, vec![Some(ErrorCode::StaleReservation), None])
}

async fn a_dropped_next_loses_no_job(queue: &impl Queue) -> RuleResult {
    for payload in ["a", "b", "c"] {
        {
            let dropped = take(queue, 1, TIMEOUT);
            tokio::pin!(dropped);
            // Begun, and dropped when a job is or will be handed out to it.
            let early = dropped.as_mut().now_or_never().is_some();
            same("whether an empty queue has a job", early, false)?;
            push(queue, &[payload]).await?;
        }
        let job = one(queue).await?;
        same("the job", payloads(std::slice::from_ref(&job)), vec![payload.to_owned()])?;
        same("losses by a dropped next", job.losses, 0)?;
        settle(queue, &job, success()).await?;
    }
    nothing(queue).await
}

async fn len_counts_what_waits(queue: &impl Queue) -> RuleResult {
    same("len of an empty queue", done("len", queue.len().await)?, 0)?;
    push(queue, &["a", "b"]).await?;
    push_with(queue, PushOptions { delay: LONG, ..PushOptions::default() }).await?;
    same("len with two jobs and a delayed one", done("len", queue.len().await)?, 3)?;
    let job = one(queue).await?;
    same("len without the one that is held", done("len", queue.len().await)?, 2)?;
    settle(queue, &job, retry()).await?;
    same("len with a failed one back", done("len", queue.len().await)?, 3)
}

async fn clear_removes_what_waits_and_nothing_else(queue: &impl Queue) -> RuleResult {
    push(queue, &["a", "b"]).await?;
    let held = one(queue).await?;
    push_with(queue, PushOptions { delay: LONG, ..PushOptions::default() }).await?;
    same("jobs cleared", done("clear", queue.clear().await)?, 2)?;
    same("len", done("len", queue.len().await)?, 0)?;
    settle(queue, &held, success()).await?;
    push(queue, &["c"]).await?;
    same("a job after that", payloads(&[one(queue).await?]), vec!["c".to_owned()])
}

fn unavailable<T>(what: &str, result: Result<T, Error>) -> RuleResult {
    let code = result.err().map(|error| error.code);
    same(what, code, Some(ErrorCode::Unavailable))
}

async fn close_ends_who_waits_and_refuses_pushes(queue: &impl Queue) -> RuleResult {
    same("whether it is closed before", queue.is_closed(), false)?;
    let next = Next { credits: 1, wait: TIMEOUT, visibility: LONG };
    let closing = async {
        tokio::task::yield_now().await;
        queue.close().await
    };
    let (waiting, closed) = futures_util::join!(queue.next(next), closing);
    done("close", closed)?;
    unavailable("next at close", waiting)?;
    unavailable("next after close", queue.next(next).await)?;
    unavailable("a push after close", queue.push(vec![NewJob::new("a")]).await)?;
    done("a second close", queue.close().await)?;
    same("whether it is closed after", queue.is_closed(), true)
}

async fn what_is_held_can_be_settled_after_close(queue: &impl Queue) -> RuleResult {
    push(queue, &["a"]).await?;
    let held = one(queue).await?;
    done("close", queue.close().await)?;
    let touched = done("to touch", queue.touch(vec![held.reservation], LONG).await)?;
    same("the answer to a holder's touch", touched, vec![None])?;
    settle(queue, &held, success()).await
}
