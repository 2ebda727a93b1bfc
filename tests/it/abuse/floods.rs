//! Floods of connections, requests, waits and streams.

use std::collections::HashSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;

use super::beside::Beside;
use super::victim::{Victim, closed, flood};
use super::{CANCELLED, LIMIT_EXCEEDED, MIB};
use crate::support::body::{
    self, Body, Details, From, Push, get, key, prefix, set, stream_open, watch_add,
};
use crate::support::eventually;
use crate::support::raw::{CANCEL, ERROR, PING, PONG, PUSH, REPLY, Raw, credit, frame, request};

const FIRST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// Asserts that the connection is refused at this limit.
fn assert_refused(raw: &mut Raw, limit: &str, value: u64) {
    raw.expect_preface();
    let refusal = raw.refused();
    assert_eq!(refusal.code, LIMIT_EXCEEDED);
    assert_eq!(refusal.details, Details::Limit { name: limit.to_owned(), value });
}

#[test]
fn abuse_05_a_crowd_from_one_address_leaves_room_for_others() {
    let victim = Victim::with(&["rpc.connections_per_address_max=50"]);
    let beside = Beside::start(victim.addr());
    let descriptors = victim.descriptors();
    let mut crowd: Vec<Raw> =
        (0..50).map(|_| Raw::connect_from(FIRST, victim.addr()).welcome()).collect();
    for _ in 0..20 {
        let mut raw = Raw::connect_from(FIRST, victim.addr());
        assert_refused(&mut raw, "rpc.connections_per_address_max", 50);
    }
    let mut other = Raw::connect_from(SECOND, victim.addr()).welcome();
    assert_eq!(other.call(get(b"a")).kind, REPLY);
    // A closed connection makes room.
    drop(crowd.pop());
    eventually("there is a place again", || {
        let mut raw = Raw::connect_from(FIRST, victim.addr());
        raw.send(b"no preface at all");
        raw.rest().starts_with(b"ERR wakeful")
    });
    drop((crowd, other));
    victim.until_descriptors(descriptors);
    beside.finish();
}

#[test]
fn abuse_05_a_flood_of_connections_is_refused_in_words_and_those_inside_are_served() {
    let victim = Victim::with(&["rpc.connections_max=60"]);
    let beside = Beside::start(victim.addr());
    let (memory, descriptors) = (victim.peak(), victim.descriptors());
    let mut inside: Vec<Raw> = (0..59).map(|_| victim.attack()).collect();
    assert_refused(&mut victim.connect(), "rpc.connections_max", 60);
    // More than are refused with a reason at once.
    let outside: Vec<Raw> = (0..500).map(|_| victim.connect()).collect();
    for raw in &outside {
        closed(raw);
    }
    for raw in &mut inside {
        assert_eq!(raw.call(get(b"a")).kind, REPLY);
    }
    drop((inside, outside));
    victim.until_descriptors(descriptors);
    victim.assert_peak(memory, 16 * MIB, "560 connections");
    beside.finish();
}

#[test]
fn abuse_05_out_of_descriptors_the_server_goes_on_accepting_when_it_can() {
    let victim = Victim::with(&["rpc.descriptors_reserved=0", "rpc.handshake_timeout=10m"]);
    let beside = Beside::start(victim.addr());
    let descriptors = victim.descriptors();
    // More connections than descriptors: the kernel accepts what the server cannot.
    let most = descriptors + 20;
    victim.limit_descriptors(most);
    let crowd: Vec<Raw> = (0..60).map(|_| victim.connect()).collect();
    eventually("there is none left", || victim.descriptors() >= most);
    for _ in 0..5 {
        beside.is_served();
    }
    drop(crowd);
    victim.until_descriptors(descriptors);
    assert_eq!(victim.attack().call(get(b"a")).kind, REPLY, "it accepts again");
    beside.finish();
    let ran = victim.stop();
    assert_eq!(ran.code, Some(0));
    let said = ran.stderr.lines().filter(|line| line.contains("cannot be accepted")).count();
    assert!((1..=5).contains(&said), "the log does not fill up: {}", ran.stderr);
}

