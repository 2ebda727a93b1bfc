//! Links with unknown dialers, or too many. (For a storm of a thousand dialers, see
//! `l8_a_storm_of_a_thousand_dialers_is_survived`; for two dialers of one name, the tests of L4.)

use std::net::SocketAddr;

use super::beside::Beside;
use super::victim::{Victim, closed};
use super::{ELSEWHERE, MIB};
use crate::link::{Dialing, TOKEN, dialing};
use crate::process::{Server, until, wakeful};
use crate::support::raw::Raw;

/// A relay, with its ports for clients and for servers.
fn relay(limits: &[&str]) -> (Victim, SocketAddr) {
    let fixed = ["relay", "--listen", "127.0.0.1:0", "--accept", "127.0.0.1:0"];
    let arguments: Vec<&str> = limits.iter().flat_map(|limit| ["--limit", *limit]).collect();
    let mut command = wakeful(&[&fixed, &arguments[..]].concat());
    command.env("WAKEFUL_RELAY_TOKEN", TOKEN).env("RUST_LOG", "error");
    let mut server = Server::run_by(command);
    let line = server.line();
    let accepting = line.strip_prefix("accepting on ").expect(&line).parse().unwrap();
    (Victim::of(server), accepting)
}

/// A relay with the server `home` behind it, and a client of that server beside the attack.
fn relay_of_one(limits: &[&str]) -> (Victim, SocketAddr, Dialing, Beside) {
    let (victim, accepting) = relay(limits);
    let home = Dialing::start(dialing(&accepting.to_string(), "home", &[]));
    until("home is there", || victim.server().run(&["status", "--server", "home"]).code == Some(0));
    let beside = Beside::start(victim.addr());
    (victim, accepting, home, beside)
}

#[test]
fn abuse_28_rogue_dialers_get_no_name_and_hold_nobody_up() {
    let limits = ["link.handshakes_max=64", "link.handshake_timeout=1s"];
    let (victim, accepting, _home, beside) = relay_of_one(&limits);
    let (memory, descriptors) = (victim.peak(), victim.descriptors());
    for name in ["home", "elsewhere"] {
        let mut command = dialing(&accepting.to_string(), name, &[]);
        command.env("WAKEFUL_DIAL_TOKEN", TOKEN.replace('f', "e")).env("RUST_LOG", "warn");
        let rogue = Dialing::start(command);
        rogue.said("wrong or missing token");
        // The taken name stays with its holder; the other name belongs to none.
        let there = victim.server().run(&["status", "--server", name]).code == Some(0);
        assert_eq!(there, name == "home");
    }
    let said = [&b""[..], b"WAKELINK", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"WAKE"];
    let strangers: Vec<Raw> = (0..500)
        .map(|nth| {
            let mut raw = Raw::connect_from(ELSEWHERE, accepting);
            raw.send(said[nth % said.len()]);
            raw
        })
        .collect();
    beside.is_served();
    for raw in &strangers {
        closed(raw);
    }
    drop(strangers);
    victim.until_descriptors(descriptors);
    victim.assert_peak(memory, 32 * MIB, "500 strangers");
    beside.finish();
}

/// The other port of a relay faces a network, too.
#[test]
fn abuse_05_a_crowd_at_a_relay_leaves_room_for_others() {
    let (victim, _accepting, _home, beside) = relay_of_one(&["rpc.connections_per_address_max=30"]);
    let descriptors = victim.descriptors();
    let crowd: Vec<Raw> = (0..30).map(|_| victim.connect()).collect();
    for _ in 0..10 {
        let mut raw = victim.connect();
        raw.expect_preface();
        let refusal = raw.refused();
        assert_eq!(refusal.code, super::LIMIT_EXCEEDED);
        assert!(refusal.message.contains("rpc.connections_per_address_max"), "{refusal:?}");
    }
    beside.is_served();
    drop(crowd);
    victim.until_descriptors(descriptors);
    beside.finish();
}
