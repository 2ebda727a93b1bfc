//! What outlives the process: a durable server that is killed, stopped, damaged and started again.

mod asked;
mod backup;
mod damage;
mod failure;
mod kills;
mod restarts;
mod torture;

use std::future::Future;
use std::path::{Path, PathBuf};

use wakeful::{Client, ClientConfig};

use crate::process::{PATIENCE, Server};

/// A data directory that outlives its servers, one at a time.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn server(&self) -> Server {
        self.server_with(&[])
    }

    fn server_with(&self, more: &[&str]) -> Server {
        let dir = self.dir();
        Server::start_with(&[&serve_in(&dir)[..], more].concat())
    }

    /// The files of the log, in order.
    fn segments(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut segments: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|it| it == "log")).collect();
        segments.sort();
        segments
    }
}

/// Arguments of `serve`: durable in `dir`, with the smallest segments there are.
fn serve_in(dir: &Path) -> [&str; 6] {
    let dir = dir.to_str().unwrap();
    let small = "journal.segment_bytes=16MiB";
    ["--durability", "fsync", "--data-dir", dir, "--limit", small]
}

async fn connect(addr: &str) -> Client {
    within(Client::connect_with(ClientConfig::new(addr))).await.unwrap()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it does not come")
}
