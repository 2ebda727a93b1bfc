//! The bytes of records, as documented in `docs/journal.md`: later versions must read them too.

use std::fmt::Write;

use expect_test::expect;

use super::*;
use crate::journal::RecordBatch;
use crate::queue::change::{
    Cost, Finish, JobSnapshot, JobSnapshotState, PushedJob, QueueChange, RareFields, RequeueAt,
    Resumable, ScheduleSet, Totals,
};
use crate::queue::record::{StoredBackoff, StoredOutcome, StoredUnique, encode_record};
use crate::record::decode;

fn new(rare: Option<RareFields>) -> PushedJob {
    PushedJob {
        id: 1,
        topic: 0,
        payload: "job".into(),
        due: 300,
        priority: 2,
        retry_max: Some(3),
        loss_max: None,
        rare: rare.map(Box::new),
    }
}

fn rare() -> RareFields {
    RareFields {
        index: Some("i".into()),
        unique: StoredUnique::Finished(251),
        order_key: Some("key".into()),
        backoff: Some(StoredBackoff::Exponential(ms(1_000), ms(60_000), ms(100))),
    }
}

const RESUMABLE: Resumable = Resumable { visibility_ms: 30_000, user: 1 << 40 };

fn kept(id: JobId, state: JobSnapshotState) -> QueueChange {
    QueueChange::JobKept(Box::new(JobSnapshot {
        new: PushedJob { id, ..new(Some(rare())) },
        state,
        epoch: 4,
        failures: 2,
        losses: 1,
        rank: 250,
        turn: 7,
        pushed: 240,
        started: 299,
        holds_place: true,
        indexed: Some(true),
        errors: vec!["wrong".to_owned()],
    }))
}

fn settings() -> TopicSettings {
    TopicSettings {
        concurrency: Some(8),
        rate: Some(Rate { jobs: 5, per: ms(1_000), burst: 2 }),
        jobs_max: Some(9),
        bytes_max: None,
        retry_max: Some(3),
        loss_max: None,
        backoff: Some(Backoff::List(vec![ms(1_500), ms(60_000)])),
        order_limit: Some(2),
        order_retry: OrderRetry::Skip,
    }
}

/// Returns one change of each kind, each of which can follow the ones before it.
fn changes() -> Vec<(&'static str, QueueChange)> {
    let name = || Blob::from("mail");
    let set = ScheduleSet {
        name: "s".into(),
        cron: "0 3 * * *".to_owned(),
        timezone: "UTC".to_owned(),
        topic: name(),
        payload: "job".into(),
        delay_ms: 40,
        priority: 0,
        retry_max: None,
        loss_max: Some(1),
        rare: RareFields::default(),
        next: Some(301),
        pushed: 2,
        missed: 1,
    };
    let (settings, constant) = (settings(), StoredBackoff::Constant(ms(70)));
    let waiting = RareFields { unique: StoredUnique::Waiting, backoff: Some(constant), ..rare() };
    let error = || Some("wrong".to_owned());
    let again = |again, cost, error| QueueChange::Again { id: 1, again, cost, error };
    let dead = QueueChange::Dead { id: 1, cost: Cost::Failure, error: "wrong".to_owned() };
    vec![
        ("topic made", QueueChange::TopicMade { name: name() }),
        ("topic set", QueueChange::TopicSet { topic: 0, settings: (&settings).into() }),
        ("topic paused", QueueChange::TopicPaused { topic: 0, paused: true }),
        ("pushed", QueueChange::Pushed(PushedJob { due: 400, ..new(Some(rare())) })),
        ("woken", QueueChange::Woken { id: 1 }),
        ("started", QueueChange::Started { id: 1 }),
        ("again at the head", again(RequeueAt::Head, Cost::Loss, error())),
        ("again later", again(RequeueAt::At(400), Cost::Failure, error())),
        ("again for nothing", again(RequeueAt::Head, Cost::Nothing, None)),
        ("started resumable", QueueChange::StartedResumable { id: 1, resumable: RESUMABLE }),
        ("dead", dead.clone()),
        ("replayed", QueueChange::Replayed { id: 1 }),
        ("done", QueueChange::Done { id: 1 }),
        ("pushed", QueueChange::Pushed(PushedJob { id: 2, ..new(None) })),
        ("cancelled", QueueChange::Cancelled { id: 2 }),
        ("pushed", QueueChange::Pushed(PushedJob { id: 3, ..new(Some(waiting)) })),
        ("dead", QueueChange::Dead { id: 3, cost: Cost::Loss, error: "lost".to_owned() }),
        ("evicted", QueueChange::Evicted { id: 3 }),
        ("schedule set", QueueChange::ScheduleSet(set)),
        ("schedule came", QueueChange::ScheduleCame { name: "s".into(), next: None, missed: true }),
        ("schedule removed", QueueChange::ScheduleRemoved { name: "s".into() }),
        ("topic made", QueueChange::TopicMade { name: "misspelt".into() }),
        ("topic replaced", QueueChange::TopicReplaced { topic: 1, name: "post".into() }),
        ("clock set back", QueueChange::ClockSetBack { by: 400 }),
        ("pushed", QueueChange::Pushed(PushedJob { id: 4, ..new(Some(rare())) })),
        ("index freed", QueueChange::IndexFreed { topic: 0, index: "i".into(), id: 4 }),
        ("cleared", QueueChange::Cleared { id: 4 }),
        ("topic deleted", QueueChange::TopicDeleted { topic: 1 }),
        ("fenced", QueueChange::Fenced { next_id: 70_000, epochs: 300 }),
    ]
}