/// The reserved descriptors prevent this, so that the journal can always create its next file.
#[test]
fn abuse_05_descriptors_are_kept_for_everything_else() {
    let victim = Victim::with(&["rpc.descriptors_reserved=200"]);
    let beside = Beside::start(victim.addr());
    victim.limit_descriptors(240);
    let mut inside: Vec<Raw> = (0..39).map(|_| victim.attack()).collect();
    for _ in 0..20 {
        assert_refused(&mut victim.connect(), "rpc.descriptors_reserved", 200);
    }
    for raw in &mut inside {
        assert_eq!(raw.call(get(b"a")).kind, REPLY);
    }
    beside.finish();
}

/// Every request of a flood is answered once, although the server processes only a limited number
/// at once.
#[test]
fn abuse_11_a_flood_of_requests_waits_in_the_socket() {
    const COUNT: u64 = 20_000;
    let victim = Victim::with(&["rpc.requests_in_flight_max=16", "rpc.write_timeout=5s"]);
    let beside = Beside::start(victim.addr());
    let memory = victim.peak();
    let mut raw = victim.attack();
    let mut sender = raw.socket().try_clone().unwrap();
    let sending = thread::spawn(move || {
        for id in 1..=COUNT {
            sender.write_all(&request(id, set(b"flood", &[b'x'; 1000]))).unwrap();
        }
    });
    let mut answered = HashSet::new();
    while answered.len() < COUNT as usize {
        let answer = raw.next();
        assert_eq!(answer.kind, REPLY);
        assert!(answered.insert(answer.id), "{answer:?} twice");
    }
    sending.join().unwrap();
    // The server does not read from a peer that does not read, whatever it sends.
    let deaf = victim.attack();
    let requests =
        |nth| (nth * 100 + 1..=nth * 100 + 100).flat_map(|id| request(id, get(b"flood")));
    let pieces = (0..10_000_u64).map(|nth| requests(nth).collect());
    assert!(flood(&deaf, pieces) < 10_000, "it is read from all the same");
    // History keeps 20 MiB of the written values.
    victim.assert_peak(memory, 64 * MIB, "a flood of requests");
    beside.finish();
}

#[test]
fn abuse_12_small_requests_with_huge_answers_get_them_page_by_page() {
    let victim = Victim::start();
    let mut witness = Raw::open(victim.addr());
    let names: Vec<Vec<u8>> = (0..30_000).map(|n| format!("k/{n:05}").into_bytes()).collect();
    for some in names.chunks(1_000) {
        let sets: Vec<(&[u8], &[u8])> = some.iter().map(|it| (&it[..], &[b'x'; 500][..])).collect();
        assert_eq!(witness.call(body::txn_of_sets(&sets)).kind, REPLY);
    }
    let beside = Beside::start(victim.addr());
    let memory = victim.peak();
    let everything =
        || Body::request(2).then(prefix(b"")).u64(0).u32(0).u8(0).u8(0).u8(0).bytes(b"");
    let mut raw = victim.attack();
    let page = raw.call(everything());
    assert!(page.body.len() as u64 <= 3 * MIB, "{} bytes", page.body.len());
    let mut reader = page.reply(2);
    let (_, kvs, more) = (reader.u64(), reader.list(body::key_value), reader.bool());
    assert!(more && kvs.len() <= 10_000, "{} keys", kvs.len());
    let beyond = Body::request(2).then(prefix(b"")).u64(0).u32(10_001);
    let refusal = raw.call(beyond.u8(0).u8(0).u8(0).bytes(b"")).refusal();
    assert_eq!(refusal.code, LIMIT_EXCEEDED);
    // A thousand requests from each peer, which never read the first answer.
    let mut deaf = Vec::new();
    for _ in 0..10 {
        let mut raw = victim.attack();
        raw.send(&(1..=1000).flat_map(|id| request(id, everything())).collect::<Vec<_>>());
        // All of history, with credit for one event.
        let mut watcher = victim.attack();
        let stream = watcher.open_stream(1);
        watcher.watch(stream, 1, prefix(b""), From::Revision(2));
        deaf.extend([raw, watcher]);
    }
    beside.is_served();
    victim.assert_peak(memory, 128 * MIB, "answers to 20 deaf peers");
    beside.finish();
}

