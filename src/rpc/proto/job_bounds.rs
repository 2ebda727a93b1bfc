//! The largest bodies about jobs are within the sizes that the check of the configuration assumes.

use std::time::Duration;

use serde::Serialize;

use super::{WireCall, WireReply};
use crate::config::{Config, QueueConfig, job_frames};
use crate::error::{Details, Error, ErrorCode};
use crate::model::RpcCall;
use crate::model::*;
use crate::rpc::codec::encode_frame;
use crate::rpc::frame::Kind;

const LONG: Duration = Duration::MAX;

fn bytes(body: &impl Serialize) -> usize {
    encode_frame(&mut Vec::new(), Kind::Push, 1, 0, body, usize::MAX).unwrap()
}

fn request(request: JobRequest) -> usize {
    bytes(&WireCall::from(&RpcCall::from(Request::Job(request))))
}

fn reply(reply: JobReply) -> usize {
    bytes(&WireReply::from(&Reply::Job(reply)))
}

fn small() -> QueueConfig {
    let mut queue = Config::new().queue;
    queue.name_bytes_max = 10;
    queue.payload_bytes_max = 300;
    queue.output_bytes_max = 200;
    queue.progress_bytes_max = 30;
    queue.error_bytes_max = 50;
    queue.errors_kept_max = 3;
    queue.push_jobs_max = 20;
    queue.push_bytes_max = 3_000;
    queue.credits_max = 20;
    queue.schedules_max = 30;
    queue.list_jobs_max = 15;
    queue.list_bytes_max = 2_500;
    queue.backoff_pauses_max = 4;
    queue.revoked_max = 50;
    queue
}

fn text(length: usize) -> String {
    "x".repeat(length)
}

fn blob(length: usize) -> Blob {
    text(length).into()
}

/// Returns one of `count` jobs with `bytes` bytes of names and payloads in all, with every option that
/// a job can have.
fn push(queue: &QueueConfig, count: usize, bytes: usize) -> PushRequest {
    let name = queue.name_bytes_max;
    PushRequest {
        topic: blob(name),
        payload: blob(bytes / count - 3 * name),
        options: PushOptions {
            index: Some(blob(name)),
            unique: Unique::Finished(LONG),
            order_key: Some(blob(name)),
            priority: u8::MAX,
            delay: LONG,
            retry_max: Some(u32::MAX),
            loss_max: Some(u32::MAX),
            backoff: Some(Backoff::List(vec![LONG; queue.backoff_pauses_max])),
        },
    }
}

fn reserved(queue: &QueueConfig, payload: usize) -> ReservedJob {
    let name = queue.name_bytes_max;
    ReservedJob {
        reservation: Reservation { id: u64::MAX, epoch: u32::MAX },
        topic: blob(name),
        payload: blob(payload),
        index: Some(blob(name)),
        order_key: Some(blob(name)),
        failures: u32::MAX,
        losses: u32::MAX,
        pushed: u64::MAX,
    }
}

fn info(queue: &QueueConfig, payload: Option<usize>, output: usize) -> JobInfo {
    let name = queue.name_bytes_max;
    JobInfo {
        id: u64::MAX,
        topic: blob(name),
        state: JobState::Done,
        payload: payload.map(blob),
        index: Some(blob(name)),
        order_key: Some(blob(name)),
        priority: u8::MAX,
        epoch: u32::MAX,
        failures: u32::MAX,
        losses: u32::MAX,
        retry_max: u32::MAX,
        pushed: u64::MAX,
        due: Some(u64::MAX),
        started: Some(u64::MAX),
        finished: Some(u64::MAX),
        progress: Some(blob(queue.progress_bytes_max)),
        errors: vec![text(queue.error_bytes_max); queue.errors_kept_max],
        output: Some(blob(output)),
        outcome: Some(u64::MAX),
    }
}

