//! What the fuzz targets in `fuzz/` run, and the tests below with them; not part of the API.
//!
//! Each function takes any bytes and panics if a promise about them is broken.

mod json;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Durability, JournalConfig};
use crate::journal::{self, Batch, Disk, FaultyDisk, JournalError};
use crate::model::{
    Blob, DeleteRequest, GetRequest, JobRef, JobRequest, JobState, KeyRange, PushOptions,
    PushRequest, RangeOrder, RangeRequest, Request, Reservation, ReserveRequest, SetRequest,
    Settlement, TopicSettings, Verdict,
};
use crate::queue::{self, Answer, Effect, Now, Outcomes};
use crate::store::State;

pub use self::json::json_requests;

const DIR: &str = "/journal";
const SECTOR: usize = 512;
const COMMIT_HEAD: usize = 64;
const SEGMENT_BYTES: usize = 8 * SECTOR;
const SEGMENTS_MAX: u64 = 4;
/// Whatever the input says; the same in the headers of all segments.
const SALT: u64 = 0x5a17;
const STORE_ID: u64 = 7;

/// Reads `data` as records of the store: of each its length, 2 bytes little-endian, and its payload.
/// Up to the first that is refused they make a store, which then does whatever it is asked.
pub fn store_records(data: &[u8]) {
    let mut state = State::new(Config::new().store);
    state.begin_replay();
    let mut rest = data;
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(more.len());
        let (record, after) = more.split_at(length);
        if state.replay(record).is_err() {
            // The store would not open. What there is of it must not be worse than none.
            break;
        }
        rest = after;
    }
    state.finish_replay();
    use_store(&mut state);
}

/// Whatever records made it, a store answers, and what it then changes can be told and done again.
fn use_store(state: &mut State) {
    state.set_journaled(true);
    let now = state.time();
    let _ = state.check_leases();
    let oldest = state.history().oldest();
    let page = |revision, order| {
        let page = RangeRequest { revision, order, ..RangeRequest::new(KeyRange::all()) };
        Request::Range(page)
    };
    let set = SetRequest { return_previous: true, ..SetRequest::new("k", "v") };
    let delete = DeleteRequest { range: KeyRange::all(), return_previous: true };
    let requests = [
        page(0, RangeOrder::Ascending),
        page(0, RangeOrder::Descending),
        page(oldest, RangeOrder::Ascending),
        Request::Get(GetRequest { key: "k".into(), revision: state.revision() }),
        Request::LeaseTimeToLive(9),
        Request::LeaseKeepAlive(9),
        Request::Set(set.clone()),
        Request::Set(SetRequest { ttl: Some(std::time::Duration::from_secs(1)), ..set }),
        Request::Compact(state.revision()),
        Request::LeaseRevoke(9),
        Request::Delete(delete),
    ];
    for (at, request) in requests.into_iter().enumerate() {
        let idempotency = request.is_write().then_some(at as u128);
        let _ = state.apply(now, idempotency, request);
        take_record(state, now);
    }
    while state.expire_one(u64::MAX).is_some() {
        take_record(state, u64::MAX);
    }
}

/// What is told can be read.
fn take_record(state: &mut State, now: u64) {
    let mut record = Vec::new();
    if state.take_record(now, &mut record) {
        let refusal = State::new(Config::new().store).replay(&record).err();
        // It follows on other records, so its revision is as good as never the next.
        let is_read = refusal.is_none_or(|refusal| refusal.starts_with("a record of revision"));
        assert!(is_read, "a record that was written cannot be read");
        state.settle(state.mark());
    }
}

/// Reads `data` as records of the queue and of outcomes, framed as those of [`store_records`]. Up to
/// the first that is refused they make a queue, which then does whatever it is asked; what it tells
/// of itself, then and as a snapshot, can be read.
pub fn queue_records(data: &[u8]) {
    let mut rooms = Jobs::new();
    let mut rest = data;
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(more.len());
        let (record, after) = more.split_at(length);
        if rooms.replay(record).is_err() {
            break;
        }
        rest = after;
    }
    rooms.use_them();
    rooms.tell();
}

/// A queue and its outcomes.
struct Jobs {
    queue: queue::State,
    outcomes: Outcomes,
    now: Now,
}

impl Jobs {
    fn new() -> Self {
        let config = Config::new().queue;
        let (queue, outcomes) = (queue::State::new(config.clone(), 1), Outcomes::new(config));
        Self { queue, outcomes, now: Now { steady: 1, utc: 0 } }
    }

