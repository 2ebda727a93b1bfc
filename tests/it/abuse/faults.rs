//! Faults of the server, its disk and its power, and its stop.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use wakeful::{Backoff, Config, HandlerOptions, JobError, Operations, PushOptions, Wakeful};

use super::beside::Beside;
use super::victim::{Victim, failing};
use super::{KIB, MIB};
use crate::durable::damage::{flip, refused, written};
use crate::durable::failure::limited;
use crate::durable::kills::{count_of, write};
use crate::durable::{Home, connect, serve_in, within};
use crate::process::{Ran, Server, TIMEOUT, run};
use crate::support::body::{self, Body, get, key, set};
use crate::support::handlers::{does, job, push, texts};
use crate::support::jobs;
use crate::support::raw::{Frame, GOODBYE, REPLY, Raw};

const NO_SPACE: u16 = 22;

/// A panic in the handler of a job; for methods of services, see the tests of services.
#[actix_rt::test]
async fn abuse_20_a_handler_that_panics_fails_its_caller_and_the_server_lives() {
    let wakeful = Wakeful::start(Config::new()).unwrap();
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
    let panics = does(async |job, _| -> Result<String, JobError> { panic!("about {job}") });
    let worker = wakeful.handle(texts("t"), panics, HandlerOptions::default()).unwrap();
    let client = connect(&addr.to_string()).await;
    let backoff = Some(Backoff::Constant(Duration::ZERO));
    let options = PushOptions { retry_max: Some(1), backoff, ..PushOptions::default() };
    let id = push(&client, "t", "this", options).await;
    let error = within(texts("t").result(&client, id).wait(TIMEOUT)).await.unwrap_err();
    assert_eq!(error.code, wakeful::ErrorCode::JobDead, "{error}");
    assert!(error.message.contains("about this"), "{error}");
    assert_eq!(job(&client, id).await.failures, 2);
    within(client.set(wakeful::SetRequest::new("a", "1"))).await.unwrap();
    client.close().await;
    worker.stop(Duration::from_secs(1)).await;
    wakeful.stop().await;
}

/// A durable server that fails at a chosen place, and a client with data on it.
struct Failing {
    server: Server,
    moment: PathBuf,
}

impl Failing {
    fn start(home: &Home, place: &str, action: &str, more: &[&str]) -> Self {
        let moment = home.dir().with_extension("now");
        let _ = std::fs::remove_file(&moment);
        let dir = home.dir();
        let arguments = [&serve_in(&dir)[..], more].concat();
        let server = Server::run_by(failing(&arguments, place, action, &moment));
        Self { server, moment }
    }

    fn addr(&self) -> std::net::SocketAddr {
        self.server.addr().parse().unwrap()
    }

    /// Triggers the failure.
    fn fail(&self) {
        std::fs::write(&self.moment, b"").unwrap();
    }
}

/// Uses store, queue and results until the server is gone; returns the last acknowledged write of
/// each.
fn use_all(raw: &mut Raw, value: &[u8]) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    while acknowledge_more(raw, value, &mut acknowledged).is_some() {}
    acknowledged
}

/// Does one more round; returns `None` once the server is gone or refuses.
fn acknowledge_more(raw: &mut Raw, value: &[u8], so_far: &mut Acknowledged) -> Option<()> {
    let count = so_far.count + 1;
    let text = [count.to_string().as_bytes(), b"/", value].concat();
    let revision = reply_to(raw, set(b"count", &text))?.reply(0).u64();
    so_far.set(count, revision);
    so_far.job = reply_to(raw, jobs::push(b"topic", b"payload"))?.pushed()[0];
    let reserved = reply_to(raw, jobs::reserve(b"topic", 1, 0))?.reserved();
    let reservation = reserved.first().expect("what was pushed is ready").reservation;
    let settled = reply_to(raw, jobs::done(reservation, b"done"))?.settled();
    if settled == [None] {
        so_far.done = reservation.id;
    }
    Some(())
}

