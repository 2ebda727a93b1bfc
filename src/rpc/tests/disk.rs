//! D8: every request of the protocol is answered by its deadline, whatever happens to the disk.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::peer::Peer;
use super::probes::probes;
use crate::actor::tests::{config, open_with};
use crate::journal::FaultyDisk;
use crate::model::{JobRef, KvRequest, PushOptions, RpcCall, SetRequest};
use crate::test_timeout::{until, within};
use crate::{Durability, ErrorCode, Jobs, Operations, Wakeful};

const DEADLINE_MS: u32 = 400;

async fn serve(disk: &FaultyDisk) -> (Wakeful, SocketAddr) {
    let mut config = config(Durability::Fsync);
    config.rpc.shutdown_grace = Duration::from_millis(1);
    let wakeful = open_with(disk, config);
    for index in super::world::STATES {
        let options = PushOptions { index: Some(index.into()), ..PushOptions::default() };
        wakeful.push("taken", "p", options).await.unwrap();
    }
    let cancelled = JobRef::Index { topic: "taken".into(), index: "cancelled".into() };
    wakeful.cancel_job(cancelled).await.unwrap();
    wakeful.set(SetRequest::new("taken/k", "v")).await.unwrap();
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
    (wakeful, addr)
}

/// Sends every probe with a deadline; returns the number of answers that were refusals, by code.
async fn ask_all(addr: SocketAddr) -> BTreeMap<u16, usize> {
    let mut peer = Peer::connect(addr, None).await;
    let calls: Vec<RpcCall> =
        probes([1, 2, 3, 4, 5, 6], [1, 2]).into_iter().map(|probe| probe.call).collect();
    let mut codes = BTreeMap::new();
    // As many as one connection may have in flight.
    for calls in calls.chunks(64) {
        let frames = peer.ask_within(DEADLINE_MS, calls).await;
        let answers = frames.iter().filter(|frame| !frame.contains(" Push "));
        let mut answered: Vec<usize> = Vec::new();
        for answer in answers {
            let mut parts = answer.splitn(4, ' ');
            answered.push(parts.next().unwrap().parse().unwrap());
            let code = match parts.next().unwrap() {
                "Error" => code_of(parts.nth(1).unwrap()),
                _ => 0,
            };
            *codes.entry(code).or_default() += 1;
        }
        answered.sort_unstable();
        assert_eq!(answered, (0..calls.len()).collect::<Vec<_>>(), "one answer each");
    }
    codes
}

/// Reads the code at the beginning of the escaped body of an error.
fn code_of(body: &str) -> u16 {
    ErrorCode::ALL
        .into_iter()
        .map(|code| code as u16)
        .find(|code| {
            let bytes: Vec<u8> = code.to_le_bytes().to_vec();
            body.starts_with(&bytes.escape_ascii().to_string())
        })
        .unwrap()
}

#[actix_rt::test]
async fn d8_while_a_sync_hangs_every_request_is_answered_by_its_deadline() {
    let disk = FaultyDisk::new();
    let (wakeful, addr) = serve(&disk).await;
    disk.hold_syncs(true);
    let mut other = Peer::connect(addr, None).await;
    other.send(0, &[RpcCall::from(KvRequest::Set(SetRequest::new("taken/k", "w")))]).await;
    until("the sync hangs", || disk.syncs_held() > 0).await;
    let codes = ask_all(addr).await;
    assert!(codes[&(ErrorCode::DeadlineExceeded as u16)] > 20, "{codes:?}");
    disk.hold_syncs(false);
    within(wakeful.stop()).await;
}

#[actix_rt::test]
async fn d8_on_a_disk_whose_last_segment_is_full_every_request_is_answered_by_its_deadline() {
    let disk = FaultyDisk::new();
    disk.limit_space(Some(1024 * 1024));
    let (wakeful, addr) = serve(&disk).await;
    let fill = async {
        let set = || SetRequest::new("taken/k", vec![b'v'; 4000]);
        while wakeful.set(set()).await.is_ok() {}
        // There is no space for a snapshot either.
        let used: usize = disk.contents().iter().map(|(_, bytes)| bytes.len()).sum();
        disk.limit_space(Some(used as u64));
        // A write that does not grow the store is accepted as long as it fits.
        let shrink = |nth: usize| SetRequest::new("taken/k", vec![b'v'; 3999 - nth]);
        for nth in 0.. {
            if let Err(error) = wakeful.set(shrink(nth)).await {
                assert_eq!(error.code, ErrorCode::NoSpace, "{error}");
                return;
            }
        }
    };
    within(fill).await;
    let codes = ask_all(addr).await;
    assert!(codes[&(ErrorCode::NoSpace as u16)] > 5, "{codes:?}");
    within(wakeful.stop()).await;
}