#[test]
fn abuse_13_a_hundred_thousand_watches_are_a_quota_and_their_end_holds_nobody_up() {
    const MOST: u64 = 100_000;
    let victim = Victim::start();
    let beside = Beside::start(victim.addr());
    let memory = victim.peak();
    let mut raw = victim.attack();
    let stream = raw.open_stream(1 << 20);
    let mut sender = std::io::BufWriter::new(raw.socket().try_clone().unwrap());
    let sending = thread::spawn(move || {
        for id in 1..=MOST + 10 {
            let name = format!("w/{id}");
            let add = watch_add(stream, id, key(name.as_bytes()), From::Now);
            sender.write_all(&request(stream + id, add)).unwrap();
        }
        sender.flush().unwrap();
    });
    let mut refused = 0;
    for _ in 1..=MOST + 10 {
        let answer = raw.next();
        if answer.kind == ERROR {
            let refusal = answer.refusal();
            assert_eq!(refusal.code, LIMIT_EXCEEDED);
            let name = "watch.watches_per_connection_max".to_owned();
            assert_eq!(refusal.details, Details::Limit { name, value: MOST });
            refused += 1;
        }
    }
    sending.join().unwrap();
    assert_eq!(refused, 10);
    beside.is_served();
    let mut witness = Raw::open(victim.addr());
    witness.set(b"w/77777", b"");
    let Push::Events { deliveries, .. } = raw.next().push() else { panic!("not events") };
    assert_eq!(deliveries[0].watch_id, 77_777);
    // All end at once, as do the same number of waits of another connection.
    let mut waits = victim.attack();
    let mut sender = std::io::BufWriter::new(waits.socket().try_clone().unwrap());
    let sending = thread::spawn(move || {
        for id in 1..=MOST / 4 {
            let wait = body::wait(key(format!("w/{id}").as_bytes()), body::CHANGED, 1_500);
            sender.write_all(&request(id, wait)).unwrap();
        }
        sender.flush().unwrap();
    });
    let mut ended = 0;
    while ended < MOST / 4 {
        let answer = waits.next();
        ended += u64::from(answer.kind == REPLY);
    }
    sending.join().unwrap();
    drop((raw, waits));
    eventually("all is freed", || {
        let status = witness.status();
        (status.waits, status.watches, status.streams) == (0, 1, 1)
    });
    victim.assert_peak(memory, 256 * MIB, "100,000 watches and 25,000 waits");
    beside.finish();
}

#[test]
fn abuse_13_streams_have_the_same_quota_with_or_without_watches() {
    let victim = Victim::with(&["watch.watches_per_connection_max=3"]);
    let beside = Beside::start(victim.addr());
    let mut raw = victim.attack();
    // All in one write, so that none is open when the last is requested.
    raw.send(&(1..=5).flat_map(|id| request(id, stream_open(1000))).collect::<Vec<_>>());
    let answers: Vec<_> = (0..5).map(|_| raw.next()).collect();
    let refused = |id: u64| answers.iter().any(|it| it.id == id && it.kind == ERROR);
    assert_eq!([1, 2, 3, 4, 5].map(refused), [false, false, false, true, true]);
    for answer in answers.iter().filter(|answer| answer.kind == ERROR) {
        let name = "watch.watches_per_connection_max".to_owned();
        assert_eq!(answer.refusal().details, Details::Limit { name, value: 3 });
    }
    raw.send(&frame(CANCEL, 0, 2, b""));
    assert_eq!(raw.next().refusal().code, CANCELLED);
    raw.send(&request(6, stream_open(1000)));
    assert_eq!(raw.next().kind, REPLY);
    beside.finish();
}

