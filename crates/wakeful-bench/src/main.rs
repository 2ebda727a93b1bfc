//! `wakeful-bench`: loads a running server, and measures its throughput and latency.
//!
//! Deliberately lean: one thread, readiness from `mio`, frames directly from the codec and no
//! client library, so that on a small machine the server is measured, not the generator. `bench/`
//! compares the results with those of other servers.

mod audience;
mod caller;
mod connection;
mod fan_out;
mod hold;
mod jobs;
mod leases;
mod load;
mod loaded_server;
mod mix;
mod progress;
mod redis;
mod report;
mod schedule;
mod tally;
mod template;
#[cfg(test)]
mod tests;
mod watcher_connection;
mod wire;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wakeful::internals::program::{self, ServerTarget};
use wakeful::{Credentials, Error, ErrorCode, KvRequest, SetRequest};

use audience::{Audience, Kind, Watched};
use caller::{Caller, broken};
use hold::{Laggard, Until};
use loaded_server::LoadedServer;
use mix::Mix;
use progress::Progress;
use report::Report;
use tally::Tally;

/// The allocator of the `wakeful` binary.
#[global_allocator]
static ALLOCATOR: wakeful::Allocator = wakeful::Allocator;

/// Number of sets in one write when keys are filled.
const FILL_CHUNK: u64 = 1_000;

/// Loads a running server with sets and gets, waits and watches, and reports throughput and latency.
///
/// Each connection sends a batch of requests (`--pipeline`), awaits all the replies, and sends the
/// next. A request's latency is the time from when its batch was written to when its reply was
/// read; with `--rate`, from when its batch was due, so that a stall of the server counts in full.
#[derive(Debug, Clone, clap::Args)]
#[command(group = clap::ArgGroup::new("mode").multiple(false), args_conflicts_with_subcommands = true)]
#[command(after_help = "\
It sets the keys from key:000000000000 on, and does not delete them: do not use it with a server
whose keys matter.

Examples:
  wakeful-bench                                            gets and sets, for 10 s
  wakeful-bench -c 100 -P 16 --ops set:90,get:10 --fill
  wakeful-bench --rate 5000 --seconds 30                   latency at a steady rate
  wakeful-bench --fan-out -W 10000                         one set, ten thousand watchers
  wakeful-bench --park 100000                              holds waiters until stdin closes
  wakeful-bench jobs                                       jobs: pushed, handed out, settled")]
struct BenchArgs {
    #[command(subcommand)]
    other: Option<Other>,

    /// Number of connections that send requests; with --fan-out and --park, that hold watchers.
    #[arg(long, short, default_value_t = 50, value_parser = positive)]
    connections: u64,

    /// Number of requests that a connection sends at once.
    #[arg(long, short = 'P', default_value_t = 1, value_parser = positive)]
    pipeline: u64,

    /// The kinds of requests, by weight.
    #[arg(long, default_value = "set:50,get:50")]
    ops: Mix,

    /// Size of a value, in bytes.
    #[arg(long, default_value_t = 64)]
    value_bytes: usize,

    /// Number of keys to draw from at random, from key:000000000000 on.
    #[arg(long, default_value_t = 100_000, value_parser = positive)]
    keys: u64,

    /// Set every key once before anything is measured.
    #[arg(long)]
    fill: bool,

    /// How long to send requests, or to hold what --park and --lagging-watcher hold [default: 10,
    /// unless --requests is given; to hold: until stdin closes].
    #[arg(long)]
    seconds: Option<f64>,

    /// Number of requests to send.
    #[arg(long, short = 'n', value_parser = positive)]
    requests: Option<u64>,

    /// Requests per second, evenly spaced, instead of as many as are answered.
    #[arg(long)]
    rate: Option<f64>,

    /// Deadline of each request, in milliseconds; 0 for none.
    #[arg(long, default_value_t = 0, conflicts_with = "redis")]
    deadline_ms: u32,

    /// Number of threads, among which the connections are divided.
    #[arg(long, default_value_t = 1, value_parser = positive)]
    threads: u64,

    /// Number of watchers during the load; with --fan-out, of watchers that get the event.
    #[arg(long, short = 'W', default_value_t = 0)]
    watchers: u64,

    /// The kind of the watchers: a wait each, or a watch id each, on one stream per connection.
    #[arg(long = "as", value_enum, default_value_t = Kind::Watch)]
    kind: Kind,

    /// Number of connections that hold the watchers of a load.
    #[arg(long, default_value_t = 10, value_parser = positive)]
    watcher_connections: u64,

    /// Let the watchers watch the keys of the load, not keys that nobody sets.
    #[arg(long)]
    same_keys: bool,

    /// Measure one set to many watchers: the time until every one of them has its event.
    #[arg(long, group = "mode")]
    fan_out: bool,

    /// Number of rounds of --fan-out.
    #[arg(long, default_value_t = 100)]
    rounds: usize,

    /// Load the Redis at this address instead; with --fan-out, PUBLISH to one subscriber on each
    /// connection.
    #[arg(long, hide = true, value_name = "ADDR", conflicts_with_all = ["fill", "watchers"])]
    redis: Option<String>,

