//! The promises of the journal, one file per topic.

mod crashes;
mod damage;
mod exclusive;
mod failure;
mod formats;
pub(crate) mod groups;
mod incarnations;
mod power;
mod repairs;
mod restores;
mod round_trip;
mod snapshots;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::disk::{Disk, FaultyDisk};
use super::*;
use crate::config::Durability;

const DIR: &str = "/journal";

fn config(durability: Durability, segment_bytes: u64) -> JournalConfig {
    JournalConfig {
        durability,
        // Long, because tests sync on request.
        sync_interval: Duration::from_secs(600),
        segment_bytes,
        pending_bytes_max: 1 << 20,
        ..crate::Config::new().journal
    }
}

/// The reports of the journal's thread.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<JournalProgress>>>);

impl Reports {
    fn sink(&self) -> ProgressSink {
        let list = Arc::clone(&self.0);
        Arc::new(move |progress| list.lock().push(progress))
    }

    fn all(&self) -> Vec<JournalProgress> {
        self.0.lock().clone()
    }

    fn synced(&self) -> RecordSeq {
        let synced = |it: &JournalProgress| {
            if let JournalProgress::Synced(seq) = it { Some(*seq) } else { None }
        };
        self.0.lock().iter().rev().find_map(synced).unwrap_or(0)
    }

    fn written(&self) -> RecordSeq {
        let written = |it: &JournalProgress| {
            if let JournalProgress::Written(seq) = it { Some(*seq) } else { None }
        };
        self.0.lock().iter().rev().find_map(written).unwrap_or(0)
    }

    fn snapshots(&self) -> Vec<SnapshotInfo> {
        let safe = |it: &JournalProgress| {
            if let JournalProgress::Snapshot(info) = it { Some(*info) } else { None }
        };
        self.0.lock().iter().filter_map(safe).collect()
    }

    fn snapshot_failures(&self) -> usize {
        self.0.lock().iter().filter(|it| matches!(it, JournalProgress::SnapshotFailed(_))).count()
    }

    fn failures(&self) -> usize {
        self.0.lock().iter().filter(|it| matches!(it, JournalProgress::Failed(_))).count()
    }
}

/// Polls until the condition holds.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_micros(50));
    }
}

struct Open {
    journal: Box<dyn Journal>,
    reports: Reports,
    records: Vec<Vec<u8>>,
    cut_bytes: u64,
    store_id: u64,
}

fn open_dir(disk: Arc<dyn Disk>, dir: &Path, config: &JournalConfig) -> Result<Open, JournalError> {
    let reports = Reports::default();
    let mut records = Vec::new();
    let mut snapshot = None;
    let opened = open(disk, dir, config, 77, reports.sink(), &mut |seq, payload: &[u8]| {
        let next = records.len() as u64 + 1;
        // The records of a snapshot, one for each record it covers in these tests, come with its
        // number.
        assert!(seq == next || (seq > next && *snapshot.get_or_insert(seq) == seq));
        records.push(payload.to_vec());
        Ok(())
    })?;
    assert_eq!(opened.last, records.len() as u64);
    let OpenedJournal { journal, cut_bytes, store_id, .. } = opened;
    Ok(Open { journal, reports, records, cut_bytes, store_id })
}

fn open_on(disk: &FaultyDisk, config: &JournalConfig) -> Result<Open, JournalError> {
    open_dir(Arc::new(disk.clone()), Path::new(DIR), config)
}

/// Returns the payload of a record: some are empty, some are zeros, some span sectors.
fn payload(seq: RecordSeq) -> Vec<u8> {
    let len = (seq * 7919 % 1400) as usize;
    match seq % 5 {
        0 => vec![0; len],
        1 => Vec::new(),
        _ => (0..len).map(|at| (seq as usize + at) as u8).collect(),
    }
}

/// Returns a generator of numbers below a bound, deterministic for each seed.
fn choices(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut choices = seed;
    move |bound| {
        choices = choices.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        (choices >> 33) % bound
    }
}

