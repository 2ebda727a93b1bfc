//! Peers that are slow, silent or gone.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use super::beside::Beside;
use super::victim::{Victim, closed, connections};
use super::{KIB, MIB};
use crate::support::body::{self, From, get, key, prefix, set};
use crate::support::raw::{ERROR, PING, PREFACE, Raw, hello, request};
use crate::support::{TIMEOUT, eventually, jobs};

/// Returns the start of a frame of the maximum size, which is never completed.
fn stalled() -> Vec<u8> {
    let mut start = request(1, set(b"stalled", &[b'x'; 1000]));
    start[..4].copy_from_slice(&(8 * MIB as u32).to_le_bytes());
    start
}

#[test]
fn abuse_02_ten_thousand_headers_of_the_maximum_that_stall_cost_what_was_sent() {
    // None times out before the last has connected, also on a slow machine.
    let victim = Victim::with(&["rpc.frame_timeout=10m", "rpc.handshake_timeout=10m"]);
    let beside = Beside::start(victim.addr());
    let (memory, descriptors) = (victim.resident(), victim.descriptors());
    let count = connections(10_000);
    let start = [&PREFACE[..], &hello("stalls"), &stalled()].concat();
    let peers: Vec<Raw> = (0..count)
        .map(|_| {
            let mut raw = victim.connect();
            raw.send(&start);
            raw
        })
        .collect();
    let mut witness = Raw::open(victim.addr());
    eventually("all are in", || witness.status().connections == count as u64 + 2);
    beside.is_served();
    // They announce 80 GiB, and have sent 10 MiB.
    let allowed = count as u64 * 24 * KIB + 16 * MIB;
    let grown = victim.resident().saturating_sub(memory);
    assert!(grown < allowed, "{count} of them cost {} KiB", grown / KIB);
    drop(peers);
    drop(witness);
    victim.until_descriptors(descriptors);
    beside.finish();
}

#[test]
fn abuse_02_a_frame_that_stalls_ends_at_its_deadline() {
    let victim = Victim::with(&["rpc.frame_timeout=1s"]);
    let beside = Beside::start(victim.addr());
    let descriptors = victim.descriptors();
    let mut peers: Vec<Raw> = (0..100).map(|_| victim.attack()).collect();
    peers.iter_mut().for_each(|raw| raw.send(&stalled()));
    for raw in &mut peers {
        let refusal = raw.refused();
        assert!(refusal.message.contains("rpc.frame_timeout"), "{refusal:?}");
    }
    drop(peers);
    victim.until_descriptors(descriptors);
    beside.finish();
}

