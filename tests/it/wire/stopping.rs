//! R5: a stopping server sends a goodbye, ends requests in flight, and reports where to resume.

use std::io::Write;
use std::time::{Duration, Instant};

use wakeful::{Config, Wakeful};

use crate::support::body::{self, Details, From, Push, get, key, prefix, set, watch_add};
use crate::support::raw::{ERROR, GOODBYE, PREFACE, PUSH, REPLY, Raw, credit, frame, request};
use crate::support::server::Server;

const UNAVAILABLE: u16 = 14;
const ROOMY: u32 = 1 << 30;
const QUICKLY: Duration = Duration::from_secs(10);

fn patient() -> Server {
    Server::start_with(|config| config.rpc.shutdown_grace = Duration::from_secs(60))
}

#[test]
fn r5_goodbye_tells_waits_and_watches_where_to_resume() {
    let mut server = patient();
    let mut raw = Raw::open(server.addr());
    let wait = raw.park(body::wait(key(b"a"), body::CHANGED, 600_000));
    let stream = raw.open_stream(ROOMY);
    raw.watch(stream, 1, prefix(b"a"), From::Now);
    raw.watch(stream, 2, prefix(b"b"), From::Now);
    let idle = raw.open_stream(ROOMY);
    assert!(idle > stream);
    Raw::open(server.addr()).set(b"c", b"");
    server.begin_stop();
    let mut goodbyes = 0;
    let mut ended = Vec::new();
    let resume = Details::Resume { revision: 3 };
    while let Some(frame) = raw.next_or_end() {
        match frame.kind {
            GOODBYE => goodbyes += 1,
            ERROR => {
                assert_eq!(frame.id, wait);
                let refusal = frame.refusal();
                assert_eq!((refusal.code, &refusal.details), (UNAVAILABLE, &resume));
            }
            PUSH => {
                let Push::Ended { watch_id, refusal } = frame.push() else { panic!("{frame:?}") };
                assert_eq!(frame.id, stream);
                assert_eq!((refusal.code, &refusal.details), (UNAVAILABLE, &resume));
                ended.push(watch_id);
            }
            _ => panic!("{frame:?}"),
        }
    }
    ended.sort_unstable();
    assert_eq!((goodbyes, ended), (1, vec![1, 2]));
    drop(raw);
    server.finish_stop(QUICKLY);
}

/// Events that a slow consumer has not received are sent before the end, or follow the revision to
/// resume from.
#[test]
fn r5_goodbye_loses_no_event_of_a_slow_consumer() {
    let mut server = patient();
    let mut raw = Raw::open(server.addr());
    for _ in 0..20 {
        raw.set(b"a", &[b'x'; 10_000]);
    }
    // The first frame of the batch is sent, then the window is used up.
    let stream = raw.open_stream(1);
    raw.watch(stream, 1, key(b"a"), From::Revision(2));
    let mut shown = Vec::new();
    let mut take = |push: Push| match push {
        Push::Events { events, .. } => shown.extend(events.iter().map(|kv| kv.mod_revision)),
        other => panic!("{other:?}"),
    };
    take(raw.next().push());
    server.begin_stop();
    assert_eq!(raw.next().kind, GOODBYE);
    raw.send(&credit(stream, ROOMY));
    let resume = loop {
        match raw.next().push() {
            Push::Ended { watch_id: 1, refusal } => break refusal.details,
            push => take(push),
        }
    };
    let Details::Resume { revision } = resume else { panic!("{resume:?}") };
    assert_eq!(shown, (2..revision).collect::<Vec<_>>(), "resume from {revision}");
    raw.expect_end();
}

#[test]
fn r5_requests_after_goodbye_are_refused_and_nothing_is_lost() {
    let mut server = patient();
    let mut raw = Raw::open(server.addr());
    raw.set(b"a", &vec![b'x'; 1 << 20]);
    // Keeps the connection in flight until the stream is cancelled.
    let stream = raw.open_stream(0);
    raw.watch(stream, 1, prefix(b"w"), From::Now);
    server.begin_stop();
    assert_eq!(raw.next().kind, GOODBYE);
    let refusal = raw.call(get(b"a")).refusal();
    assert_eq!(refusal.code, UNAVAILABLE);
    raw.send(&frame(7, 0, stream, b""));
    // Answers arrive until the end without a reset, although more is sent than is read.
    let mut socket = raw.socket();
    for id in 1000..1100 {
        if socket.write_all(&request(id, set(b"b", &[b'x'; 1000]))).is_err() {
            break;
        }
    }
    while let Some(frame) = raw.next_or_end() {
        assert_eq!(frame.refusal().code, if frame.id == stream { 13 } else { UNAVAILABLE });
    }
}

