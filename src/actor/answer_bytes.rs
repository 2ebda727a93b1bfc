//! The bytes that an answer keeps in memory until its peer takes it.

use super::message::Done;
use crate::buffered::BufferedBytes;
use crate::error::Error;
use crate::model::{
    Blob, CallReply, DeleteReply, Event, JobInfo, JobReply, KeyValue, Reply, WaitOutcome,
};
use crate::store::StoreError;

/// Answers up to this size are never refused.
const SMALL_BYTES: usize = 4 * 1024;

/// Returns the bytes that an answer keeps: keys, values, payloads and results.
#[inline]
pub(crate) fn answer_bytes(answer: &Result<Done, Error>) -> usize {
    answer.as_ref().map_or(0, done_bytes)
}

/// Does the same as [`answer_bytes`] for an answer without an error. Answers to the most frequent
/// requests are counted where they are made: a call and a walk for each would cost a tenth of the
/// request.
#[inline]
pub(crate) fn done_bytes(done: &Done) -> usize {
    let Done::Reply(CallReply { reply, .. }) = done else { return sum_blobs(done) };
    let kv = match reply {
        Reply::Get(get) => &get.kv,
        Reply::Set(set) => &set.previous,
        Reply::Job(JobReply::Pushed(_) | JobReply::Settled(_)) => return 0,
        Reply::Job(JobReply::Reserved(jobs)) => {
            return jobs.iter().map(|job| job.payload.len()).sum();
        }
        _ => return sum_blobs(done),
    };
    kv.as_ref().map_or(0, |kv| kv.bytes())
}

fn sum_blobs(done: &Done) -> usize {
    let mut bytes = 0;
    each_blob(done, &mut |blob| bytes += blob.len());
    bytes
}

/// Refuses the answer to a request that changes nothing, if it is larger than `buffered` allows now;
/// returns the answer's bytes.
#[inline]
pub(crate) fn admit(buffered: &BufferedBytes, answer: &mut Result<Done, Error>) -> usize {
    let bytes = answer_bytes(answer);
    if bytes > SMALL_BYTES && buffered.allowance().refuses(bytes) {
        let what = "the server has reached its limit of answers that clients have not read, and this \
                    one is large; try again later";
        *answer = Err(refusal(buffered, what));
        return 0;
    }
    bytes
}

/// Does the same for an answer that was withheld or comes from the queue. Only pages are refused: their
/// requests change nothing, which is not known for other answers.
pub(crate) fn admit_later(buffered: &BufferedBytes, answer: &mut Result<Done, Error>) -> usize {
    if let Ok(Done::Reply(CallReply { reply: Reply::Job(reply), .. })) = &answer
        && matches!(reply, JobReply::Jobs(_) | JobReply::Schedules(_))
    {
        return admit(buffered, answer);
    }
    answer_bytes(answer)
}

/// Returns the bytes that the outcome of a wait keeps.
pub(crate) fn outcome_bytes(outcome: &WaitOutcome) -> usize {
    let mut bytes = 0;
    of_outcome(outcome, &mut |blob| bytes += blob.len());
    bytes
}

/// Returns the refusal at the limit of all connections.
pub(crate) fn refusal(buffered: &BufferedBytes, what: &'static str) -> Error {
    StoreError::limit("rpc.total_output_bytes_max", buffered.total_max(), what).into()
}

/// Passes every key, value, payload and result of an answer to `each`.
pub(crate) fn each_blob(done: &Done, each: &mut impl FnMut(&Blob)) {
    match done {
        Done::Reply(reply) => of_reply(&reply.reply, each),
        Done::Waited(outcome) => of_outcome(outcome, each),
        Done::Parked(..) | Done::StreamOpened(_) | Done::Watching(_) | Done::WatchCancelled => {}
        Done::LoggedIn(_) => {}
    }
}

fn of_outcome(outcome: &WaitOutcome, each: &mut impl FnMut(&Blob)) {
    if let WaitOutcome::Met { event: Some(event), .. } = outcome {
        of_event(event, each);
    }
}

fn of_event(event: &Event, each: &mut impl FnMut(&Blob)) {
    of_key(&event.kv, each);
    event.previous.iter().for_each(|kv| of_key(kv, each));
}

fn of_key(kv: &KeyValue, each: &mut impl FnMut(&Blob)) {
    each(&kv.key);
    each(&kv.value);
}

fn of_reply(reply: &Reply, each: &mut impl FnMut(&Blob)) {
    match reply {
        Reply::Set(set) => set.previous.iter().for_each(|kv| of_key(kv, each)),
        Reply::Get(get) => get.kv.iter().for_each(|kv| of_key(kv, each)),
        Reply::Range(page) | Reply::Scan(page) => page.kvs.iter().for_each(|kv| of_key(kv, each)),
        Reply::Delete(DeleteReply { previous, .. })
        | Reply::LeaseRevoke(DeleteReply { previous, .. }) => {
            previous.iter().for_each(|kv| of_key(kv, each));
        }
        Reply::Txn(txn) => txn.results.iter().for_each(|reply| of_reply(reply, each)),
        Reply::LeaseTimeToLive(lease) => lease.keys.iter().for_each(each),
        Reply::LeaseKeys(page) => page.keys.iter().for_each(each),
        Reply::ReadSnapshot(part) => each(part),
        Reply::Invoke(output) => each(output.bytes()),
        Reply::Job(reply) => of_job_reply(reply, each),
        // These hold numbers, and names of limited number and length.
        Reply::LeaseGrant(_)
        | Reply::LeaseKeepAlive(_)
        | Reply::LeaseList(_)
        | Reply::Compact(_)
        | Reply::Status(_)
        | Reply::Watchers(_)
        | Reply::EndWatcher
        | Reply::Snapshot(_)
        | Reply::Services(_)
        | Reply::Limits(_)
        | Reply::Gauges(_) => {}
    }
}

fn of_job_reply(reply: &JobReply, each: &mut impl FnMut(&Blob)) {
    match reply {
        JobReply::Reserved(jobs) => jobs.iter().for_each(|job| each(&job.payload)),
        JobReply::Job(job) => of_job(job, each),
        JobReply::Jobs(page) => page.jobs.iter().for_each(|job| of_job(job, each)),
        JobReply::Schedules(schedules) => {
            schedules.iter().for_each(|it| each(&it.schedule.push.payload));
        }
        // These hold numbers, and names of limited number and length.
        JobReply::Pushed(_)
        | JobReply::Settled(_)
        | JobReply::Revoked(_)
        | JobReply::Resumed(_)
        | JobReply::Changed { .. }
        | JobReply::Topic(_)
        | JobReply::Topics { .. } => {}
    }
}

fn of_job(job: &JobInfo, each: &mut impl FnMut(&Blob)) {
    [&job.payload, &job.progress, &job.output].into_iter().flatten().for_each(each);
}