    /// Hold this number of watchers of keys that nobody sets, and do nothing else.
    #[arg(long, group = "mode", value_name = "WATCHERS")]
    park: Option<u64>,

    /// Hold a watch of everything from --behind revisions ago, and never read what it is sent.
    #[arg(long, group = "mode")]
    lagging_watcher: bool,

    /// Number of revisions before the current one at which the lagging watcher starts; the oldest
    /// readable one if that is newer.
    #[arg(long, default_value_t = 500_000)]
    behind: u64,

    /// Bytes of pushes that may be in flight to the lagging watcher.
    #[arg(long, default_value_t = 256 * 1024)]
    window_bytes: u32,

    /// Create this number of leases that end at the same time, and report how late the last one ends.
    #[arg(long, group = "mode", value_name = "LEASES")]
    leases: Option<u64>,

    /// Seconds from now until the leases end; must be enough to create them.
    #[arg(long, default_value_t = 20.0)]
    ttl_seconds: f64,
}

/// Loads other than of keys.
#[derive(Debug, Clone, clap::Subcommand)]
enum Other {
    Jobs(jobs::JobsArgs),
}

fn main() -> ExitCode {
    let command = clap::Command::new("wakeful-bench").version(env!("CARGO_PKG_VERSION"));
    program::run(command, std::env::args_os(), |args, target: &ServerTarget| {
        let server = LoadedServer::new(&target.addr, target.tls.as_ref())?;
        let credentials = target.credentials.clone();
        run(args, &server, credentials, target.json, &mut std::io::stdout().lock())
    })
}