#[derive(Debug, Default)]
struct Acknowledged {
    count: u64,
    revision: u64,
    job: u64,
    done: u64,
}

impl Acknowledged {
    fn set(&mut self, count: u64, revision: u64) {
        assert!(revision > self.revision, "revisions go up");
        (self.count, self.revision) = (count, revision);
    }

    /// Checks that everything acknowledged is there, complete.
    fn check(&self, home: &Home, what: &str) {
        let server = home.server();
        let mut raw = Raw::open(server.addr().parse().unwrap());
        let reply = raw.call(get(b"count"));
        let mut reader = reply.reply(1);
        let revision = reader.u64();
        assert!(revision >= self.revision, "{what}: {self:?}, and it is at revision {revision}");
        let kv = reader.option(body::key_value);
        let count = kv.map_or(0, |kv| {
            let text = String::from_utf8(kv.value).unwrap();
            text.split('/').next().unwrap().parse().unwrap()
        });
        assert!(
            (self.count..=self.count + 1).contains(&count),
            "{what}: {self:?}, {count} is there"
        );
        if self.job > 0 {
            assert_eq!(raw.call(jobs::get(self.job)).kind, REPLY, "{what}: {self:?}");
        }
        if self.done > 0 {
            assert_eq!(raw.call(jobs::get(self.done)).job_state(), 3, "{what}: {self:?}");
        }
    }
}

/// Returns the reply to a request; `None` if the connection ends, or the request is refused, before
/// it.
fn reply_to(raw: &mut Raw, body: Body) -> Option<Frame> {
    // Either end may be the first to notice that the other is gone, also in the middle of a frame.
    let asked = catch_unwind(AssertUnwindSafe(|| {
        let id = raw.ask(body);
        loop {
            let frame = raw.next_or_end()?;
            match frame.kind {
                GOODBYE => {}
                _ if frame.id == id => return Some(frame),
                other => panic!("a frame of kind {other}"),
            }
        }
    }));
    asked.ok().flatten().filter(|frame| frame.kind == REPLY)
}

/// A defect in the code that keeps the data ends the process with a report, and acknowledged writes
/// are there after a restart.
#[test]
fn abuse_20_a_panic_in_what_keeps_the_data_ends_the_process() {
    for (place, code, said) in [
        ("store", 1, "the store has ended by a panic"),
        ("queue", 1, "the queue has ended by a panic"),
        ("storage", 1, "the storage of results has ended by a panic"),
        ("journal-write", 8, "wakeful-journal panicked"),
        ("journal-written", 8, "wakeful-journal panicked"),
        ("journal-synced", 8, "wakeful-journal panicked"),
    ] {
        let home = Home::new();
        let failing = Failing::start(&home, place, "panic", &[]);
        // A parked wait gets no answer, and does not keep the process from ending.
        let mut waiting = Raw::open(failing.addr());
        waiting.park(body::wait(key(b"never"), body::CHANGED, 600_000));
        let mut raw = Raw::open(failing.addr());
        raw.set(b"before", b"1");
        failing.fail();
        let acknowledged = use_all(&mut raw, b"");
        let ran: Ran = failing.server.finish();
        assert_eq!(ran.code, Some(code), "{place}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{place}: {}", ran.stderr);
        acknowledged.check(&home, place);
        let server = home.server();
        assert_eq!(server.ok(&["get", "before"]), "1\n", "{place}");
    }
}

