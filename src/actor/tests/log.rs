//! What the log admits, on a journal whose free space the test sets.

use std::time::Duration;

use super::config;
use crate::actor::log::SharedLog;
use crate::journal::{
    FreeSpace, Journal, JournalError, JournalStats, OpenedJournal, PartRequest, RecordBatch,
    RecordSeq,
};
use crate::{Durability, ErrorCode};

/// Writes nothing.
struct FixedSpace(FreeSpace);

impl Journal for FixedSpace {
    fn append(&mut self, batch: &mut RecordBatch) -> RecordSeq {
        *batch = RecordBatch::new();
        0
    }
    fn sync(&mut self) {}
    fn begin_snapshot(&mut self) {}
    fn add_to_snapshot(&mut self, _: &mut RecordBatch, _: Duration) {}
    fn finish_snapshot(&mut self) {}
    fn abandon_snapshot(&mut self) {}
    fn read_snapshot(&mut self, _: PartRequest) {}
    fn pending_bytes(&self) -> usize {
        0
    }
    fn stats(&self) -> JournalStats {
        JournalStats::default()
    }
    fn free_space(&self) -> FreeSpace {
        self.0
    }
    fn reserve(&mut self, _: u64) {}
    fn look_for_space(&mut self) {}
    fn close_within(self: Box<Self>, _: Duration) -> Result<(), JournalError> {
        Ok(())
    }
}

/// Returns a log beside whose next snapshot, of an empty log, the disk has `spare` bytes.
fn log_with(spare: u64) -> SharedLog {
    let config = config(Durability::Fsync).journal;
    let disk = Some(config.segment_bytes / 8 + spare);
    let segments = i64::try_from(config.segment_bytes).unwrap() * 10;
    let journal = Box::new(FixedSpace(FreeSpace { segments, has_resort: false, disk }));
    let opened = OpenedJournal {
        journal,
        store_id: 1,
        is_reborn: false,
        cut_bytes: 0,
        last: 0,
        log_bytes: 0,
    };
    SharedLog::new(opened, config, tokio::sync::watch::Sender::new(None))
}

/// Regression: a permitted write that shrinks the store had smaller ones that grow it refused until the next
/// snapshot.
#[test]
fn d8_a_permitted_write_that_shrinks_does_not_count_as_lack_of_space() {
    let log = log_with(10);
    let mut log = log.get_mut();
    log.check_growth(1_000, || false).unwrap();
    assert!(log.has_space(), "nothing was refused");
    let refused = log.check_growth(1_000, || true).unwrap_err();
    assert_eq!(refused.code, ErrorCode::NoSpace);
    assert!(!log.has_space());
}

/// Regression: the refusal said that the disk does not keep up.
#[test]
fn r5_a_closed_log_refuses_writes_because_the_service_stops() {
    let log = log_with(1_000_000);
    let mut log = log.get_mut();
    log.check().unwrap();
    drop(log.take_journal());
    for refused in [log.check(), log.check_growth(1, || true)] {
        assert_eq!(refused.unwrap_err().code, ErrorCode::Unavailable);
    }
}
