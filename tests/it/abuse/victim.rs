//! [`Victim`]: the server that is attacked, as the operating system sees it.

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

    /// With these limits, `NAME=VALUE`.
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

    /// A connection of an attacker, on which nothing was said.
    pub(super) fn connect(&self) -> Raw {
        Raw::connect_from(ELSEWHERE, self.addr)
    }

    /// A connection of an attacker who has said hello.
    pub(super) fn attack(&self) -> Raw {
        self.connect().welcome()
    }

    /// Bytes of memory in use.
    pub(super) fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most there ever were.
    pub(super) fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.server.pid());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * KIB
    }

    /// That the most there ever were is not so many above `before`.
    pub(super) fn assert_peak(&self, before: u64, allowed: u64, what: &str) {
        let grown = self.peak().saturating_sub(before);
        assert!(grown < allowed, "{what}: {} KiB", grown / KIB);
    }

    /// File descriptors in use.
    pub(super) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.server.pid())).unwrap().count()
    }

    /// Waits until no more of them are in use than `before`.
    pub(super) fn until_descriptors(&self, before: usize) {
        eventually("every descriptor is given back", || self.descriptors() <= before);
    }

    /// From now on it may have so many files open.
    pub(super) fn limit_descriptors(&self, count: usize) {
        let pid = Pid::from_raw(self.server.pid() as i32);
        let count = Some(count as u64);
        prlimit(pid, Resource::Nofile, Rlimit { current: count, maximum: count }).unwrap();
    }

    /// Stops it; gives what it said.
    pub(super) fn stop(self) -> Ran {
        self.server.signal("TERM");
        self.server.finish()
    }
}

/// A command that serves in `dir`, and fails at `place` when `file` is there.
pub(super) fn failing(arguments: &[&str], place: &str, action: &str, file: &Path) -> Command {
    let fixed = ["serve", "--listen", "127.0.0.1:0", "--log", "error"];
    let mut command = wakeful(&[&fixed, arguments].concat());
    command.env("WAKEFUL_FAILPOINT", format!("{place}={action}@{}", file.display()));
    command
}

/// How many connections this process may open, of `wanted`.
pub(super) fn connections(wanted: usize) -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // As many as there may be: other tests of this process have some too.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let most = maximum.map_or(usize::MAX, |most| most as usize).saturating_sub(1_500);
    wanted.min(most / 2)
}

/// Waits until the server has closed the connection, in whatever way; gives what it said before.
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

/// Sends these pieces until the server ends the connection; tells how many.
pub(super) fn flood(raw: &Raw, pieces: impl Iterator<Item = Vec<u8>>) -> usize {
    let mut socket = raw.socket();
    socket.set_write_timeout(Some(TIMEOUT)).unwrap();
    pieces.take_while(|piece| std::io::Write::write_all(&mut socket, piece).is_ok()).count()
}
