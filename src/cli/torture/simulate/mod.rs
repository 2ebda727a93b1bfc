//! `wakeful torture --simulate`: whole services in one thread, in time that a seed decides.
//!
//! Real parts: the client, the connections of the server, the actors with their mailboxes, the hub,
//! the queue, the outcomes, and the journal with its recovery. Simulated parts: sockets in memory
//! instead of TCP and TLS; the work of the journal's threads, done step by step; the disk; and
//! time, which passes when no task is ready, and slightly with each reading of a clock.
//!
//! # Design
//!
//! The service and its clients run in one thread, on a tokio runtime whose clock is paused.
//! Everything random follows from the seed, including the keys of hash tables and the delays of
//! bytes. So one seed is one run, to the byte, which a test compares. This holds as long as code
//! that runs here takes time and randomness from `environment`, and `tokio::select!` is `biased`.
//! The threads of the journal, of handlers and of logins are not simulated as threads.
//!
//! Models judge clients: the only writer of a prefix knows what every read, watch and restart must
//! show (`owner`, and `told` beside it in `torture`). After each event, a recount of every job
//! checks the queue; steps check each turn of the store; a counter checks what is buffered for
//! clients.

mod attack;
mod clients;
mod faults;
mod journal_driver;
mod judge;
mod life;
mod owner;
mod run;
#[cfg(test)]
mod tests;
mod trace;
mod wire;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::json;

use super::TortureArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{self, Output, notice};
use run::{BrokenRun, RunResult, count_panics, run};

/// Maximum time for one seed; most take a tenth of a second.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Interval between progress reports.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// The sums over many seeds.
#[derive(Default)]
struct Sum {
    seeds: u64,
    lives: u64,
    events: u64,
    acknowledged: u64,
    shown: u64,
    jobs: u64,
    /// The highest number of steps in one turn of the store, and of bytes held for clients at once.
    steps_most: u64,
    kept_most: u64,
    /// The digest of the last seed.
    digest: u64,
}

impl Sum {
    fn add(&mut self, ran: &RunResult) {
        let RunResult { digest, events, lives, acknowledged, shown, jobs, .. } = ran;
        self.seeds += 1;
        self.lives += lives;
        self.events += events;
        self.acknowledged += acknowledged;
        self.shown += shown;
        self.jobs += jobs;
        self.steps_most = self.steps_most.max(ran.steps_most);
        self.kept_most = self.kept_most.max(ran.kept_most);
        self.digest = *digest;
    }
}

impl TortureArgs {
    pub(super) fn simulate(self, out: &mut Output) -> Result<Exit, Failure> {
        let first = self.seed.unwrap_or_else(rand::random);
        let started = Instant::now();
        let seeds = self.seeds.unwrap_or(if self.duration.is_some() { u64::MAX } else { 1 });
        let mut said = Instant::now();
        let mut sum = Sum::default();
        notice(format_args!("seed {first}"));
        while sum.seeds < seeds && self.duration.is_none_or(|limit| started.elapsed() < limit) {
            let seed = first.wrapping_add(sum.seeds);
            match on_its_own_thread(seed, self.events) {
                Ok(ran) => sum.add(&ran),
                Err(broken) => return Err(report_broken(seed, self.events, &broken)),
            }
            if said.elapsed() >= SAY_EVERY {
                said = Instant::now();
                notice(format_args!("{} seeds, {} events", sum.seeds, sum.events));
            }
        }
        report(first, &sum, started.elapsed(), out);
        out.flush_blocking()?;
        Ok(Exit::Done)
    }
}

/// Runs a seed on a thread of its own, free of earlier state.
fn on_its_own_thread(seed: u64, events: u64) -> Result<RunResult, BrokenRun> {
    let broken = |what: &str| BrokenRun { what: what.to_owned(), event: 0, history: String::new() };
    count_panics();
    let thread = std::thread::Builder::new().name("simulation".to_owned());
    let (ended, ends) = mpsc::channel();
    let work = move || {
        // The receiver may have given up.
        let _ = ended.send(run(seed, events));
    };
    thread.spawn(work).map_err(|_| broken("no thread"))?;
    ends.recv_timeout(TIMEOUT).unwrap_or_else(|error| {
        Err(broken(match error {
            RecvTimeoutError::Timeout => {
                "it does not end: a task keeps running while no time passes"
            }
            RecvTimeoutError::Disconnected => "a panic, printed above",
        }))
    })
}

fn report_broken(seed: u64, events: u64, broken: &BrokenRun) -> Failure {
    let BrokenRun { what, event, history } = broken;
    // Blocks as long as it takes: the history may be long, and signals end this process.
    let _ = output::write_all(std::io::stderr(), history.as_bytes());
    let message = format!(
        "seed {seed}, event {event}: {what}; to repeat: wakeful torture --simulate --seed {seed} \
         --events {events}"
    );
    Failure::told(Exit::Failed, "Broken", message)
}

fn report(first: u64, sum: &Sum, took: Duration, out: &mut Output) {
    let Sum { seeds, lives, events, acknowledged, shown, jobs, .. } = *sum;
    let Sum { steps_most, kept_most, digest, .. } = *sum;
    if out.json() {
        out.object(&json!({
            // A 64-bit number, more than readers that use doubles keep.
            "seed": first.to_string(),
            "seeds": seeds,
            "lives": lives,
            "events": events,
            "acknowledged": acknowledged,
            "shown": shown,
            "jobs": jobs,
            "steps_most": steps_most,
            "kept_most": kept_most,
            "digest": format!("{digest:016x}"),
            "seconds": took.as_secs(),
            "broken": 0,
        }));
        return;
    }
    out.line(format_args!(
        "{seeds} seeds from {first}: {lives} lives of a service, {events} events, {acknowledged} \
         transactions acknowledged, {shown} events of keys shown, {jobs} jobs pushed, 0 promises broken"
    ));
    out.line(format_args!(
        "at most {steps_most} steps in a turn of the store, {kept_most} bytes held for clients"
    ));
    out.line(format_args!("the last run has the digest {digest:016x}; {} s", took.as_secs()));
}
