//! Clocks that jump: a server whose time of day is set ahead and back, by a library that is loaded
//! before the real one (`clocks.c`). What the pure clock does is tested beside it,
//! `z29_…` in `src/actor/clock.rs`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use wakeful::{JobState, Jobs, Operations, PushOptions, SetRequest};

use super::beside::Beside;
use crate::durable::{connect, within};
use crate::process::{Server, wakeful};
use crate::support::handlers::{job, push};
use crate::support::until;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// A server with a clock that is set at will.
struct Shifted {
    server: Server,
    shift: PathBuf,
    _dir: tempfile::TempDir,
}

impl Shifted {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (library, shift) = (dir.path().join("clocks.so"), dir.path().join("shift"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/abuse/clocks.c");
        // The compiler that builds ask for.
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
        assert!(compile.status().expect("there is a C compiler").success());
        std::fs::write(&shift, "0").unwrap();
        let mut command = wakeful(&["serve", "--listen", "127.0.0.1:0", "--log", "warn"]);
        command.env("LD_PRELOAD", &library).env("CLOCK_SHIFT", &shift);
        Self { server: Server::run_by(command), shift, _dir: dir }
    }

    fn set(&self, shift_ms: i64) {
        // In one step, as it may be read meanwhile.
        let temporary = self.shift.with_extension("new");
        std::fs::write(&temporary, shift_ms.to_string()).unwrap();
        std::fs::rename(&temporary, &self.shift).unwrap();
    }
}

#[tokio::test]
async fn abuse_29_a_clock_that_jumps_ends_no_lease_and_no_reservation_before_its_time() {
    let shifted = Shifted::start();
    let beside = Beside::start(shifted.server.addr().parse().unwrap());
    let client = connect(shifted.server.addr()).await;
    let pushed_at =
        job(&client, push(&client, "now", "", PushOptions::default()).await).await.pushed;
    for n in 0..200 {
        let granted = within(client.lease_grant(Duration::from_secs(3600))).await.unwrap();
        let lease = granted.id;
        let set = SetRequest { lease, ..SetRequest::new(format!("leased/{n}"), "") };
        within(client.set(set)).await.unwrap();
    }
    let held = push(&client, "held", "", PushOptions::default()).await;
    let reserve = wakeful::ReserveRequest {
        visibility: Some(Duration::from_secs(3600)),
        ..wakeful::ReserveRequest::new("held")
    };
    assert_eq!(within(client.reserve(reserve)).await.unwrap().len(), 1);
    for shift in [DAY_MS, -DAY_MS, 0] {
        shifted.set(shift);
        // A lease that ends, and a delayed job that comes, by the steady clock: the turns in which
        // all the others would have ended are over then.
        let short =
            SetRequest { ttl: Some(Duration::from_millis(200)), ..SetRequest::new("short", "") };
        within(client.set(short)).await.unwrap();
        let delay = Duration::from_millis(200);
        let options = PushOptions { delay, ..PushOptions::default() };
        let delayed = push(&client, "delayed", "", options).await;
        until("the short lease ends", async || client.get("short").await.unwrap().kv.is_none())
            .await;
        until("the delayed job is ready", async || {
            job(&client, delayed).await.state == JobState::Ready
        })
        .await;
        let status = within(client.status()).await.unwrap();
        assert_eq!((status.leases, status.keys), (200, 201), "the clock was set by {shift} ms");
        assert_eq!(job(&client, held).await.state, JobState::Reserved, "by {shift} ms");
    }
    // It was really set: the time of day has followed ahead, and not back.
    let pushed = job(&client, push(&client, "now", "", PushOptions::default()).await).await.pushed;
    assert!(pushed >= pushed_at + DAY_MS as u64, "{pushed_at}, then {pushed}");
    client.close().await;
    beside.finish();
}