    fn replay(&mut self, record: &[u8]) -> Result<(), String> {
        match queue::State::owns(record) {
            true => self.queue.replay(record),
            false => self.outcomes.replay(record).map(|()| {
                self.queue.heard(|cancelled| self.outcomes.knows_of(cancelled));
            }),
        }
    }

    /// Whatever records made it, a queue answers.
    fn use_them(&mut self) {
        self.queue.set_journaled(true);
        self.outcomes.set_journaled(true);
        self.now.utc = self.queue.utc().saturating_add(1);
        self.queue.recover(self.now, &mut self.outcomes);
        self.turn();
        let (topic, index): (Blob, Blob) = ("t".into(), "i".into());
        let options = PushOptions {
            index: Some(index.clone()),
            order_key: Some("k".into()),
            ..PushOptions::default()
        };
        let push = PushRequest { topic: topic.clone(), payload: "p".into(), options };
        let named = JobRef::Index { topic: topic.clone(), index };
        let reserve = ReserveRequest {
            topic: topic.clone(),
            credits: 9,
            wait: Some(Duration::ZERO),
            visibility: None,
        };
        let list = |state| JobRequest::List { topic: topic.clone(), state, after: 0, limit: 0 };
        let wait = Some(Duration::ZERO);
        let requests = [
            JobRequest::Push { jobs: vec![push.clone(), push], wait: Duration::ZERO },
            JobRequest::Get(JobRef::Id(1)),
            JobRequest::Get(named.clone()),
            list(JobState::Ready),
            list(JobState::Dead),
            list(JobState::Done),
            JobRequest::Topics { after: Blob::default(), limit: 0 },
            JobRequest::Schedules,
            JobRequest::Outcomes { topic: topic.clone(), after: Some(0), limit: 0, wait },
            JobRequest::Reserve(reserve.clone()),
            JobRequest::Replay { topic: topic.clone(), id: None },
            JobRequest::SetTopic {
                topic: topic.clone(),
                settings: Box::new(TopicSettings::default()),
            },
            JobRequest::PauseTopic { topic: topic.clone(), paused: false },
            JobRequest::Reserve(reserve),
            JobRequest::Cancel(named),
            JobRequest::ClearTopic(topic),
        ];
        for request in requests {
            if let Answer::Ask(sought) = self.queue.request(self.now, 1, request) {
                let _ = self.outcomes.seek(self.now, sought, Duration::ZERO);
            }
            self.turn();
        }
        self.now.utc += 1_000_000;
        self.now.steady += 1_000_000_000;
        self.turn();
    }

    /// Every other job that is handed out is done, the others fail.
    fn turn(&mut self) {
        for effect in self.queue.finish_turn(self.now) {
            match effect {
                Effect::Reserved(_, jobs) => {
                    for job in jobs {
                        let reservation = job.reservation;
                        let verdict = match reservation.id % 2 {
                            0 => Verdict::Done { output: "o".into() },
                            _ => Verdict::Retry { after: None, error: "e".to_owned() },
                        };
                        let settlement = Settlement { reservation, verdict };
                        let _ = self.queue.settle(self.now, settlement);
                    }
                }
                Effect::Record(info) => {
                    let reservation = Reservation { id: info.id, epoch: info.epoch };
                    self.outcomes.record(self.now, info);
                    self.queue.recorded(self.now, reservation, Ok(()));
                }
                Effect::Note(info) => self.outcomes.record(self.now, info),
                _ => {}
            }
        }
        let _ = self.outcomes.finish_turn(self.now);
        let mut record = Vec::new();
        while self.queue.take_record(&mut record) || self.outcomes.take_record(&mut record) {
            record.clear();
        }
    }

    /// What is told as a snapshot can be read, and leads to what tells the same.
    fn tell(&mut self) {
        let told = self.snapshot();
        let mut read = Self::new();
        for record in &told {
            let refusal = read.replay(record).err();
            assert!(refusal.is_none(), "a snapshot that was told cannot be read: {refusal:?}");
        }
        let sizes = |records: &[Vec<u8>]| records.iter().map(Vec::len).sum::<usize>();
        assert_eq!(sizes(&read.snapshot()), sizes(&told), "another queue was read");
    }

    fn snapshot(&mut self) -> Vec<Vec<u8>> {
        let mut batch = Batch::new();
        self.queue.begin_snapshot();
        self.outcomes.begin_snapshot();
        while self.queue.tell_snapshot(10_000, &mut batch) {}
        while self.outcomes.tell_snapshot(10_000, &mut batch) {}
        self.queue.end_snapshot();
        self.outcomes.end_snapshot();
        batch.payloads()
    }
}

