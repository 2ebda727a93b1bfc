//! D2, S2: a request is present completely or not at all, wherever its records are cut.

use std::path::Path;
use std::time::Duration;

use super::{config, open_with, within};
use crate::journal::FaultyDisk;
use crate::journal::tests::groups::cuts;
use crate::model::{JobReply, JobRequest};
use crate::{
    Config, Durability, JobState, Jobs, KeyRange, Operations, OutcomeSeq, PushOptions, PushRequest,
    RangeRequest, ReserveRequest, ReservedJob, Schedule, SetRequest, Settlement, TopicSettings,
    TxnOp, TxnRequest, Verdict, Wakeful,
};

/// A service that writes a record for each event of a job.
fn fine() -> Config {
    let mut config = config(Durability::Fsync);
    config.queue.payload_bytes_max = 64;
    config.queue.output_bytes_max = 64;
    config.rpc.shutdown_grace = Duration::ZERO;
    config
}

const TOPICS: [&str; 2] = ["t", "u"];

/// The visible state of a store.
#[derive(Debug, PartialEq)]
struct Seen {
    keys: Vec<(String, String, u64)>,
    leases: usize,
    oldest: u64,
    topics: Vec<(String, bool, [u64; 5])>,
    /// Id, state, failures, losses.
    jobs: Vec<(u64, JobState, u32, u32)>,
    outcomes: Vec<(u64, JobState)>,
}

async fn see(store: &Wakeful) -> Seen {
    let page = store.range(RangeRequest::new(KeyRange::all())).await.unwrap();
    let keys =
        page.kvs.iter().map(|kv| (kv.key.to_string(), kv.value.to_string(), kv.mod_revision));
    let topics = store.topics().await.unwrap().into_iter().map(|it| {
        let totals = [it.pushed_total, it.done_total, it.dead_total, it.cancelled_total, it.ready];
        (it.name.to_string(), it.paused, totals)
    });
    let (mut jobs, mut outcomes) = (Vec::new(), Vec::new());
    for topic in TOPICS {
        for state in [JobState::Ready, JobState::Delayed, JobState::Reserved, JobState::Dead] {
            // The topic may not exist yet.
            let page = store.list_jobs(topic, state, 0, 0).await.unwrap_or_default();
            let job = |it: &crate::JobInfo| (it.id, it.state, it.failures, it.losses);
            jobs.extend(page.jobs.iter().map(job));
        }
        let after: OutcomeSeq = 0;
        let now = Some(Duration::ZERO);
        let page = store.outcomes(topic, Some(after), 0, now).await.unwrap_or_default();
        outcomes.extend(page.jobs.iter().map(|it| (it.id, it.state)));
    }
    outcomes.sort_unstable_by_key(|(id, _)| *id);
    let leases = store.lease_list(0, 0).await.unwrap().leases.len();
    let oldest = store.status().await.unwrap().oldest;
    Seen { keys: keys.collect(), leases, oldest, topics: topics.collect(), jobs, outcomes }
}

async fn take(store: &Wakeful, credits: u32) -> Vec<ReservedJob> {
    let request = ReserveRequest { credits, ..ReserveRequest::new("t") };
    let jobs = within(store.reserve(request)).await.unwrap();
    assert_eq!(jobs.len(), credits as usize);
    jobs
}

async fn settle(store: &Wakeful, jobs: &[ReservedJob], verdict: Verdict) {
    let settle =
        |job: &ReservedJob| Settlement { reservation: job.reservation, verdict: verdict.clone() };
    let answers = within(store.settle(jobs.iter().map(settle).collect())).await.unwrap();
    assert!(answers.iter().all(Option::is_none));
}

/// Returns the number of records.
async fn records(store: &Wakeful) -> usize {
    store.status().await.unwrap().journal_records as usize
}

