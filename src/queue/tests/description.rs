//! Everything that is equal in a queue and in one restored from its records: all but the holders of
//! jobs and their deadlines, progress, and when jobs without an order key were woken.

use std::collections::BTreeMap;

use super::*;
use crate::queue::job::{Job, JobPhase};
use crate::queue::outcomes::TopicPage;
use crate::queue::topic::{Index, IndexHold, TopicState};
use crate::queue::{TopicNo, millis};

/// Returns the due time of a job whose delay is over, which the journal need not record.
fn is_due(job: &Job, utc: u64) -> Option<u64> {
    match job.phase {
        JobPhase::Delayed(due) if due <= utc && job.order_key().is_none() => Some(due),
        _ => None,
    }
}

fn place(state: &QueueState, job: &Job, utc: u64) -> (i64, u64) {
    match is_due(job, utc) {
        Some(due) => {
            let lead = millis(state.config.priority_step) * u64::from(job.priority);
            (due as i64 - lead as i64, job.id)
        }
        None => (job.rank, job.turn),
    }
}

fn job_line(state: &QueueState, job: &Job, utc: u64) -> String {
    let phase = match job.phase {
        JobPhase::Reserved(_) | JobPhase::Recording if job.resumable => {
            format!("held for {} to resume", job.user)
        }
        JobPhase::Reserved(_) | JobPhase::Recording => "held".to_owned(),
        _ if is_due(job, utc).is_some() => "Ready".to_owned(),
        other => format!("{other:?}"),
    };
    let extra = job.extra.as_deref().cloned().unwrap_or_default();
    format!(
        "job {} topic {} priority {} {phase} holds {} epoch {} failures {} losses {} max {:?} {:?} \
         place {:?} pushed {} started {} payload {:?} index {:?} {:?} key {:?} {:?} errors {:?}",
        job.id,
        job.topic,
        job.priority,
        job.holds_place,
        job.epoch,
        job.failures,
        job.losses,
        job.retry_max,
        job.loss_max,
        place(state, job, utc),
        job.pushed,
        job.started,
        job.payload,
        extra.index,
        extra.unique,
        extra.order_key,
        extra.backoff,
        extra.errors,
    )
}

fn topic_lines(
    state: &QueueState,
    number: TopicNo,
    topic: &TopicState,
    utc: u64,
    out: &mut Vec<String>,
) {
    let name = &topic.name;
    let of_topic = || state.jobs.iter().map(|(_, job)| job).filter(|job| job.topic == number);
    let woken = of_topic().filter(|job| is_due(job, utc).is_some()).count() as u64;
    let TopicState { settings, paused, totals, jobs, bytes, waiting, .. } = topic;
    out.push(format!("topic {number} {name} {settings:?} paused {paused} {totals:?}"));
    out.push(format!(
        "topic {name} jobs {jobs} bytes {bytes} ready {} waiting {waiting} delayed {} reserved {} \
         dead {:?}",
        topic.ready.len() as u64 + woken,
        topic.delayed - woken,
        topic.reserved,
        topic.dead.keys(),
    ));
    let stands = |job: &&Job| job.phase == JobPhase::Ready || is_due(job, utc).is_some();
    let mut ready: Vec<_> =
        of_topic().filter(stands).map(|job| (place(state, job, utc), job.id)).collect();
    ready.sort_unstable();
    out.push(format!("topic {name} in line {:?}", ready.iter().map(|it| it.1).collect::<Vec<_>>()));
    let lanes: BTreeMap<_, _> = topic
        .lanes
        .iter()
        .map(|(key, lane)| {
            let waiting: Vec<JobId> = lane.waiting.iter().map(|(id, _)| *id).collect();
            (key.clone(), (lane.busy, waiting))
        })
        .collect();
    out.push(format!("topic {name} lanes {lanes:?}"));
    // An index that is no longer taken names a dead letter or nothing, whether it was freed yet or not.
    let indexes = topic.indexes.iter().filter_map(|(name, entry)| match entry.taken {
        IndexHold::Until(until, _) if until <= utc => {
            let kept = topic.dead.contains_key(&entry.id);
            kept.then_some((name, Index { taken: IndexHold::No, ..*entry }))
        }
        _ => Some((name, *entry)),
    });
    let indexes: BTreeMap<_, _> = indexes.collect();
    out.push(format!("topic {name} indexes {indexes:?}"));
}

/// Describes a queue in lines.
pub(super) fn describe(state: &QueueState, utc: u64) -> Vec<String> {
    let mut out = vec![format!(
        "next {} line {} unfinished {} bytes {}",
        state.next_id, state.line, state.unfinished, state.bytes
    )];
    for (number, topic) in state.topics.iter().enumerate() {
        topic_lines(state, number as TopicNo, topic, utc, &mut out);
    }
    for (id, slot) in state.ids.after(0) {
        let job = state.job(slot).expect("a job is where its id says");
        assert_eq!(job.id, id);
        out.push(job_line(state, job, utc));
    }
    assert_eq!(state.ids.len(), state.jobs.len());
    let indexes: Vec<_> =
        state.finished_indexes.iter().filter(|((until, _), _)| *until > utc).collect();
    out.push(format!("finished indexes {indexes:?}"));
    out.push(format!("schedules {:?}", state.schedules.all().collect::<Vec<_>>()));
    out
}

/// Describes everything that can be asked of the outcomes.
pub(super) fn describe_outcomes(outcomes: &mut Outcomes, topics: &[Blob], now: Now) -> Vec<String> {
    let mut out = vec![format!("{} results", outcomes.results())];
    let unknown = Blob::from("of which nothing is kept");
    for topic in topics.iter().chain([&unknown]) {
        let first = match query(outcomes, now, topic, 0) {
            Err(QueueError::OutcomesGone { first }) => first,
            _ => 1,
        };
        out.push(format!("{topic} from {first}"));
        let mut after = first - 1;
        loop {
            let page = query(outcomes, now, topic, after).expect("nothing is gone meanwhile");
            after = page.after;
            out.extend(page.jobs.iter().map(|job| format!("{job:?}")));
            if !page.more {
                break;
            }
        }
        for index in ["i", "j"] {
            let job = JobRef::Index { topic: topic.clone(), index: index.into() };
            let sought = OutcomeQuery::Job { job, to_cancel: false };
            let OutcomeLookup::Now(found) =
                outcomes.query(now, ClientId::Process, sought, ms(0), &|_| true)
            else {
                panic!("waits")
            };
            out.push(format!("{topic} {index} {found:?}"));
        }
    }
    out
}

fn query(
    outcomes: &mut Outcomes,
    now: Now,
    topic: &Blob,
    after: u64,
) -> Result<crate::model::JobPage, QueueError> {
    let topic = TopicPage { name: topic.clone(), known: true, limit: 100 };
    let sought = OutcomeQuery::Outcomes { topic, after: Some(after) };
    match outcomes.query(now, ClientId::Process, sought, ms(0), &|_| true) {
        OutcomeLookup::Now(Ok(JobReply::Jobs(page))) => Ok(page),
        OutcomeLookup::Now(Err(error)) => Err(error),
        other => panic!("{other:?}"),
    }
}
