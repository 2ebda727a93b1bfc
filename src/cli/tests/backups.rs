//! `wakeful backup` of a store whose snapshots do not stay.

use std::path::Path;

use super::*;
use crate::journal::{FaultyDisk, RealDisk, check_snapshot};
use crate::{Config, FilesRequest, SetRequest, StoreRequest, Wakeful, Watch};

/// A store that changes, and replaces its snapshot, before the first parts are read.
struct Restless {
    wakeful: Wakeful,
    times: Mutex<u64>,
}

impl Operations for Restless {
    type Watch = Watch;

    async fn call_with(&self, request: Request, options: CallOptions) -> Result<CallReply, Error> {
        let again = {
            let mut times = self.times.lock();
            let reads = matches!(
                request,
                Request::Store(StoreRequest::Files(FilesRequest::ReadSnapshot { .. }))
            );
            let again = reads && *times > 0;
            *times -= u64::from(again);
            again
        };
        if again {
            self.wakeful.set(SetRequest::new("a", "another")).await?;
            self.wakeful.snapshot().await?;
        }
        self.wakeful.call_with(request, options).await
    }

    async fn wait(&self, request: WaitRequest) -> Result<WaitOutcome, Error> {
        self.wakeful.wait(request).await
    }

    async fn watch(&self, request: WatchRequest) -> Result<Watch, Error> {
        self.wakeful.watch(request).await
    }
}

/// Backs up a store whose snapshot is replaced `times` times; returns its revision then.
async fn back_up(times: u64, to: &Path) -> (Result<Exit, Failure>, u64) {
    let disk = std::sync::Arc::new(FaultyDisk::new());
    let wakeful = Wakeful::open_on(disk, Config::new(), Path::new("/data")).unwrap();
    wakeful.set(SetRequest::new("a", "1")).await.unwrap();
    let store = Restless { wakeful: wakeful.clone(), times: Mutex::new(times) };
    let cli = parse(&format!("backup {}", to.display())).unwrap();
    let mut out = Output::memory(false);
    let done = cli.command.run(&store, &mut out).await;
    let revision = wakeful.status().await.unwrap().revision;
    wakeful.stop().await;
    (done, revision)
}

#[actix_rt::test]
async fn d11_a_snapshot_that_is_replaced_while_it_is_fetched_is_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup");
    let (done, revision) = back_up(3, &file).await;
    assert_eq!((done.unwrap(), revision), (Exit::Done, 5));
    check_snapshot(&RealDisk, &file, &mut |_, _| Ok(())).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[actix_rt::test]
async fn d11_when_none_stays_long_enough_it_is_given_up_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let (done, _) = back_up(1000, &dir.path().join("backup")).await;
    assert_eq!(done.unwrap_err().exit(), Exit::Unreachable);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