#[test]
fn s10_every_body_about_jobs_fits_in_a_frame_that_the_configuration_allows() {
    let queue = small();
    let max = job_frames(&queue).map(|(bytes, _)| bytes);
    let jobs = vec![push(&queue, 20, 3_000); 20];
    assert!(request(JobRequest::Push { jobs, wait: LONG }) <= max[0]);
    let mut jobs = vec![reserved(&queue, 3_000 / 19); 19];
    jobs.push(reserved(&queue, queue.payload_bytes_max));
    assert!(reply(JobReply::Reserved(jobs)) <= max[1]);
    let name = "queue.finished_indexes_max".to_owned();
    let refusal = Error::new(ErrorCode::StaleReservation, text(400))
        .with_details(Details::Limit { name, value: u64::MAX });
    assert!(reply(JobReply::Settled(vec![Some(refusal); 20])) <= max[2]);
    let one = info(&queue, Some(queue.payload_bytes_max), queue.output_bytes_max);
    assert!(reply(JobReply::Job(Box::new(one))) <= max[3]);
    let told = 3 * 10 + 30 + 3 * (50 + 8);
    assert!(told * 10 < queue.list_bytes_max);
    let mut jobs = vec![info(&queue, None, 2_500 / 10 - told); 10];
    jobs.push(info(&queue, None, queue.output_bytes_max));
    assert!(reply(JobReply::Jobs(JobPage { jobs, after: u64::MAX, more: true })) <= max[4]);
    let each = queue.list_bytes_max / queue.schedules_max;
    let schedule = Schedule {
        name: blob(10),
        cron: text(10),
        timezone: text(10),
        push: push(&queue, 1, each - 30 + 6),
    };
    let next = Some(u64::MAX);
    let schedules = vec![ScheduleInfo { schedule, next, pushed: u64::MAX, missed: u64::MAX }; 30];
    assert!(reply(JobReply::Schedules(schedules)) <= max[5]);
    let revoked = vec![Reservation { id: u64::MAX, epoch: u32::MAX }; queue.revoked_max];
    assert!(reply(JobReply::Revoked(revoked)) <= max[6]);
    let backoff = Some(Backoff::List(vec![LONG; queue.backoff_pauses_max]));
    let rate = Some(Rate { jobs: u32::MAX, per: LONG, burst: u32::MAX });
    let settings = TopicSettings {
        concurrency: Some(u32::MAX),
        rate,
        jobs_max: Some(u64::MAX),
        bytes_max: Some(u64::MAX),
        retry_max: Some(u32::MAX),
        loss_max: Some(u32::MAX),
        backoff,
        order_limit: Some(u32::MAX),
        order_retry: OrderRetry::Skip,
    };
    // As many names as the page has bytes for, and one more.
    let name = queue.list_bytes_max / queue.list_jobs_max;
    let topic = |name: usize| TopicInfo {
        name: blob(name),
        settings: settings.clone(),
        paused: true,
        ready: u64::MAX,
        delayed: u64::MAX,
        reserved: u64::MAX,
        dead: u64::MAX,
        bytes: u64::MAX,
        pushed_total: u64::MAX,
        done_total: u64::MAX,
        dead_total: u64::MAX,
        cancelled_total: u64::MAX,
        evicted_total: u64::MAX,
        oldest: LONG,
        pushed_recent: u64::MAX,
        finished_recent: u64::MAX,
        waiting_workers: u64::MAX,
    };
    let mut topics = vec![topic(name); queue.list_jobs_max - 1];
    topics.push(topic(name + queue.name_bytes_max));
    assert!(reply(JobReply::Topics { topics, more: true }) <= max[4]);
}

#[test]
fn s10_limits_under_which_a_body_about_jobs_could_be_too_large_are_refused() {
    Config::new().check().unwrap();
    type Change = fn(&mut QueueConfig);
    let changes: [(&str, Change); 7] = [
        ("queue.push_bytes_max", |queue| queue.push_bytes_max = usize::MAX),
        ("queue.credits_max", |queue| queue.credits_max = u32::MAX),
        ("queue.push_jobs_max", |queue| {
            (queue.push_jobs_max, queue.backoff_pauses_max) = ((1 << 14) + 1, 0);
            queue.push_bytes_max = 1;
        }),
        ("queue.output_bytes_max", |queue| queue.output_bytes_max = usize::MAX),
        ("queue.list_bytes_max", |queue| queue.list_bytes_max = usize::MAX),
        ("queue.schedules_max", |queue| queue.schedules_max = usize::MAX),
        ("queue.revoked_max", |queue| queue.revoked_max = usize::MAX),
    ];
    for (name, change) in changes {
        let mut config = Config::new();
        change(&mut config.queue);
        let refusal = config.check().unwrap_err();
        assert_eq!(refusal.code, ErrorCode::InvalidArgument);
        let starts = refusal.message.starts_with("rpc.frame_bytes_max must be at least");
        assert!(starts && refusal.message.contains(name), "{name}: {refusal}");
    }
}
