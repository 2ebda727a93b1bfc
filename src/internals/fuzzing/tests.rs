//! The fuzz functions on valid inputs, and on mutations of valid inputs.

use proptest::collection::vec;
use proptest::prelude::*;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bytes::put;
use super::segments::{DIR, check_journal, lay_out, read_journal, segments, small_segments, write};
use super::*;
use crate::config::Config;
use crate::fair::ClientId;
use crate::journal::{self, Disk, FaultyDisk, RecordBatch};
use crate::model::{DeleteRequest, KeyRange, KvRequest, SetRequest};
use crate::queue::tests as jobs;
use crate::store::tests::{cases, changes, first_record_of, strategy};
use crate::store::{IdempotentWrite, StoreState};

/// A mutation of bytes.
#[derive(Debug, Clone)]
pub(super) enum Mutation {
    Set(usize, u8),
    Flip(usize, u8),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    Copy(usize, usize, usize),
    Zero(usize, usize),
    Cut(usize),
}

pub(super) fn mutation() -> impl Strategy<Value = Mutation> {
    let at = || any::<usize>();
    let byte = prop_oneof![any::<u8>(), 0..8u8, 250..=255u8];
    prop_oneof![
        (at(), byte).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (at(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (at(), 1..9usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        (at(), vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (at(), at(), 1..600usize).prop_map(|(from, to, count)| Mutation::Copy(from, to, count)),
        (at(), 1..600usize).prop_map(|(at, count)| Mutation::Zero(at, count)),
        at().prop_map(Mutation::Cut),
    ]
}

pub(super) fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let len = bytes.len();
    let place = |at: usize| at % (len + 1);
    let range = |at: usize, count: usize| place(at)..(place(at) + count).min(len);
    match mutation {
        Mutation::Set(at, byte) => bytes[range(*at, 1)].fill(*byte),
        Mutation::Flip(at, bit) => bytes[range(*at, 1)].iter_mut().for_each(|it| *it ^= 1 << bit),
        Mutation::Remove(at, count) => drop(bytes.drain(range(*at, *count))),
        Mutation::Insert(at, more) => {
            bytes.splice(place(*at)..place(*at), more.iter().copied());
        }
        Mutation::Copy(from, to, count) => {
            let copied = bytes[range(*from, *count)].to_vec();
            put(bytes, place(*to), &copied);
        }
        Mutation::Zero(at, count) => bytes[range(*at, *count)].fill(0),
        Mutation::Cut(at) => bytes.truncate(place(*at)),
    }
}

/// Returns the records of a store that executed these requests.
fn records_of(requests: Vec<(Option<u128>, KvRequest)>) -> Vec<Vec<u8>> {
    let mut state = StoreState::new(Config::new().store);
    state.set_journaled(true);
    let mut records = Vec::new();
    for (now, (idempotency, request)) in requests.into_iter().enumerate() {
        let key = idempotency.filter(|_| request.is_write());
        let once = key.map(|key| IdempotentWrite { key, client: ClientId::User((key % 2) as u64) });
        let _ = state.apply(now as u64, once, request);
        let mut record = Vec::new();
        if state.take_record(now as u64, &mut record) {
            records.push(record);
            state.settle(state.mark());
        }
    }
    records
}

fn requests() -> impl Strategy<Value = Vec<(Option<u128>, KvRequest)>> {
    vec((proptest::option::weighted(0.4, any::<u128>()), strategy::request()), 1..20)
}

fn framed(records: &[Vec<u8>]) -> Vec<u8> {
    let frame = |record: &Vec<u8>| [&(record.len() as u16).to_le_bytes(), &record[..]].concat();
    records.iter().flat_map(frame).collect()
}

/// Returns a journal of these records, this many per commit, as the input of [`journal_segments`].
fn journal_of(records: &[Vec<u8>], in_commit: usize) -> Vec<u8> {
    let disk = FaultyDisk::new();
    let config = small_segments();
    let report = Arc::new(|_| {});
    let replay = &mut |_, _: &[u8]| Ok(());
    let opened = journal::open(Arc::new(disk.clone()), Path::new(DIR), &config, 1, report, replay);
    let mut journal = opened.unwrap().journal;
    for commit in records.chunks(in_commit) {
        let mut batch = RecordBatch::new();
        for record in commit {
            batch.push_if(|out| {
                out.extend_from_slice(record);
                true
            });
        }
        journal.append(&mut batch);
    }
    journal.close().unwrap();
    segments(&disk).into_iter().flat_map(|(_, bytes)| bytes).collect()
}

/// Returns the file of a snapshot of these records, as the input of [`journal_snapshot`].
fn snapshot_of(records: &[Vec<u8>]) -> Vec<u8> {
    let disk = FaultyDisk::new();
    let report = Arc::new(|_| {});
    let replay = &mut |_, _: &[u8]| Ok(());
    let config = small_segments();
    let opened = journal::open(Arc::new(disk.clone()), Path::new(DIR), &config, 1, report, replay);
    let mut journal = opened.unwrap().journal;
    journal.begin_snapshot();
    let mut batch = RecordBatch::new();
    for record in records {
        batch.push_if(|out| {
            out.extend_from_slice(record);
            true
        });
    }
    journal.add_to_snapshot(&mut batch, std::time::Duration::ZERO);
    journal.finish_snapshot();
    journal.close().unwrap();
    let file = disk.open(&Path::new(DIR).join(format!("{:016x}.snap", 0))).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

fn some_records() -> Vec<Vec<u8>> {
    let set = |n: u64| SetRequest {
        ttl: n.is_multiple_of(3).then_some(std::time::Duration::from_secs(n)),
        return_previous: true,
        // However the records are grouped into commits, the function reads all of the segments.
        ..SetRequest::new(format!("key {}", n % 7), "x".repeat(n as usize * 3))
    };
    let requests = (1..=60).map(|n| match n % 10 {
        0 => KvRequest::Delete(DeleteRequest::new(KeyRange::all())),
        _ => KvRequest::Set(set(n)),
    });
    records_of((1..).zip(requests).map(|(n, it)| ((n % 4 == 0).then_some(n), it)).collect())
}

/// Otherwise the other tests would only reach the first check.
#[test]
fn what_was_written_is_what_is_tried() {
    let records = some_records();
    assert_eq!(records.len(), 60);
    let data = journal_of(&records, 3);
    for choice in [0, 2, 7] {
        let disk = lay_out(choice, &data);
        assert_eq!(read_journal(&disk).unwrap(), (records.clone(), 0), "repaired: {choice}");
        check_journal(&lay_out(choice, &data));
    }
    store_records(&framed(&records));
    let snapshot = snapshot_of(&records);
    for choice in [0, 1, 3] {
        let input = [&[choice][..], &snapshot].concat();
        journal_snapshot(&input);
    }
    let disk = FaultyDisk::new();
    write(&disk, Path::new("/backup"), &snapshot).unwrap();
    let mut count = 0;
    let replay = &mut |_, _: &[u8]| {
        count += 1;
        Ok(())
    };
    journal::check_snapshot(&disk, Path::new("/backup"), replay).unwrap();
    assert_eq!(count, records.len());
}

fn frame_of(kind: u8, id: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    let head = [&length[..], &[kind, 1, 0, 0], &[0; 4], &id.to_le_bytes()];
    [&head.concat(), body].concat()
}

/// Returns bodies of requests, one of each kind with bytes in `docs/protocol.md`.
fn wire_seeds() -> Vec<Vec<u8>> {
    crate::rpc::proto::request_bodies()
}

/// Writes them to the directory in `FUZZ_SEEDS`.
#[test]
fn seeds_are_inputs_of_the_fuzz_targets() {
    let temporary = tempfile::tempdir().unwrap();
    let seeds = std::env::var_os("FUZZ_SEEDS").map(PathBuf::from);
    let seeds = seeds.unwrap_or_else(|| temporary.path().to_owned());
    let write = |target: &str, name: String, bytes: Vec<u8>| {
        match target {
            "store_records" => store_records(&bytes),
            "queue_records" => queue_records(&bytes),
            "frames" => frames(&bytes),
            "bodies" => bodies(&bytes),
            "journal_segments" => journal_segments(&bytes),
            "json_requests" => json_requests(&bytes),
            _ => journal_snapshot(&bytes),
        }
        let dir = seeds.join(target);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(name), bytes).unwrap();
    };
    for count in [1, 5, 20, 60] {
        let records = &some_records()[..count];
        write("store_records", format!("{count}"), framed(records));
        for choice in [0, 7] {
            let journal = [&[choice][..], &journal_of(records, 3)].concat();
            write("journal_segments", format!("{count}-{choice}"), journal);
        }
        for choice in [0, 3] {
            let snapshot = [&[choice][..], &snapshot_of(records)].concat();
            write("journal_snapshot", format!("{count}-{choice}"), snapshot);
        }
    }
    let [log, snapshot] = jobs::first_records();
    for (name, records) in
        [("log", log), ("snapshot", snapshot), ("outcomes", jobs::outcome_records())]
    {
        for count in 1..=records.len() {
            write("queue_records", format!("{name}-{count}"), framed(&records[..count]));
        }
    }
    for (number, request) in json::tests::requests().into_iter().enumerate() {
        write("json_requests", format!("{number}"), [&[255][..], &request].concat());
    }
    for (number, bytes) in wire_seeds().into_iter().enumerate() {
        write("bodies", format!("request-{number}"), [&[0][..], &bytes].concat());
        for choice in [1, 3] {
            let head = [choice, 2, 30, 0, 50, 0];
            let frame = frame_of(3, number as u64 + 1, &bytes);
            write("frames", format!("{choice}-{number}"), [&head[..], &frame].concat());
        }
    }
    let all: Vec<u8> = (1..).zip(wire_seeds()).flat_map(|(id, it)| frame_of(3, id, &it)).collect();
    write("frames", "all".to_owned(), [&[3, 1, 99, 0][..], &all].concat());
    for (number, (_, change)) in changes().into_iter().enumerate() {
        write("store_records", format!("change-{number}"), framed(&[first_record_of(change)]));
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn d6_records_that_nobody_wrote_harm_nobody(data in vec(any::<u8>(), 0..400)) {
        store_records(&data);
        let head = [&[1, 1, 0, 1, 2][..], &data].concat();
        store_records(&framed(&[head]));
    }

    #[test]
    fn d6_records_that_were_changed_harm_nobody(
        requests in requests(),
        which in any::<prop::sample::Index>(),
        mutations in vec(mutation(), 0..4),
    ) {
        let mut records = records_of(requests);
        if !records.is_empty() {
            let record = which.get(&records).clone();
            let at = which.index(records.len());
            for mutation in &mutations {
                mutate(&mut records[at], mutation);
            }
            records.push(record);
        }
        store_records(&framed(&records));
    }

    #[test]
    fn d6_records_of_jobs_that_nobody_wrote_harm_nobody(
        data in vec(any::<u8>(), 0..400),
        room in 2..4u8,
    ) {
        queue_records(&data);
        let head = [&[room, 1, 100, 2][..], &data].concat();
        queue_records(&framed(&[head]));
    }

    #[test]
    fn d6_records_of_jobs_that_were_changed_harm_nobody(
        ops in jobs::ops(),
        snapshot in any::<bool>(),
        which in any::<prop::sample::Index>(),
        mutations in vec(mutation(), 0..4),
    ) {
        let [log, told] = jobs::records_of(ops);
        let mut records = if snapshot { told } else { log };
        if !records.is_empty() {
            let at = which.index(records.len());
            for mutation in &mutations {
                mutate(&mut records[at], mutation);
            }
        }
        queue_records(&framed(&records));
    }

    #[test]
    fn r4_frames_are_the_same_however_they_come(
        head in vec(any::<u8>(), 2..40),
        kinds in vec((1..12u8, any::<u8>(), any::<prop::sample::Index>()), 0..12),
        mutations in vec(mutation(), 0..3),
    ) {
        let seeds = wire_seeds();
        let mut sent: Vec<u8> = kinds
            .iter()
            .flat_map(|(kind, id, body)| match kind {
                1..=6 => frame_of(3, u64::from(*id), body.get::<Vec<u8>>(&seeds)),
                8 => frame_of(8, u64::from(*id), &[1, 0, 0, 0]),
                kind => frame_of(*kind, u64::from(*id), &[]),
            })
            .collect();
        mutations.iter().for_each(|mutation| mutate(&mut sent, mutation));
        frames(&[&head[..], &sent].concat());
    }

    #[test]
    fn r4_bodies_are_encoded_as_they_were_decoded(
        kind in any::<u8>(),
        body in any::<prop::sample::Index>(),
        mutations in vec(mutation(), 0..3),
    ) {
        let seeds = wire_seeds();
        let mut body = body.get(&seeds).clone();
        mutations.iter().for_each(|mutation| mutate(&mut body, mutation));
        bodies(&[&[0][..], &body].concat());
        bodies(&[&[kind][..], &body].concat());
    }

    #[test]
    fn d6_bytes_that_are_no_snapshot_are_refused(
        choice in any::<u8>(),
        data in vec(any::<u8>(), 0..600),
    ) {
        journal_snapshot(&[&[choice][..], &data].concat());
    }

    #[test]
    fn d6_snapshots_that_were_changed_are_refused_or_whole(
        choice in any::<u8>(),
        requests in requests(),
        mutations in vec(mutation(), 0..4),
    ) {
        let mut snapshot = snapshot_of(&records_of(requests));
        mutations.iter().for_each(|mutation| mutate(&mut snapshot, mutation));
        journal_snapshot(&[&[choice][..], &snapshot].concat());
    }

    #[test]
    fn d6_bytes_that_are_no_journal_are_refused_unchanged(
        choice in any::<u8>(),
        data in vec(any::<u8>(), 0..3_000),
    ) {
        journal_segments(&[&[choice][..], &data].concat());
    }

    #[test]
    fn d6_a_journal_that_was_changed_is_refused_unchanged_or_cut_once(
        requests in requests(),
        in_commit in 1..4usize,
        mutations in vec(mutation(), 0..3),
        choice in 0..8u8,
    ) {
        let mut data = journal_of(&records_of(requests), in_commit);
        for mutation in &mutations {
            mutate(&mut data, mutation);
        }
        data.insert(0, choice);
        journal_segments(&data);
    }
}
