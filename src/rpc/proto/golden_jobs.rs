//! Bodies about jobs: those of the document, and round trips of arbitrary ones.

use std::time::Duration;

use super::golden::{Golden, error, ms};
use crate::error::{Details, ErrorCode};
use crate::model::*;

const RESERVATION: Reservation = Reservation { id: 7, epoch: 2 };

pub(super) fn job_requests(golden: &mut Golden) {
    let ask = |golden: &mut Golden, name: &str, request: JobRequest| {
        golden.request(&format!("Job {name}"), Request::Job(request));
    };
    let plain = PushRequest::new("t", "p");
    let push = JobRequest::Push { jobs: vec![plain.clone()], wait: Duration::ZERO };
    ask(golden, "Push", push);
    let push = JobRequest::Push { jobs: vec![everything(), plain], wait: ms(1000) };
    ask(golden, "Push with everything", push);
    ask(golden, "Reserve", JobRequest::Reserve(ReserveRequest::new("t")));
    let reserve = ReserveRequest {
        topic: "t".into(),
        credits: 16,
        wait: Some(Duration::ZERO),
        visibility: Some(ms(1000)),
    };
    ask(golden, "Reserve with everything", JobRequest::Reserve(reserve));
    let settle = |verdict| Settlement { reservation: RESERVATION, verdict };
    let settlements = vec![
        settle(Verdict::Done { output: "o".into() }),
        settle(Verdict::Retry { after: Some(ms(1000)), error: "e".to_owned() }),
        settle(Verdict::Fail { error: "e".to_owned() }),
        settle(Verdict::Snooze { after: ms(1000) }),
        settle(Verdict::Release),
    ];
    ask(golden, "Settle", JobRequest::Settle(settlements));
    let touch = JobRequest::Touch { reservations: vec![RESERVATION], visibility: Some(ms(1000)) };
    ask(golden, "Touch", touch);
    let progress = JobRequest::Progress { reservation: RESERVATION, progress: "half".into() };
    ask(golden, "Progress", progress);
    ask(golden, "Revoked", JobRequest::Revoked { wait: Some(ms(1000)) });
    ask(golden, "Get", JobRequest::Get(JobRef::Id(7)));
    let index = JobRef::Index { topic: "t".into(), index: "i".into() };
    ask(golden, "Get by index", JobRequest::Get(index.clone()));
    ask(golden, "Await", JobRequest::Await { job: index, wait: Some(ms(1000)) });
    let outcomes =
        JobRequest::Outcomes { topic: "t".into(), after: Some(3), limit: 10, wait: Some(ms(1000)) };
    ask(golden, "Outcomes", outcomes);
    let list = JobRequest::List { topic: "t".into(), state: JobState::Dead, after: 3, limit: 10 };
    ask(golden, "List", list);
    ask(golden, "Cancel", JobRequest::Cancel(JobRef::Id(7)));
    ask(golden, "Replay", JobRequest::Replay { topic: "t".into(), id: Some(7) });
    let set = |settings| JobRequest::SetTopic { topic: "t".into(), settings: Box::new(settings) };
    ask(golden, "SetTopic", set(TopicSettings::default()));
    ask(golden, "SetTopic with everything", set(settings()));
    ask(golden, "PauseTopic", JobRequest::PauseTopic { topic: "t".into(), paused: true });
    ask(golden, "ClearTopic", JobRequest::ClearTopic("t".into()));
    ask(golden, "Topic", JobRequest::Topic("t".into()));
    ask(golden, "Topics", JobRequest::Topics { after: "t".into(), limit: 10 });
    ask(golden, "SetSchedule", JobRequest::SetSchedule(Box::new(schedule())));
    ask(golden, "RemoveSchedule", JobRequest::RemoveSchedule("s".into()));
    ask(golden, "Schedules", JobRequest::Schedules);
    ask(golden, "Resume", JobRequest::Resume(vec![RESERVATION]));
    ask(golden, "DeleteDead", JobRequest::DeleteDead { topic: "t".into(), id: Some(7) });
    ask(golden, "DeleteTopic", JobRequest::DeleteTopic { topic: "t".into(), force: true });
    let index = "i".into();
    ask(golden, "FreeIndex", JobRequest::FreeIndex { topic: "t".into(), index });
}