/// Reads `data` as a journal: the first byte says which checksums are made right before (1: of the
/// segments' heads, 2: of commits, 4: of their records), then come the segments. What is refused
/// was not changed; what is opened says the same when it is opened again.
pub fn journal_segments(data: &[u8]) {
    if let Some((choice, data)) = data.split_first() {
        check_journal(&lay_out(*choice, data));
    }
}

fn lay_out(choice: u8, data: &[u8]) -> FaultyDisk {
    let disk = FaultyDisk::new();
    for (number, part) in (1..=SEGMENTS_MAX).zip(data.chunks(SEGMENT_BYTES)) {
        let mut segment = part.to_vec();
        segment.resize(SEGMENT_BYTES, 0);
        if choice & 1 > 0 {
            repair_head(&mut segment, number);
        }
        if choice & 2 > 0 {
            repair_commits(&mut segment, choice & 4 > 0);
        }
        assert!(write(&disk, &path(number), &segment).is_ok());
    }
    disk
}

fn path(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("{number:016x}.log"))
}

fn write(disk: &FaultyDisk, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let file = disk.create(path)?;
    file.write_all_at(0, bytes)?;
    file.sync_data()?;
    disk.sync_dir(Path::new(DIR))
}

/// Every segment as it is now.
fn segments(disk: &FaultyDisk) -> Vec<(String, Vec<u8>)> {
    let mut names = disk.list(Path::new(DIR)).unwrap_or_default();
    names.retain(|name| name.ends_with(".log"));
    let read = |name: String| {
        let file = disk.open(&Path::new(DIR).join(&name)).ok()?;
        let mut bytes = vec![0; usize::try_from(file.len().ok()?).ok()?];
        file.read_at(0, &mut bytes).ok()?;
        Some((name, bytes))
    };
    names.into_iter().filter_map(read).collect()
}

fn check_journal(disk: &FaultyDisk) {
    let before = segments(disk);
    let verified = journal::verify(disk, Path::new(DIR));
    assert_eq!(segments(disk), before, "verifying changes nothing");
    match read_journal(disk) {
        Err(error) => {
            assert_eq!(segments(disk), before, "what is refused is as it was: {error}");
            assert!(verified.is_err(), "verified, but: {error}");
        }
        Ok((records, _)) => {
            assert!(verified.is_ok(), "opened, but: {:?}", verified.err());
            assert_eq!(read_journal(disk), Ok((records, 0)), "opened again");
        }
    }
}

fn small_segments() -> JournalConfig {
    JournalConfig {
        durability: Durability::Fsync,
        segment_bytes: SEGMENT_BYTES as u64,
        ..Config::new().journal
    }
}

/// The records, and how many bytes of a torn tail were cut.
fn read_journal(disk: &FaultyDisk) -> Result<(Vec<Vec<u8>>, u64), JournalError> {
    let config = small_segments();
    let mut records = Vec::new();
    let replay = &mut |_, payload: &[u8]| {
        records.push(payload.to_vec());
        Ok(())
    };
    let disk = Arc::new(disk.clone());
    let opened = journal::open(disk, Path::new(DIR), &config, 1, Arc::new(|_| {}), replay)?;
    opened.journal.close()?;
    Ok((records, opened.cut_bytes))
}

/// Reads `data` as the file of a snapshot: the first byte says what is made right before (1: its two
/// ends, 2: the checksums of its records). What is whole can be restored, and is the same then; what
/// is not cannot.
pub fn journal_snapshot(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let mut file = data.to_vec();
    if choice & 1 > 0 {
        repair_snapshot(&mut file, choice & 2 > 0);
    }
    let disk = FaultyDisk::new();
    let from = Path::new("/backup");
    assert!(write(&disk, from, &file).is_ok());
    let mut records = Vec::new();
    let checked = journal::check_snapshot(&disk, from, &mut |_, payload: &[u8]| {
        records.push(payload.to_vec());
        Ok(())
    });
    let (config, dir) = (small_segments(), Path::new(DIR));
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let restored = journal::restore(&shared, from, dir, &config, 1, &mut |_, _| Ok(()));
    assert_eq!(checked, restored);
    if checked.is_ok() {
        assert_eq!(read_journal(&disk), Ok((records.clone(), 0)), "restored");
        let frame = |record: &Vec<u8>| {
            let length = u16::try_from(record.len()).ok()?;
            Some([&length.to_le_bytes(), &record[..]].concat())
        };
        store_records(&records.iter().map_while(frame).flatten().collect::<Vec<u8>>());
    }
}

