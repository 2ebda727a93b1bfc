//! `wakeful torture`: a test that nothing acknowledged is lost, for anyone to run.

mod check;
mod cut;
mod jobs;
mod kill;
mod load;
mod power;
mod simulate;
mod told_answers;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use super::failure::{Exit, Failure};
use super::output::{self, Output, notice};
use crate::Config;
use told_answers::ToldAnswers;

/// Kill servers at random instants, and check that nothing acknowledged is lost
///
/// Each round starts a real server on the same data and loads it with writers, a watcher, leases
/// and jobs. While it lives, connections of workers are cut without a goodbye, and a process of
/// workers is killed: their jobs must come back at once. The server is killed with SIGKILL at a
/// random instant and restarted, and its data is checked against every answer its clients got. At
/// the end every job is done or dead. Simulated power cuts follow: the same in this process,
/// without connections, on a disk in memory that forgets, sector by sector, the data that was not
/// synced.
///
/// With --simulate, services, clients and attackers run in this process, in one thread and in
/// simulated time: connections are cut, clocks set, disks fill up and fail, processes and power
/// end. Everything follows from the seed: the same seed and the same build give the same run.
///
/// Exits with 1 and the history at the first broken promise; the numbers of promises are those of
/// docs/guarantees.md.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful torture --data-dir /tmp/torture --rounds 100
  wakeful torture --data-dir /tmp/torture --rounds 0 --power-cuts 9999 --seed 7
  wakeful torture --simulate --seed 7
  wakeful torture --simulate --seed 1 --for 3m")]
pub(crate) struct TortureArgs {
    /// Data directory of the servers; must be empty or absent
    #[arg(long, value_name = "DIR", required_unless_present = "simulate")]
    data_dir: Option<PathBuf>,
    /// Number of times a server is killed
    #[arg(long, value_name = "N", default_value_t = 20)]
    rounds: u64,
    /// Number of power cuts
    #[arg(long, value_name = "N", default_value_t = 200)]
    power_cuts: u64,
    /// Seed of the random choices [default: random, and printed]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Run services, clients and attackers in one thread instead, in simulated time: the same seed
    /// gives the same run
    #[arg(long, conflicts_with_all = ["data_dir", "rounds", "power_cuts"])]
    simulate: bool,
    /// Number of seeds to simulate, counting up [default: 1, or as many as fit in --for]
    #[arg(long, value_name = "N", requires = "simulate")]
    seeds: Option<u64>,
    /// How long to simulate seeds
    #[arg(long = "for", value_name = "DURATION", value_parser = super::argument::parse_duration, requires = "simulate")]
    duration: Option<Duration>,
    /// Number of events of one seed after which the service is not restarted again
    #[arg(long, value_name = "N", default_value_t = 20_000, requires = "simulate")]
    events: u64,
}

/// Number of concurrent writers.
const WRITERS: usize = 8;

/// Limits of the servers: small, so that segments change often.
const LIMITS: [(&str, &str); 14] = [
    ("store.key_bytes_max", "128"),
    ("store.value_bytes_max", "1KiB"),
    ("store.range_keys_max", "128"),
    ("store.range_bytes_max", "8KiB"),
    ("store.txn_ops_max", "16"),
    ("store.revision_bytes_max", "32KiB"),
    ("queue.payload_bytes_max", "4KiB"),
    ("queue.output_bytes_max", "4KiB"),
    ("queue.error_bytes_max", "256"),
    ("queue.errors_kept_max", "2"),
    ("queue.name_bytes_max", "128"),
    // Long enough for a worker to return, and over many times while it is awaited.
    ("queue.resume_grace", "50ms"),
    ("journal.segment_bytes", "64KiB"),
    ("journal.snapshot_log_bytes", "16KiB"),
];

/// The results of one part of the torture.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: u64,
    events: u64,
    jobs: u64,
    /// Workers lost while a server lived, jobs that came back from them, and jobs that they
    /// resumed.
    cut: u64,
    returned: u64,
    resumed: u64,
}