pub(super) fn job_replies(golden: &mut Golden) {
    let tell = |golden: &mut Golden, name: &str, reply: JobReply| {
        golden.reply(&format!("Job {name}"), &Reply::Job(reply));
    };
    let pushed = Pushed { id: 7, state: JobState::Delayed, existing: true };
    tell(golden, "Pushed", JobReply::Pushed(vec![pushed]));
    let job = ReservedJob {
        reservation: RESERVATION,
        topic: "t".into(),
        payload: "p".into(),
        index: Some("i".into()),
        order_key: Some("o".into()),
        failures: 1,
        losses: 2,
        pushed: 1000,
    };
    tell(golden, "Reserved", JobReply::Reserved(vec![job]));
    let stale = error(ErrorCode::StaleReservation, Details::None);
    tell(golden, "Settled", JobReply::Settled(vec![None, Some(stale)]));
    tell(golden, "Revoked", JobReply::Revoked(vec![RESERVATION]));
    tell(golden, "Job", JobReply::Job(Box::new(info())));
    let page = JobPage { jobs: vec![little()], after: 9, more: true };
    tell(golden, "Jobs", JobReply::Jobs(page));
    tell(golden, "Changed", JobReply::Changed { count: 3, more: true });
    tell(golden, "Topic", JobReply::Topic(Box::new(topic())));
    let topics = JobReply::Topics { topics: vec![topic()], more: false };
    tell(golden, "Topics", topics);
    let info = ScheduleInfo { schedule: schedule(), next: Some(2000), pushed: 3, missed: 1 };
    tell(golden, "Schedules", JobReply::Schedules(vec![info]));
    tell(golden, "Resumed", JobReply::Resumed(vec![Some("t".into()), None]));
}

fn everything() -> PushRequest {
    PushRequest {
        topic: "t".into(),
        payload: "p".into(),
        options: PushOptions {
            index: Some("i".into()),
            unique: Unique::Finished(ms(1000)),
            order_key: Some("o".into()),
            priority: 5,
            delay: ms(2000),
            retry_max: Some(3),
            loss_max: Some(4),
            backoff: Some(Backoff::List(vec![ms(1), ms(2)])),
        },
    }
}

fn settings() -> TopicSettings {
    TopicSettings {
        concurrency: Some(1),
        rate: Some(Rate { jobs: 2, per: ms(1000), burst: 3 }),
        jobs_max: Some(4),
        bytes_max: Some(5),
        retry_max: Some(6),
        loss_max: Some(7),
        backoff: Some(Backoff::Exponential { base: ms(1), cap: ms(2), floor: ms(3) }),
        order_limit: Some(8),
        order_retry: OrderRetry::Skip,
    }
}

fn schedule() -> Schedule {
    Schedule {
        name: "s".into(),
        cron: "0 4 * * *".to_owned(),
        timezone: "UTC".to_owned(),
        push: PushRequest {
            options: PushOptions {
                unique: Unique::Waiting,
                backoff: Some(Backoff::Constant(ms(1000))),
                ..PushOptions::default()
            },
            ..PushRequest::new("t", "p")
        },
    }
}

fn topic() -> TopicInfo {
    TopicInfo {
        name: "t".into(),
        settings: TopicSettings::default(),
        paused: true,
        ready: 1,
        delayed: 2,
        reserved: 3,
        dead: 4,
        bytes: 5,
        pushed_total: 6,
        done_total: 7,
        dead_total: 8,
        cancelled_total: 9,
        evicted_total: 10,
        oldest: ms(11),
        pushed_recent: 12,
        finished_recent: 13,
        waiting_workers: 14,
    }
}

fn info() -> JobInfo {
    JobInfo {
        id: 7,
        topic: "t".into(),
        state: JobState::Dead,
        payload: Some("p".into()),
        index: Some("i".into()),
        order_key: Some("o".into()),
        priority: 5,
        epoch: 2,
        failures: 3,
        losses: 4,
        retry_max: 6,
        pushed: 1000,
        due: Some(1001),
        started: Some(1002),
        finished: Some(1003),
        progress: Some("half".into()),
        errors: vec!["e".to_owned()],
        output: Some("o".into()),
        outcome: Some(9),
    }
}

fn little() -> JobInfo {
    JobInfo {
        id: 7,
        topic: "t".into(),
        state: JobState::Ready,
        payload: None,
        index: None,
        order_key: None,
        priority: 0,
        epoch: 0,
        failures: 0,
        losses: 0,
        retry_max: 25,
        pushed: 1000,
        due: None,
        started: None,
        finished: None,
        progress: None,
        errors: Vec::new(),
        output: None,
        outcome: None,
    }
}