/// A defect in the thread that prepares segments, or the one that writes snapshots, ends the
/// process, too.
#[test]
fn abuse_20_a_panic_beside_the_log_ends_the_process_too() {
    for (place, more) in
        [("segments", &[][..]), ("snapshots", &["--limit", "journal.snapshot_log_bytes=64KiB"])]
    {
        let home = Home::new();
        let failing = Failing::start(&home, place, "panic", more);
        let mut raw = Raw::open(failing.addr());
        raw.set(b"before", b"1");
        failing.fail();
        let acknowledged = use_all(&mut raw, &[b'x'; 256 * KIB as usize]);
        let ran = failing.server.finish();
        assert_eq!(ran.code, Some(8), "{place}: {}", ran.stderr);
        assert!(ran.stderr.contains("panicked"), "{place}: {}", ran.stderr);
        acknowledged.check(&home, place);
    }
}

/// For kills at random instants, see `d2_a_killed_server_has_every_acknowledged_transaction_whole`.
#[test]
fn abuse_21_killed_at_each_failpoint_everything_acknowledged_is_there() {
    let small = ["--limit", "journal.snapshot_log_bytes=64KiB"];
    for (place, value_bytes, more) in [
        ("store", 10, &[][..]),
        ("queue", 10, &[]),
        ("storage", 10, &[]),
        ("journal-write", 10, &[]),
        ("journal-written", 10, &[]),
        ("journal-synced", 10, &[]),
        ("journal-next", 256 * KIB as usize, &[]),
        ("segments", 256 * KIB as usize, &[]),
        ("snapshots", 4 * KIB as usize, &small),
        ("snapshot-made", 4 * KIB as usize, &small),
    ] {
        let home = Home::new();
        for _ in 0..2 {
            let failing = Failing::start(&home, place, "kill", more);
            let mut raw = Raw::open(failing.addr());
            raw.set(b"before", b"1");
            failing.fail();
            let acknowledged = use_all(&mut raw, &vec![b'x'; value_bytes]);
            let ran = failing.server.finish();
            assert_eq!(ran.code, None, "{place}: it was killed: {}", ran.stderr);
            check_after_kill(&acknowledged, &home, place);
        }
    }
}

fn check_after_kill(acknowledged: &Acknowledged, home: &Home, place: &str) {
    acknowledged.check(home, place);
    let server = home.server();
    assert_eq!(server.ok(&["get", "before"]), "1\n", "{place}");
    server.ok(&["set", "count", "0/"]);
    server.signal("TERM");
    assert_eq!(server.finish().code, Some(0), "{place}");
}

/// Unsynced writes are lost and sectors are torn: runs whole services on such a simulated disk, as
/// `wakeful torture` does. (In `d6_a_torn_tail_is_cut_and_the_log_says_how_many_bytes`, a real
/// process finds such a tail.)
#[test]
fn abuse_22_a_power_cut_takes_nothing_that_was_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let rounds = ["--rounds", "0", "--power-cuts", "20", "--seed", "22", "--json"];
    let ran = run(&[&["torture", "--data-dir", dir.to_str().unwrap()][..], &rounds].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((told["losses"].as_u64(), told["power_cuts"].as_u64()), (Some(0), Some(20)));
}

#[test]
fn abuse_23_a_flipped_bit_refuses_to_start_and_names_the_place() {
    let home = written("KILL");
    let segment = home.segments()[0].clone();
    let bytes = std::fs::read(&segment).unwrap();
    // In the middle of the log: in the third of five values.
    let at = bytes.windows(4).position(|name| name == b"key2").unwrap();
    flip(&segment, at);
    let told = refused(&home);
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(told.contains(name) && told.contains("at byte "), "{told}");
}

