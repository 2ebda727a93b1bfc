//! R4, W9, S10: a peer can make the server hold only bounded memory. The server is a separate
//! process, so that its memory can be measured.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::support::body::{self, From, get, prefix};
use crate::support::raw::{REPLY, Raw, request};

const MIB: u64 = 1 << 20;

struct Process {
    child: Child,
    addr: SocketAddr,
}

impl Process {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_wakeful"))
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "error", "--durability", "memory"])
            // The flood of pings tests the memory of answers; the limit of pings has its own test.
            .args(["--limit", "rpc.control_frames_max=1000000000"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on ").expect(&line).parse().unwrap();
        Self { child, addr }
    }

    /// Returns the memory in use, bytes.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends as much as the server reads, up to `count` times `bytes`; returns the number of times.
fn flood(raw: &Raw, bytes: &[u8], count: usize) -> usize {
    let mut socket = raw.socket();
    socket.set_write_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    (0..count).take_while(|_| socket.write_all(bytes).is_ok()).count()
}

#[test]
fn w9_a_peer_that_never_reads_costs_little_and_harms_nobody() {
    let server = Process::start();
    let mut witness = Raw::open(server.addr);
    witness.set(b"a", &vec![b'x'; MIB as usize]);
    for n in 0..20 {
        witness.set(format!("b{n}").as_bytes(), &vec![b'x'; MIB as usize]);
    }
    let before = server.resident();
    let mut deaf = Vec::new();
    // Each requests a thousand answers of a MiB: 30 GiB, if they were kept.
    for _ in 0..15 {
        let raw = Raw::open(server.addr);
        let requests: Vec<u8> = (1..=1000).flat_map(|id| request(id, get(b"a"))).collect();
        flood(&raw, &requests, 1);
        deaf.push(raw);
    }
    for _ in 0..15 {
        let mut raw = Raw::open(server.addr);
        let stream = raw.open_stream(u32::MAX);
        raw.ask(body::watch_add(stream, 0, prefix(b""), From::Snapshot));
        deaf.push(raw);
    }
    // Requests with small answers, as many as are read.
    for _ in 0..5 {
        let raw = Raw::open(server.addr);
        let pings = crate::support::raw::frame(9, 0, 1, b"").repeat(10_000);
        assert!(flood(&raw, &pings, 1000) < 1000, "it reads on, although nobody reads its answers");
        deaf.push(raw);
    }
    for n in 0..20 {
        witness.set(format!("b{n}").as_bytes(), b"");
        assert_eq!(witness.call(get(b"a")).kind, REPLY);
    }
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 150 * MIB, "35 deaf peers cost {} MiB", grown / MIB);
}

#[test]
fn r4_what_is_only_announced_costs_nothing() {
    let server = Process::start();
    let mut witness = Raw::open(server.addr);
    let before = server.resident();
    let peers: Vec<Raw> = (0..200)
        .map(|_| {
            let mut raw = Raw::open(server.addr);
            // The header and the start of a body of 8 MiB.
            let mut start = request(1, get(&[b'x'; 1000]));
            start[..4].copy_from_slice(&(8 * MIB as u32).to_le_bytes());
            raw.send(&start);
            raw
        })
        .collect();
    assert_eq!(witness.call(get(b"a")).kind, REPLY);
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 20 * MIB, "{} announcements cost {} MiB", peers.len(), grown / MIB);
}

/// Waits without a timeout are refused at the limit of the connection, and freed at its end.
#[test]
fn s10_parked_waits_are_limited_and_freed() {
    const WAITS: u64 = 100_000;
    let server = Process::start();
    let mut witness = Raw::open(server.addr);
    let mut raw = Raw::open(server.addr);
    let sender = raw.socket().try_clone().unwrap();
    let flood = std::thread::spawn(move || {
        let mut sender = std::io::BufWriter::new(sender);
        for id in 1..=WAITS + 10 {
            let name = format!("key-{id}");
            let wait = body::wait(body::key(name.as_bytes()), body::CHANGED, 600_000);
            sender.write_all(&request(id, wait)).unwrap();
        }
        sender.flush().unwrap();
    });
    let mut refused = 0;
    for _ in 1..=WAITS + 10 {
        let frame = raw.next();
        if frame.kind == crate::support::raw::ERROR {
            assert_eq!(frame.refusal().code, 2);
            refused += 1;
        }
    }
    flood.join().unwrap();
    assert_eq!(refused, 10);
    assert_eq!(witness.status().waits, WAITS);
    drop(raw);
    crate::support::eventually("they are freed", || witness.status().waits == 0);
}
