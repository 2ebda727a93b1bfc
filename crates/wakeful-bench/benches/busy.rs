//! The cost of computing handlers for other clients: the latency of `get` over TCP at a fixed rate,
//! from an idle service, and from one whose full queue keeps its handlers busy.
//!
//! `cargo bench -p wakeful-bench --bench busy` prints one JSON object per line.

#![expect(clippy::expect_used, reason = "a benchmark may end at once")]

use std::io::Write;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use wakeful::work::{Raw, Thread};
use wakeful::{
    Blob, Client, Config, HandlerOptions, JobContext, JobError, JobHandler, Jobs, Operations,
    PushRequest, SetRequest, Topic, Wakeful,
};

/// The time that a handler computes.
const COMPUTES: Duration = Duration::from_millis(1);
const JOBS: u64 = 100_000;
const GETS: u32 = 10_000;
/// The time between two gets.
const PACE: Duration = Duration::from_micros(500);
const ROUNDS: usize = 5;

struct Busy;

impl JobHandler for Busy {
    type Job = Blob;
    type Output = Blob;

    async fn handle(&self, _: Blob, _: &JobContext) -> Result<Blob, JobError> {
        let started = Instant::now();
        while started.elapsed() < COMPUTES {
            std::hint::spin_loop();
        }
        Ok(Blob::default())
    }
}

/// Measures the latencies of gets, each from its due time.
async fn gets(client: &Client) -> Histogram<u64> {
    let mut latencies = Histogram::new(3).expect("a histogram");
    let started = Instant::now();
    for number in 0..GETS {
        let due = started + PACE * number;
        tokio::time::sleep_until(due.into()).await;
        client.get("key").await.expect("a value");
        latencies.record(due.elapsed().as_micros() as u64).expect("in range");
    }
    latencies
}

async fn round(thread: Option<Thread>) -> Histogram<u64> {
    let wakeful = Wakeful::start(Config::new()).expect("a service");
    let addr = wakeful.listen("127.0.0.1:0").await.expect("a port");
    wakeful.set(SetRequest::new("key", "value")).await.expect("set");
    let worker = match thread {
        None => None,
        Some(thread) => {
            let payload = Blob::from(&[7; 64]);
            for _ in 0..JOBS / 1_000 {
                let jobs = (0..1_000).map(|_| PushRequest::new("busy", payload.clone())).collect();
                wakeful.push_all(jobs, Duration::ZERO).await.expect("pushed");
            }
            let topic: Topic<Blob, Blob, Raw> = Topic::new("busy").with_schema(Raw);
            let options = HandlerOptions { concurrency: 8, thread, ..HandlerOptions::default() };
            Some(wakeful.handle(topic, Busy, options).expect("a worker"))
        }
    };
    // The generator has a thread of its own, as if it had a machine of its own.
    let measured = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let client = Client::connect(addr.to_string()).await.expect("connected");
            let latencies = gets(&client).await;
            client.close().await;
            latencies
        })
    });
    while !measured.is_finished() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    if let Some(worker) = worker {
        worker.stop(Duration::from_secs(1)).await;
    }
    wakeful.stop().await;
    measured.join().expect("measured")
}

fn main() {
    let cases = [("idle", None), ("own", Some(Thread::Own)), ("blocking", Some(Thread::Blocking))];
    for number in 1..=ROUNDS {
        for (name, thread) in cases {
            let latencies = actix_rt::System::new().block_on(round(thread));
            let at = |quantile| latencies.value_at_quantile(quantile);
            let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
            writeln!(
                std::io::stdout(),
                "{{\"round\":{number},\"handlers\":\"{name}\",\"p50_us\":{p50},\"p99_us\":{p99},\
                 \"p999_us\":{p999}}}"
            )
            .expect("standard output");
        }
    }
}
