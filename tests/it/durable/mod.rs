//! Durability: a server that is killed, stopped, damaged and started again.

mod asked;
mod backup;
pub(crate) mod damage;
pub(crate) mod failure;
mod formats;
mod hangs;
mod incarnations;
pub(crate) mod kills;
mod lock;
mod removed;
mod restarts;
mod small_disk;
mod torture;

use std::future::Future;
use std::path::{Path, PathBuf};

use wakeful::{Client, ClientConfig};

use crate::process::{Server, TIMEOUT};

/// A data directory that outlives its servers, one at a time.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.0.path().join("data")
    }

    pub(crate) fn server(&self) -> Server {
        self.server_with(&[])
    }

    pub(crate) fn server_with(&self, more: &[&str]) -> Server {
        let dir = self.dir();
        Server::start_with(&[&serve_in(&dir)[..], more].concat())
    }

    /// Ends a server by `signal`, and starts another at its address.
    pub(crate) fn restart(&self, server: Server, signal: &str, more: &[&str]) -> Server {
        let addr = server.addr().to_owned();
        server.signal(signal);
        server.finish();
        Server::start_at(&addr, &[&serve_in(&self.dir())[..], more].concat())
    }

    /// Returns the segments of the log, in order.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut segments: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|it| it == "log")).collect();
        segments.sort();
        segments
    }
}

/// Returns the arguments of `serve` for a durable store in `dir` with the smallest segments.
pub(crate) fn serve_in(dir: &Path) -> [&str; 6] {
    let dir = dir.to_str().unwrap();
    let small = "journal.segment_bytes=16MiB";
    ["--durability", "fsync", "--data-dir", dir, "--limit", small]
}

pub(crate) async fn connect(addr: &str) -> Client {
    within(Client::connect_with(ClientConfig::new(addr))).await.unwrap()
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, future).await.expect("it does not come")
}