/// Executes a request of each kind that changes something; returns the number of records after each.
async fn script(store: &Wakeful) -> Vec<usize> {
    let mut marks = vec![0];
    let set = |key: &str, lease| TxnOp::Set(SetRequest { lease, ..SetRequest::new(key, "v") });
    let success = ["a", "b", "c"].map(|key| set(key, 0)).into();
    within(store.txn(TxnRequest { success, ..TxnRequest::default() })).await.unwrap();
    marks.push(records(store).await);
    let lease = within(store.lease_grant(Duration::from_secs(3600))).await.unwrap().id;
    marks.push(records(store).await);
    let success = ["d", "e", "f"].map(|key| set(key, lease)).into();
    within(store.txn(TxnRequest { success, ..TxnRequest::default() })).await.unwrap();
    marks.push(records(store).await);
    within(store.lease_revoke(lease)).await.unwrap();
    marks.push(records(store).await);
    within(store.compact(3)).await.unwrap();
    marks.push(records(store).await);

    let push = |topic: &'static str, nth: u32| {
        let key = (nth.is_multiple_of(3)).then(|| "key".into());
        let index = (nth.is_multiple_of(2)).then(|| nth.to_string().into());
        let options = PushOptions { index, order_key: key, ..PushOptions::default() };
        PushRequest { options, ..PushRequest::new(topic, nth.to_string()) }
    };
    for (topic, jobs) in [("t", 30), ("u", 12)] {
        let jobs = (0..jobs).map(|nth| push(topic, nth)).collect();
        within(store.push_all(jobs, Duration::ZERO)).await.unwrap();
        marks.push(records(store).await);
    }
    let both = (30..36).map(|nth| push(TOPICS[nth as usize % 2], nth)).collect();
    within(store.push_all(both, Duration::ZERO)).await.unwrap();
    marks.push(records(store).await);
    for (credits, verdict) in [
        (8, Verdict::Done { output: "out".into() }),
        (6, Verdict::Fail { error: "no".into() }),
        (5, Verdict::Release),
    ] {
        let jobs = take(store, credits).await;
        marks.push(records(store).await);
        settle(store, &jobs, verdict).await;
        marks.push(records(store).await);
    }
    for request in
        [JobRequest::Replay { topic: "t".into(), id: None }, JobRequest::ClearTopic("u".into())]
    {
        // Each slice is a request.
        let mut more = true;
        while more {
            let reply = within(store.job(request.clone())).await.unwrap();
            more = matches!(reply, JobReply::Changed { more: true, .. });
            marks.push(records(store).await);
        }
    }
    let settings = TopicSettings { order_limit: Some(4), ..TopicSettings::default() };
    within(store.set_topic("t", settings)).await.unwrap();
    marks.push(records(store).await);
    within(store.pause_topic("t", true)).await.unwrap();
    marks.push(records(store).await);
    marks
}

#[actix_rt::test]
async fn d2_a_request_of_any_kind_is_there_whole_or_not_at_all_behind_each_record() {
    let disk = FaultyDisk::new();
    let store = open_with(&disk, fine());
    let marks = script(&store).await;
    within(store.stop()).await;
    let mut seen = Vec::new();
    for cut in cuts(&disk, Path::new("/data"), &fine().journal) {
        let store = open_with(&cut, fine());
        seen.push(within(see(&store)).await);
        within(store.stop()).await;
    }
    let last = marks.last().copied().unwrap();
    assert!(seen.len() > last && last > 60, "{} cuts, {last} records", seen.len());
    for request in marks.windows(2) {
        let (before, after) = (&seen[request[0]], &seen[request[1]]);
        for (cut, seen) in seen.iter().enumerate().take(request[1]).skip(request[0]) {
            assert!(
                seen == before || seen == after,
                "behind {cut}: {before:#?} {seen:#?} {after:#?}"
            );
        }
    }
}

#[actix_rt::test]
async fn j10_what_a_schedule_pushed_and_that_it_came_are_there_together() {
    let disk = FaultyDisk::new();
    let store = open_with(&disk, fine());
    // Every second.
    let push = PushRequest::new("t", "tick");
    let schedule = Schedule {
        name: "tick".into(),
        cron: "* * * * * *".to_owned(),
        timezone: "UTC".to_owned(),
        push,
    };
    within(store.set_schedule(schedule)).await.unwrap();
    let came = || async { store.schedules().await.unwrap()[0].pushed };
    while within(came()).await < 2 {}
    within(store.stop()).await;
    for (records, cut) in cuts(&disk, Path::new("/data"), &fine().journal).into_iter().enumerate() {
        let store = open_with(&cut, fine());
        let came = || async { store.schedules().await.unwrap().first().map_or(0, |it| it.pushed) };
        loop {
            let before = within(came()).await;
            let pushed = within(store.topic_info("t")).await.map_or(0, |it| it.pushed_total);
            // It may come again meanwhile.
            if within(came()).await == before {
                assert_eq!(before, pushed, "behind {records}");
                break;
            }
        }
        within(store.stop()).await;
    }
}