#[test]
fn abuse_24_without_room_writes_are_refused_and_reads_go_on() {
    let home = Home::new();
    // Four segments of the smallest size.
    let quota = ["--limit", "journal.disk_bytes_max=64MiB"];
    let history = ["--limit", "store.history_bytes_max=512KiB"];
    let victim = Victim::of(home.server_with(&[quota, history].concat()));
    let mut raw = victim.attack();
    let value = vec![b'x'; MIB as usize];
    let mut acknowledged = 0_u64;
    // New keys, so that a snapshot frees no space.
    let refusal = loop {
        let answer = raw.call(set(format!("big/{acknowledged}").as_bytes(), &value));
        match answer.kind {
            REPLY => acknowledged += 1,
            _ => break answer.refusal(),
        }
        assert!(acknowledged < 200, "the disk does not fill up");
    };
    assert_eq!(refusal.code, NO_SPACE, "{refusal:?}");
    assert!(refusal.message.contains("nothing was changed"), "{refusal:?}");
    for nth in 0..acknowledged {
        let reply = raw.call(get(format!("big/{nth}").as_bytes()));
        let mut reader = reply.reply(1);
        let _ = reader.u64();
        assert!(reader.bool(), "big/{nth} was acknowledged");
    }
    assert_eq!(victim.stop().code, Some(0));
}

/// EIO, as close as a test can get: the operating system refuses the write. The write is not
/// repeated and then reported as durable; the server ends, and states the reason.
#[test]
fn abuse_24_a_write_that_fails_ends_the_server_and_loses_nothing_acknowledged() {
    let home = Home::new();
    let server = home.server();
    server.ok(&["set", "before", "1"]);
    server.signal("TERM");
    server.finish();
    let (server, addr) = limited(&home, 8 * 1024);
    let mut raw = Raw::open(addr.parse().unwrap());
    let acknowledged = use_all(&mut raw, &[b'x'; 64 * KIB as usize]);
    let told = server.finish().fails(8);
    assert!(told.contains("the journal has failed"), "{told}");
    assert!(acknowledged.count > 0);
    acknowledged.check(&home, "a failing disk");
}

#[tokio::test]
async fn abuse_25_told_to_stop_under_load_it_drains_syncs_and_ends_well() {
    let home = Home::new();
    let server = home.server_with(&["--limit", "rpc.shutdown_grace=60s"]);
    let client = connect(server.addr()).await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..4)
        .map(|writer| tokio::spawn(write(client.clone(), writer, 0, Arc::clone(&acknowledged))))
        .collect();
    within(async {
        while acknowledged.load(Ordering::Relaxed) < 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.signal("TERM");
    let ran = tokio::task::spawn_blocking(move || server.finish()).await.unwrap();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    client.close().await;
    let mut counts = Vec::new();
    for writer in writers {
        counts.push(within(writer).await.unwrap().0);
    }
    let server = home.server();
    let client = connect(server.addr()).await;
    for (writer, count) in counts.into_iter().enumerate() {
        for side in ["left", "right"] {
            let there = within(count_of(&client, format!("{side}/{writer}"))).await.unwrap();
            assert!(there >= count, "{count} was acknowledged, {there} is there");
        }
    }
    client.close().await;
}

#[test]
fn abuse_25_a_second_signal_ends_it_at_once() {
    let server = Server::start_with(&["--limit", "rpc.shutdown_grace=10m"]);
    let addr: std::net::SocketAddr = server.addr().parse().unwrap();
    // Delays the stop as long as is allowed.
    let mut stays = Raw::open(addr);
    let stream = stays.open_stream(0);
    stays.watch(stream, 1, key(b"a"), body::From::Now);
    server.signal("TERM");
    assert_eq!(stays.next().kind, GOODBYE);
    assert!(std::net::TcpStream::connect(addr).is_err(), "no new connection is accepted");
    server.signal("TERM");
    assert_eq!(server.finish().code, Some(143));
}

/// The failpoints do nothing unless one is set.
#[test]
fn a_failpoint_that_is_not_reached_does_nothing() {
    let home = tempfile::tempdir().unwrap();
    let nowhere: &Path = &home.path().join("now");
    std::fs::write(nowhere, b"").unwrap();
    let memory = ["--durability", "memory"];
    let victim = Victim::of(Server::run_by(failing(&memory, "nowhere", "kill", nowhere)));
    Beside::start(victim.addr()).finish();
    assert_eq!(victim.stop().code, Some(0));
}