/// Runs the benchmark that `args` describe against the server at `place`, and writes what it
/// measured to `out`: as text, or with `json` as one object on a line.
///
/// Errors: a refusal by the server, or a server that cannot be reached or does not answer. A load
/// with refused requests first reports its measurements.
fn run(
    args: BenchArgs,
    server: &LoadedServer,
    credentials: Option<Credentials>,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Error> {
    if let Some(credentials) = credentials {
        caller::log_in_with(credentials);
    }
    if let Some(Other::Jobs(jobs)) = &args.other {
        let (report, refusal) = jobs::run(jobs, server)?;
        print(&report, json, out)?;
        return refusal.map_or(Ok(()), Err);
    }
    let redis = args.redis.as_ref().map(LoadedServer::plain);
    let server = redis.as_ref().unwrap_or(server);
    if args.fan_out {
        return print(&args.fan_out(server)?, json, out);
    }
    if let Some(watchers) = args.park {
        let audience = Audience::gather(&args.audience(watchers, Watched::Idle), server)?;
        print(&args.parked(watchers), json, out)?;
        return hold::park(audience, &Until::new(args.time()?)).map(|_| ());
    }
    if args.lagging_watcher {
        let mut laggard = Laggard::connect(server, args.behind, args.window_bytes)?;
        let behind = laggard.current + 1 - laggard.from;
        let report = Report::new("lagging-watcher")
            .number("from_revision", laggard.from)
            .number("behind", behind);
        print(&report, json, out)?;
        return laggard.hold(&Until::new(args.time()?));
    }
    if let Some(leases) = args.leases {
        let ended = leases::run(server, leases, seconds(args.ttl_seconds)?)?;
        let report = Report::new("leases")
            .number("leases", ended.leases)
            .flag("made_in_time", ended.in_time)
            .millis("granting_ms", ended.granting)
            .millis("first_late_ms", ended.first_late)
            .millis("last_late_ms", ended.last_late);
        return print(&report, json, out);
    }
    let (tally, events) = args.load(server)?;
    print(&args.loaded(&tally, events), json, out)?;
    tally.refusal.map_or(Ok(()), Err)
}

impl BenchArgs {
    /// Runs a load; returns the measurements, and the number of events that the watchers got.
    fn load(&self, server: &LoadedServer) -> Result<(Tally, u64), Error> {
        if self.fill {
            self.fill(server)?;
        }
        let audience = (self.watchers > 0)
            .then(|| {
                let watched =
                    if self.same_keys { Watched::Loaded(self.keys) } else { Watched::Idle };
                let plan = audience::Plan {
                    connections: self.watcher_connections,
                    again: true,
                    ..self.audience(self.watchers, watched)
                };
                Audience::gather(&plan, server).map(Audience::spawn)
            })
            .transpose()?;
        let tally = self.threads(server)?;
        let Some((stop, thread)) = audience else { return Ok((tally, 0)) };
        stop.store(true, Ordering::Relaxed);
        let events = thread.join().map_err(|_| broken("the thread of the watchers panicked"))??;
        Ok((tally, events))
    }

    /// Divides the load among threads, and merges their measurements.
    fn threads(&self, server: &LoadedServer) -> Result<Tally, Error> {
        let threads = self.threads.min(self.connections);
        let counters: Vec<Arc<AtomicU64>> = (0..threads).map(|_| Arc::default()).collect();
        let progress = Progress::start(counters.clone());
        let tally = std::thread::scope(|scope| {
            let mut running = Vec::new();
            for (seed, answered) in (0..).zip(&counters) {
                let plan = self.share(seed, threads)?;
                running.push(scope.spawn(move || load::run(&plan, server, answered)));
            }
            running.into_iter().try_fold(Tally::new()?, |tally, thread| {
                tally.merge(thread.join().map_err(|_| broken("a thread of the load panicked"))??)
            })
        });
        drop(progress);
        tally
    }

    /// Returns the parameters of one of `threads` threads.
    fn share(&self, seed: u64, threads: u64) -> Result<load::Plan, Error> {
        let part = |whole: u64| whole / threads + u64::from(seed < whole % threads);
        let forever = Duration::from_secs(24 * 3600);
        let time = match (self.time()?, self.requests) {
            (Some(time), _) => time,
            (None, Some(_)) => forever,
            (None, None) => Duration::from_secs(10),
        };
        let peer = match self.redis {
            Some(_) => load::Target::Redis,
            None => load::Target::Wakeful,
        };
        Ok(load::Plan {
            target: peer,
            connections: part(self.connections) as usize,
            pipeline: self.pipeline as usize,
            mix: self.ops.clone(),
            value_bytes: self.value_bytes,
            deadline_ms: self.deadline_ms,
            keys: self.keys,
            time,
            requests_max: self.requests.map_or(u64::MAX, part),
            rate: self.rate.filter(|rate| *rate > 0.0).map(|rate| rate / threads as f64),
            seed,
        })
    }

    fn fill(&self, server: &LoadedServer) -> Result<(), Error> {
        let mut caller = Caller::connect(server)?;
        let mut filled = 0;
        while filled < self.keys {
            let chunk = FILL_CHUNK.min(self.keys - filled);
            caller.pipeline((filled..filled + chunk).map(|number| {
                let value = vec![b'x'; self.value_bytes];
                KvRequest::Set(SetRequest::new(template::key("key", number), value))
            }))?;
            filled += chunk;
        }
        Ok(())
    }

    fn fan_out(&self, server: &LoadedServer) -> Result<Report, Error> {
        let watchers = if self.watchers == 0 { self.connections } else { self.watchers };
        let (server, kind, watchers, rounds) = if self.redis.is_some() {
            let (connections, bytes) = (self.connections, self.value_bytes);
            let rounds = fan_out::run_redis(&server.addr, connections, self.rounds, bytes)?;
            ("redis", "subscribe", self.connections, rounds)
        } else {
            let plan = self.audience(watchers, Watched::One);
            let rounds = fan_out::run(&plan, server, self.rounds, self.value_bytes)?;
            ("wakeful", self.kind.name(), watchers, rounds)
        };
        Ok(Report::new("fan-out")
            .text("server", server)
            .text("as", kind)
            .number("watchers", watchers)
            .number("connections", self.connections)
            .number("rounds", self.rounds as u64)
            .micros("p50_us", rounds.last(0.5))
            .micros("min_us", rounds.last(0.0))
            .micros("max_us", rounds.last(1.0))
            .micros("first_p50_us", rounds.first(0.5)))
    }

    fn audience(&self, watchers: u64, watched: Watched) -> audience::Plan {
        let (kind, connections) = (self.kind, self.connections);
        audience::Plan { kind, watched, watchers, connections, again: false }
    }

    fn parked(&self, watchers: u64) -> Report {
        Report::new("park")
            .text("as", self.kind.name())
            .number("watchers", watchers)
            .number("connections", self.connections)
    }

    fn loaded(&self, tally: &Tally, events: u64) -> Report {
        Report::new("load")
            .text("ops", &self.ops.to_string())
            .number("connections", self.connections)
            .number("pipeline", self.pipeline)
            .number("value_bytes", self.value_bytes as u64)
            .number("deadline_ms", self.deadline_ms.into())
            .number("keys", self.keys)
            .number("watchers", self.watchers)
            .number("watcher_events", events)
            .number("requests", tally.answered)
            .number("refused", tally.refused)
            .seconds("seconds", tally.took)
            .rate("per_second", tally.per_second())
            .micros("p50_us", tally.quantile(0.5))
            .micros("p99_us", tally.quantile(0.99))
            .micros("p999_us", tally.quantile(0.999))
            .micros("max_us", tally.max())
    }

    fn time(&self) -> Result<Option<Duration>, Error> {
        self.seconds.map(seconds).transpose()
    }
}

fn print(report: &Report, json: bool, out: &mut dyn Write) -> Result<(), Error> {
    let text = if json { report.json() } else { report.to_string() };
    // Flushed, because a script waits for this line before it examines the server.
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| {
        Error::new(ErrorCode::Internal, format!("the result could not be written: {error}"))
    })
}

fn seconds(seconds: f64) -> Result<Duration, Error> {
    Duration::try_from_secs_f64(seconds).map_err(|error| {
        Error::new(ErrorCode::InvalidArgument, format!("{seconds} seconds: {error}"))
    })
}

fn positive(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}
