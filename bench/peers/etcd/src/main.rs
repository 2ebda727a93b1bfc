//! Loads etcd or Wakeful with puts, each through its own client: the same tasks, keys and values.
//!
//!     etcd-load etcd|wakeful ADDR TASKS CONNECTIONS KEYS VALUE_BYTES SECONDS
//!
//! Each task puts a key drawn at random, awaits the answer, puts the next; the tasks share so many
//! connections. Prints one line of JSON, with the names of `wakeful-bench --json`. One thread, as
//! the generator and the server share the machine.

use std::error::Error;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use wakeful::{Operations, SetRequest};

type Failure = Box<dyn Error + Send + Sync>;

/// One client's connection; clones share it.
#[derive(Clone)]
enum Client {
    Etcd(etcd_client::Client),
    Wakeful(wakeful::Client),
}

#[derive(Clone, Copy)]
struct Plan {
    keys: u64,
    value_bytes: usize,
    until: Instant,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, addr, tasks, connections, keys, value_bytes, seconds] = &arguments[..] else {
        let usage = "etcd-load etcd|wakeful ADDR TASKS CONNECTIONS KEYS VALUE_BYTES SECONDS";
        return Err(usage.into());
    };
    let mut clients = Vec::new();
    for _ in 0..connections.parse()? {
        clients.push(Client::connect(server, addr).await?);
    }
    let began = Instant::now();
    let plan = Plan {
        keys: keys.parse()?,
        value_bytes: value_bytes.parse()?,
        until: began + Duration::try_from_secs_f64(seconds.parse()?)?,
    };
    let running: Vec<JoinHandle<Result<Vec<Duration>, Failure>>> = (0..tasks.parse()?)
        .zip(clients.iter().cycle())
        .map(|(seed, client)| tokio::spawn(load(client.clone(), plan, seed)))
        .collect();
    let mut latencies = Vec::new();
    for task in running {
        latencies.extend(task.await??);
    }
    let took = began.elapsed();
    latencies.sort_unstable();
    let quantile = |part: f64| {
        let place = (latencies.len() as f64 * part) as usize;
        latencies.get(place).map(|latency| latency.as_nanos() as f64 / 1e3)
    };
    let report = serde_json::json!({
        "requests": latencies.len(),
        "seconds": took.as_secs_f64(),
        "per_second": latencies.len() as f64 / took.as_secs_f64(),
        "p50_us": quantile(0.5),
        "p99_us": quantile(0.99),
    });
    println!("{report}");
    Ok(())
}

impl Client {
    async fn connect(server: &str, addr: &str) -> Result<Self, Failure> {
        match server {
            "etcd" => Ok(Self::Etcd(etcd_client::Client::connect([addr], None).await?)),
            "wakeful" => Ok(Self::Wakeful(wakeful::Client::connect(addr).await?)),
            _ => Err(format!("`{server}` is neither etcd nor wakeful").into()),
        }
    }

    async fn put(&mut self, key: String, value: Vec<u8>) -> Result<(), Failure> {
        match self {
            Self::Etcd(client) => drop(client.put(key, value, None).await?),
            Self::Wakeful(client) => drop(client.set(SetRequest::new(key, value)).await?),
        }
        Ok(())
    }
}

/// Puts until it is time; tells how long each took.
async fn load(mut client: Client, plan: Plan, seed: u64) -> Result<Vec<Duration>, Failure> {
    let mut latencies = Vec::new();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    while Instant::now() < plan.until {
        // xorshift: good enough to draw keys.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let key = format!("key:{:012}", state % plan.keys);
        let sent = Instant::now();
        client.put(key, vec![b'x'; plan.value_bytes]).await?;
        latencies.push(sent.elapsed());
    }
    Ok(latencies)
}