fn changes_of_snapshots() -> Vec<(&'static str, QueueChange)> {
    let settings = settings();
    let (name, totals) = (Blob::from("mail"), Totals { pushed: 9, done: 8, ..Totals::default() });
    let topic =
        QueueChange::TopicKept { name, settings: (&settings).into(), paused: false, totals };
    let (index, state) = (Blob::from("i"), Finish::Done);
    vec![
        ("began", QueueChange::Began { next_id: 251, line: 300 }),
        ("topic kept", topic),
        ("index kept", QueueChange::IndexKept { topic: 0, index, id: 9, state, until: 300 }),
        ("job kept", kept(1, JobSnapshotState::Reserved)),
        ("job kept resumable", kept(2, JobSnapshotState::ReservedResumable(RESUMABLE))),
        ("unheard", QueueChange::Unheard(Box::new(StoredOutcome::from(&dead_outcome())))),
    ]
}

fn record_of(change: &QueueChange) -> Vec<u8> {
    let mut out = Vec::new();
    encode_record(300, [change].into_iter(), &mut out);
    out
}

fn outcome() -> JobInfo {
    let mut info = JobInfo::new(1, "mail", JobState::Done);
    (info.index, info.order_key) = (Some("i".into()), Some("key".into()));
    (info.priority, info.epoch, info.failures, info.retry_max) = (2, 4, 2, 3);
    (info.pushed, info.started, info.finished) = (240, Some(299), Some(300));
    (info.errors, info.output) = (vec!["wrong".to_owned()], Some("sent".into()));
    info
}

fn dead_outcome() -> JobInfo {
    JobInfo { state: JobState::Dead, output: None, ..outcome() }
}

fn snapshot_of(outcomes: &mut Outcomes) -> Vec<Vec<u8>> {
    let mut batch = RecordBatch::new();
    outcomes.begin_snapshot();
    while outcomes.write_snapshot(9, &mut batch) {}
    outcomes.end_snapshot();
    batch.payloads()
}

/// Returns records of outcomes: of an empty snapshot, of the log, where the second replaces the first,
/// then of a snapshot of both.
pub(crate) fn outcome_records() -> Vec<Vec<u8>> {
    let mut outcomes = Outcomes::new(QueueConfig { topic_outcomes_max: 1, ..Config::new().queue });
    outcomes.set_journaled(true);
    let now = Now { steady: 0, utc: 300 };
    let mut records = snapshot_of(&mut outcomes);
    for info in [outcome(), dead_outcome()] {
        outcomes.record(now, Box::new(info));
        let mut record = Vec::new();
        while outcomes.take_record(&mut record) {
            records.push(std::mem::take(&mut record));
        }
    }
    records.extend(snapshot_of(&mut outcomes));
    outcomes.confirmed(1);
    records.extend(snapshot_of(&mut outcomes));
    records
}

/// Returns consecutive records, of a log and of a snapshot.
pub(crate) fn first_records() -> [Vec<Vec<u8>>; 2] {
    [changes(), changes_of_snapshots()]
        .map(|changes| changes.iter().map(|(_, change)| record_of(change)).collect())
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    for line in bytes.chunks(32) {
        let line: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "{}", line.join(" ")).unwrap();
    }
    out
}

