//! The limits of the queue.

use std::time::Duration;

use wakeful::{
    Backoff, Error, ErrorCode, JobRef, JobState, Jobs, PushOptions, PushRequest, Reservation,
    ReserveRequest, Schedule, Settlement, Unique, Verdict, Wakeful,
};

use super::{Row, refusal, typed};
use crate::support::raw::Raw;
use crate::support::{TIMEOUT, jobs, until};

pub(super) fn rows() -> Vec<Row> {
    [room(), pushes(), times(), schedules(), requests(), results(), waits(), several()]
        .into_iter()
        .flatten()
        .collect()
}

fn job(topic: &str, payload: &str) -> PushRequest {
    PushRequest::new(topic, payload)
}

fn with(options: PushOptions) -> PushRequest {
    PushRequest { options, ..job("t", "p") }
}

/// Returns the refusal of a push that does not wait.
async fn refused(wakeful: &Wakeful, jobs: Vec<PushRequest>) -> Error {
    refusal(wakeful, wakeful.push_all(jobs, Duration::ZERO)).await
}

async fn push(wakeful: &Wakeful, topic: &str, payload: &str) {
    wakeful.push(topic, payload, PushOptions::default()).await.unwrap();
}

/// Pushes `count` jobs and reserves them.
async fn held(wakeful: &Wakeful, count: u32) -> Vec<Reservation> {
    for _ in 0..count {
        push(wakeful, "t", "p").await;
    }
    let request = ReserveRequest { credits: count, ..ReserveRequest::new("t") };
    let jobs = wakeful.reserve(request).await.unwrap();
    assert_eq!(jobs.len(), count as usize);
    jobs.into_iter().map(|job| job.reservation).collect()
}

fn done(reservation: Reservation, output: &str) -> Settlement {
    Settlement { reservation, verdict: Verdict::Done { output: output.into() } }
}

fn room() -> Vec<Row> {
    /// Returns the refusal of a second job.
    async fn second(it: &Wakeful) -> Error {
        push(it, "t", "12345").await;
        refused(it, vec![job("t", "12345")]).await
    }
    /// Returns the refusal of two jobs for which there is never room.
    async fn never(it: &Wakeful) -> Error {
        refused(it, vec![job("t", "12345"), job("t", "12345")]).await
    }
    let limits = [
        ("queue.jobs_max", "1", 1),
        ("queue.topic_jobs_max", "1", 1),
        ("queue.bytes_max", "8", 8),
        ("queue.topic_bytes_max", "8", 8),
    ];
    let rows = limits.into_iter().flat_map(|(limit, set, value)| {
        [
            Row::inside(limit, set, value, second).code(ErrorCode::Full),
            Row::inside(limit, set, value, never),
        ]
    });
    let topics = Row::inside("queue.topics_max", "1", 1, async |it: &Wakeful| {
        push(it, "t", "p").await;
        refused(it, vec![job("u", "p")]).await
    });
    rows.chain([topics]).collect()
}

fn pushes() -> Vec<Row> {
    let long = || Some("123456789".into());
    vec![
        Row::inside("queue.name_bytes_max", "8", 8, async |it: &Wakeful| {
            refused(it, vec![job("123456789", "p")]).await
        }),
        Row::inside("queue.name_bytes_max", "8", 8, async move |it: &Wakeful| {
            refused(it, vec![with(PushOptions { index: long(), ..Default::default() })]).await
        }),
        Row::inside("queue.name_bytes_max", "8", 8, async move |it: &Wakeful| {
            refused(it, vec![with(PushOptions { order_key: long(), ..Default::default() })]).await
        }),
        Row::inside("queue.payload_bytes_max", "8", 8, async |it: &Wakeful| {
            refused(it, vec![job("t", "123456789")]).await
        }),
        Row::inside("queue.push_jobs_max", "1", 1, async |it: &Wakeful| {
            refused(it, vec![job("t", "p"), job("u", "p")]).await
        }),
        Row::inside("queue.push_bytes_max", "8", 8, async |it: &Wakeful| {
            refused(it, vec![job("t", "12345"), job("u", "12345")]).await
        }),
        Row::inside("queue.backoff_pauses_max", "1", 1, async |it: &Wakeful| {
            let backoff = Some(Backoff::List(vec![Duration::ZERO; 2]));
            refused(it, vec![with(PushOptions { backoff, ..PushOptions::default() })]).await
        }),
    ]
}

