//! Running a server: options, signals, service manager, logs.

mod dist;
mod files;
mod logs;
mod manager;
mod options;
mod outputs;
mod reload;
mod starting;
mod stopping;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::process::{Ran, Running, run, wakeful};

/// A server whose standard error is read while it runs.
struct Served {
    process: Running,
    addr: String,
}

impl Served {
    /// Starts `serve` with `arguments` on a free port.
    fn start(arguments: &[&str]) -> Self {
        Self::run(wakeful(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat()))
    }

    fn run(command: Command) -> Self {
        let mut process = Running::start(command);
        let line = process.line();
        let addr = line.strip_prefix("listening on ").expect(&line).to_owned();
        Self { process, addr }
    }

    fn socket_addr(&self) -> SocketAddr {
        self.addr.parse().unwrap()
    }

    /// Runs a command for this server to its end.
    fn ask(&self, arguments: &[&str]) -> Ran {
        run(&[&["--addr", &self.addr], arguments].concat())
    }

    /// Stops the server; returns its remaining log.
    fn stop(self) -> String {
        self.process.signal("TERM");
        let ran = self.process.finish();
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stderr
    }
}

/// A directory for the file of `--config` and other temporary files.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes the file, and returns its path.
    fn config(&self, text: &str) -> String {
        let path = self.path("wakeful.toml");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}
