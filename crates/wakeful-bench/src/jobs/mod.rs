//! `wakeful-bench jobs`: complete lives of jobs, pushed, reserved and settled, and the time from a
//! push to the hand-out.

mod beanstalkd;
mod idle;
mod load;
mod native;
mod peer;
#[cfg(test)]
mod tests;

use std::time::Duration;

use wakeful::Error;

use super::report::Report;
use super::tally::Tally;
use super::{positive, seconds};
use crate::LoadedServer;
use peer::Peer;

/// Loads a running server with jobs that are pushed, handed out and settled.
///
/// Each connection keeps --depth jobs in progress: it pushes this number of jobs, requests this
/// number, and settles those it gets. A round is one write: the settlements of a round are sent with
/// the pushes of the next one. A job's latency is the time from when its push was written to when the
/// answer to its settlement was read.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
It uses the topic `bench`, and leaves what became of the jobs there: not for a server whose outcomes
matter.

Examples:
  wakeful-bench jobs                                       50 connections, 16 jobs each, for 10 s
  wakeful-bench jobs -c 10 --depth 256 --batch 64          64 jobs in a request
  wakeful-bench jobs --idle --rounds 1000                  from push to start, nothing else going on
  wakeful-bench jobs --peer beanstalkd --addr 127.0.0.1:11300")]
pub(crate) struct JobsArgs {
    /// Number of connections, each of which pushes jobs and works on them.
    #[arg(long, short, default_value_t = 50, value_parser = positive)]
    connections: u64,

    /// Number of jobs in progress on each connection.
    #[arg(long, short = 'P', default_value_t = 16, value_parser = positive)]
    depth: u64,

    /// Number of jobs in one request.
    #[arg(long, default_value_t = 1, value_parser = positive)]
    batch: u64,

    /// Size of a payload, in bytes.
    #[arg(long, default_value_t = 64)]
    payload_bytes: usize,

    /// How long to push [default: 10, unless --jobs is given].
    #[arg(long)]
    seconds: Option<f64>,

    /// Number of jobs to push.
    #[arg(long, short = 'n', value_parser = positive)]
    jobs: Option<u64>,

    /// Measure the time from a push to the hand-out of the job to a waiting worker, one job at a
    /// time.
    #[arg(long)]
    idle: bool,

    /// Number of rounds of --idle.
    #[arg(long, default_value_t = 1_000, value_parser = positive)]
    rounds: u64,

    /// The kind of server at the address.
    #[arg(long, value_enum, default_value_t = Peer::Wakeful)]
    peer: Peer,
}

/// Runs the load of `args` against the server at `place`; returns the measurements, and the first
/// refusal.
pub(super) fn run(
    args: &JobsArgs,
    server: &LoadedServer,
) -> Result<(Report, Option<Error>), Error> {
    if args.idle {
        let tally = idle::run(args.peer, server, args.payload_bytes, args.rounds)?;
        let report = Report::new("jobs-idle").text("server", args.peer.name());
        let report = report.number("payload_bytes", args.payload_bytes as u64);
        return Ok((latencies(report.number("rounds", tally.answered), &tally), None));
    }
    let time = match (args.seconds.map(seconds).transpose()?, args.jobs) {
        (Some(time), _) => time,
        (None, Some(_)) => Duration::from_secs(24 * 3600),
        (None, None) => Duration::from_secs(10),
    };
    let plan = load::Plan {
        peer: args.peer,
        connections: args.connections as usize,
        depth: args.depth,
        batch: args.batch.min(args.depth),
        payload_bytes: args.payload_bytes,
        time,
        jobs_max: args.jobs.unwrap_or(u64::MAX),
    };
    let tally = load::run(&plan, server)?;
    let report = Report::new("jobs")
        .text("server", args.peer.name())
        .number("connections", args.connections)
        .number("depth", args.depth)
        .number("batch", plan.batch)
        .number("payload_bytes", args.payload_bytes as u64)
        .number("jobs", tally.answered)
        .number("refused", tally.refused)
        .seconds("seconds", tally.took)
        .rate("per_second", tally.per_second());
    Ok((latencies(report, &tally), tally.refusal))
}

fn latencies(report: Report, tally: &Tally) -> Report {
    report
        .micros("p50_us", tally.quantile(0.5))
        .micros("p99_us", tally.quantile(0.99))
        .micros("p999_us", tally.quantile(0.999))
        .micros("max_us", tally.max())
}
