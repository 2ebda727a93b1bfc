//! [`Victim`]: the attacked server, as the operating system sees it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

use super::{ELSEWHERE, KIB};
use crate::process::{Ran, Server, wakeful};
use crate::support::raw::Raw;
use crate::support::{TIMEOUT, eventually};

pub(super) struct Victim {
    server: Server,
    addr: SocketAddr,
}

impl Victim {
    pub(super) fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a server with these limits, `NAME=VALUE`.
    pub(super) fn with(limits: &[&str]) -> Self {
        let arguments: Vec<&str> = limits.iter().flat_map(|limit| ["--limit", *limit]).collect();
        Self::of(Server::start_with(&arguments))
    }

    pub(super) fn of(server: Server) -> Self {
        let addr = server.addr().parse().unwrap();
        Self { server, addr }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Returns a connection of an attacker that has sent nothing.
    pub(super) fn connect(&self) -> Raw {
        Raw::connect_from(ELSEWHERE, self.addr)
    }

    /// Returns a connection of an attacker that has sent its hello.
    pub(super) fn attack(&self) -> Raw {
        self.connect().welcome()
    }

    /// Returns the memory in use, bytes.
    pub(super) fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// Returns the peak memory use so far, bytes.
    pub(super) fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.server.pid());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * KIB
    }

    /// Asserts that the peak memory use is at most `allowed` above `before`.
    pub(super) fn assert_peak(&self, before: u64, allowed: u64, what: &str) {
        let grown = self.peak().saturating_sub(before);
        assert!(grown < allowed, "{what}: {} KiB", grown / KIB);
    }

    /// Returns the number of open file descriptors.
    pub(super) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.server.pid())).unwrap().count()
    }

    /// Waits until no more descriptors are open than `before`.
    pub(super) fn until_descriptors(&self, before: usize) {
        eventually("every descriptor is given back", || self.descriptors() <= before);
    }

    /// Limits the number of files that the server may have open from now on.
    pub(super) fn limit_descriptors(&self, count: usize) {
        let pid = Pid::from_raw(self.server.pid() as i32);
        let count = Some(count as u64);
        prlimit(pid, Resource::Nofile, Rlimit { current: count, maximum: count }).unwrap();
    }

    /// Stops the server; returns its output.
    pub(super) fn stop(self) -> Ran {
        self.server.signal("TERM");
        self.server.finish()
    }
}

/// Returns a command that serves with `arguments`, and fails at `place` once `file` exists.
pub(super) fn failing(arguments: &[&str], place: &str, action: &str, file: &Path) -> Command {
    let fixed = ["serve", "--listen", "127.0.0.1:0", "--log", "error"];
    let mut command = wakeful(&[&fixed, arguments].concat());
    command.env("WAKEFUL_FAILPOINT", format!("{place}={action}@{}", file.display()));
    command
}

/// Returns the number of connections that this process can open, up to `wanted`.
pub(super) fn connections(wanted: usize) -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // The maximum: other tests of this process need descriptors, too.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let most = maximum.map_or(usize::MAX, |most| most as usize).saturating_sub(1_500);
    wanted.min(most / 2)
}

/// Waits until the server has closed the connection in any way; returns what it sent before.
pub(super) fn closed(raw: &Raw) -> Vec<u8> {
    let mut said = Vec::new();
    let mut socket = raw.socket();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match std::io::Read::read(&mut socket, &mut buffer) {
            Ok(0) => return said,
            Ok(count) => said.extend_from_slice(&buffer[..count]),
            Err(error) => match error.kind() {
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => {
                    return said;
                }
                _ => panic!("it stays open: {error}"),
            },
        }
    }
}

/// Sends the pieces until the server ends the connection; returns the number sent.
pub(super) fn flood(raw: &Raw, pieces: impl Iterator<Item = Vec<u8>>) -> usize {
    let mut socket = raw.socket();
    socket.set_write_timeout(Some(TIMEOUT)).unwrap();
    pieces.take_while(|piece| std::io::Write::write_all(&mut socket, piece).is_ok()).count()
}
