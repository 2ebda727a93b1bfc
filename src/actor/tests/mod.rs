//! The actors on a journal with a simulated disk.

mod asked;
mod fenced;
mod hangs;
mod jobs;
mod leases;
mod log;
mod poison;
mod snapshots;
mod space;
mod turns;
mod whole;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::task::JoinHandle;

use crate::journal::FaultyDisk;
use crate::test_timeout::{until, within};
use crate::{
    CallOptions, CallReply, Config, Durability, Error, GetRequest, KvRequest, Operations, Request,
    SetRequest, StoreRequest, Wakeful,
};

/// Returns a configuration with small limits, whose journal syncs only on request.
pub(crate) fn config(durability: Durability) -> Config {
    let mut config = Config::new();
    for (name, value) in [
        ("store.key_bytes_max", "256"),
        ("store.value_bytes_max", "4KiB"),
        ("store.range_keys_max", "128"),
        ("store.range_bytes_max", "8KiB"),
        ("store.txn_ops_max", "16"),
        ("store.revision_bytes_max", "64KiB"),
        ("queue.payload_bytes_max", "8KiB"),
        ("queue.output_bytes_max", "8KiB"),
        ("queue.error_bytes_max", "256"),
        ("queue.name_bytes_max", "128"),
        ("journal.segment_bytes", "128KiB"),
        ("journal.sync_interval", "600s"),
    ] {
        config.set(name, value).unwrap();
    }
    config.journal.durability = durability;
    config
}

pub(crate) fn open_with(disk: &FaultyDisk, config: Config) -> Wakeful {
    Wakeful::open_on(Arc::new(disk.clone()), config, Path::new("/data")).unwrap()
}

/// Opens a service with this default durability.
fn open(disk: &FaultyDisk, durability: Durability) -> Wakeful {
    open_with(disk, config(durability))
}

/// Does the same as [`open`]; from now on, the only syncs are those of written records.
async fn open_quiet(disk: &FaultyDisk, durability: Durability) -> Wakeful {
    let wakeful = open(disk, durability);
    let made = |path: &Path| path.extension().is_some_and(|it| it == "log");
    until("the next segment is made", || {
        disk.contents().iter().filter(|(path, _)| made(path)).count() == 2
    })
    .await;
    // With `interval`, the first commit of a segment is synced; a lease makes no revision.
    within(wakeful.lease_grant(Duration::from_secs(60))).await.unwrap();
    wakeful
}

fn set(key: &str) -> StoreRequest {
    KvRequest::Set(SetRequest::new(key, "v")).into()
}

fn get(key: &str) -> StoreRequest {
    KvRequest::Get(GetRequest { key: key.into(), revision: 0 }).into()
}

/// Starts a request; requests started one after another reach the store in that order.
fn start(
    wakeful: &Wakeful,
    request: impl Into<Request>,
    durability: Option<Durability>,
) -> JoinHandle<Result<CallReply, Error>> {
    let (wakeful, request) = (wakeful.clone(), request.into());
    let options = CallOptions { durability, ..CallOptions::default() };
    actix_rt::spawn(async move { wakeful.call_with(request, options).await })
}

async fn done(call: JoinHandle<Result<CallReply, Error>>) -> CallReply {
    within(call).await.unwrap().unwrap()
}

/// Waits until the store has executed everything that was started; returns whether `call` has no
/// answer.
async fn is_withheld(wakeful: &Wakeful, call: &JoinHandle<Result<CallReply, Error>>) -> bool {
    within(wakeful.status()).await.unwrap();
    within(wakeful.status()).await.unwrap();
    !call.is_finished()
}