#[test]
fn the_bytes_of_every_change_stay_as_they_are() {
    let mut out = String::new();
    for changes in [changes(), changes_of_snapshots()] {
        let mut queue = QueueState::new(Config::new().queue, 1);
        for (name, change) in changes {
            let record = record_of(&change);
            writeln!(out, "{name}").unwrap();
            out.push_str(&hex(&record));
            // After state machine, version, time and count.
            let (read, rest) = decode::<QueueChange>(&record[6..]).unwrap();
            assert_eq!((read, rest), (change, &[][..]));
            queue.replay(&record).unwrap();
        }
    }
    let mut outcomes = Outcomes::new(Config::new().queue);
    let snapshots = ["unconfirmed in a snapshot of outcomes", "snapshot of outcomes"];
    let names = ["outcomes began", "done", "dead", "dropped"].into_iter().chain(snapshots);
    let records = outcome_records();
    assert_eq!(records.len(), 6);
    for (name, record) in names.zip(records) {
        writeln!(out, "{name}").unwrap();
        out.push_str(&hex(&record));
        if snapshots.contains(&name) {
            outcomes = Outcomes::new(Config::new().queue);
        }
        outcomes.replay(&record, |_, _| {}).unwrap();
    }
    expect![[r#"
        topic made
        02 01 fb 2c 01 01 00 04 6d 61 69 6c
        topic set
        02 01 fb 2c 01 01 01 00 01 08 01 05 fc 00 ca 9a 3b 02 01 09 00 01 03 00 01 02 02 01 fc 00 65 cd
        1d 3c 00 01 02 01
        topic paused
        02 01 fb 2c 01 01 02 00 01
        pushed
        02 01 fb 2c 01 01 03 01 00 03 6a 6f 62 fb 90 01 02 01 03 00 01 01 01 69 02 fb fb 00 01 03 6b 65
        79 01 01 01 00 3c 00 00 fc 00 e1 f5 05
        woken
        02 01 fb 2c 01 01 06 01
        started
        02 01 fb 2c 01 01 04 01
        again at the head
        02 01 fb 2c 01 01 05 01 00 02 01 05 77 72 6f 6e 67
        again later
        02 01 fb 2c 01 01 05 01 01 fb 90 01 01 01 05 77 72 6f 6e 67
        again for nothing
        02 01 fb 2c 01 01 05 01 00 00 00
        started resumable
        02 01 fb 2c 01 01 17 01 fb 30 75 fd 00 00 00 00 00 01 00 00
        dead
        02 01 fb 2c 01 01 08 01 01 05 77 72 6f 6e 67
        replayed
        02 01 fb 2c 01 01 0a 01
        done
        02 01 fb 2c 01 01 07 01
        pushed
        02 01 fb 2c 01 01 03 02 00 03 6a 6f 62 fb 2c 01 02 01 03 00 00
        cancelled
        02 01 fb 2c 01 01 09 02
        pushed
        02 01 fb 2c 01 01 03 03 00 03 6a 6f 62 fb 2c 01 02 01 03 00 01 01 01 69 00 01 03 6b 65 79 01 00
        00 fc 80 1d 2c 04
        dead
        02 01 fb 2c 01 01 08 03 02 04 6c 6f 73 74
        evicted
        02 01 fb 2c 01 01 0b 03
        schedule set
        02 01 fb 2c 01 01 0c 01 73 09 30 20 33 20 2a 20 2a 20 2a 03 55 54 43 04 6d 61 69 6c 03 6a 6f 62
        28 00 00 01 01 00 01 00 00 01 fb 2d 01 02 01
        schedule came
        02 01 fb 2c 01 01 0e 01 73 00 01
        schedule removed
        02 01 fb 2c 01 01 0d 01 73
        topic made
        02 01 fb 2c 01 01 00 08 6d 69 73 73 70 65 6c 74
        topic replaced
        02 01 fb 2c 01 01 13 01 04 70 6f 73 74
        clock set back
        02 01 fb 2c 01 01 14 fb 90 01
        pushed
        02 01 fb 2c 01 01 03 04 00 03 6a 6f 62 fb 2c 01 02 01 03 00 01 01 01 69 02 fb fb 00 01 03 6b 65
        79 01 01 01 00 3c 00 00 fc 00 e1 f5 05
        index freed
        02 01 fb 2c 01 01 16 00 01 69 04
        cleared
        02 01 fb 2c 01 01 15 04
        topic deleted
        02 01 fb 2c 01 01 18 01
        fenced
        02 01 fb 2c 01 01 1a fc 70 11 01 00 fb 2c 01
        began
        02 01 fb 2c 01 01 0f fb fb 00 fb 2c 01
        topic kept
        02 01 fb 2c 01 01 10 04 6d 61 69 6c 01 08 01 05 fc 00 ca 9a 3b 02 01 09 00 01 03 00 01 02 02 01
        fc 00 65 cd 1d 3c 00 01 02 01 00 09 08 00 00 00
        index kept
        02 01 fb 2c 01 01 12 00 01 69 09 00 fb 2c 01
        job kept
        02 01 fb 2c 01 01 11 01 00 03 6a 6f 62 fb 2c 01 02 01 03 00 01 01 01 69 02 fb fb 00 01 03 6b 65
        79 01 01 01 00 3c 00 00 fc 00 e1 f5 05 03 04 02 01 fb f4 01 07 f0 fb 2b 01 01 01 01 01 05 77 72
        6f 6e 67
        job kept resumable
        02 01 fb 2c 01 01 11 02 00 03 6a 6f 62 fb 2c 01 02 01 03 00 01 01 01 69 02 fb fb 00 01 03 6b 65
        79 01 01 01 00 3c 00 00 fc 00 e1 f5 05 05 fb 30 75 fd 00 00 00 00 00 01 00 00 04 02 01 fb f4 01
        07 f0 fb 2b 01 01 01 01 01 05 77 72 6f 6e 67
        unheard
        02 01 fb 2c 01 01 19 01 04 6d 61 69 6c 01 01 01 69 01 03 6b 65 79 02 04 02 00 03 f0 01 fb 2b 01
        fb 2c 01 01 05 77 72 6f 6e 67 00
        outcomes began
        03 01 00 01 00 01
        done
        03 01 fb 2c 01 01 01 01 04 6d 61 69 6c 00 01 01 69 01 03 6b 65 79 02 04 02 00 03 f0 01 fb 2b 01
        fb 2c 01 01 05 77 72 6f 6e 67 01 04 73 65 6e 74
        dead
        03 01 fb 2c 01 01 01 01 04 6d 61 69 6c 01 01 01 69 01 03 6b 65 79 02 04 02 00 03 f0 01 fb 2b 01
        fb 2c 01 01 05 77 72 6f 6e 67 00
        dropped
        03 01 fb 2c 01 01 03 04 6d 61 69 6c 01
        unconfirmed in a snapshot of outcomes
        03 01 fb 2c 01 05 00 01 04 01 04 02 02 01 01 04 6d 61 69 6c 01 01 01 69 01 03 6b 65 79 02 04 02
        00 03 f0 01 fb 2b 01 fb 2c 01 01 05 77 72 6f 6e 67 00 03 04 6d 61 69 6c 01
        snapshot of outcomes
        03 01 fb 2c 01 04 00 01 02 02 01 01 04 6d 61 69 6c 01 01 01 69 01 03 6b 65 79 02 04 02 00 03 f0
        01 fb 2b 01 fb 2c 01 01 05 77 72 6f 6e 67 00 03 04 6d 61 69 6c 01
    "#]].assert_eq(&out);
}

#[test]
fn a_record_of_another_version_is_refused() {
    let good = record_of(&QueueChange::TopicMade { name: "mail".into() });
    for other in [[2, 0], [2, 2], [1, 1]] {
        let record = [&other, &good[2..]].concat();
        let refusal = QueueState::new(Config::new().queue, 1).replay(&record).unwrap_err();
        assert!(refusal.contains("another version"), "{refusal}");
    }
    for cut in 2..good.len() {
        assert!(QueueState::new(Config::new().queue, 1).replay(&good[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    let huge = [253, 255, 255, 255, 255, 255, 255, 255, 127];
    let made = record_of(&QueueChange::TopicMade { name: "mail".into() });
    // A name, a payload, the delays of a backoff, the errors of a kept job.
    let starts: [&[u8]; 4] = [
        &[0],
        &[3, 1, 0],
        &[3, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 2],
        &[16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    for start in starts {
        let record = [&[2, 1, 100, 1], start, &huge, b"rest"].concat();
        let mut queue = QueueState::new(Config::new().queue, 1);
        queue.replay(&made).unwrap();
        assert!(queue.replay(&record).is_err(), "{start:?}");
    }
}

/// The part of a record that is held back for the next is limited in size, so all content of a change
/// must be counted.
#[test]
fn the_size_of_a_change_is_foretold() {
    let long = StoredBackoff::List(vec![Duration::MAX; 1_000]);
    let long = RareFields { backoff: Some(long), ..rare() };
    let mut all: Vec<QueueChange> = changes().into_iter().map(|(_, change)| change).collect();
    all.push(QueueChange::Pushed(new(Some(long))));
    for change in all {
        let (bytes, record) = (change.bytes(), record_of(&change).len());
        assert!(2 * bytes >= record, "{change:?}: {bytes} of {record}");
    }
}