impl Tally {
    fn of(told: &ToldAnswers) -> Self {
        let ToldAnswers { acknowledged, events, jobs, .. } = told;
        Self {
            acknowledged: *acknowledged,
            events: *events,
            jobs: jobs.pushed,
            cut: jobs.cut,
            returned: jobs.returned,
            resumed: jobs.resumed,
        }
    }
}

/// A broken promise, with the events that led to it.
struct BrokenPromise {
    round: u64,
    what: String,
    told: ToldAnswers,
}

impl TortureArgs {
    pub(crate) fn run(self, out: &mut Output) -> Result<Exit, Failure> {
        let Some(data_dir) = &self.data_dir else { return self.simulate(out) };
        let seed = self.seed.unwrap_or_else(rand::random);
        if std::fs::read_dir(data_dir).is_ok_and(|mut entries| entries.next().is_some()) {
            let dir = data_dir.display();
            return Err(Failure::usage(format!("--data-dir {dir} is not empty; give another")));
        }
        notice(format_args!("seed {seed}"));
        let started = Instant::now();
        let system = actix_rt::System::new();
        let tortured = system.block_on(async {
            let killed = kill::rounds(data_dir, self.rounds, seed).await?;
            let cut = power::cuts(self.power_cuts, seed).await?;
            Ok((killed, cut))
        });
        match tortured {
            Ok((killed, cut)) => {
                self.report(seed, started.elapsed(), &killed, &cut, out);
                out.flush_blocking()?;
                Ok(Exit::Done)
            }
            Err(BrokenPromise { round, what, told }) => {
                // Blocks as long as it takes: the history may be long, and signals end this
                // process.
                let _ = output::write_all(std::io::stderr(), told.to_string().as_bytes());
                let message = format!("round {round} with --seed {seed}: {what}");
                Err(Failure::told(Exit::Failed, "Broken", message))
            }
        }
    }

    fn report(&self, seed: u64, took: Duration, killed: &Tally, cut: &Tally, out: &mut Output) {
        if out.json() {
            out.object(&json!({
                // A 64-bit number, more than readers that use doubles keep.
                "seed": seed.to_string(),
                "kills": self.rounds,
                "power_cuts": self.power_cuts,
                "acknowledged": killed.acknowledged + cut.acknowledged,
                "events": killed.events + cut.events,
                "jobs": killed.jobs + cut.jobs,
                "workers_cut": killed.cut,
                "jobs_returned": killed.returned,
                "jobs_resumed": killed.resumed,
                "seconds": took.as_secs(),
                "losses": 0,
            }));
            return;
        }
        for (what, times, tally) in
            [("kills", self.rounds, killed), ("power cuts", self.power_cuts, cut)]
        {
            let Tally { acknowledged, events, jobs, .. } = tally;
            out.line(format_args!(
                "{times} {what}: {acknowledged} transactions acknowledged, {events} events shown, \
                 {jobs} jobs pushed and finished, 0 lost"
            ));
        }
        let Tally { cut, returned, resumed, .. } = killed;
        out.line(format_args!(
            "{cut} workers cut off while a server lived: {returned} of their jobs came back, {resumed} \
             were resumed"
        ));
        out.line(format_args!("seed {seed}, {} s", took.as_secs()));
    }
}

/// Returns the configuration of the servers.
fn config() -> Result<Config, String> {
    let mut config = Config::new();
    for (name, value) in LIMITS {
        config.set(name, value)?;
    }
    Ok(config)
}

/// Prints the progress from time to time.
struct TortureProgress {
    what: &'static str,
    rounds: u64,
    said: Instant,
}

impl TortureProgress {
    fn new(what: &'static str, rounds: u64) -> Self {
        Self { what, rounds, said: Instant::now() }
    }

    fn note(&mut self, round: u64, told: &ToldAnswers) {
        if self.said.elapsed() >= Duration::from_secs(5) {
            self.said = Instant::now();
            let (what, rounds) = (self.what, self.rounds);
            notice(format_args!("{what}: {round} of {rounds}, {} acknowledged", told.acknowledged));
        }
    }
}
