//! Clocks that jump: the time of day of a server is set ahead and back by a preloaded library
//! (`clocks.c`). The pure clock has its tests beside it, `z29_…` in `src/actor/clock.rs`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use wakeful::{
    JobState, Jobs, Operations, PushOptions, PushRequest, Schedule, SetRequest, Settlement, Verdict,
};

use super::beside::Beside;
use crate::durable::{connect, within};
use crate::process::{Server, wakeful};
use crate::support::handlers::{job, push};
use crate::support::until;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// A server whose time of day the test sets.
struct Shifted {
    server: Server,
    shift: PathBuf,
    _dir: tempfile::TempDir,
}

impl Shifted {
    fn start(limits: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (library, shift) = (dir.path().join("clocks.so"), dir.path().join("shift"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/abuse/clocks.c");
        // The compiler that the build needs anyway.
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
        assert!(compile.status().expect("there is a C compiler").success());
        std::fs::write(&shift, "0").unwrap();
        let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "--log", "warn"];
        arguments.extend(limits.iter().flat_map(|limit| ["--limit", limit]));
        let mut command = wakeful(&arguments);
        command.env("LD_PRELOAD", &library).env("CLOCK_SHIFT", &shift);
        Self { server: Server::run_by(command), shift, _dir: dir }
    }

    fn set(&self, shift_ms: i64) {
        // Renamed into place, because the server may read the file meanwhile.
        let temporary = self.shift.with_extension("new");
        std::fs::write(&temporary, shift_ms.to_string()).unwrap();
        std::fs::rename(&temporary, &self.shift).unwrap();
    }
}

#[tokio::test]
async fn abuse_29_a_clock_that_jumps_ends_no_lease_and_no_reservation_before_its_time() {
    let shifted = Shifted::start(&["queue.clock_settle=1s"]);
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
        // A lease that ends and a delayed job that becomes ready by the steady clock: by then, the
        // turns in which all others would have ended are over.
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
    // The clock was really set: a lasting jump is followed and logged.
    shifted.set(DAY_MS);
    until("the jump is followed", async || {
        let pushed = push(&client, "now", "", PushOptions::default()).await;
        job(&client, pushed).await.pushed >= pushed_at + DAY_MS as u64
    })
    .await;
    shifted.server.said("the time of day of this machine jumped");
    shifted.server.said("the clock follows the jump of the time of day");
    client.close().await;
    beside.finish();
}

#[tokio::test]
async fn abuse_29_a_wrong_reading_of_the_clock_gives_up_no_dead_letter_and_fires_no_schedule() {
    let shifted = Shifted::start(&[]);
    let client = connect(shifted.server.addr()).await;
    let pushed = push(&client, "letters", "", PushOptions::default()).await;
    let first = job(&client, pushed).await.pushed;
    let [reserved] =
        &within(client.reserve(wakeful::ReserveRequest::new("letters"))).await.unwrap()[..]
    else {
        panic!("the job is handed out");
    };
    let error = "hopeless".to_owned();
    let settlement =
        Settlement { reservation: reserved.reservation, verdict: Verdict::Fail { error } };
    within(client.settle(vec![settlement])).await.unwrap();
    let schedule = Schedule {
        name: "yearly".into(),
        cron: "0 3 1 1 *".to_owned(),
        timezone: "UTC".to_owned(),
        push: PushRequest::new("yearly", ""),
    };
    within(client.set_schedule(schedule)).await.unwrap();
    shifted.set(400 * DAY_MS);
    shifted.server.said("the time of day of this machine jumped");
    // Lets a turn pass in which everything due happens.
    let delay = Duration::from_millis(200);
    let delayed = push(&client, "t", "", PushOptions { delay, ..PushOptions::default() }).await;
    until("the delayed job is ready", async || {
        job(&client, delayed).await.state == JobState::Ready
    })
    .await;
    assert_eq!(job(&client, pushed).await.state, JobState::Dead);
    assert!(job(&client, delayed).await.pushed < first + DAY_MS as u64);
    let schedules = within(client.schedules()).await.unwrap();
    assert!(schedules.iter().all(|schedule| schedule.pushed == 0), "{schedules:?}");
    client.close().await;
}

/// Elapsed time is the subject of this test: more than the lease has.
#[tokio::test]
async fn s8_a_lease_whose_keep_alive_waits_in_the_socket_of_a_stopped_server_lives_on() {
    let server = Server::start();
    let client = connect(server.addr()).await;
    let ttl = Duration::from_secs(2);
    let lease = within(client.lease_grant(ttl)).await.unwrap().id;
    let set = SetRequest { lease, ..SetRequest::new("leased", "") };
    within(client.set(set)).await.unwrap();
    server.signal("STOP");
    let (keeper, stopped) = (client.clone(), std::time::Instant::now());
    let kept = tokio::spawn(async move { keeper.lease_keep_alive(lease).await });
    let gone = || stopped.elapsed() > 2 * ttl + Duration::from_secs(1);
    until("the lease would be over", async || gone()).await;
    server.signal("CONT");
    within(kept).await.unwrap().expect("the lease is there");
    assert!(within(client.get("leased")).await.unwrap().kv.is_some());
    server.said("the process did not run");
    client.close().await;
}
