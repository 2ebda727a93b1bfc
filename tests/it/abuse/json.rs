//! The JSON door under those attacks for which it has code of its own.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::thread;

use serde_json::{Value, json};

use super::MIB;
use super::beside::Beside;
use super::slow::trickle;
use super::victim::{Victim, closed, flood};
use crate::json::Json;
use crate::support::eventually;
use crate::support::raw::Raw;

#[test]
fn abuse_01_an_object_beyond_the_limit_is_the_end() {
    let victim = Victim::start();
    let beside = Beside::start(victim.addr());
    let (memory, descriptors) = (victim.peak(), victim.descriptors());
    for (start, more) in [
        (r#"{"method":""#, "x"),
        (r#"{"method":""#, r"\u0041"),
        (r#"{"params":["#, "1,"),
        (r#"{"params":[{"#, r#""a":{},"#),
    ] {
        let raw = victim.connect();
        let piece = more.repeat(MIB as usize / more.len());
        let pieces = (0..20).map(|_| piece.clone().into_bytes());
        flood(&raw, std::iter::once(start.into()).chain(pieces));
        let said = closed(&raw);
        assert!(said.is_empty(), "{:?}", String::from_utf8_lossy(&said));
    }
    victim.until_descriptors(descriptors);
    victim.assert_peak(memory, 64 * MIB, "objects that do not end");
    beside.finish();
}

#[test]
fn abuse_03_a_byte_at_a_time_is_too_slow_in_json_as_well() {
    let victim = Victim::with(&["rpc.frame_timeout=1s"]);
    let beside = Beside::start(victim.addr());
    let descriptors = victim.descriptors();
    let peers: Vec<Raw> = (0..50).map(|_| victim.connect()).collect();
    let value = "x".repeat(5_000);
    let set = format!(r#"{{"method":"KVStoreService.Set","params":[["slow","{value}"]],"id":1}}"#);
    for said in trickle(&peers, set.as_bytes()) {
        assert!(said.is_empty(), "{said:?}");
    }
    drop(peers);
    victim.until_descriptors(descriptors);
    assert_eq!(Raw::open(victim.addr()).status().keys, 1, "nothing of it was done");
    beside.finish();
}

#[test]
fn abuse_06_what_is_large_in_memory_and_small_in_json_costs_its_bound() {
    let victim = Victim::start();
    let beside = Beside::start(victim.addr());
    let memory = victim.peak();
    for deep in ["[", r#"{"a":"#, r#"[{"a":"#] {
        let mut raw = victim.connect();
        // The server may close the connection meanwhile.
        let _ = raw.socket().write_all(format!(r#"{{"params":{}"#, deep.repeat(10_000)).as_bytes());
        assert!(closed(&raw).is_empty());
        raw = victim.connect();
        raw.send(b"{}");
    }
    let mut json = Json::connect(victim.addr());
    for smallest in ["{}", "[]", "0", "null", r#""""#] {
        let many = vec![smallest; 1_000_000].join(",");
        let error = json.refused("Wakeful.Txn", &format!(r#"{{"compares":[{many}]}}"#));
        assert!(!error.is_empty());
    }
    for number in ["1e999", "-1e999", "1e-999", &"9".repeat(100_000), "-1"] {
        let limit = json.refused("Wakeful.Range", &format!(r#"{{"limit":{number}}}"#));
        assert!(limit.len() < 500_000, "{limit}");
        // A negative timeout counts as zero, during which a change may still arrive.
        if number != "-1" {
            let seconds = json.refused("KVStoreService.Watch", number);
            assert!(seconds.len() < 500_000, "{seconds}");
        }
    }
    assert_eq!(json.ok("Wakeful.Ping", "{}"), json!({}), "the connection lives");
    victim.assert_peak(memory, 128 * MIB, "JSON of 8 MiB");
    beside.finish();
}

#[test]
fn abuse_07_wrong_arguments_harm_one_request_and_what_is_no_json_ends_the_connection() {
    let victim = Victim::start();
    let beside = Beside::start(victim.addr());
    let mut json = Json::connect(victim.addr());
    for (method, argument) in [
        ("KVStoreService.Set", "7"),
        ("KVStoreService.Get", "{}"),
        ("KVStoreService.NoSuch", "{}"),
        ("Wakeful.Set", r#"{"nosuch":1}"#),
        ("Wakeful.Get", r#"{"key":7}"#),
        ("Wakeful.Wait", r#"{"range":{"key":"a"},"condition":"Never"}"#),
        ("Wakeful.NoSuch", "{}"),
        ("NoSuch.Method", "{}"),
        ("nothing", "{}"),
    ] {
        let error = json.refused(method, argument);
        assert!(!error.is_empty(), "{method} {argument}");
        assert_eq!(json.ok("Wakeful.Ping", "{}"), json!({}), "after {method} {argument}");
    }
    for broken in [
        &b"{\"method\" 1}"[..],
        b"{]",
        b"{\"id\":1}}",
        b"{\"id\":\"\xff\"}",
        b"{\"id\":1}GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut raw = victim.connect();
        raw.send(broken);
        let said = closed(&raw);
        // Complete values before the malformed one are answered.
        let lines = said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for line in lines {
            serde_json::from_slice::<Value>(line).unwrap();
        }
    }
    beside.finish();
}

#[test]
fn abuse_10_who_never_reads_json_costs_its_bound_and_is_closed() {
    let victim = Victim::with(&["rpc.write_timeout=2s"]);
    let mut witness = Raw::open(victim.addr());
    witness.set(b"big", &vec![b'x'; MIB as usize]);
    let beside = Beside::start(victim.addr());
    let (memory, descriptors) = (victim.peak(), victim.descriptors());
    let get = r#"{"method":"KVStoreService.Get","params":["big"],"id":1}"#;
    let mut deaf: Vec<Raw> = (0..10).map(|_| victim.connect()).collect();
    deaf.iter_mut().for_each(|raw| raw.send(get.repeat(1_000).as_bytes()));
    // Pings and cancels are answered, too, so the server stops reading from a peer that does not
    // read the answers.
    for nothing in [
        r#"{"method":"Wakeful.Ping","params":[{}],"id":1}"#,
        r#"{"method":"Wakeful.Cancel","params":[{"id":1}],"id":1}"#,
        r#"{"method":"NoSuch.Method","params":[],"id":1}"#,
    ] {
        let raw = victim.connect();
        let piece = nothing.repeat(1_000);
        let pieces = (0..10_000).map(|_| piece.clone().into_bytes());
        assert!(flood(&raw, pieces) < 10_000, "it is read from all the same");
        deaf.push(raw);
    }
    eventually("they are closed", || witness.status().connections == 2);
    drop(deaf);
    victim.until_descriptors(descriptors);
    victim.assert_peak(memory, 64 * MIB, "13 deaf peers");
    beside.finish();
}

#[test]
fn abuse_13_watches_of_json_have_the_same_quota() {
    let victim = Victim::with(&["watch.watches_per_connection_max=100"]);
    let beside = Beside::start(victim.addr());
    let mut json = Json::connect(victim.addr());
    for n in 0..100 {
        json.ok("Wakeful.WatchOpen", &format!(r#"{{"range":{{"key":"{n}"}}}}"#));
    }
    let refusal = json.refused("Wakeful.WatchOpen", r#"{"range":{"key":"one more"}}"#);
    assert!(refusal.contains("watch.watches_per_connection_max"), "{refusal}");
    drop(json);
    let mut witness = Raw::open(victim.addr());
    eventually("all is freed", || {
        let status = witness.status();
        (status.waits, status.watches, status.streams) == (0, 1, 1)
    });
    beside.finish();
}

#[test]
fn abuse_14_waits_of_json_that_are_cancelled_again_and_again_leave_nothing() {
    const PAIRS: u64 = 5_000;
    let victim = Victim::start();
    let beside = Beside::start(victim.addr());
    let memory = victim.peak();
    let raw = victim.connect();
    let mut sender = std::io::BufWriter::new(raw.socket().try_clone().unwrap());
    let sending = thread::spawn(move || {
        for id in 1..=PAIRS {
            let wait = r#"{"method":"Wakeful.Wait","params":[{"range":{"key":"never"}}]"#;
            let cancel = r#"{"method":"Wakeful.Cancel","params":[{"id":"#;
            writeln!(sender, r#"{wait},"id":{id}}}{cancel}{id}}}],"id":"c"}}"#).unwrap();
        }
        sender.flush().unwrap();
    });
    let mut lines = BufReader::new(raw.socket()).lines();
    let (mut ended, mut cancels) = (HashSet::new(), 0);
    while ended.len() < PAIRS as usize || cancels < PAIRS {
        let line = lines.next().expect("the connection lives").unwrap();
        let reply: Value = serde_json::from_str(&line).expect(&line);
        match reply["id"].as_u64() {
            None => cancels += 1,
            Some(id) => {
                assert!(reply["error"].as_str().unwrap().starts_with("Cancelled: "), "{line}");
                assert!(ended.insert(id), "{line} twice");
            }
        }
    }
    sending.join().unwrap();
    let mut witness = Raw::open(victim.addr());
    assert_eq!(witness.status().waits, 0);
    victim.assert_peak(memory, 32 * MIB, "waiting and cancelling");
    beside.finish();
}