/// Sends a byte to each peer repeatedly until the other side has closed all; returns what each
/// received.
pub(super) fn trickle(peers: &[Raw], bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut said = vec![(Vec::new(), false); peers.len()];
    peers.iter().for_each(|raw| raw.socket().set_nonblocking(true).unwrap());
    let deadline = Instant::now() + TIMEOUT;
    for byte in bytes {
        for (raw, (said, ended)) in peers.iter().zip(&mut said).filter(|(_, it)| !it.1) {
            // A refusal is read below.
            let _ = raw.socket().write(&[*byte]);
            let mut buffer = [0; 4096];
            match raw.socket().read(&mut buffer) {
                Ok(0) => *ended = true,
                Ok(count) => said.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => *ended = true,
            }
        }
        if said.iter().all(|(_, ended)| *ended) {
            return said.into_iter().map(|(said, _)| said).collect();
        }
        assert!(Instant::now() < deadline, "some are still open");
        // The pace of the attack.
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("they took it all");
}

#[test]
fn abuse_03_a_byte_at_a_time_is_too_slow_before_the_hello_and_after() {
    let victim = Victim::with(&["rpc.handshake_timeout=1s", "rpc.frame_timeout=1s"]);
    let beside = Beside::start(victim.addr());
    let (memory, descriptors) = (victim.peak(), victim.descriptors());
    let peers: Vec<Raw> = (0..50).map(|_| victim.connect()).collect();
    let slow = [&PREFACE[..], &hello(&"x".repeat(250))].concat();
    for said in trickle(&peers, &slow.repeat(20)) {
        // A refusal can be lost if more was sent than the server reads.
        assert!(said.is_empty() || said.starts_with(PREFACE), "{said:?}");
    }
    drop(peers);
    let peers: Vec<Raw> = (0..50).map(|_| victim.attack()).collect();
    for said in trickle(&peers, &request(1, set(b"slow", &[b'x'; 5000]))) {
        assert!(said.is_empty() || said[4] == ERROR, "{said:?}");
    }
    drop(peers);
    victim.until_descriptors(descriptors);
    victim.assert_peak(memory, 8 * MIB, "100 slow peers");
    assert_eq!(Raw::open(victim.addr()).status().keys, 1, "nothing of it was done");
    beside.finish();
}

#[test]
fn abuse_04_who_connects_and_never_speaks_loses_the_place() {
    let victim = Victim::with(&["rpc.handshake_timeout=2s"]);
    let beside = Beside::start(victim.addr());
    let (memory, descriptors) = (victim.peak(), victim.descriptors());
    let mut peers: Vec<Raw> = (0..500).map(|_| victim.connect()).collect();
    let halfway = (0..100).map(|_| {
        let mut raw = victim.connect();
        raw.send(PREFACE);
        raw
    });
    let mut halfway: Vec<Raw> = halfway.collect();
    for raw in &mut peers {
        let line = String::from_utf8(raw.rest()).unwrap();
        assert!(line.starts_with("ERR wakeful: no preface within rpc.handshake_timeout"), "{line}");
    }
    for raw in &mut halfway {
        raw.expect_preface();
        assert!(raw.refused().message.contains("rpc.handshake_timeout"));
    }
    victim.until_descriptors(descriptors);
    victim.assert_peak(memory, 16 * MIB, "600 silent peers");
    beside.finish();
}

#[test]
fn abuse_10_who_never_reads_costs_its_bound_and_is_closed() {
    let victim = Victim::with(&["rpc.write_timeout=2s", "rpc.ping_interval=10m"]);
    let mut witness = Raw::open(victim.addr());
    for n in 0..20 {
        witness.set(format!("big/{n}").as_bytes(), &vec![b'x'; MIB as usize]);
    }
    let beside = Beside::start(victim.addr());
    let (memory, descriptors) = (victim.peak(), victim.descriptors());
    let mut deaf = Vec::new();
    // Each requests a thousand answers of a MiB.
    for _ in 0..10 {
        let mut raw = victim.attack();
        raw.send(&(1..=1000).flat_map(|id| request(id, get(b"big/0"))).collect::<Vec<_>>());
        deaf.push(raw);
    }
    // Others watch from a snapshot, with credit for all changes after it.
    for _ in 0..10 {
        let mut raw = victim.attack();
        let stream = raw.open_stream(u32::MAX);
        raw.ask(body::watch_add(stream, 0, prefix(b"big/"), From::Snapshot));
        deaf.push(raw);
    }
    for n in 0..20 {
        witness.set(format!("big/{n}").as_bytes(), b"");
        beside.is_served();
    }
    eventually("they are closed", || witness.status().connections == 2);
    let status = witness.status();
    assert_eq!((status.watches, status.streams), (1, 1), "those of the client beside are left");
    drop(deaf);
    victim.until_descriptors(descriptors);
    victim.assert_peak(memory, 96 * MIB, "20 deaf peers");
    beside.finish();
}

/// A peer that reads a little now and then takes no output as far as the server can see: the kernel
/// reports room in its buffer only once a good part of it is free.
#[test]
fn abuse_10_who_reads_a_byte_at_a_time_is_closed_as_well() {
    let victim = Victim::with(&["rpc.write_timeout=2s", "rpc.ping_interval=10m"]);
    let mut witness = Raw::open(victim.addr());
    witness.set(b"big", &vec![b'x'; MIB as usize]);
    let beside = Beside::start(victim.addr());
    let mut raw = victim.attack();
    raw.send(&(1..=100).flat_map(|id| request(id, get(b"big"))).collect::<Vec<_>>());
    let mut byte = [0];
    eventually("it is closed", || {
        let _ = raw.socket().read(&mut byte);
        witness.status().connections == 2
    });
    beside.finish();
}

/// Nothing comes from the peer any more, not even pongs, as after a pulled cable. (That its packets
/// are not acknowledged either is noticed by `TCP_USER_TIMEOUT`; a test beside the accept loop
/// proves that this is set, since no test here can pull a cable.)
#[test]
fn abuse_16_a_peer_that_is_gone_without_a_word_loses_what_it_held() {
    let victim = Victim::with(&["rpc.ping_interval=1s", "rpc.ping_timeout=1s"]);
    let beside = Beside::start(victim.addr());
    let descriptors = victim.descriptors();
    let mut gone = victim.attack();
    gone.park(body::wait(key(b"a"), body::CHANGED, 600_000));
    let stream = gone.open_stream(1000);
    gone.watch(stream, 1, prefix(b"a"), From::Now);
    let id = gone.push_job(b"topic", b"payload");
    let held = gone.reserve_one(b"topic").reservation;
    assert_eq!((held.id, held.epoch), (id, 1));
    assert_eq!(gone.next().kind, PING);
    assert!(closed(&gone).is_empty(), "closed without another word");
    victim.until_descriptors(descriptors);
    let mut witness = Raw::open(victim.addr());
    assert_eq!(witness.status().waits, 0);
    let again = witness.call(jobs::reserve(b"topic", 1, 0)).reserved();
    assert_eq!((again[0].reservation.id, again[0].reservation.epoch), (id, 2));
    assert_eq!(again[0].losses, 1, "it counts as a loss");
    beside.finish();
}
