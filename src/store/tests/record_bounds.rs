//! The largest possible records, on a disk: they fit in the smallest segment that `Config::check`
//! allows; anything larger was refused before anything was changed.

use std::path::Path;
use std::sync::Arc;

use super::journaled::replayed;
use super::*;
use crate::config::record::record_bytes_max;
use crate::journal::{self, FaultyDisk, RecordBatch};

const KEY: usize = 100;
const VALUE: usize = 300;
const OPS: usize = 16;
const REPLY_KEYS: usize = 24;

/// Small limits, and the smallest segments that they allow.
fn small() -> Config {
    let mut config = Config::new();
    config.store.key_bytes_max = KEY;
    config.store.value_bytes_max = VALUE;
    config.store.txn_ops_max = OPS;
    config.store.range_keys_max = REPLY_KEYS;
    config.store.range_bytes_max = REPLY_KEYS * (KEY + VALUE);
    config.store.revision_bytes_max = OPS * (64 + KEY + VALUE);
    config.store.revision_events_max = 1_000;
    config.store.lease_ttl_max = Duration::from_micros(u64::MAX);
    // Jobs need less of a segment.
    (config.queue.payload_bytes_max, config.queue.output_bytes_max) = (64, 64);
    (config.queue.name_bytes_max, config.queue.errors_kept_max) = (8, 1);
    config.journal.segment_bytes = record_bytes_max(&config.store) as u64 + 1024;
    config.check().unwrap();
    config
}

/// Returns a key of the maximum length.
fn key(n: usize) -> String {
    format!("{n:0>KEY$}")
}

fn full(n: usize) -> SetRequest {
    SetRequest::new(key(n), "v".repeat(VALUE))
}

/// Returns a store in which most numbers take 9 bytes in a record.
fn far(config: &Config) -> StoreState {
    let mut state = StoreState::new(config.store.clone());
    state.revision = u64::MAX / 2;
    state.visible = state.revision;
    state.leases.number_from(u64::MAX / 2);
    state.set_journaled(true);
    state
}

const NOW: Micros = u64::MAX / 4;

/// Returns a write in a share with the longest number.
fn largest(key: u128) -> IdempotentWrite {
    IdempotentWrite { key, client: ClientId::User(u64::MAX) }
}

/// Executes a request, settles it, and returns its record.
fn record(state: &mut StoreState, key: Option<u128>, request: KvRequest) -> Vec<u8> {
    let mut record = Vec::new();
    state.apply(NOW, key.map(largest), request).unwrap();
    assert!(state.take_record(NOW, &mut record));
    state.settle(state.mark());
    record
}

/// Writes records to a journal of the smallest segments and reads them back.
fn write_and_read(config: &Config, records: &[Vec<u8>]) {
    let disk = FaultyDisk::new();
    let dir = Path::new("/journal");
    let open = |replay: journal::Replay<'_>| {
        let report = Arc::new(|_| {});
        journal::open(Arc::new(disk.clone()), dir, &config.journal, 1, report, replay).unwrap()
    };
    let mut journal = open(&mut |_, _| Ok(())).journal;
    for record in records {
        let mut batch = RecordBatch::new();
        batch.push_if(|out| {
            out.extend_from_slice(record);
            true
        });
        journal.append(&mut batch);
    }
    journal.close().unwrap();
    let mut read = Vec::new();
    let opened = open(&mut |_, payload| {
        read.push(payload.to_vec());
        Ok(())
    });
    assert_eq!(read, records);
    opened.journal.close().unwrap();
}

fn assert_nearly(bytes: usize, max: usize) {
    assert!(bytes <= max, "{bytes} of {max}");
    assert!(bytes > max / 10 * 8, "{bytes} of {max}: larger ones should be tried");
}

#[test]
fn the_largest_transaction_with_its_reply_fits_in_a_segment() {
    let config = small();
    let mut state = far(&config);
    for n in 0..REPLY_KEYS {
        record(&mut state, None, KvRequest::Set(full(n)));
    }
    // All sets but one, each of which ends a private lease and begins another, and a page of all keys.
    let private = |n| SetRequest { ttl: Some(Duration::from_micros(u64::MAX)), ..full(n) };
    for n in 0..OPS {
        record(&mut state, None, KvRequest::Set(private(n)));
    }
    let lease = state.grant(NOW, 1 << 40);
    state.changes.clear();
    let moved = |n| SetRequest { lease, ..full(n) };
    let mut ops: Vec<_> = (1..OPS).map(|n| TxnOp::Set(moved(n))).collect();
    ops.push(TxnOp::Range(RangeRequest::new(KeyRange::all())));
    let largest = record(&mut state, Some(u128::MAX), txn(ops));
    assert_nearly(largest.len(), record_bytes_max(&config.store));
    write_and_read(&config, &[largest.clone(), largest]);
}

