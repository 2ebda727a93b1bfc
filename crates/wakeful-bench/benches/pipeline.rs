//! Jobs through the whole pipeline in one process, from push to recorded result, with handlers that
//! do nothing; compared with the plain cost of three hops between actors.
//!
//! `cargo bench -p wakeful-bench --bench pipeline` prints one JSON object per line.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark may end at once")]

use std::io::Write;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Context, Handler, Message};
use tokio::sync::mpsc;
use wakeful::work::Raw;
use wakeful::{
    Blob, Config, Durability, HandlerOptions, JobContext, JobError, JobHandler, Jobs, PushRequest,
    Topic, Wakeful,
};

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: wakeful::Allocator = wakeful::Allocator;

const JOBS: u64 = 1_000_000;
const ROUNDS: usize = 5;
const CONCURRENCY: usize = 1_024;
/// Jobs in one push, and maximum number of jobs ahead of the handlers.
const BATCH: u64 = 1_024;
const AHEAD: u64 = 32 * BATCH;

struct Noop;

impl JobHandler for Noop {
    type Job = Blob;
    type Output = Blob;

    async fn handle(&self, _: Blob, _: &JobContext) -> Result<Blob, JobError> {
        Ok(Blob::default())
    }
}

/// Passes a message on, or ends its journey.
struct Hop {
    next: Option<Addr<Hop>>,
    done: mpsc::UnboundedSender<()>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Ball(#[expect(dead_code, reason = "as large as a small job")] [u8; 64]);

impl Actor for Hop {
    type Context = Context<Self>;
}

impl Handler<Ball> for Hop {
    type Result = ();

    fn handle(&mut self, ball: Ball, _: &mut Self::Context) {
        match &self.next {
            Some(next) => next.do_send(ball),
            None => drop(self.done.send(())),
        }
    }
}

/// Returns the journeys per second over three hops.
async fn hops() -> f64 {
    let (done, mut arrived) = mpsc::unbounded_channel();
    let last = Hop { next: None, done: done.clone() }.start();
    let second = Hop { next: Some(last), done: done.clone() }.start();
    let first = Hop { next: Some(second), done }.start();
    let started = Instant::now();
    let (mut sent, mut seen) = (0, 0);
    while seen < JOBS {
        while sent < JOBS && sent - seen < BATCH {
            first.do_send(Ball([7; 64]));
            sent += 1;
        }
        arrived.recv().await;
        seen += 1;
        while arrived.try_recv().is_ok() {
            seen += 1;
        }
    }
    JOBS as f64 / started.elapsed().as_secs_f64()
}

/// Returns the jobs per second from push to recorded result.
async fn pipeline(durability: Option<Durability>) -> f64 {
    let mut config = Config::new();
    let dir = tempfile::tempdir().expect("a directory");
    let wakeful = match durability {
        None => Wakeful::start(config),
        Some(durability) => {
            config.journal.durability = durability;
            Wakeful::open(config, dir.path())
        }
    };
    let wakeful = wakeful.expect("a service");
    let topic: Topic<Blob, Blob, Raw> = Topic::new("noop").with_schema(Raw);
    let options = HandlerOptions { concurrency: CONCURRENCY, ..HandlerOptions::default() };
    let worker = wakeful.handle(topic, Noop, options).expect("a worker");
    let payload = Blob::from(&[7; 64]);
    let started = Instant::now();
    let (mut pushed, mut done) = (0, 0);
    while done < JOBS {
        while pushed < JOBS && pushed - done < AHEAD {
            let jobs = (0..BATCH).map(|_| PushRequest::new("noop", payload.clone())).collect();
            wakeful.push_all(jobs, Duration::ZERO).await.expect("pushed");
            pushed += BATCH;
        }
        done = wakeful.topic_info("noop").await.expect("a topic").done_total;
        tokio::task::yield_now().await;
    }
    let rate = done as f64 / started.elapsed().as_secs_f64();
    worker.stop(Duration::from_secs(5)).await;
    wakeful.stop().await;
    rate
}

fn tell(what: &str, rates: &mut [f64], hops: f64) {
    rates.sort_by(f64::total_cmp);
    let median = rates[rates.len() / 2];
    let (least, most) = (rates[0], rates[rates.len() - 1]);
    writeln!(
        std::io::stdout(),
        "{{\"what\":\"{what}\",\"per_second\":{median:.0},\"min\":{least:.0},\"max\":{most:.0},\
         \"times_three_hops\":{:.2}}}",
        hops / median
    )
    .expect("standard output");
}

fn main() {
    let (mut bare, mut memory, mut fsync) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        actix_rt::System::new().block_on(async {
            bare.push(hops().await);
            memory.push(pipeline(None).await);
            fsync.push(pipeline(Some(Durability::Fsync)).await);
        });
    }
    let mut sorted = bare.clone();
    sorted.sort_by(f64::total_cmp);
    let hops = sorted[sorted.len() / 2];
    tell("three actor hops", &mut bare, hops);
    tell("jobs in memory", &mut memory, hops);
    tell("jobs with fsync", &mut fsync, hops);
}
