//! Loads NATS JetStream with whole lives of messages: published and acknowledged by the server,
//! pulled by a consumer, acknowledged by that.
//!
//!     nats-load ADDR memory|file CONNECTIONS DEPTH PAYLOAD_BYTES SECONDS [double]
//!
//! The stream is a work queue with one durable pull consumer. So many connections publish and
//! consume; CONNECTIONS x DEPTH messages are under way at once. A latency is the time from when a
//! message was published to when its acknowledgement was sent; with `double`, to when the server
//! has confirmed that, as the answer to a settlement does with Wakeful. Prints one line of JSON,
//! with the names of `wakeful-bench jobs --json`. One thread, as the generator and the server share
//! the machine.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::{RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context, Message, stream};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

type Failure = Box<dyn Error + Send + Sync>;

const NAME: &str = "bench";

#[derive(Clone, Copy)]
struct Plan {
    depth: usize,
    payload_bytes: usize,
    began: Instant,
    until: Instant,
    double: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [addr, storage, connections, depth, payload_bytes, seconds, double @ ..] = &arguments[..]
    else {
        let usage = "nats-load ADDR memory|file CONNECTIONS DEPTH PAYLOAD_BYTES SECONDS [double]";
        return Err(usage.into());
    };
    let (connections, depth): (usize, usize) = (connections.parse()?, depth.parse()?);
    let consumer = prepare(addr, storage, connections * depth).await?;
    let mut contexts = Vec::new();
    for _ in 0..connections {
        contexts.push(jetstream::new(async_nats::connect(addr).await?));
    }
    let began = Instant::now();
    let plan = Plan {
        depth,
        // The time of its publication is in it.
        payload_bytes: payload_bytes.parse::<usize>()?.max(8),
        began,
        until: began + Duration::try_from_secs_f64(seconds.parse()?)?,
        double: double.iter().any(|word| word == "double"),
    };
    let under_way = Arc::new(Semaphore::new(connections * depth));
    let mut publishers: Vec<JoinHandle<Result<(), Failure>>> = Vec::new();
    let mut consumers: Vec<JoinHandle<Result<Vec<Duration>, Failure>>> = Vec::new();
    for context in contexts {
        let stream = context.get_stream(NAME).await?;
        let own: PullConsumer = stream.get_consumer(NAME).await?;
        consumers.push(tokio::spawn(consume(own, plan, Arc::clone(&under_way))));
        publishers.push(tokio::spawn(publish(context, plan, Arc::clone(&under_way))));
    }
    for publisher in publishers {
        publisher.await??;
    }
    // All are back: nothing is under way any more.
    let all = u32::try_from(connections * depth)?;
    drop(under_way.acquire_many(all).await?);
    let took = began.elapsed();
    under_way.close();
    let mut latencies = Vec::new();
    for consumer in consumers {
        latencies.extend(consumer.await??);
    }
    drop(consumer);
    report(latencies, took, plan, storage, connections);
    Ok(())
}

/// Makes the stream and its consumer anew.
async fn prepare(addr: &str, storage: &str, pending: usize) -> Result<PullConsumer, Failure> {
    let context = jetstream::new(async_nats::connect(addr).await?);
    // There may be none.
    let _ = context.delete_stream(NAME).await;
    let storage = match storage {
        "memory" => StorageType::Memory,
        "file" => StorageType::File,
        other => return Err(format!("`{other}` is neither memory nor file").into()),
    };
    let stream = context
        .create_stream(stream::Config {
            name: NAME.to_owned(),
            subjects: vec![NAME.to_owned()],
            retention: RetentionPolicy::WorkQueue,
            storage,
            ..Default::default()
        })
        .await?;
    let consumer = pull::Config {
        durable_name: Some(NAME.to_owned()),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: i64::try_from(pending * 2)?,
        ..Default::default()
    };
    Ok(stream.create_consumer(consumer).await?)
}

/// Publishes for as long as there is time, whenever there is room; no more than the depth of them
/// unconfirmed.
async fn publish(context: Context, plan: Plan, under_way: Arc<Semaphore>) -> Result<(), Failure> {
    let mut confirming = FuturesUnordered::new();
    while Instant::now() < plan.until {
        tokio::select! {
            permit = under_way.acquire(), if confirming.len() < plan.depth => {
                // Given back by whoever consumes it.
                permit?.forget();
                let mut payload = vec![b'x'; plan.payload_bytes];
                let nanos = u64::try_from(plan.began.elapsed().as_nanos())?;
                payload[..8].copy_from_slice(&nanos.to_le_bytes());
                let confirmed = context.publish(NAME, payload.into()).await?;
                confirming.push(async move { confirmed.await.map(drop) });
            }
            Some(confirmed) = confirming.next() => confirmed?,
            () = tokio::time::sleep_until(plan.until.into()) => break,
        }
    }
    while let Some(confirmed) = confirming.next().await {
        confirmed?;
    }
    Ok(())
}

/// Consumes until it is told that all is done; tells how long each took.
async fn consume(
    consumer: PullConsumer,
    plan: Plan,
    under_way: Arc<Semaphore>,
) -> Result<Vec<Duration>, Failure> {
    let mut messages =
        consumer.stream().max_messages_per_batch(plan.depth).messages().await?;
    let mut latencies = Vec::new();
    let mut confirming = FuturesUnordered::new();
    let mut over = std::pin::pin!(closed(Arc::clone(&under_way)));
    loop {
        tokio::select! {
            () = &mut over => return Ok(latencies),
            Some(message) = messages.next() => {
                let message = message?;
                let nanos = message.payload.get(..8).and_then(|bytes| bytes.try_into().ok());
                let nanos = u64::from_le_bytes(nanos.ok_or("not a message of this load")?);
                confirming.push(acknowledge(message, plan, Duration::from_nanos(nanos)));
            }
            Some(latency) = confirming.next() => {
                latencies.push(latency?);
                under_way.add_permits(1);
            }
        }
    }
}

/// Gives the time from its publication.
async fn acknowledge(message: Message, plan: Plan, sent: Duration) -> Result<Duration, Failure> {
    if plan.double {
        message.double_ack().await?;
    } else {
        message.ack().await?;
    }
    Ok(plan.began.elapsed() - sent)
}

async fn closed(under_way: Arc<Semaphore>) {
    while !under_way.is_closed() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn report(mut latencies: Vec<Duration>, took: Duration, plan: Plan, storage: &str, connections: usize) {
    latencies.sort_unstable();
    let quantile = |part: f64| {
        let place = (latencies.len() as f64 * part) as usize;
        latencies.get(place).map(|latency| latency.as_nanos() as f64 / 1e3)
    };
    let report = serde_json::json!({
        "mode": "jobs",
        "server": "nats",
        "storage": storage,
        "double_ack": plan.double,
        "connections": connections,
        "depth": plan.depth,
        "payload_bytes": plan.payload_bytes,
        "jobs": latencies.len(),
        "seconds": took.as_secs_f64(),
        "per_second": latencies.len() as f64 / took.as_secs_f64(),
        "p50_us": quantile(0.5),
        "p99_us": quantile(0.99),
    });
    println!("{report}");
}