/// The two ends of a snapshot, as `docs/journal.md` has them, and what they say of its records.
fn repair_snapshot(file: &mut [u8], frames: bool) {
    let Some(end) = file.len().checked_sub(COMMIT_HEAD).filter(|end| *end >= COMMIT_HEAD) else {
        return;
    };
    let (mut at, mut records) = (COMMIT_HEAD, 0_u64);
    while at + 8 <= end {
        let next = at + 8 + u32_at(file, at);
        if next > end {
            break;
        }
        if frames {
            let crc = crc32c::crc32c(file.get(at..at + 4).unwrap_or_default());
            let payload = file.get(at + 8..next).unwrap_or_default();
            let crc = crc32c::crc32c_append(crc, payload);
            put(file, at + 4, &crc.to_le_bytes());
        }
        (at, records) = (next, records + 1);
    }
    put(file, 0, b"WAKEFUL\0SNAP\0\0\0\0");
    put(file, 16, &1_u64.to_le_bytes());
    let checksum = crc32c::crc32c(file.get(..60).unwrap_or_default());
    put(file, 60, &checksum.to_le_bytes());
    let body = crc32c::crc32c(file.get(COMMIT_HEAD..end).unwrap_or_default());
    put(file, end, b"WKSE");
    put(file, end + 4, &body.to_le_bytes());
    put(file, end + 24, &records.to_le_bytes());
    put(file, end + 32, &((end - COMMIT_HEAD) as u64).to_le_bytes());
    let checksum = crc32c::crc32c(file.get(end..end + 60).unwrap_or_default());
    put(file, end + 60, &checksum.to_le_bytes());
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(slot) = bytes.get_mut(at..at + field.len()) {
        slot.copy_from_slice(field);
    }
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    let field = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    field.map_or(0, |field| u32::from_le_bytes(*field) as usize)
}

/// The head of a segment, as `docs/journal.md` has it.
fn repair_head(segment: &mut [u8], number: u64) {
    let size = segment.len() as u64;
    put(segment, 0, b"WAKEFUL\0LOG\0\0\0\0\0");
    put(segment, 16, &1_u64.to_le_bytes());
    put(segment, 24, &STORE_ID.to_le_bytes());
    put(segment, 32, &number.to_le_bytes());
    put(segment, 40, &size.to_le_bytes());
    put(segment, 48, &SALT.to_le_bytes());
    put(segment, 56, &[0; 4]);
    put(segment, 64, &[0; SECTOR - 64]);
    let checksum = crc32c::crc32c(segment.get(..60).unwrap_or_default());
    put(segment, 60, &checksum.to_le_bytes());
}

/// Makes the checksums of commits, and of their records if asked, right as far as they follow each
/// other.
fn repair_commits(segment: &mut [u8], records: bool) {
    let mut at = SECTOR;
    while let Some(head) = segment.get(at..at + COMMIT_HEAD)
        && head.iter().any(|byte| *byte != 0)
    {
        let bytes = u32_at(segment, at + 24);
        let end = (at + COMMIT_HEAD).saturating_add(bytes);
        if records {
            repair_records(segment, at + COMMIT_HEAD, end);
        }
        put(segment, at, b"WKCM");
        put(segment, at + 40, &[0; 24]);
        let head = segment.get(at + 8..at + COMMIT_HEAD).unwrap_or_default();
        // The salt is what the head says, repaired or not.
        let salt = segment.get(48..56).unwrap_or_default();
        let seed = [salt, &(at as u64).to_le_bytes()].concat();
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&seed), head);
        put(segment, at + 4, &checksum.to_le_bytes());
        at = end.next_multiple_of(COMMIT_HEAD);
    }
}

fn repair_records(segment: &mut [u8], mut at: usize, end: usize) {
    while at + 8 <= end.min(segment.len()) {
        let payload_end = (at + 8).saturating_add(u32_at(segment, at));
        let Some(payload) = segment.get(at + 8..payload_end) else { return };
        let length = segment.get(at..at + 4).unwrap_or_default();
        let checksum = crc32c::crc32c_append(crc32c::crc32c(length), payload);
        put(segment, at + 4, &checksum.to_le_bytes());
        at = payload_end;
    }
}

#[cfg(test)]
mod tests;
