//! [`Beside`]: a well-behaved client while another one attacks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::body::{From, Push, get, key, key_value, set};
use crate::support::eventually;
use crate::support::raw::{Frame, PING, PONG, PUSH, Raw, credit, frame};

const KEY: &[u8] = b"beside";

/// Sets a key, reads it back and receives the event of a watch, repeatedly. Each answer must arrive
/// and be right; late answers are allowed.
pub(super) struct Beside {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

struct Client {
    raw: Raw,
    stream: u64,
    revision: u64,
    /// The events of the watch that were not compared yet.
    shown: Vec<(u64, Vec<u8>)>,
}

impl Beside {
    pub(super) fn start(addr: SocketAddr) -> Self {
        Self::over(Raw::open(addr))
    }

    /// Uses a connection that has logged in.
    pub(super) fn over(raw: Raw) -> Self {
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopping, counted) = (Arc::clone(&stop), Arc::clone(&rounds));
        let thread = thread::spawn(move || {
            let mut client = Client::over(raw);
            while !stopping.load(Ordering::Relaxed) {
                client.round(counted.load(Ordering::Relaxed));
                counted.fetch_add(1, Ordering::Relaxed);
                // Pauses, so that the attack gets a processor, too.
                thread::sleep(Duration::from_millis(1));
            }
        });
        let beside = Self { stop, rounds, thread: Some(thread) };
        beside.is_served();
        beside
    }

    /// Waits for a few complete rounds from now on.
    pub(super) fn is_served(&self) {
        let from = self.rounds.load(Ordering::Relaxed);
        eventually("the client beside is served", || {
            let gone = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
            assert!(!gone, "the client beside has failed");
            self.rounds.load(Ordering::Relaxed) > from + 3
        });
    }

    /// Ends the client, before its server.
    pub(super) fn finish(mut self) {
        self.is_served();
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("every answer was right");
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let joined = thread.join();
            assert!(joined.is_ok() || thread::panicking(), "the client beside has failed");
        }
    }
}

impl Client {
    fn over(mut raw: Raw) -> Self {
        let stream = raw.open_stream(64 * 1024);
        raw.watch(stream, 1, key(KEY), From::Now);
        Self { raw, stream, revision: 0, shown: Vec::new() }
    }

    fn round(&mut self, number: u64) {
        let value = number.to_string().into_bytes();
        let id = self.raw.ask(set(KEY, &value));
        let revision = self.answer(id).reply(0).u64();
        assert!(revision > self.revision, "revisions go up");
        self.revision = revision;
        let id = self.raw.ask(get(KEY));
        let answer = self.answer(id);
        let mut reader = answer.reply(1);
        assert!(reader.u64() >= revision, "what was written is read");
        let kv = reader.option(key_value).expect("the key is there");
        assert_eq!((kv.mod_revision, &kv.value), (revision, &value));
        while self.shown.is_empty() {
            let frame = self.raw.next();
            self.take(frame);
        }
        assert_eq!(std::mem::take(&mut self.shown), [(revision, value)], "each event once");
    }

    /// Returns the answer to `id`, after taking everything before it.
    fn answer(&mut self, id: u64) -> Frame {
        loop {
            let frame = self.raw.next();
            if frame.id == id && frame.kind != PUSH && frame.kind != PING {
                return frame;
            }
            self.take(frame);
        }
    }

    fn take(&mut self, received: Frame) {
        if received.kind == PING {
            self.raw.send(&frame(PONG, 0, received.id, b""));
            return;
        }
        let Push::Events { events, deliveries } = received.push() else {
            panic!("{received:?}");
        };
        assert!(deliveries.iter().all(|it| it.watch_id == 1 && it.skipped == 0 && !it.fragment));
        self.shown.extend(events.into_iter().map(|kv| (kv.mod_revision, kv.value)));
        self.raw.send(&credit(self.stream, received.body.len() as u32));
    }
}

/// The client beside an attack fails if an answer is wrong.
#[test]
#[should_panic(expected = "the client beside")]
fn a_server_that_goes_is_noticed_beside() {
    let server = crate::process::Server::start();
    let beside = Beside::start(server.addr().parse().unwrap());
    drop(server);
    beside.is_served();
}