fn times() -> Vec<Row> {
    const LONG: Duration = Duration::from_millis(1_001);
    let delay = |options: PushOptions| {
        Row::inside("queue.delay_max", "1s", 1_000, async move |it: &Wakeful| {
            refused(it, vec![with(options)]).await
        })
    };
    vec![
        delay(PushOptions { delay: LONG, ..PushOptions::default() }),
        delay(PushOptions { unique: Unique::Finished(LONG), ..PushOptions::default() }),
        delay(PushOptions { backoff: Some(Backoff::Constant(LONG)), ..PushOptions::default() }),
        Row::inside("queue.delay_max", "1s", 1_000, async |it: &Wakeful| {
            let reservation = held(it, 1).await[0];
            let settlement = Settlement { reservation, verdict: Verdict::Snooze { after: LONG } };
            refusal(it, one(it, settlement)).await
        }),
        Row::inside("queue.wait_max", "1s", 1_000, async |it: &Wakeful| {
            let request = ReserveRequest { wait: Some(LONG), ..ReserveRequest::new("t") };
            refusal(it, it.reserve(request)).await
        }),
        Row::inside("queue.wait_max", "1s", 1_000, async |it: &Wakeful| {
            let id = it.push("t", "p", PushOptions::default()).await.unwrap().id;
            refusal(it, it.await_job(JobRef::Id(id), Some(LONG))).await
        }),
        Row::inside("queue.visibility_max", "1s", 1_000, async |it: &Wakeful| {
            let request = ReserveRequest { visibility: Some(LONG), ..ReserveRequest::new("t") };
            refusal(it, it.reserve(request)).await
        })
        .with(&[("queue.visibility_default", "1s")]),
        Row::inside("queue.visibility_max", "30s", 30_000, async |it: &Wakeful| {
            let reservations = held(it, 1).await;
            refusal(it, it.touch(reservations, Some(Duration::from_millis(30_001)))).await
        }),
    ]
}

/// Settles one job.
async fn one(wakeful: &Wakeful, settlement: Settlement) -> Result<(), Error> {
    let mut settled = wakeful.settle(vec![settlement]).await?;
    settled.remove(0).map_or(Ok(()), Err)
}

fn daily(name: &str) -> Schedule {
    Schedule {
        name: name.into(),
        cron: "0 0 * * *".to_owned(),
        timezone: "UTC".to_owned(),
        push: job("t", "123456789"),
    }
}

fn schedules() -> Vec<Row> {
    vec![
        Row::inside("queue.schedules_max", "1", 1, async |it: &Wakeful| {
            it.set_schedule(daily("a")).await.unwrap();
            refusal(it, it.set_schedule(daily("b"))).await
        }),
        Row::inside("queue.name_bytes_max", "8", 8, async |it: &Wakeful| {
            refusal(it, it.set_schedule(daily("a"))).await
        }),
        Row::inside("queue.list_bytes_max", "16", 16, async |it: &Wakeful| {
            refusal(it, it.set_schedule(daily("a"))).await
        }),
        // A day that never comes.
        Row::inside("queue.schedule_ahead_max", "2d", 2 * 86_400_000, async |it: &Wakeful| {
            let cron = "0 0 31 2 *".to_owned();
            refusal(it, it.set_schedule(Schedule { cron, ..daily("a") })).await
        })
        .code(ErrorCode::InvalidArgument),
    ]
}

fn requests() -> Vec<Row> {
    vec![
        Row::inside("queue.credits_max", "1", 1, async |it: &Wakeful| {
            let request = ReserveRequest { credits: 2, ..ReserveRequest::new("t") };
            refusal(it, it.reserve(request)).await
        }),
        Row::inside("queue.list_jobs_max", "1", 1, async |it: &Wakeful| {
            push(it, "t", "p").await;
            refusal(it, it.list_jobs("t", JobState::Ready, 0, 2)).await
        }),
        Row::inside("queue.list_jobs_max", "1", 1, async |it: &Wakeful| {
            push(it, "t", "p").await;
            refusal(it, it.outcomes("t", None, 2, Some(Duration::ZERO))).await
        }),
        Row::inside("queue.push_jobs_max", "1", 1, async |it: &Wakeful| {
            let reservations = held(it, 2).await;
            refusal(it, it.touch(reservations, None)).await
        }),
        Row::inside("queue.push_jobs_max", "1", 1, async |it: &Wakeful| {
            let settlements = held(it, 2).await.into_iter().map(|it| done(it, "")).collect();
            refusal(it, it.settle(settlements)).await
        }),
        // Only a connection can resume reservations.
        Row::over_tcp("queue.push_jobs_max", "1", 1, |addr| {
            let reservations = [1, 2].map(|id| jobs::Reservation { id, epoch: 1 });
            typed(Raw::open(addr).call(jobs::resume(&reservations)).refusal())
        }),
    ]
}