/// Opens a journal that must have its first records, at least this many; returns how many it has.
fn open_with(
    disk: &FaultyDisk,
    config: &JournalConfig,
    expected: std::ops::RangeInclusive<RecordSeq>,
    seed: u64,
) -> (Open, RecordSeq) {
    let open = open_on(disk, config).unwrap_or_else(|error| panic!("{seed}: {error}"));
    let have = open.records.len() as u64;
    assert!(expected.contains(&have), "{seed}: {have} of {expected:?}");
    assert_eq!(open.records, payloads(have), "{seed}");
    (open, have)
}

fn append(journal: &mut dyn Journal, from: RecordSeq, records: u64) -> RecordSeq {
    let mut batch = RecordBatch::new();
    for seq in from..from + records {
        batch.push_if(|to| {
            to.extend_from_slice(&payload(seq));
            true
        });
    }
    let last = journal.append(&mut batch);
    assert!(batch.is_empty() && batch.bytes() == 0);
    last
}

fn payloads(last: RecordSeq) -> Vec<Vec<u8>> {
    (1..=last).map(payload).collect()
}

fn segment(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("{number:016x}.log"))
}

fn content(disk: &FaultyDisk, path: &Path) -> Vec<u8> {
    disk.contents().into_iter().find(|(name, _)| name == path).unwrap().1
}

/// Hands over the snapshot of records 1 to `last`, a few at a time, without finishing it.
fn tell_snapshot(journal: &mut dyn Journal, last: RecordSeq) {
    journal.begin_snapshot();
    for from in (1..=last).step_by(4) {
        let mut batch = RecordBatch::new();
        for seq in from..=last.min(from + 3) {
            batch.push_if(|to| {
                to.extend_from_slice(&payload(seq));
                true
            });
        }
        journal.add_to_snapshot(&mut batch, Duration::ZERO);
        assert!(batch.is_empty() && batch.bytes() == 0);
    }
}

/// Writes a snapshot of records 1 to `last`, which must be all.
fn take_snapshot(open: &mut Open, last: RecordSeq) {
    let before = open.reports.snapshots().len();
    tell_snapshot(&mut *open.journal, last);
    open.journal.finish_snapshot();
    // One that was finished before may be reported first.
    let safe = || open.reports.snapshots().iter().skip(before).any(|it| it.seq == last);
    until("the snapshot is safe", safe);
}

fn snapshot_of(seq: RecordSeq) -> PathBuf {
    Path::new(DIR).join(format!("{seq:016x}.snap"))
}

fn is_damage(error: &JournalError) -> bool {
    matches!(error, JournalError::Damaged { .. } | JournalError::Format { .. })
}

/// Opens a copy with one file changed; nothing may change if that is refused.
fn open_changed(
    disk: &FaultyDisk,
    config: &JournalConfig,
    path: &Path,
    bytes: Vec<u8>,
) -> Result<(Vec<Vec<u8>>, u64), JournalError> {
    let copy = disk.kill();
    copy.put(path, bytes);
    let before = copy.contents();
    let verified = verify(&copy, Path::new(DIR), &mut |_, _| Ok(()));
    assert_eq!(copy.contents(), before);
    match open_on(&copy, config) {
        Ok(open) => {
            let verified = verified.unwrap();
            assert_eq!(verified.records, open.records.len() as u64);
            assert_eq!(verified.torn_bytes, open.cut_bytes);
            Ok((open.records, open.cut_bytes))
        }
        Err(error) => {
            assert!(is_damage(&error), "{error}");
            assert_eq!(verified.unwrap_err(), error);
            assert_eq!(copy.contents(), before);
            Err(error)
        }
    }
}

fn segments(disk: &FaultyDisk) -> Vec<(PathBuf, Vec<u8>)> {
    disk.contents().into_iter().filter(|(path, _)| path.extension().is_some()).collect()
}