#[test]
fn r5_who_has_not_said_hello_is_told_too() {
    let mut server = patient();
    let mut silent = Raw::connect(server.addr());
    let mut halfway = Raw::connect(server.addr());
    halfway.send(PREFACE);
    let mut witness = Raw::open(server.addr());
    crate::support::eventually("all are accepted", || witness.status().connections == 3);
    server.begin_stop();
    for raw in [&mut silent, &mut halfway] {
        raw.expect_preface();
        assert_eq!(raw.refused().code, UNAVAILABLE);
    }
    drop((silent, halfway, witness));
    server.finish_stop(QUICKLY);
}

#[test]
fn r5_who_never_reads_does_not_hold_up_the_end() {
    let mut server =
        Server::start_with(|config| config.rpc.shutdown_grace = Duration::from_millis(300));
    let mut reader = Raw::open(server.addr());
    reader.set(b"a", &vec![b'x'; 1 << 20]);
    let mut deaf = Raw::open(server.addr());
    for _ in 0..50 {
        deaf.ask(get(b"a"));
    }
    let mut uninterested = Raw::open(server.addr());
    let stream = uninterested.open_stream(0);
    uninterested.watch(stream, 1, prefix(b""), From::Now);
    let mut waiting = Raw::open(server.addr());
    waiting.park(body::wait(key(b"b"), body::CHANGED, 600_000));
    let start = Instant::now();
    server.finish_stop(QUICKLY);
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
}

#[test]
fn r5_a_client_says_goodbye() {
    let server = Server::start();
    let mut raw = Raw::open(server.addr());
    let wait = raw.park(body::wait(key(b"a"), body::CHANGED, 600_000));
    raw.send(&[frame(GOODBYE, 0, 0, b""), request(50, get(b"a"))].concat());
    let refused = raw.next();
    assert_eq!((refused.id, refused.refusal().code), (50, UNAVAILABLE));
    Raw::open(server.addr()).set(b"a", b"");
    let answer = raw.next();
    assert_eq!((answer.kind, answer.id), (REPLY, wait));
    raw.expect_end();
    // Nothing is in flight, so the connection is closed at once.
    let mut raw = Raw::open(server.addr());
    let requests = [request(1, get(b"a")), request(2, watch_add(9, 0, key(b"a"), From::Now))];
    raw.send(&[&requests.concat()[..], &frame(GOODBYE, 0, 0, b"")].concat());
    assert_eq!((raw.next().id, raw.next().id), (1, 2));
    raw.expect_end();
}

#[test]
fn e2_stopping_twice_at_once_is_stopping_once() {
    actix_rt::System::new().block_on(async {
        let mut config = Config::new();
        config.rpc.shutdown_grace = Duration::from_millis(300);
        let wakeful = Wakeful::start(config).unwrap();
        let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
        let (opened, open) = tokio::sync::oneshot::channel();
        let peer = std::thread::spawn(move || {
            let mut raw = Raw::open(addr);
            let stream = raw.open_stream(0);
            raw.watch(stream, 1, prefix(b""), From::Now);
            opened.send(()).unwrap();
            assert_eq!(raw.next().kind, GOODBYE);
            // The store still answers, as the first stop has not ended.
            assert_eq!(raw.call(get(b"a")).refusal().code, UNAVAILABLE);
            raw.send(&credit(stream, ROOMY));
            assert!(matches!(raw.next().push(), Push::Ended { .. }));
            raw.expect_end();
        });
        open.await.unwrap();
        let second = wakeful.clone();
        let both = async { tokio::join!(wakeful.stop(), second.stop()) };
        tokio::time::timeout(QUICKLY, both).await.expect("it stops");
        peer.join().unwrap();
        wakeful.stop().await;
        assert!(wakeful.listen("127.0.0.1:0").await.is_err(), "no door of a stopped service opens");
    });
}