fn results() -> Vec<Row> {
    vec![
        Row::inside("queue.output_bytes_max", "8", 8, async |it: &Wakeful| {
            let reservation = held(it, 1).await[0];
            refusal(it, one(it, done(reservation, "123456789"))).await
        }),
        Row::inside("queue.progress_bytes_max", "8", 8, async |it: &Wakeful| {
            let reservation = held(it, 1).await[0];
            refusal(it, it.progress(reservation, "123456789")).await
        }),
    ]
}

fn waits() -> Vec<Row> {
    let waiting = || ReserveRequest { wait: Some(TIMEOUT), ..ReserveRequest::new("t") };
    vec![
        Row::inside("queue.parked_max", "0", 0, async move |it: &Wakeful| {
            refusal(it, it.reserve(waiting())).await
        }),
        Row::inside("queue.parked_max", "1", 1, async move |it: &Wakeful| {
            let other = it.clone();
            let first = actix_rt::spawn(async move { other.reserve(waiting()).await });
            until("the first waits", async || {
                let topics = it.topics().await.unwrap();
                topics.iter().any(|topic| topic.waiting_workers == 1)
            })
            .await;
            let refused = refusal(it, it.reserve(waiting())).await;
            first.abort();
            refused
        }),
        Row::inside("queue.parked_max", "0", 0, async |it: &Wakeful| {
            let id = it.push("t", "p", PushOptions::default()).await.unwrap().id;
            refusal(it, it.await_job(JobRef::Id(id), Some(TIMEOUT))).await
        }),
        Row::inside("queue.parked_max", "0", 0, async |it: &Wakeful| {
            push(it, "t", "p").await;
            refusal(it, it.push_all(vec![job("t", "p")], TIMEOUT)).await
        })
        .with(&[("queue.topic_jobs_max", "1")]),
        Row::inside("queue.parked_bytes_max", "8", 8, async |it: &Wakeful| {
            push(it, "t", "p").await;
            refusal(it, it.push_all(vec![job("t", "123456789")], TIMEOUT)).await
        })
        .with(&[("queue.topic_jobs_max", "1")]),
    ]
}

/// Returns requests that exceed several limits, or only some of whose jobs exceed one.
fn several() -> Vec<Row> {
    vec![
        // There is room for one of two jobs.
        Row::inside("queue.topic_jobs_max", "2", 2, async |it: &Wakeful| {
            push(it, "t", "p").await;
            refused(it, vec![job("t", "p"), job("t", "p")]).await
        })
        .code(ErrorCode::Full),
        // There is room in one of two topics; the other is not created.
        Row::inside("queue.topic_jobs_max", "1", 1, async |it: &Wakeful| {
            push(it, "u", "p").await;
            refused(it, vec![job("t", "p"), job("u", "p")]).await
        })
        .code(ErrorCode::Full),
        // One topic is full for now, and the queue never has room for both jobs.
        Row::inside("queue.jobs_max", "1", 1, async |it: &Wakeful| {
            push(it, "t", "p").await;
            refused(it, vec![job("t", "p"), job("t", "p")]).await
        })
        .with(&[("queue.topic_jobs_max", "2")]),
        // Too many jobs and too many bytes: the first limit is named.
        Row::inside("queue.topic_jobs_max", "1", 1, async |it: &Wakeful| {
            push(it, "t", "12345").await;
            refused(it, vec![job("t", "12345")]).await
        })
        .with(&[("queue.topic_bytes_max", "8"), ("queue.jobs_max", "1"), ("queue.bytes_max", "8")])
        .code(ErrorCode::Full),
        // There is room for one more topic, and two do not exist.
        Row::inside("queue.topics_max", "2", 2, async |it: &Wakeful| {
            push(it, "t", "p").await;
            refused(it, vec![job("u", "p"), job("v", "p")]).await
        }),
        // Too many jobs, one of which is too large itself.
        Row::inside("queue.push_jobs_max", "1", 1, async |it: &Wakeful| {
            refused(it, vec![job("t", "p"), job("t", "123456789")]).await
        })
        .with(&[("queue.payload_bytes_max", "8"), ("queue.push_bytes_max", "8")]),
        // One of two jobs is too large itself, and also makes both too large.
        Row::inside("queue.payload_bytes_max", "8", 8, async |it: &Wakeful| {
            refused(it, vec![job("t", "p"), job("t", "123456789")]).await
        })
        .with(&[("queue.push_bytes_max", "8")]),
        // The result of the second of two jobs is too large; the first is recorded.
        Row::inside("queue.output_bytes_max", "8", 8, async |it: &Wakeful| {
            let held = held(it, 2).await;
            let settlements = vec![done(held[0], "12345678"), done(held[1], "123456789")];
            let settled = it.settle(settlements).await.unwrap();
            let [None, Some(refusal)] = &settled[..] else { panic!("{settled:?}") };
            refusal.clone()
        }),
    ]
}