#[test]
fn abuse_14_opening_and_cancelling_again_and_again_leaves_nothing() {
    const PAIRS: u64 = 20_000;
    let victim = Victim::with(&["rpc.write_timeout=5s"]);
    let beside = Beside::start(victim.addr());
    let memory = victim.peak();
    for streams in [false, true] {
        let mut raw = victim.attack();
        let mut sender = std::io::BufWriter::new(raw.socket().try_clone().unwrap());
        let sending = thread::spawn(move || {
            for id in 1..=PAIRS {
                let open = match streams {
                    true => stream_open(1000),
                    false => body::wait(key(b"never"), body::CHANGED, 600_000),
                };
                sender.write_all(&request(id, open)).unwrap();
                sender.write_all(&frame(CANCEL, 0, id, b"")).unwrap();
            }
            sender.flush().unwrap();
        });
        let mut ended = HashSet::new();
        while ended.len() < PAIRS as usize {
            let answer = raw.next();
            match answer.kind {
                ERROR => {
                    assert_eq!(answer.refusal().code, CANCELLED);
                    assert!(ended.insert(answer.id), "{answer:?} twice");
                }
                // A wait was parked, or a stream opened, before the cancel.
                PUSH | REPLY => assert!(!ended.contains(&answer.id), "{answer:?} behind its end"),
                _ => panic!("{answer:?}"),
            }
        }
        sending.join().unwrap();
        let status = raw.status();
        assert_eq!((status.waits, status.streams), (0, 1), "the stream of the client beside");
    }
    // The server does not read from a peer that does not read the outcome.
    let deaf = victim.attack();
    let pair = |id| {
        let wait = body::wait(key(b"never"), body::CHANGED, 600_000);
        [request(id, wait), frame(CANCEL, 0, id, b"")].concat()
    };
    let pieces =
        (0..10_000_u64).map(|nth| (nth * 100 + 1..=nth * 100 + 100).flat_map(pair).collect());
    assert!(flood(&deaf, pieces) < 10_000, "it is read from all the same");
    victim.assert_peak(memory, 64 * MIB, "opening and cancelling");
    beside.finish();
}

#[test]
fn abuse_15_a_flood_of_frames_that_ask_for_nothing_ends_its_connection() {
    let victim = Victim::start();
    let beside = Beside::start(victim.addr());
    let (memory, descriptors) = (victim.peak(), victim.descriptors());
    for (what, bytes) in [
        ("pings", frame(PING, 0, 9, b"")),
        ("pongs", frame(PONG, 0, 9, b"")),
        ("cancels of nothing", frame(CANCEL, 0, 99, b"")),
        ("credits for nothing", credit(99, 1)),
    ] {
        let raw = victim.attack();
        flood(&raw, (0..1_000).map(|_| bytes.repeat(1_000)));
        let said = closed(&raw);
        // With this much unread input, the reason may be lost on its way.
        let told = String::from_utf8_lossy(&said);
        let pongs = said.chunks(20).filter(|frame| frame.get(4) == Some(&PONG)).count();
        assert!(pongs < 200_000, "{what}: {pongs} pongs");
        if told.contains("too many") {
            assert!(told.contains("rpc.control_frames_max"), "{what}");
        }
    }
    // A peer that stops in time gets the reason.
    let mut raw = victim.attack();
    raw.send(&frame(PONG, 0, 9, b"").repeat(1_001));
    let refusal = raw.refused();
    assert_eq!(refusal.code, LIMIT_EXCEEDED);
    let name = "rpc.control_frames_max".to_owned();
    assert_eq!(refusal.details, Details::Limit { name, value: 1_000 });
    // Control frames along with requests are no flood.
    let mut honest = victim.attack();
    for id in 1..=3_000 {
        honest.send(&[request(id, get(b"a")), frame(CANCEL, 0, id, b"")].concat());
        assert_eq!(honest.next().id, id);
    }
    drop(honest);
    victim.until_descriptors(descriptors);
    victim.assert_peak(memory, 16 * MIB, "floods of small frames");
    beside.finish();
}