#[test]
fn the_largest_delete_with_its_reply_fits_in_a_segment() {
    let config = small();
    let mut state = far(&config);
    let most = config.store.revision_bytes_max / (24 + KEY);
    let short = |n| SetRequest {
        ttl: Some(Duration::from_micros(u64::MAX)),
        ..SetRequest::new(key(n), "")
    };
    for n in 0..=most {
        record(&mut state, None, KvRequest::Set(short(n)));
    }
    let all = KvRequest::Delete(DeleteRequest::new(KeyRange::all()));
    let before = state.revision();
    assert_eq!(limit(state.apply(NOW, once(Some(1)), all.clone())), "store.revision_bytes_max");
    assert_eq!((state.revision(), state.changes.len()), (before, 0));

    record(&mut state, None, KvRequest::Delete(DeleteRequest::new(KeyRange::key(key(0)))));
    let largest = record(&mut state, Some(u128::MAX), all);
    assert!(largest.len() > most * (10 + KEY));
    assert!(largest.len() <= config.store.revision_bytes_max + 128);

    for n in 0..REPLY_KEYS {
        record(&mut state, None, KvRequest::Set(full(n)));
    }
    let give_back = DeleteRequest { range: KeyRange::all(), return_previous: true };
    let with_reply = record(&mut state, Some(u128::MAX - 1), KvRequest::Delete(give_back));
    assert!(with_reply.len() > config.store.range_bytes_max);
    write_and_read(&config, &[largest.clone(), with_reply, largest]);
}

#[test]
fn the_end_of_the_fullest_lease_fits_in_a_segment() {
    let config = small();
    let mut state = far(&config);
    let mut records = Vec::new();
    let grant = LeaseGrantRequest { id: u64::MAX, ttl: Duration::from_secs(1) };
    state.revision = 1;
    state.visible = 1;
    records.push(record(&mut state, None, KvRequest::LeaseGrant(grant)));
    let most = config.store.revision_bytes_max / (24 + KEY);
    let attach = |n| SetRequest { lease: u64::MAX, ..SetRequest::new(key(n), "") };
    for n in 0..most {
        records.push(record(&mut state, None, KvRequest::Set(attach(n))));
    }
    for refused in [KvRequest::Set(attach(most)), txn(vec![TxnOp::Set(attach(most))])] {
        assert_eq!(limit(state.apply(NOW, None, refused)), "store.revision_bytes_max");
    }
    // Detaching a key makes capacity for another.
    records.push(record(&mut state, None, KvRequest::Set(SetRequest::new(key(0), ""))));
    records.push(record(&mut state, None, KvRequest::Set(attach(most))));

    let mut again = replayed(config.store.clone(), &records);
    assert_eq!(
        limit(again.apply(NOW, None, KvRequest::Set(attach(0)))),
        "store.revision_bytes_max"
    );
    again.check_leases().unwrap();
    let lower = StoreConfig { revision_bytes_max: 1_000, ..config.store.clone() };
    assert_eq!(limit(replayed(lower, &records).check_leases()), "store.revision_bytes_max");

    again.set_journaled(true);
    let (due, mut largest) = (again.next_deadline().unwrap(), Vec::new());
    assert_eq!(again.expire_one(due), Some(most));
    assert!(again.take_record(due, &mut largest));
    assert!(largest.len() <= config.store.revision_bytes_max + 128);
    write_and_read(&config, &[largest.clone(), largest]);
}

#[test]
fn a_transaction_does_not_read_what_larger_limits_let_in() {
    let mut state = StoreState::new(StoreConfig { range_bytes_max: 10, ..Config::new().store });
    state.set_to("a", &"x".repeat(1_000));
    let page = || RangeRequest::new(KeyRange::all());
    (state.config.key_bytes_max, state.config.value_bytes_max) = (100, 100);
    let Reply::Txn(reply) = state.ask(txn(vec![TxnOp::Range(page())])).unwrap() else { panic!() };
    assert!(matches!(&reply.results[..], [Reply::Range(page)] if page.kvs.is_empty() && page.more));
    assert_eq!(state.page(page()), (vec!["a".to_owned()], false), "alone it is");
}

#[test]
fn limits_under_which_a_record_could_be_too_large_are_refused() {
    let refusal = |change: &dyn Fn(&mut Config)| {
        let mut config = small();
        change(&mut config);
        config.check().unwrap_err().message
    };
    let segment = refusal(&|config| config.journal.segment_bytes -= 1);
    assert!(segment.starts_with("journal.segment_bytes must be at least"), "{segment}");
    let revision = refusal(&|config| config.store.revision_bytes_max = KEY + VALUE + 63);
    assert!(revision.starts_with("store.revision_bytes_max must be at least"), "{revision}");
    let both = refusal(&|config| {
        config.store.revision_bytes_max = usize::MAX;
        config.journal.segment_bytes = u64::MAX;
    });
    assert!(both.starts_with("store.revision_bytes_max and"), "{both}");
    Config::new().check().unwrap();
}
